"""How many alarms wait for the disk: bounded, fair to every source, and open to the urgent for longer.

Whoever is told "too many" keeps its alarm and says it again; nothing is taken in and then dropped.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from signaling.errors import Refused
from signaling.ids import NodeCode
from signaling.records import Urgency

Source = tuple[NodeCode, str]

MOST = 2_000
"""Alarms that wait at a time; a P0 or P1 is taken up to twice as many."""
OF_ONE = 64
"""Of one source: what cannot stop leaves the others their place."""

URGENT = frozenset({Urgency.P0, Urgency.P1})


class Waiting:
    """Alarms that were appended and are not durable yet."""

    def __init__(self, most: int = MOST, of_one: int = OF_ONE) -> None:
        self._most = most
        self._of_one = of_one
        self._all = 0
        self._by_source: Counter[Source] = Counter()

    def admit(self, source: Source, urgency: Urgency) -> None:
        """Return if one more alarm of ``source`` may wait.

        Raises:
            Refused: ``too-many-alarms``.
        """
        room = 2 if urgency in URGENT else 1
        if self._all >= self._most * room or self._by_source[source] >= self._of_one * room:
            raise Refused("too-many-alarms", f"{self._all} alarms wait, {self._by_source[source]} of this source")

    def hold(self, source: Source, durable: asyncio.Future[Any]) -> None:
        """Count an alarm until ``durable`` resolves."""
        self._all += 1
        self._by_source[source] += 1
        durable.add_done_callback(lambda _: self._release(source))

    def _release(self, source: Source) -> None:
        self._all -= 1
        self._by_source[source] -= 1
        if self._by_source[source] <= 0:
            del self._by_source[source]
