"""What the clocks of a journal should have done, computed a second time and by another road.

This is the auditor's own arithmetic: it reads the bytes of records as plain JSON, keeps its own tree and its own
table of limits, and shares no code with ``signaling/clocks.py`` or ``gateway/timers.py``: a mistake in one of them
shows here as a finding.  No file, no clock: rows and times come in as arguments.  Alarms: ``recompute_alarms.py``.
"""

from __future__ import annotations

import csv
import heapq
import io
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from gateway.recompute_alarms import KINDS as ALARM_KINDS
from gateway.recompute_alarms import AlarmLedger
from gateway.recompute_cards import Place

LIMIT_MINUTES: Mapping[str, int] = {"P0": 3, "P1": 5, "P2": 15, "P3": 120}
RING_AGAIN_AT = {1: 1 / 3, 2: 2 / 3, 3: 1.0, 4: 2.0, 5: 3.0}
"""Number of the repeat to where it stands, in limits."""
TOLD_ABOVE = ("P0", "P1")
ANSWERED = ("signed", "feedback", "done")
ENDS = ("directive_recalled", "directive_superseded", "directive_closed", "directive_expired")
TOLERANCE_MS = 3_000
"""Of comparing the moments this process saw two records at, which are a poll apart."""
MAX_FAULTS = 1_000
"""Kept; all are counted."""
PREFIXES = ("directive:", "delivery:", "timer:", "escalation:", "redial:", "alarm:", "overdue:")
"""Keys of the rows that matter here."""

Name = tuple[str, str, int]
"""(kind, place or "", number) of a timer of one directive."""


class Finding(NamedTuple):
    """Something that should not be.  ``what`` is stable."""

    what: str
    subject: str
    """The directive or the alarm."""
    timer: str
    detail: str = ""


@dataclass(slots=True)
class _Directive:
    at: int
    expires_at: int
    own: bool
    """Issued by the node whose journal this is."""
    waiting: set[str]
    expected: dict[Name, int]
    """Timer to due time."""
    groups: dict[Name, frozenset[str]]
    """Whom a timer is about, where it is not everybody."""
    seen_ms: float
    """On our steady clock."""
    ahead_ms: float
    """How much of its time had passed then, by the wall clock."""
    live: bool
    ended: bool = False
    named_twice: bool = False
    """Countersigned, or nobody need any more."""
    fired: set[Name] = field(default_factory=set)
    raised: dict[str, int] = field(default_factory=dict)
    """Superior to the number of the last list."""


@dataclass(slots=True)
class _Owed:
    """What must stand right behind the timers that were just read."""

    directive: str
    lists: dict[str, set[str]] = field(default_factory=dict)
    calls: set[str] = field(default_factory=set)


