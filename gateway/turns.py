"""Says who is on duty the moment it changes: a line of a roster was said, or a shift begins or ends by the clock.

A terminal is told its open orders again, for somebody else may sign them now; a console is told who has the post,
and that what it shows of that place's roster is to be read again.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterable

from signaling.division import Tree
from signaling.ids import NodeCode
from signaling.messages import DutyChanged, DutyNow
from signaling.permission import Action, permitted
from signaling.records import Role, RosterSet

from .clock import Clock
from .directives import Directives
from .pace import Pace
from .rosters import Rosters
from .sessions import Visitor

TOLD_S = 0.25
"""Changes are told at most so often: a roster comes in hundreds of lines, and shifts change everywhere at once."""
LOOK_S = 10.0
"""How often the wall clock is looked at while no shift begins or ends: it may have been set."""
TOGETHER = 200
"""Posts told of in one message."""

Post = tuple[NodeCode, str]


class Turns:
    """Speaks to ``visitors``, the sessions that are open now.  Run ``run`` in a task group."""

    def __init__(
        self, visitors: Iterable[Visitor], tree: Tree, rosters: Rosters, directives: Directives, clock: Clock
    ) -> None:
        self._visitors = visitors
        self._tree = tree
        self._rosters = rosters
        self._directives = directives
        self._clock = clock
        self._edges = list(rosters.edges())
        heapq.heapify(self._edges)
        self._sooner = asyncio.Event()
        self._changed: set[Post] = set()
        self._pace = Pace(self._tell, TOLD_S)

    async def run(self) -> None:
        """Tell of every shift that begins or ends, when it does, until cancelled."""
        while True:
            self.turn()
            next_ms = self._edges[0][0] - self._clock.at() if self._edges else LOOK_S * 1_000
            try:
                async with asyncio.timeout(min(LOOK_S, next_ms / 1_000)):
                    await self._sooner.wait()
            except TimeoutError:
                pass
            self._sooner.clear()

    def turn(self) -> None:
        """Tell of the shifts that have begun or ended since the last time."""
        now, due = self._clock.at(), set[Post]()
        while self._edges and self._edges[0][0] <= now:
            _, division, post = heapq.heappop(self._edges)
            due.add((division, post))
        self._change(due)

    def said(self, record: RosterSet) -> None:
        """A line of the roster is durable."""
        now = self._clock.at()
        for at in (record.starts_at, record.ends_at):
            if at > now:
                heapq.heappush(self._edges, (at, record.division, record.post))
        self._sooner.set()
        self._change({(record.division, record.post)})

    def _change(self, posts: set[Post]) -> None:
        if posts:
            self._changed |= posts
            self._pace.ring()

    def _tell(self) -> None:
        """Tell of the first TOGETHER posts, and of the others a moment later: nobody waits long for the loop."""
        told = sorted(self._changed)[:TOGETHER]
        self._changed.difference_update(told)
        now = [DutyNow(division=place, post=post, people=self._rosters.on_duty(place, post)) for place, post in told]
        posts: dict[NodeCode, set[str]] = {}
        for place, post in told:
            posts.setdefault(place, set()).add(post)
        for visitor in self._visitors:
            if visitor.who.role is Role.TERMINAL:
                self._tell_terminal(visitor, posts.get(visitor.who.division, set()))
            elif readable := tuple(one for one in now if self._reads(visitor, one)):
                visitor.say(DutyChanged(posts=readable))
        if self._changed:
            self._pace.ring()

    def _tell_terminal(self, visitor: Visitor, posts: set[str]) -> None:
        """Somebody else may sign now what is addressed to ``posts`` of that place."""
        if not posts:
            return
        for view in self._directives.open_for(visitor.who.division):
            if view.mine is not None and view.mine.post in posts:
                self._directives.show(view.directive, visitor.who.division, visitor)

    def _reads(self, visitor: Visitor, one: DutyNow) -> bool:
        return permitted(visitor.who, Action.READ_DIRECTIVE, one.division, self._tree)
