"""Which records of our journal go next to one neighbour, and in how large batches."""

from __future__ import annotations

from typing import Protocol

from gateway.express import Express
from gateway.journal import Journal, Row
from signaling.ids import NodeCode, Seq
from signaling.link import BATCH_BYTES, BATCH_ROWS
from signaling.messages import LinkRecords
from signaling.routing import Router


class Source(Protocol):
    """Whose records: ``Links``."""

    journal: Journal
    router: Router
    express: Express


class Batches:
    """The way of one link through the journal, from where the peer has read it."""

    def __init__(self, source: Source, peer: NodeCode, after: Seq) -> None:
        self._journal = source.journal
        self._router = source.router
        self._lane = source.express.lane()
        self._peer = peer
        self._position = after
        self._told = after
        """The peer's cursor once it has acknowledged all we sent; ``_position`` runs ahead over what is not for it."""

    def ahead(self) -> LinkRecords | None:
        """Return urgent records that overtake the others; the cursor stays, so that no acknowledgement is owed."""
        rows = self._lane.ahead(self._position, self._journal.head, self._concerns, BATCH_BYTES)
        return self._batch([row.data.decode() for row in rows]) if rows else None

    def next(self) -> LinkRecords | None:
        """Return the next records for the peer; None while nothing concerns it."""
        items: list[str] = []
        size = 0
        for row in self._journal.read(self._position, BATCH_ROWS):
            if self._concerns(row) and not self._lane.overtook(row):
                if items and size + len(row.data) > BATCH_BYTES:
                    break
                items.append(row.data.decode())
                size += len(row.data)
            self._position = row.seq
        if not items and self._position - self._told < BATCH_ROWS:
            return None
        self._told = self._position
        return self._batch(items)

    def _batch(self, items: list[str]) -> LinkRecords:
        return LinkRecords(epoch=self._journal.epoch, last=self._position, items=tuple(items))

    def _concerns(self, row: Row) -> bool:
        return row.via != self._peer and self._router.concerns(row.record, self._peer)
