"""Which records of our journal go next to one neighbour, and in how large batches."""

from __future__ import annotations

from typing import Protocol

from gateway.express import BEHIND_ROWS, Express
from gateway.journal import Journal
from gateway.ways import LOOK_ROWS, Ways
from signaling.ids import NodeCode, Seq
from signaling.link import BATCH_BYTES
from signaling.messages import LinkRecords

PASSED_ROWS = LOOK_ROWS
"""Rows that are not for the peer, after which it is told that it has none to wait for: where it reads on from, when it
returns, is never further back."""


class Source(Protocol):
    """Whose records: ``Links``."""

    journal: Journal
    ways: Ways
    express: Express


class Batches:
    """The way of one link through the journal, from where the peer has read it."""

    def __init__(self, source: Source, peer: NodeCode, after: Seq) -> None:
        self._journal = source.journal
        self._ways = source.ways
        self._lane = source.express.lane(peer)
        self._peer = peer
        self._position = after
        self._told = after
        """The peer's cursor once it has acknowledged all we sent; ``_position`` runs ahead over what is not for it."""
        self._owed = False
        """Behind ``_told`` is a row that overtook: the peer has it, and has not been asked to acknowledge it."""

    def ahead(self) -> LinkRecords | None:
        """Return urgent records that overtake the others; the cursor stays where the peer was told it is."""
        if not self._lane.waits(self._position):
            return None
        if self._ways.waiting(self._peer, self._position, BEHIND_ROWS + 1) <= BEHIND_ROWS:
            return None
        rows = self._lane.ahead(self._position, self._journal.data, BATCH_BYTES)
        return self._batch([row.decode() for row in rows]) if rows else None

    def next(self) -> LinkRecords | None:
        """Return the next records for the peer; None while nothing concerns it."""
        items: list[str] = []
        while not items and self._position < self._ways.head and self._position - self._told < PASSED_ROWS:
            items = self._page()
        if not items and not self._owed and self._position - self._told < PASSED_ROWS:
            return None
        self._told, self._owed = self._position, False
        return self._batch(items)

    def _page(self) -> list[str]:
        """Return what goes to the peer of one page of the journal, as far as a batch holds it."""
        rows, last = self._ways.after(self._peer, self._position)
        items: list[str] = []
        room = BATCH_BYTES
        for seq in map(Seq, rows):
            if self._lane.overtook(seq):
                self._owed = True
                continue
            data = self._journal.data(seq)
            room -= len(data)
            if items and room < 0:
                return items
            items.append(data.decode())
            self._position = seq
        self._position = last
        return items

    def _batch(self, items: list[str]) -> LinkRecords:
        return LinkRecords(epoch=self._journal.epoch, last=self._told, items=tuple(items))
