"""Carries out re-dials (复叫): whoever still has not signed is called by the ways out there are.

The order to call is durable before anybody is called, and the outcome after: a re-dial the power cut in two is
made again, under the same id.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from gateway.adapters import Adapters, Notice
from gateway.clock import Clock
from gateway.contacts import Contacts
from gateway.journal import Journal, Row
from gateway.telemetry import Telemetry
from signaling.directive import Directive, Header
from signaling.ids import DirectiveId, NodeCode
from signaling.records import RedialOrdered

log = logging.getLogger(__name__)

STALE_MS = 3_600_000
"""An order to call that is older, because this node was away, is not carried out: the next limit has been reached."""
AT_A_TIME = 4


class Orders(Protocol):
    """What is asked of ``gateway/directives.py``."""

    def header(self, directive: DirectiveId) -> Directive | None: ...
    def unsigned(self, directive: DirectiveId) -> tuple[NodeCode, ...]: ...


class Redial:
    """All re-dials of one node.  Run ``run`` in a task group."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        telemetry: Telemetry,
        adapters: Adapters,
        contacts: Contacts,
        orders: Orders,
    ) -> None:
        self._clock = clock
        self._telemetry = telemetry
        self._adapters = adapters
        self._contacts = contacts
        self._orders = orders
        self._waiting: dict[str, RedialOrdered] = {}
        self._moved = asyncio.Event()
        journal.follow(self._fold, ("redial:",))

    async def run(self) -> None:
        """Call until cancelled."""
        while True:
            await self.call()
            await self._moved.wait()
            self._moved.clear()

    async def call(self) -> None:
        """Carry out the orders that wait now; return when each has its outcome."""
        waiting, self._waiting = list(self._waiting.values()), {}
        room = asyncio.Semaphore(AT_A_TIME)

        async def one(order: RedialOrdered) -> None:
            async with room:
                notice = self._notice(order)
                if notice is not None:
                    await self._adapters.send(notice)

        await asyncio.gather(*(one(order) for order in waiting))

    def _notice(self, order: RedialOrdered) -> Notice | None:
        """Return whom to call now, or None: all have signed, it is over, or nobody can be called from here."""
        header = self._orders.header(order.directive)
        told = self._adapters.outcome(order.notice)
        if header is None or header.state is not Header.ISSUED or all(name in told for name in self._adapters.names):
            return None
        if self._clock.at() - order.at > STALE_MS:
            self._telemetry.count("redials_stale")
            log.error("re-dial not made, too late", extra={"notice": order.notice})
            return None
        still = frozenset(self._orders.unsigned(order.directive))
        places = tuple(place for place in order.places if place in still)
        if not places:
            return None
        issued = header.issued
        return Notice(
            id=order.notice,
            kind="redial",
            subject=order.directive,
            urgency=issued.urgency,
            title=issued.title,
            text=issued.text,
            places=places,
            people=self._contacts.at(places),
            exercise=issued.exercise,
        )

    def _fold(self, rows: Sequence[Row]) -> None:
        for row in rows:
            if isinstance(row.record, RedialOrdered):
                self._waiting[row.record.notice] = row.record
                self._moved.set()
