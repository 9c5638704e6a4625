"""Which alarms make one card and where that stands, computed a second time: the auditor's own arithmetic.

It shares no code with ``signaling/incident.py`` or ``signaling/handling.py`` and goes another road: nothing is kept
up to date, a stretch of alarms without a pause is cut into cards whenever somebody asks for one of them.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

PAUSE_MS = 60_000
CARD_MS = 600_000
FALSE_QUIET_MS = 600_000
ALONE = ("other", "person", "snapshot")
"""Kinds of which only one source's own alarms make a card."""
FOLLOWED = 8
TOWNSHIP = 4
ORDER = ("triggered", "merged", "false", "confirmed", "dispatched", "on_site", "handled", "closed")
SETTLED = ("merged", "false", "closed")


class Place(NamedTuple):
    """``parent``: "" at the top; ``tier`` 1..5."""

    parent: str
    tier: int


class Alarm(NamedTuple):
    """What an alarm's own record says.  Orders by time, then by name."""

    at: int
    name: str
    node: str
    place: str
    source: str
    kind: str
    exercise: bool


class Step(NamedTuple):
    """Orders as the steps of a card are taken."""

    at: int
    rank: int
    node: str
    state: str
    alarm: str
    alone: bool


class Standing(NamedTuple):
    """``opened``: the alarm the clocks began with; ``state`` of what is not settled, ``steps`` about it."""

    opened: Alarm
    state: str
    steps: Sequence[Step]


@dataclass(slots=True)
class _Row:
    """Alarms that may be on one card: of a township and kind, or of one source."""

    alarms: list[Alarm] = field(default_factory=list)
    cut: dict[str, tuple[Alarm, ...]] = field(default_factory=dict)
    """Alarm to the card it is on by itself, as far as it was asked for since the last change."""


Group = tuple[str, str, bool, str]


class Cards:
    """All alarms of a journal.  Feed it in order, ask at any time."""

    def __init__(self, places: Mapping[str, Place]) -> None:
        self._places = places
        self.alarms: dict[str, Alarm] = {}
        self._rows: dict[Group, _Row] = {}
        self._moves: dict[str, tuple[int, str, str]] = {}
        self._steps: dict[str, dict[str, Step]] = {}
        self._leads: dict[str, set[str]] = {}
        """Alarm to the units that led when sent to it."""

    def line(self, place: str) -> list[str]:
        """Return ``place`` and all above it."""
        found = []
        while place:
            found.append(place)
            place = self._places[place].parent if place in self._places else ""
        return found

    # ---- what is written -------------------------------------------------------------------------

    def raised(self, record: Mapping[str, Any]) -> None:
        if record.get("disarmed") or record["alarm"] in self.alarms:
            return
        names = ("at", "alarm", "node", "place", "source", "kind", "exercise")
        alarm = Alarm(*(record[name] for name in names))
        self.alarms[alarm.name] = alarm
        row = self._row(alarm)
        insort(row.alarms, alarm)
        row.cut.clear()

    def moved(self, record: Mapping[str, Any]) -> None:
        said = (record["at"], record["node"], record["incident"])
        if record["alarm"] in self.alarms and said > self._moves.get(record["alarm"], (0, "", "")):
            self._moves[record["alarm"]] = said

    def stepped(self, record: Mapping[str, Any]) -> None:
        """Take a step, the sending of units, or the word of one."""
        state = record.get("state", "dispatched")
        if record["type"] == "alarm_dispatched":
            self._leads.setdefault(record["alarm"], set()).add(record["lead"]["unit"])
        elif record["type"] == "unit_reported":
            leads = record["unit"] in self._leads.get(record["alarm"], ())
            if not (state == "on_site" or (state == "handled" and leads)):
                return
        step = Step(
            record["at"], ORDER.index(state), record["node"], state, record["alarm"], record.get("alone", False)
        )
        self._steps.setdefault(record["alarm"], {}).setdefault(state, step)

    def _row(self, alarm: Alarm) -> _Row:
        if alarm.kind in ALONE:
            key = (alarm.place, alarm.kind, alarm.exercise, alarm.source)
        else:
            above = (p for p in self.line(alarm.place) if p in self._places and self._places[p].tier == TOWNSHIP)
            key = (next(above, alarm.place), alarm.kind, alarm.exercise, "")
        return self._rows.setdefault(key, _Row())

    # ---- cards -----------------------------------------------------------------------------------

    def card(self, name: str) -> tuple[Alarm, ...]:
        """Return the alarms on the card ``name`` is on, oldest first; none for one that is unknown."""
        if name not in self.alarms:
            return ()
        goal = self._goal(name)
        home = () if goal in self._moves else self._home(self.alarms[goal])
        if not self._moves:
            return home
        stay = [alarm for alarm in home if alarm.name not in self._moves]
        names = {goal, *(alarm.name for alarm in stay)}
        return tuple(sorted([*stay, *(self.alarms[one] for one in self._moves if self._goal(one) in names)]))

    def _goal(self, name: str) -> str:
        goal = name
        for _ in range(FOLLOWED):
            if goal not in self._moves or self._moves[goal][2] == goal:
                return goal
            goal = self._moves[goal][2]
            if goal not in self.alarms:
                break
        return name

    def _home(self, alarm: Alarm) -> tuple[Alarm, ...]:
        row = self._row(alarm)
        if alarm.name not in row.cut:
            for card in _cut(_stretch(row.alarms, bisect_left(row.alarms, alarm))):
                row.cut |= dict.fromkeys((one.name for one in card), card)
        return row.cut[alarm.name]

    # ---- where they stand ------------------------------------------------------------------------

    def standing(self, card: Sequence[Alarm]) -> Standing:
        """Return where a card (one alarm at least) stands."""
        steps = sorted(step for alarm in card for step in self._steps.get(alarm.name, {}).values())
        aside = {step.alarm for step in steps if step.alone or step.state == "merged"}
        aside = {name for name in aside if _furthest(self._steps[name].values()) in SETTLED}
        left = [alarm for alarm in card if alarm.name not in aside]
        if not left:
            return Standing(card[0], _furthest(steps), steps)
        while True:
            names = {alarm.name for alarm in left}
            mine = [step for step in steps if step.alarm in names]
            later = _uncovered(left, mine)
            before = {alarm.name for alarm in left} - {alarm.name for alarm in later}
            if not later or _furthest(step for step in mine if step.alarm in before) not in SETTLED:
                return Standing(left[0], _furthest(mine), mine)
            left = later


