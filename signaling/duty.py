"""Who is on duty: the roster of every division this node keeps one for.

Pure.  A fold of ``RosterSet``.  Where two lines overlap the one said later holds, so nodes that know the same lines
name the same person.
"""

from __future__ import annotations

from .ids import NodeCode, UtcMs
from .records import RosterSet

MAX_LINES = 400
"""Kept for one post of one division: more than a year of daily shifts; those that end first are forgotten."""


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

    def on_duty(self, division: NodeCode, post: str, at: UtcMs) -> str:
        """Return who is on duty in ``post`` of ``division`` at ``at``; "" when the roster names nobody."""
        lines = self._lines.get((division, post), ())
        now = [line for line in lines if line.starts_at <= at < line.ends_at]
        return max(now, key=lambda line: (line.at, line.node, line.person)).person if now else ""

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