class Ledger:
    """Fold rows in with ``take``, in order; ask ``overdue`` at any time.  ``faults`` has the newest, ``counts`` all."""

    def __init__(self, node: str, places: Mapping[str, Place], grace_ms: int = 5_000) -> None:
        """``grace_ms``: how late a timer may be."""
        self._node = node
        self._places = places
        self._grace_ms = grace_ms
        self._directives: dict[str, _Directive] = {}
        self._heap: list[tuple[float, str, Name]] = []
        self._missing: dict[tuple[str, Name], Finding] = {}
        self._owed: _Owed | None = None
        self.faults: deque[Finding] = deque(maxlen=MAX_FAULTS)
        self.counts: Counter[str] = Counter()
        self._alarms = AlarmLedger(node, places, grace_ms, self._fault)

    def take(self, data: bytes, *, wall_ms: int, steady_ms: float, live: bool) -> None:
        """Fold one record in.  ``live``: it was written while we watched, not read when we began."""
        record = msgspec.json.decode(data)
        kind = record["type"]
        if self._owed is not None and not self._is_owed(record):
            self._settle()
        if kind == "overdue_raised" and record["node"] == self._node:
            self.counts["lists"] += 1
            self._alarms.told(record)
            return
        if kind == "timer_fired" and record["kind"] in ALARM_KINDS:
            self.counts["fired"] += 1
            self.counts["late"] += self._alarms.fired(record, steady_ms, live=live)
            return
        self._alarms.settle()
        match kind:
            case _ if "alarm" in record:
                self._alarms.take(record, wall_ms, steady_ms, live=live)
            case "directive_issued":
                self._issued(record, wall_ms, steady_ms, live)
            case "delivery_advanced" if record["stage"] in ANSWERED:
                if (known := self._directives.get(record["directive"])) is not None:
                    known.waiting.discard(record["recipient"])
            case "timer_fired":
                self._fired(record, steady_ms, live)
            case "escalation_raised" if record["node"] == self._node:
                self._raised(record)
            case "redial_ordered":
                self._called(record)
            case "directive_countersigned":
                if (known := self._directives.get(record["directive"])) is not None:
                    known.named_twice = True
            case _ if kind in ENDS:
                self._ended(record)

    def overdue(self, steady_ms: float) -> list[Finding]:
        """Return the timers that should have fired by now and have not.  Call ``take`` for all rows first."""
        self._settle()
        while self._heap and self._heap[0][0] + self._grace_ms < steady_ms:
            _, directive, name = heapq.heappop(self._heap)
            if self._means_something(directive, name):
                self._missing[directive, name] = Finding("missed", directive, ":".join(map(str, name)))
        for key in [key for key in self._missing if not self._means_something(*key)]:
            del self._missing[key]
        self._alarms.settle()
        missed = (Finding("missed", alarm, timer) for alarm, timer in self._alarms.overdue(steady_ms))
        return [*self._missing.values(), *missed]

    def _means_something(self, directive: str, name: Name) -> bool:
        known = self._directives[directive]
        return name not in known.fired and self._alive(known, name)

    def _alive(self, known: _Directive, name: Name) -> bool:
        if name[0] == "countersign":
            return not known.named_twice
        return not known.ended and (name[0] == "expire" or bool(self._about(known, name)))

    def _about(self, known: _Directive, name: Name) -> set[str]:
        group = known.groups.get(name)
        return set(known.waiting) if group is None else known.waiting & group

    # ---- what should be --------------------------------------------------------------------------

    def _issued(self, record: Mapping[str, Any], wall_ms: int, steady_ms: float, live: bool) -> None:
        expected, groups = self._expected(record)
        known = _Directive(
            at=record["at"],
            expires_at=record["expires_at"],
            own=record["node"] == self._node,
            waiting=set(record["recipients"]),
            expected=expected,
            groups=groups,
            seen_ms=steady_ms,
            ahead_ms=max(0, wall_ms - record["at"]),
            live=live,
        )
        self._directives[record["directive"]] = known
        for name, due in expected.items():
            moment = steady_ms + (due - known.at) - known.ahead_ms
            heapq.heappush(self._heap, (moment, record["directive"], name))

    def _expected(self, record: Mapping[str, Any]) -> tuple[dict[Name, int], dict[Name, frozenset[str]]]:
        at, ends = record["at"], record["expires_at"]
        limit = LIMIT_MINUTES[record["urgency"]] * 60_000
        expected: dict[Name, int] = {("expire", "", 0): ends}
        groups: dict[Name, frozenset[str]] = {}
        below = frozenset(place for place in record["recipients"] if self._node in self._line(place))
        for number, share in RING_AGAIN_AT.items():
            due = at + round(limit * share)
            if below and due < ends:
                expected["repeat", "", number] = due
                groups["repeat", "", number] = below
        if record["node"] != self._node:
            return expected, groups
        first = min(at + limit, ends)
        if record.get("countersign_by") is not None:
            expected["countersign", "", 1] = record["countersign_by"]
        expected["limit", "", 1] = expected["redial", "", 1] = first
        for place in record["recipients"]:
            for number, superior in enumerate(self._told(place, record), 1):
                due = first if number == 1 else at + number * limit
                if number == 1 or due < ends:
                    name = ("escalate", superior, number)
                    expected[name] = due
                    groups[name] = groups.get(name, frozenset()) | {place}
        return expected, groups

    def _line(self, place: str) -> list[str]:
        line = []
        while place:
            line.append(place)
            place = self._places[place].parent if place in self._places else ""
        return line

    def _told(self, place: str, record: Mapping[str, Any]) -> Iterator[str]:
        """Yield who hears of ``place``, nearest first: up to the issuer's division, and one above if it is urgent."""
        issuer = record["issuer"]["division"]
        line = self._line(place)
        if issuer not in line:
            return
        if place == issuer:
            yield issuer
        while line.pop(0) != issuer:
            yield line[0]
        if line and record["urgency"] in TOLD_ABOVE:
            yield line[0]

    # ---- what is ---------------------------------------------------------------------------------

    def _fired(self, record: Mapping[str, Any], steady_ms: float, live: bool) -> None:
        self.counts["fired"] += 1
        kind, subject, place, number = record["timer"].split(":")
        known, name = self._directives.get(subject), (kind, place, int(number))
        due = known.expected.get(name) if known else None
        if known is None or due is None:
            self._fault("unexpected", subject, record["timer"])
            return
        if name in known.fired:
            self._fault("twice", subject, record["timer"])
        about = self._about(known, name)
        if not self._alive(known, name):
            self._fault("void", subject, record["timer"], "nothing was left to fire for")
        if record["due"] != due:
            self._fault("wrong-due", subject, record["timer"], f"{record['due']}, not {due}")
        self._moment(record, known, due, steady_ms, live)
        known.fired.add(name)
        self._owe(subject, name, record["timer"], about)

    def _moment(self, record: Mapping[str, Any], known: _Directive, due: int, steady_ms: float, live: bool) -> None:
        passed = known.ahead_ms + steady_ms - known.seen_ms
        watched = live and known.live and known.own
        if record["at"] < due or (watched and passed + TOLERANCE_MS < due - known.at):
            self._fault("early", record.get("subject", record.get("directive", "")), record.get("timer", "expire"))
        elif record["at"] > due + self._grace_ms:
            self.counts["late"] += 1

    def _owe(self, directive: str, name: Name, timer: str, about: set[str]) -> None:
        if name[0] not in ("escalate", "redial"):
            return
        if self._owed is None:
            self._owed = _Owed(directive)
        if name[0] == "redial":
            self._owed.calls.add(timer)
        else:
            self._owed.lists.setdefault(name[1], set()).update(about)

    def _is_owed(self, record: Mapping[str, Any]) -> bool:
        assert self._owed is not None
        if record["type"] == "timer_fired":
            return bool(record["subject"] == self._owed.directive)
        return record["type"] in ("escalation_raised", "redial_ordered") and (
            record["directive"] == self._owed.directive
        )

    def _settle(self) -> None:
        """Whatever is still owed was not written: a timer fired and nothing came of it."""
        owed, self._owed = self._owed, None
        if owed is not None:
            for superior in owed.lists:
                self._fault("no-escalation", owed.directive, superior)
            for timer in owed.calls:
                self._fault("no-redial", owed.directive, timer)

    def _raised(self, record: Mapping[str, Any]) -> None:
        self.counts["escalations"] += 1
        directive, superior = record["directive"], record["superior"]
        owed = self._owed.lists.pop(superior, None) if self._owed is not None else None
        if owed is None:
            self._fault("unexpected", directive, superior, "a list without its timer")
        elif owed != set(record["not_reached"]):
            self._fault("wrong-list", directive, superior, f"{len(record['not_reached'])}, not {len(owed)}")
        known = self._directives.get(directive)
        if known is not None:
            if known.raised.get(superior, 0) >= record["n"]:
                self._fault("twice", directive, superior, f"list {record['n']}")
            known.raised[superior] = record["n"]

    def _called(self, record: Mapping[str, Any]) -> None:
        self.counts["redials"] += 1
        if self._owed is None or record["notice"] not in self._owed.calls:
            self._fault("unexpected", record["directive"], record["notice"], "a re-dial without its timer")
        else:
            self._owed.calls.discard(record["notice"])

    def _ended(self, record: Mapping[str, Any]) -> None:
        known = self._directives.get(record["directive"])
        if known is None:
            return
        if record["type"] == "directive_expired":
            self.counts["fired"] += 1
            name: Name = ("expire", "", 0)
            if name in known.fired:
                self._fault("twice", record["directive"], "expire")
            if record["at"] < known.expires_at:
                self._fault("early", record["directive"], "expire")
            known.fired.add(name)
        known.ended = True
        known.named_twice |= record["type"] in ("directive_recalled", "directive_superseded")
        known.waiting, known.groups = set(), {}

    def _fault(self, what: str, subject: str, timer: str, detail: str = "") -> None:
        self.counts[what] += 1
        self.faults.append(Finding(what, subject, timer, detail))


def places_of(table: str) -> dict[str, Place]:
    """Return code to place in the CSV of divisions.

    Raises:
        ValueError: A tier is no number.
    """
    rows = csv.DictReader(io.StringIO(table))
    return {row["code12"].strip(): Place(row["parent"].strip(), int(row["tier"])) for row in rows}
