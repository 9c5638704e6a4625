"""Carries out re-dials (复叫): whoever still has not signed, or is late with an alarm, is called by the ways there are.

The order to call is durable before anybody is called, and the outcome after: a re-dial the power cut in two is
made again, under the same id.  Of what is overdue of an alarm the list itself is that order: the node that raised it
and the superior's own call the late ones, by the list's name, at the first limit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from gateway.adapters import EXERCISE, Adapters, Notice
from gateway.clock import Clock
from gateway.journal import Journal, Row
from gateway.telemetry import Telemetry
from signaling.alarm import Alarm
from signaling.directive import Directive, Header
from signaling.ids import AlarmId, DirectiveId, NodeCode, UtcMs
from signaling.records import Late, OverdueRaised, RedialOrdered, TimerKind

log = logging.getLogger(__name__)

STALE_MS = 3_600_000
"""An order to call that is older, because this node was away, is not carried out: the next limit has been reached."""
AT_A_TIME = 4
SENTENCES = 5
"""Said in one call; the rest is on the page."""
OVERDUE_TITLE = "告警处置超时"
WORDS = {
    TimerKind.RESPONSE: "未响应",
    TimerKind.ON_SITE: "未到场",
    TimerKind.HANDLED: "未处置",
    TimerKind.UNIT: "派出后未到场",
    TimerKind.CALL: "呼叫未应答",
}


class Orders(Protocol):
    """What is asked of ``gateway/directives.py``."""

    def header(self, directive: DirectiveId) -> Directive | None: ...
    def unsigned(self, directive: DirectiveId) -> tuple[NodeCode, ...]: ...


class Whom(Protocol):
    """What is asked of ``gateway/people.py``."""

    def at(self, places: Iterable[NodeCode], posts: Mapping[NodeCode, str]) -> tuple[str, ...]: ...


class Cards(Protocol):
    """What is asked of ``gateway/incidents.py``."""

    def get(self, alarm_id: AlarmId) -> Alarm | None: ...
    def ended(self, late: Late) -> tuple[bool, UtcMs | None]: ...


Order = RedialOrdered | OverdueRaised


class Redial:
    """All re-dials of one node.  Construct after the drivers it asks; run ``run`` in a task group."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        telemetry: Telemetry,
        adapters: Adapters,
        whom: Whom,
        orders: Orders,
        node: NodeCode,
        cards: Cards,
    ) -> None:
        self._node = node
        self._cards = cards
        self._clock = clock
        self._telemetry = telemetry
        self._adapters = adapters
        self._whom = whom
        self._orders = orders
        self._waiting: dict[str, Order] = {}
        self._moved = asyncio.Event()
        journal.follow(self._fold, ("redial:", "overdue:"))

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

        async def one(order: Order) -> None:
            async with room:
                notice = self._notice(order) if isinstance(order, RedialOrdered) else self._overdue(order)
                if notice is not None:
                    await self._adapters.send(notice)

        await asyncio.gather(*(one(order) for order in waiting))

    def _notice(self, order: RedialOrdered) -> Notice | None:
        """Return whom to call now, or None: all have signed, it is over, or nobody can be called from here."""
        header = self._orders.header(order.directive)
        if header is None or header.state is not Header.ISSUED or not self._to_call(order.notice, order.at):
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
            people=self._whom.at(places, issued.posts),
            exercise=issued.exercise,
        )

    def _to_call(self, notice: str, at: UtcMs) -> bool:
        """Return whether there is a way that has not been tried, and it is not too late."""
        told = self._adapters.outcome(notice)
        if EXERCISE in told.values() or all(name in told for name in self._adapters.names):
            return False
        if self._clock.at() - at > STALE_MS:
            self._telemetry.count("redials_stale")
            log.error("re-dial not made, too late", extra={"notice": notice})
            return False
        return True

    def _overdue(self, order: OverdueRaised) -> Notice | None:
        """Return whom to call about what is overdue, or None: it was done, or nobody can be called from here."""
        late = [one for one in order.late if one.n == 1 and not self._cards.ended(one)[0]]
        if not late or not self._to_call(order.overdue, order.at):
            return None
        places = tuple(dict.fromkeys(one.place for one in late))
        return Notice(
            id=order.overdue,
            kind="overdue",
            subject=late[0].alarm,
            urgency=order.urgency,
            title=OVERDUE_TITLE,
            text="；".join(self._sentence(one) for one in late[:SENTENCES]),
            places=places,
            people=self._whom.at(places, {}),
            exercise=order.exercise,
        )

    def _sentence(self, late: Late) -> str:
        known = self._cards.get(late.alarm)
        return f"{late.name} {WORDS[late.kind]}：{known.raised.text if known else ''}".strip(" ：")

    def _fold(self, rows: Sequence[Row]) -> None:
        for row in rows:
            if isinstance(row.record, RedialOrdered):
                self._waiting[row.record.notice] = row.record
                self._moved.set()
            elif isinstance(row.record, OverdueRaised) and self._node in (row.record.node, row.record.superior):
                self._waiting[row.record.overdue] = row.record
                self._moved.set()
