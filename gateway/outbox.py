"""What is durable goes out from here, in order: to sessions through listeners, to links through ``wait``.

A commit in this process, a ring from another and a sweep once a second all do the same thing: read the journal
from where we are.  So a lost ring costs a second, never a record.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from gateway.bus import Bus
from gateway.journal import Journal, Row
from signaling.ids import Seq
from signaling.records import AnyRecord

log = logging.getLogger(__name__)

SWEEP_S = 1.0
BATCH = 200
"""Rows handed out before the loop gets a turn."""

Handler = Callable[[Row, AnyRecord], None]


class Outbox:
    """Tails the journal from its head at construction.  Run ``run`` in a task group."""

    def __init__(self, journal: Journal, bus: Bus | None = None) -> None:
        self._journal = journal
        self._bus = bus
        self._handlers: list[Handler] = []
        self._moved = asyncio.Event()
        self._ring = asyncio.Event()
        self.position: Seq = journal.head
        journal.subscribe(self._committed)
        if bus is not None:
            bus.listen(self._rung)

    def on_record(self, handler: Handler) -> None:
        """Call ``handler(row, record)`` for every durable row, once, in order."""
        self._handlers.append(handler)

    async def wait(self, after: Seq) -> Seq:
        """Return the journal's head once it is past ``after``."""
        while self._journal.head <= after:
            await self._moved.wait()
        return self._journal.head

    async def run(self) -> None:
        """Hand out rows until cancelled."""
        while True:
            try:
                async with asyncio.timeout(SWEEP_S):
                    await self._ring.wait()
            except TimeoutError:
                pass
            self._ring.clear()
            await self._drain()

    async def _drain(self) -> None:
        while rows := self._journal.read(self.position, BATCH):
            for row in rows:
                self._hand_out(row)
                self.position = row.seq
            await asyncio.sleep(0)

    def _hand_out(self, row: Row) -> None:
        for handler in self._handlers:
            try:
                handler(row, row.record)
            except Exception:
                log.exception("outbox handler failed", extra={"seq": row.seq, "key": row.key})

    def _committed(self, rows: Sequence[Row]) -> None:
        self._moved.set()
        self._moved = asyncio.Event()
        self._ring.set()
        if self._bus is not None:
            self._bus.ring(rows[-1].seq)

    def _rung(self, seq: Seq) -> None:
        self._ring.set()
