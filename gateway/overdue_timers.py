"""Driver of the clocks of alarms: what ``signaling/overdue.py`` says is due is journalled when it is, once ever.

That timers fired and the lists that tell of them are one append, so a power cut leaves both or neither.  Everything
is derived from the cards: after a restart the journal says what has fired, the cards say what still means something,
and what fell due meanwhile fires at once, in as few lists as there are superiors.

Time is counted on the steady clock, as in ``timers.py``: the wall time of a deadline is pinned to it when the record
that began it is learned of, and a step of the wall clock afterwards moves no timer.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import msgspec

from gateway.clock import Clock
from gateway.journal import Journal, Row
from gateway.keys import Keys
from gateway.telemetry import Telemetry
from signaling import overdue
from signaling.alarm import Alarm
from signaling.deadlines import Deadline, Standing
from signaling.division import Tree
from signaling.ids import AlarmId, Monotonic, NodeCode, Seq, UtcMs
from signaling.overdue import KINDS, Timer
from signaling.records import (
    AlarmDispatched,
    AlarmRaised,
    AlarmWord,
    CallRaised,
    OverdueRaised,
    TimerFired,
    signed_bytes,
)

log = logging.getLogger(__name__)

SLACK_MS = 1_000
"""A wall clock further off than this from where it was has been stepped."""
IDLE_S = 10.0
GATHER_S = 0.5
"""Cards that change meanwhile are looked at together; the shortest limit is a minute."""
BATCH = 500
"""Timers that fire before the loop gets a turn and the disk is waited for: about one list."""


class Cards(Protocol):
    """What the clocks need of ``gateway/incidents.py``."""

    def standing(self, alarm_id: AlarmId) -> Standing | None: ...
    def lead(self, alarm_id: AlarmId) -> AlarmId | None: ...


class Alarms(Protocol):
    """What the clocks need of ``gateway/alarms.py``."""

    @property
    def incidents(self) -> Cards: ...
    def undecided(self) -> Collection[Alarm]: ...


class OverdueTimers:
    """The clocks of all alarms of one node.  Construct after the alarms it asks; run ``run`` in a task group."""

    def __init__(
        self,
        node: NodeCode,
        tree: Tree,
        keys: Keys,
        journal: Journal,
        clock: Clock,
        telemetry: Telemetry,
        alarms: Alarms,
    ) -> None:
        self._node = node
        self._tree = tree
        self._keys = keys
        self._journal = journal
        self._clock = clock
        self._telemetry = telemetry
        self._alarms = alarms
        self._touched: set[AlarmId] = set()
        """Alarms whose card may have other deadlines than were armed."""
        self._heap: list[tuple[Monotonic, NodeCode, str, AlarmId]] = []
        """Of what is due at one moment, what one superior is told comes together."""
        self._armed: set[str] = set()
        self._fired: set[str] = set()
        self._told_at: set[UtcMs] = set()
        """When lists were raised: no two at one moment, for their names are of it."""
        self._first = self._base = clock.at() - clock.now() * 1_000
        self._frames: dict[tuple[AlarmId, UtcMs], float] = {}
        """Wall minus steady time, ms, when a deadline was learned of, where that is not ``_first``."""
        self._moved = asyncio.Event()
        journal.follow(self._fold, ("alarm:", "overdue:", *(f"timer:{kind}:" for kind in KINDS)))

    def deadline(self) -> Monotonic | None:
        """Return when something may be due next on the steady clock, or None."""
        self._arm()
        return self._heap[0][0] if self._heap else None

    async def run(self) -> None:
        """Fire what is due, when it is due, until cancelled."""
        while True:
            await self.fire()
            deadline = self.deadline()
            wait = IDLE_S if deadline is None else min(IDLE_S, max(0.0, deadline - self._clock.now()))
            try:
                async with asyncio.timeout(wait):
                    await self._moved.wait()
                    await asyncio.sleep(GATHER_S)
            except TimeoutError:
                pass
            self._moved.clear()

    async def fire(self) -> None:
        """Fire everything that is due now; return when it is durable."""
        self._arm()
        while self._is_due():
            await self._fire_some()
            self._arm()

    # ---- firing ----------------------------------------------------------------------------------

    def _is_due(self) -> bool:
        return bool(self._heap) and self._heap[0][0] <= self._clock.now()

    def _fire_some(self) -> asyncio.Future[Seq]:
        """Fire up to BATCH timers; what somebody is just deciding about waits until that is durable."""
        moving, arriving = self._moving(), self._arriving()
        looked: set[AlarmId] = set()
        ripe: list[Timer] = []
        while self._is_due() and len(ripe) < BATCH:
            *_, name, alarm_id = heapq.heappop(self._heap)
            self._armed.discard(name)
            lead = self._alarms.incidents.lead(alarm_id)
            if lead is None or lead in looked:
                continue
            looked.add(lead)
            due = [timer for timer in self._timers(lead) if self._moment(timer) <= self._clock.now()]
            if lead in moving or any(self._begins_before(arriving, timer.deadline) for timer in due):
                self._touched.add(lead)
            else:
                ripe += due
        return self._append(ripe) if ripe else self._journal.append()

    def _moving(self) -> set[AlarmId]:
        """Return the leads of cards that what is not yet durable may change."""
        found = set()
        for state in self._alarms.undecided():
            named = [state.raised.alarm, *((state.grouped.incident,) if state.grouped else ())]
            found |= {lead for alarm_id in named if (lead := self._alarms.incidents.lead(alarm_id)) is not None}
        return found

    def _arriving(self) -> dict[NodeCode | None, UtcMs]:
        """Return township to the time of the oldest alarm there that is not durable yet and so on no card."""
        found: dict[NodeCode | None, UtcMs] = {}
        for state in self._alarms.undecided():
            if self._alarms.incidents.lead(state.raised.alarm) is None:
                where = self._tree.township(state.raised.place)
                found[where] = min(state.raised.at, found.get(where, state.raised.at))
        return found

    def _begins_before(self, arriving: Mapping[NodeCode | None, UtcMs], deadline: Deadline) -> bool:
        """Return whether an older alarm is on its way to the card: then its clocks are that one's."""
        oldest = arriving.get(self._tree.township(deadline.place))
        return not deadline.what and oldest is not None and oldest <= deadline.begun

    def _append(self, ripe: Sequence[Timer]) -> asyncio.Future[Seq]:
        fired = [overdue.fired(timer, self._node, self._at(timer)) for timer in ripe]
        for timer, record in zip(ripe, fired, strict=True):
            self._fired.add(timer.id)
            self._telemetry.count("timers_fired", kind=record.kind)
            self._telemetry.observe("timer_late_seconds", max(0.0, (record.at - record.due) / 1_000))
        return self._journal.append(*fired, *map(self._signed, self._lists(ripe)))

    def _lists(self, ripe: Iterable[Timer]) -> Iterator[OverdueRaised]:
        at = self._clock.at()
        while at in self._told_at:
            at = UtcMs(at + 1)
        self._told_at.add(at)
        for made in overdue.lists(ripe, self._node, at):
            self._telemetry.count("overdue_lists", exercise=str(made.exercise).lower())
            log.warning("overdue", extra={"overdue": made.overdue, "superior": made.superior, "late": len(made.late)})
            yield made

    def _signed(self, record: OverdueRaised) -> OverdueRaised:
        return msgspec.structs.replace(record, signature=self._keys.sign(signed_bytes(record)))

    # ---- what is due -----------------------------------------------------------------------------

    def _arm(self) -> None:
        """Note when the deadlines of the cards that changed run out."""
        touched, self._touched = self._touched, set()
        leads = {self._alarms.incidents.lead(alarm_id) for alarm_id in touched}
        for lead in leads:
            for timer in self._timers(lead) if lead is not None else ():
                if timer.id not in self._armed:
                    self._armed.add(timer.id)
                    heapq.heappush(self._heap, (self._moment(timer), timer.superior, timer.id, timer.deadline.alarm))

    def _timers(self, alarm_id: AlarmId) -> Iterator[Timer]:
        """Yield the timers of a card that this node keeps and that have not fired."""
        standing = self._alarms.incidents.standing(alarm_id)
        for deadline in standing.due if standing is not None else ():
            if deadline.owner == self._node:
                assert standing is not None
                made = overdue.timers(deadline, standing.urgency, self._tree, exercise=standing.lead.exercise)
                yield from (timer for timer in made if timer.id not in self._fired)

    def _frame(self, timer: Timer) -> float:
        return self._frames.get((timer.deadline.alarm, timer.deadline.begun), self._first)

    def _moment(self, timer: Timer) -> Monotonic:
        return Monotonic((timer.due - self._frame(timer)) / 1_000)

    def _at(self, timer: Timer) -> UtcMs:
        return UtcMs(max(timer.due, round(self._clock.now() * 1_000 + self._frame(timer))))

    # ---- learning --------------------------------------------------------------------------------

    def _fold(self, rows: Sequence[Row]) -> None:
        for row in rows:
            match row.record:
                case AlarmRaised() | AlarmDispatched() | CallRaised() as begins:
                    if begins.node == self._node:
                        self._pin(begins.alarm, begins.at)
                    self._touched.add(begins.alarm)
                case AlarmWord() as word:
                    self._touched.add(word.alarm)
                case TimerFired() as fired if fired.kind in KINDS:
                    self._fired.add(fired.timer)
                    continue
                case OverdueRaised() as told:
                    if told.node == self._node:
                        self._told_at.add(told.at)
                    continue
                case _:
                    continue
            self._moved.set()

    def _pin(self, alarm_id: AlarmId, at: UtcMs) -> None:
        steady = self._clock.now() * 1_000
        if abs(self._clock.at() - steady - self._base) > SLACK_MS:
            self._base = self._clock.at() - steady
        frame = at - steady if at - steady > self._base + SLACK_MS else self._base
        if frame != self._first:
            self._frames[alarm_id, at] = frame
