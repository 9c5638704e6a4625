"""What the clocks of alarms in a journal should have done: the auditor's own arithmetic, on its own cards.

It shares no code with ``signaling/overdue.py``, ``signaling/deadlines.py`` or ``gateway/overdue_timers.py``.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from gateway.recompute_cards import SETTLED, Alarm, Cards, Place

STAGES: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "response": (1, ("merged", "false", "confirmed", "dispatched", "on_site", "handled", "closed")),
    "on_site": (3, ("on_site", "handled", "closed")),
    "handled": (5, ("handled", "closed")),
}
"""Clock to its minutes and to what stops it."""
ARRIVED = ("on_site", "handled", "returned")
ROUNDED_S = (10, 60)
"""To full so many seconds a superior is told: the first, and the one above."""
KINDS = (*STAGES, "unit", "call")
TOLERANCE_MS = 3_000

Complain = Callable[[str, str, str, str], None]
"""What, about which alarm, by which timer, detail."""


class _Expected(NamedTuple):
    due: int
    superior: str
    exercise: bool
    place: str
    since: int
    begun: int


class _Sent(NamedTuple):
    at: int
    node: str
    deadline: int
    place: str
    by: str


class _Seen(NamedTuple):
    """When this process read a record, and how much of the time since it was written had passed by the wall clock."""

    steady_ms: float
    ahead_ms: float
    live: bool


class AlarmLedger:
    """Fold rows in with ``take``, in order; ask ``overdue`` at any time."""

    def __init__(self, node: str, places: Mapping[str, Place], grace_ms: int, complain: Complain) -> None:
        self._node = node
        self._grace_ms = grace_ms
        self._complain = complain
        self._cards = Cards(places)
        self._units: dict[str, dict[str, _Sent]] = {}
        self._arrived: set[tuple[str, str]] = set()
        self._calls: dict[str, dict[str, _Sent]] = {}
        self._answered: set[str] = set()
        self._seen: dict[tuple[str, int], _Seen] = {}
        self._fired: set[str] = set()
        self._owed: dict[tuple[str, bool], dict[str, _Expected]] = {}
        self._telling = False
        self._touched: set[str] = set()
        self._heap: list[tuple[float, str]] = []
        self._armed: set[str] = set()
        self._missing: dict[str, str] = {}

    # ---- what is written -------------------------------------------------------------------------

    def take(self, record: Mapping[str, Any], wall_ms: int, steady_ms: float, *, live: bool) -> None:
        """Fold in what is said of an alarm."""
        name = record["alarm"]
        match record["type"]:
            case "alarm_raised":
                self._cards.raised(record)
            case "alarm_grouped":
                self._touched.add(record["incident"])
                self._touched |= {alarm.name for alarm in self._cards.card(name)[:1]}
                self._cards.moved(record)
            case "alarm_advanced":
                self._cards.stepped(record)
            case "alarm_dispatched":
                self._cards.stepped(record)
                self._sent(record)
            case "unit_reported":
                self._cards.stepped(record)
                if record["state"] in ARRIVED:
                    self._arrived.add((name, record["unit"]))
            case "call_raised":
                by = record["by"]["division"]
                sent = _Sent(record["at"], record["node"], record["deadline"], record["to"], by)
                self._calls.setdefault(name, {})[record["call"]] = sent
            case "call_answered":
                self._answered.add(record["call"])
        self._seen.setdefault((name, record["at"]), _Seen(steady_ms, max(0, wall_ms - record["at"]), live))
        self._touched.add(name)

    def _sent(self, record: Mapping[str, Any]) -> None:
        known = self._units.setdefault(record["alarm"], {})
        for unit in (record["lead"], *record["assist"]):
            by = record["by"]["division"]
            sent = _Sent(record["at"], record["node"], record["deadline"], unit["place"], by)
            known[unit["unit"]] = max(known.get(unit["unit"], sent), sent)

    # ---- what should be --------------------------------------------------------------------------

    def _expected(self, name: str) -> dict[str, _Expected]:
        """Return the timers of the card ``name`` is on that this node keeps and that still mean something."""
        card = self._cards.card(name)
        stands = self._cards.standing(card) if card else None
        if stands is None or stands.state in SETTLED:
            return {}
        found = dict(self._stages(stands.opened, {step.state for step in stands.steps}))
        for alarm in card:
            for unit, sent in self._units.get(alarm.name, {}).items():
                if (alarm.name, unit) not in self._arrived:
                    found |= self._levels("unit", alarm, f"{unit}@{sent.deadline}", sent, card[0].exercise)
            for call, sent in self._calls.get(alarm.name, {}).items():
                if call not in self._answered:
                    found |= self._levels("call", alarm, call, sent, card[0].exercise)
        return found

    def _stages(self, opened: Alarm, states: set[str]) -> Iterator[tuple[str, _Expected]]:
        for stage, (minutes, stopped_by) in STAGES.items():
            if not states & set(stopped_by):
                until = opened.at + minutes * 60_000
                sent = _Sent(opened.at, opened.node, until, opened.place, opened.place)
                yield from self._levels(stage, opened, "", sent, opened.exercise).items()

    def _levels(self, kind: str, alarm: Alarm, what: str, sent: _Sent, exercise: bool) -> dict[str, _Expected]:
        if sent.node != self._node:
            return {}
        found, limit = {}, max(1, sent.deadline - sent.at)
        for number, superior in enumerate(self._superiors(kind, sent), 1):
            step = ROUNDED_S[number - 1] * 1_000
            due = sent.deadline + (number - 1) * limit
            due += -due % step
            made = _Expected(due, superior, exercise, sent.place, sent.deadline, sent.at)
            found[f"{kind}:{alarm.name}:{what}:{number}"] = made
        return found

    def _superiors(self, kind: str, sent: _Sent) -> list[str]:
        """Return who hears of it: two tiers up; of a unit not beyond who sent it; oneself, where nobody is above."""
        place, *above = self._cards.line(sent.place)
        if kind == "unit" and sent.by in (place, *above):
            above = above[: above.index(sent.by) + 1] if sent.by in above else [sent.by]
        return (above or [place])[: len(ROUNDED_S)]

    # ---- what is ---------------------------------------------------------------------------------

    def fired(self, record: Mapping[str, Any], steady_ms: float, *, live: bool) -> bool:
        """Judge a timer that fired; return whether it was late."""
        if self._telling:
            self.settle()
        timer = record["timer"]
        kind, name, what, number = timer.split(":")
        expected = self._expected(name).get(timer)
        if timer in self._fired:
            self._complain("twice", name, timer, "")
        self._fired.add(timer)
        if expected is None or record["kind"] != kind or record["subject"] != name:
            known = name in self._cards.alarms and (not what) == (kind in STAGES) and number in ("1", "2")
            self._complain("void" if known else "unexpected", name, timer, "nothing was left to fire for")
            return False
        if record["due"] != expected.due:
            self._complain("wrong-due", name, timer, f"{record['due']}, not {expected.due}")
        self._owed.setdefault((expected.superior, expected.exercise), {})[timer] = expected
        return self._moment(record, expected, steady_ms, live)

    def _moment(self, record: Mapping[str, Any], expected: _Expected, steady_ms: float, live: bool) -> bool:
        seen = self._seen[record["subject"], expected.begun]
        passed = seen.ahead_ms + steady_ms - seen.steady_ms
        if record["at"] < expected.due or (
            live and seen.live and passed + TOLERANCE_MS < expected.due - expected.begun
        ):
            self._complain("early", record["subject"], record["timer"], "")
        return bool(record["at"] > expected.due + self._grace_ms)

    def told(self, record: Mapping[str, Any]) -> None:
        """Judge a list that this node raised: of timers that fired right before it, and of no others."""
        self._telling = True
        owed = self._owed.get((record["superior"], record["exercise"]), {})
        for late in record["late"]:
            timer = f"{late['kind']}:{late['alarm']}:{late.get('what', '')}:{late['n']}"
            expected = owed.pop(timer, None)
            if expected is None:
                self._complain("unexpected", late["alarm"], timer, f"{record['overdue']}: without its timer")
            elif (late["place"], late["since"]) != (expected.place, expected.since):
                self._complain("wrong-list", late["alarm"], timer, record["overdue"])

    def settle(self) -> None:
        """Whatever is still owed was not written: a timer fired and nobody was told."""
        owed, self._owed, self._telling = self._owed, {}, False
        for superior, _ in owed:
            for timer in owed[superior, _]:
                self._complain("no-list", timer.split(":")[1], timer, superior)

    # ---- what is not -----------------------------------------------------------------------------

    def overdue(self, steady_ms: float) -> Iterator[tuple[str, str]]:
        """Yield alarm and timer of what should have fired by now and has not."""
        self._arm(steady_ms)
        while self._heap and self._heap[0][0] + self._grace_ms < steady_ms:
            _, timer = heapq.heappop(self._heap)
            self._armed.discard(timer)
            self._missing[timer] = timer.split(":")[1]
        for timer, name in list(self._missing.items()):
            if timer in self._fired or timer not in self._expected(name):
                del self._missing[timer]
            else:
                yield name, timer

    def _arm(self, steady_ms: float) -> None:
        touched, self._touched = self._touched, set()
        cards = {card[0].name for name in touched if (card := self._cards.card(name))}
        for name in cards:
            for timer, expected in self._expected(name).items():
                if timer in self._armed or timer in self._fired:
                    continue
                seen = self._seen[timer.split(":")[1], expected.begun]
                moment = seen.steady_ms + expected.due - expected.begun - seen.ahead_ms
                self._armed.add(timer)
                heapq.heappush(self._heap, (max(moment, steady_ms), timer))
