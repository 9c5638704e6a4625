"""Takes in what a neighbour's batch brings, record by record, in order.

Links take turns, and whoever else has something to do comes between: after an order to every village of a province
a hundred thousand receipts come up at once, and people, calls and heartbeats must not wait for the last of them.

A record that nobody can take in is written down as refused and passed over, so that one does not stop those behind
it; of a neighbour that is newer than this gateway it is kept (``holding``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from signaling import codec, records
from signaling.errors import MalformedMessage, Refused
from signaling.ids import NodeCode
from signaling.messages import VERSION
from signaling.records import AnyRecord

from .holding import Holding
from .refusals import Refusals

log = logging.getLogger(__name__)

TURN_RECORDS = 100
"""Taken in before the event loop gets a turn: some 10 ms."""
REFUSED = "refused"
"""Why a record is kept that could be read."""


class Drivers(Protocol):
    """Who receives records: ``Dispatch``."""

    def link_record(self, record: AnyRecord, via: NodeCode) -> None: ...


class Intake:
    """One for all links of the node."""

    def __init__(self, drivers: Drivers, refusals: Refusals, holding: Holding) -> None:
        self._drivers = drivers
        self._refusals = refusals
        self._holding = holding
        self._turn = asyncio.Lock()

    async def take(self, items: Sequence[str], peer: NodeCode, version: int) -> bool:
        """Take ``items`` in; False when one could neither be taken in nor kept: then nothing may be acknowledged."""
        async with self._turn:
            for begin in range(0, len(items), TURN_RECORDS):
                if not all(self._take(item, peer, version) for item in items[begin : begin + TURN_RECORDS]):
                    return False
                await asyncio.sleep(0)
        return True

    def take_up(self) -> None:
        """Take in what was kept before this gateway was upgraded."""
        self._holding.take_up(self._offer)

    def _take(self, item: str, peer: NodeCode, version: int) -> bool:
        data = item.encode("utf-8", "surrogatepass")
        kind = codec.kind(data) if version > VERSION else None
        code = REFUSED
        try:
            if self._offer(records.decode(data), peer):
                return True
        except MalformedMessage as error:
            code = error.code
            if kind is None:
                self._refusals.record(None, "record", "", error, via=peer)
        return kind is None or self._holding.hold(item, kind, peer, version, code)

    def _offer(self, record: AnyRecord, peer: NodeCode) -> bool:
        """Return whether ``record`` was not refused; a refusal is written down by who refused it."""
        before = self._refusals.total
        try:
            self._drivers.link_record(record, peer)
        except Exception:
            log.exception("record could not be taken in", extra={"peer": peer})
            self._refusals.record(None, "record", "", Refused("fault", "this gateway's fault; see its log"), via=peer)
        return self._refusals.total == before
