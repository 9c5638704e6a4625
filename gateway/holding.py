"""What a newer neighbour wrote and this gateway cannot take in yet: kept in the journal, taken up after the upgrade.

A record of a type or with a field that is unknown here, or that is refused by rules the neighbour knows better, is
acknowledged only when it is kept, so nothing is lost on the way; it goes no further from here until this gateway can
read it.  Past the bound a neighbour's records are not acknowledged any more: they wait with it.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Sequence

from gateway.clock import Clock
from gateway.journal import Journal, Row
from gateway.telemetry import Telemetry
from signaling import records
from signaling.errors import MalformedMessage
from signaling.ids import NodeCode, Seq
from signaling.messages import VERSION
from signaling.records import MAX_RECORD_BYTES, AnyRecord, RecordHeld, RecordTaken

log = logging.getLogger(__name__)

MAX_HELD_BYTES = 64 * 1024 * 1024
"""Kept of one neighbour's records."""
MAX_KIND = 60

Take = Callable[[AnyRecord, NodeCode], bool]
"""Takes a record in that came by a neighbour; says whether it may be."""


class Holding:
    """Construct before anything is appended.  ``on_change``: another record is kept, or one was taken up."""

    def __init__(self, node: NodeCode, journal: Journal, clock: Clock, telemetry: Telemetry) -> None:
        self.on_change: Callable[[NodeCode], None] = lambda _: None
        self._node = node
        self._journal = journal
        self._clock = clock
        self._telemetry = telemetry
        self._waiting: dict[str, tuple[Seq, NodeCode, int]] = {}
        """By name: where it stands, whose it is, and its bytes; in the order in which they came."""
        self._counts: Counter[NodeCode] = Counter()
        self._bytes: Counter[NodeCode] = Counter()
        journal.follow(self._fold, ("held:",))

    def count(self, peer: NodeCode) -> int:
        """Return how many records of ``peer`` wait."""
        return self._counts[peer]

    @property
    def peers(self) -> frozenset[NodeCode]:
        """Whose records wait."""
        return frozenset(peer for peer, count in self._counts.items() if count)

    def hold(self, item: str, kind: str, peer: NodeCode, version: int, code: str) -> bool:
        """Keep ``item``, a record of type ``kind``; False when there is no room for it."""
        kept = RecordHeld(
            node=self._node,
            at=self._clock.at(),
            held=hashlib.sha256(f"{peer} {item}".encode()).hexdigest()[:32],
            via=peer,
            version=version,
            kind="".join(c if c.isprintable() else "?" for c in kind[:MAX_KIND]),
            code=code,
            data=item,
        )
        if kept.held in self._waiting:
            return True
        if len(records.encode(kept)) > MAX_RECORD_BYTES or self._bytes[peer] + len(item) > MAX_HELD_BYTES:
            self._telemetry.count("records_not_held")
            return False
        log.warning("record of a newer neighbour kept", extra={"peer": peer, "version": version, "kind": kept.kind})
        self._telemetry.count("records_held")
        self._journal.append(kept)
        return True

    def take_up(self, take: Take) -> None:
        """Offer what waits to ``take``, in order: call it once, when this gateway may take records in.

        What this version still cannot read, or still refuses, of a neighbour that is newer than it, goes on waiting.
        """
        for seq, peer, _ in list(self._waiting.values()):
            held = self._journal.read(Seq(seq - 1), 1)[0].record
            assert isinstance(held, RecordHeld)
            try:
                done = take(records.decode(held.data.encode()), peer)
            except MalformedMessage:
                done = False
            if done or held.version <= VERSION:
                log.info("record of a newer neighbour taken up", extra={"peer": peer, "kind": held.kind, "done": done})
                self._journal.append(RecordTaken(node=self._node, at=self._clock.at(), held=held.held, taken=done))

    def _fold(self, rows: Sequence[Row]) -> None:
        for row in rows:
            match row.record:
                case RecordHeld(held=held, via=via):
                    self._waiting[held] = (row.seq, via, len(row.data))
                    self._note(via, 1, len(row.data))
                case RecordTaken(held=held):
                    entry = self._waiting.pop(held, None)
                    if entry is not None:
                        self._note(entry[1], -1, -entry[2])
                case _:
                    pass

    def _note(self, peer: NodeCode, count: int, size: int) -> None:
        self._counts[peer] += count
        self._bytes[peer] += size
        self.on_change(peer)
