"""Who is on duty: the roster of every division this node keeps one for.

Pure.  A fold of ``RosterSet``.  Where lines overlap they are taken in the order in which they were said, so nodes that
know the same lines name the same people.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from .ids import NodeCode, UtcMs
from .records import DutyChange, RosterSet

MAX_LINES = 1_000
"""Kept for one post of one division: a year of daily shifts of three; those that end first are forgotten."""


@dataclass(frozen=True, slots=True)
class Shift:
    """``person`` is on duty, ``starts_at`` <= now < ``ends_at``, perhaps with others; "" where nobody is."""

    person: str
    starts_at: UtcMs
    ends_at: UtcMs


class Roster:
    """The lines of all divisions, by post."""

    def __init__(self) -> None:
        self._lines: dict[tuple[NodeCode, str], list[RosterSet]] = {}

    def note(self, record: RosterSet) -> None:
        """Take in a line.  A repeat changes nothing."""
        lines = self._lines.setdefault((record.division, record.post), [])
        if record in lines:
            return
        lines.append(record)
        if len(lines) > MAX_LINES:
            lines.remove(min(lines, key=lambda line: line.ends_at))

    def on_duty(self, division: NodeCode, post: str, at: UtcMs) -> tuple[str, ...]:
        """Return who is on duty in ``post`` of ``division`` at ``at``; nobody when the roster names nobody."""
        return _who(self._lines.get((division, post), ()), at)

    def posts(self, division: NodeCode, after: UtcMs) -> list[str]:
        """Return the posts of ``division`` that somebody has after ``after``."""
        return sorted(
            {line.post for line in self.lines(division, after) if line.person and line.change is not DutyChange.LEAVES}
        )

    def shifts(self, division: NodeCode, post: str, begin: UtcMs, end: UtcMs) -> list[Shift]:
        """Return who has ``post`` when, from ``begin`` until ``end``, and when nobody has, by beginning."""
        found: list[Shift] = []
        last: dict[str, int] = {}
        for starts_at, ends_at, people in self._spans(division, post, begin, end):
            for person in people or ("",):
                n = last.get(person, -1)
                if n >= 0 and found[n].ends_at == starts_at:
                    found[n] = replace(found[n], ends_at=ends_at)
                else:
                    last[person] = len(found)
                    found.append(Shift(person, starts_at, ends_at))
        return found

    def gaps(self, division: NodeCode, post: str, begin: UtcMs, end: UtcMs, need: int) -> list[Shift]:
        """Return when fewer than ``need`` people have ``post``, from ``begin`` until ``end``."""
        found: list[Shift] = []
        for starts_at, ends_at, people in self._spans(division, post, begin, end):
            if len(people) >= need:
                continue
            if found and found[-1].ends_at == starts_at:
                found[-1] = replace(found[-1], ends_at=ends_at)
            else:
                found.append(Shift("", starts_at, ends_at))
        return found

    def _spans(
        self, division: NodeCode, post: str, begin: UtcMs, end: UtcMs
    ) -> Iterator[tuple[UtcMs, UtcMs, tuple[str, ...]]]:
        """Yield who has ``post`` between each two instants at which that may change."""
        lines = [
            line for line in self._lines.get((division, post), ()) if line.starts_at < end and line.ends_at > begin
        ]
        edges = {begin, end}.union(*((line.starts_at, line.ends_at) for line in lines))
        for starts_at, ends_at in pairwise(sorted(edge for edge in edges if begin <= edge <= end)):
            yield starts_at, ends_at, _who(lines, starts_at)

    def edges(self, after: UtcMs) -> Iterator[tuple[UtcMs, NodeCode, str]]:
        """Yield every instant after ``after`` at which a line begins or ends, with its division and post."""
        for (division, post), lines in self._lines.items():
            for line in lines:
                for at in (line.starts_at, line.ends_at):
                    if at > after:
                        yield at, division, post

    def lines(self, division: NodeCode, after: UtcMs) -> list[RosterSet]:
        """Return the lines of ``division`` that end after ``after``, by their beginning."""
        found = [
            line
            for (place, _), lines in self._lines.items()
            if place == division
            for line in lines
            if line.ends_at > after
        ]
        return sorted(found, key=lambda line: (line.starts_at, line.post, line.at))


def _who(lines: Iterable[RosterSet], at: UtcMs) -> tuple[str, ...]:
    people: dict[str, None] = {}
    for line in sorted((line for line in lines if line.starts_at <= at < line.ends_at), key=_order):
        match line.change:
            case DutyChange.JOINS:
                people[line.person] = None
            case DutyChange.LEAVES:
                people.pop(line.person, None)
            case _:
                people = {line.person: None} if line.person else {}
    return tuple(people)


def _order(line: RosterSet) -> tuple[UtcMs, NodeCode, str, str]:
    return line.at, line.node, line.person, str(line.change)
