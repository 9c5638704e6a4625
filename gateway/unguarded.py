"""Clocks of alarms that a child gateway keeps while it is not heard: counted here, and said on the consoles.

The node where a deadline began keeps its time.  While the link to it is down nobody here is told of what runs out
there, whether it is dead or only cut off; so this node says it itself, from its copies of the alarms: once the child
has been away for AWAY_S, anew when the numbers change, and no more when the link is back.  Of orders that the child
issues below itself there is no copy here, and nothing is said.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.clock import Clock
from gateway.journal import Journal
from signaling.alarm import Alarm
from signaling.deadlines import Deadline, Standing
from signaling.division import Tree
from signaling.ids import AlarmId, Monotonic, NodeCode, UtcMs
from signaling.messages import Unguarded

log = logging.getLogger(__name__)

LOOK_S = 5.0
AWAY_S = 60.0
"""A restart or an upgrade takes less."""
SLICE = 200
"""Alarms looked at before the loop gets a turn."""


class Cards(Protocol):
    """What is asked of ``gateway/incidents.py``."""

    def all(self) -> Collection[Alarm]: ...
    def lead(self, alarm_id: AlarmId) -> AlarmId | None: ...
    def standing(self, alarm_id: AlarmId) -> Standing | None: ...


@dataclass(slots=True)
class _Away:
    since: Monotonic
    at: UtcMs
    alarms: set[AlarmId] | None = None
    """Those whose time is kept there; none joins while it is away.  None: not looked for yet."""
    said: tuple[int, int] = (0, 0)


class UnguardedClocks:
    """Looks after the children of one node.  Run ``run`` in a task group.

    ``on_change`` is told of each child about which something else is to be said.
    """

    def __init__(
        self,
        node: NodeCode,
        tree: Tree,
        journal: Journal,
        clock: Clock,
        cards: Cards,
        up: Callable[[], Collection[NodeCode]],
    ) -> None:
        """``up``: the neighbours whose link is up."""
        self.on_change: Callable[[Unguarded], None] = lambda _: None
        self._children = tree.children(node)
        self._tree = tree
        self._journal = journal
        self._clock = clock
        self._cards = cards
        self._up = up
        self._away: dict[NodeCode, _Away] = {}

    async def run(self) -> None:
        """Look every few seconds until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """See who is away, and say what is new."""
        up = self._up()
        for child in self._children:
            if child in up:
                self._back(child)
            elif self._journal.cursor(child)[0] is not None:  # a gateway has stood there
                away = self._away.setdefault(child, _Away(self._clock.now(), self._clock.at()))
                if self._clock.now() - away.since >= AWAY_S:
                    await self._count(child, away)

    def list(self) -> Iterator[Unguarded]:
        """Yield what stands."""
        for child, away in list(self._away.items()):
            if away.said[0]:
                yield self._view(child, away)

    def _back(self, child: NodeCode) -> None:
        away = self._away.pop(child, None)
        if away is not None and away.said[0]:
            log.info("clocks guarded again", extra={"peer": child})
            self.on_change(Unguarded(node=child))

    async def _count(self, child: NodeCode, away: _Away) -> None:
        if away.alarms is None:
            away.alarms = await self._kept_by(child)
        leads = {self._cards.lead(alarm) for alarm in away.alarms}
        kept = [due for lead in leads if lead is not None and (due := self._due(lead, child))]
        late = sum(any(one.due < self._clock.at() for one in due) for due in kept)
        if (len(kept), late) == away.said:
            return
        if not away.said[0]:
            log.warning("clocks unguarded", extra={"peer": child, "alarms": len(kept)})
        away.said = (len(kept), late)
        self.on_change(self._view(child, away))

    async def _kept_by(self, child: NodeCode) -> set[AlarmId]:
        """Return the alarms with a deadline whose time ``child`` or a node below it keeps."""
        leads: set[AlarmId] = set()
        for number, alarm in enumerate(self._cards.all()):
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)
            lead = self._cards.lead(alarm.raised.alarm)
            if lead is not None and lead not in leads and self._due(lead, child):
                leads.add(lead)
        return leads

    def _due(self, lead: AlarmId, child: NodeCode) -> Sequence[Deadline]:
        standing = self._cards.standing(lead)
        if standing is None or standing.lead.exercise:
            return ()
        return [one for one in standing.due if self._tree.is_within(one.owner, child)]

    def _view(self, child: NodeCode, away: _Away) -> Unguarded:
        alarms, late = away.said
        return Unguarded(node=child, since=away.at if alarms else None, alarms=alarms, late=late)
