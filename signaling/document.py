"""Document numbers: 衡山应急令〔2026〕0001号.

Pure.  A number counts per node, year (of Beijing, where documents are dated) and kind: exercises have a series of
their own, so that the real one has no gaps.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from .ids import UtcMs

MAX_NUMBER = 100
_BEIJING = timezone(timedelta(hours=8))
_EXERCISE = "（演练）"
_SPELLED = re.compile(r"〔(\d{4})〕(\d{4,9})号$")


def year_of(at: UtcMs) -> int:
    """Return the year in Beijing at ``at``."""
    return datetime.fromtimestamp(at / 1000, _BEIJING).year


def spell(prefix: str, year: int, serial: int, *, exercise: bool) -> str:
    """Return the number of the ``serial``-th (from 1) document of ``year``."""
    return f"{prefix}{_EXERCISE if exercise else ''}〔{year}〕{serial:04d}号"


class Numbers:
    """The highest serial drawn in each year: a fold of what was issued, and of what is about to be."""

    def __init__(self) -> None:
        self._last: dict[tuple[int, bool], int] = {}

    def next(self, year: int, *, exercise: bool) -> int:
        """Return the serial after the last; it is drawn only by ``note``."""
        return self._last.get((year, exercise), 0) + 1

    def note(self, number: str, *, exercise: bool) -> None:
        """``number`` is used now; what is not spelled as ours is passed over."""
        found = _SPELLED.search(number)
        if found is not None:
            year, serial = int(found[1]), int(found[2])
            self._last[year, exercise] = max(serial, self._last.get((year, exercise), 0))