def _stretch(alarms: Sequence[Alarm], index: int) -> Sequence[Alarm]:
    """Return the alarms around ``index`` that follow each other without a pause."""
    first, last = index, index + 1
    while first and alarms[first].at - alarms[first - 1].at <= PAUSE_MS:
        first -= 1
    while last < len(alarms) and alarms[last].at - alarms[last - 1].at <= PAUSE_MS:
        last += 1
    return alarms[first:last]


def _cut(alarms: Sequence[Alarm]) -> list[tuple[Alarm, ...]]:
    """Return the cards of a stretch: what sources say without a pause, that begin close to each other."""
    begun: list[list[Alarm]] = []
    saying: dict[tuple[str, str], list[Alarm]] = {}
    for alarm in alarms:
        who = (alarm.place, alarm.source)
        if who in saying and alarm.at - saying[who][-1].at <= PAUSE_MS:
            saying[who].append(alarm)
        else:
            saying[who] = [alarm]
            begun.append(saying[who])
    cards: list[list[list[Alarm]]] = []
    for said in begun:
        at = said[0].at
        if cards and at - cards[-1][-1][0].at <= PAUSE_MS and at - cards[-1][0][0].at <= CARD_MS:
            cards[-1].append(said)
        else:
            cards.append([said])
    return [tuple(sorted(alarm for said in card for alarm in said)) for card in cards]


def _furthest(steps: Any) -> str:
    return max((step.state for step in steps), key=ORDER.index, default="triggered")


def _uncovered(left: Sequence[Alarm], steps: Sequence[Step]) -> list[Alarm]:
    """Return the alarms that the strongest verdict among ``steps`` does not settle; none without a verdict."""
    verdicts = [step for step in steps if step.state in SETTLED]
    if not verdicts:
        return []
    strongest = _furthest(verdicts)
    said = min((step for step in verdicts if step.state == strongest), key=lambda step: step.at)
    seen = {(alarm.place, alarm.source) for alarm in left if alarm.at <= said.at or alarm.name == said.alarm}
    quiet = said.at + (FALSE_QUIET_MS if strongest == "false" else 0)

    def settled(alarm: Alarm) -> bool:
        until = quiet if (alarm.place, alarm.source) in seen else said.at
        return alarm.name == said.alarm or alarm.at <= until

    return [alarm for alarm in left if not settled(alarm)]
