"""Driver of the clocks: what ``signaling/clocks.py`` says is due is journalled when it is, once ever.

That a timer fired and what follows from it are one append, so a power cut leaves both or neither; after a restart
the journal says how far each directive has come, and what fell due meanwhile fires at once, oldest first.

Time is counted on the steady clock.  When a directive is learned of, its wall time is pinned to the steady clock
once (``_Running.frame``): a step of the wall clock, an hour either way, afterwards moves no timer.  A record from
the future, which only a step or a wrong clock can make, counts as written now.  Only a step while the process is
down cannot be told from time that passed.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from gateway.clock import Clock
from gateway.journal import Journal, Row
from gateway.keys import Keys
from gateway.telemetry import Telemetry
from signaling import clocks
from signaling.clocks import FiringRecord
from signaling.directive import Directive, Header
from signaling.division import Tree
from signaling.ids import DirectiveId, Monotonic, NodeCode, Seq, UtcMs
from signaling.records import (
    DirectiveClosed,
    DirectiveExpired,
    DirectiveIssued,
    DirectiveRecalled,
    DirectiveSuperseded,
    EscalationRaised,
    TimerFired,
    TimerKind,
    signed_bytes,
)

log = logging.getLogger(__name__)

SKEW_MS = 2_000
"""A clock further off than this is reported (a step of ours, or another node's against ours)."""
LOOK_S = 10.0
"""How often the wall clock is looked at while nothing is due."""
BATCH = 100
"""Directives whose timers fire before the loop gets a turn and the disk is waited for."""


class Orders(Protocol):
    """What the clocks need of ``gateway/directives.py``: what is decided, not only what is durable."""

    def header(self, directive: DirectiveId) -> Directive | None: ...
    def unsigned(self, directive: DirectiveId) -> tuple[NodeCode, ...]: ...
    def expire(self, directive: DirectiveId, at: UtcMs) -> None: ...


@dataclass(slots=True)
class _Running:
    """The clocks of one open directive."""

    issued: DirectiveIssued
    dues: tuple[UtcMs, ...]
    """Instants that are yet to come, ascending; and the expiry until it is said."""
    done: UtcMs
    """Everything due up to here has fired or means nothing any more."""
    frame: float = 0.0
    """Wall minus steady time, ms, when this process learned of the directive."""


class Timers:
    """All clocks of one node.  Construct after the directives it asks; run ``run`` in a task group."""

    def __init__(
        self,
        node: NodeCode,
        tree: Tree,
        keys: Keys,
        journal: Journal,
        clock: Clock,
        telemetry: Telemetry,
        orders: Orders,
    ) -> None:
        self._node = node
        self._tree = tree
        self._keys = keys
        self._journal = journal
        self._clock = clock
        self._telemetry = telemetry
        self._orders = orders
        self._running: dict[DirectiveId, _Running] = {}
        self._heap: list[tuple[Monotonic, DirectiveId]] = []
        self._moved = asyncio.Event()
        self._replaying = True
        self._offset = self._wall_ahead()
        journal.follow(self._fold, ("directive:", "timer:"))
        self._replaying = False
        for directive_id, running in self._running.items():
            self._pin(running)
            self._arm(directive_id, running)

    def __len__(self) -> int:
        """Return how many directives have clocks running."""
        return len(self._running)

    def deadline(self) -> Monotonic | None:
        """Return when something is next due on the steady clock, or None."""
        return self._heap[0][0] if self._heap else None

    async def run(self) -> None:
        """Fire what is due, when it is due, until cancelled."""
        while True:
            await self.fire()
            self.look()
            deadline = self.deadline()
            wait = LOOK_S if deadline is None else min(LOOK_S, max(0.0, deadline - self._clock.now()))
            try:
                async with asyncio.timeout(wait):
                    await self._moved.wait()
            except TimeoutError:
                pass
            self._moved.clear()

    async def fire(self) -> None:
        """Fire everything that is due now, in order of due time; return when it is durable."""
        while self._is_due():
            durable = self._fire_some()
            await (asyncio.sleep(0) if durable is None else durable)

    def look(self) -> None:
        """Report a step of the wall clock since the last look."""
        ahead = self._wall_ahead()
        step = ahead - self._offset
        if abs(step) > SKEW_MS:
            log.error("the wall clock stepped; timers run on", extra={"step_ms": round(step)})
            self._telemetry.count("clock_steps")
            self._telemetry.gauge("clock_step_seconds", step / 1_000)
        self._offset = ahead

    # ---- firing ----------------------------------------------------------------------------------

    def _fire_some(self) -> asyncio.Future[Seq] | None:
        """Fire up to BATCH directives' timers; None when none of them meant anything any more."""
        durable = None
        for _ in range(BATCH):
            if not self._is_due():
                break
            _, directive_id = heapq.heappop(self._heap)
            running = self._running.get(directive_id)
            if running is not None:
                at = UtcMs(max(running.dues[0], round(self._clock.now() * 1_000 + running.frame)))
                durable = self._fire_one(directive_id, running, at) or durable
        return durable

    def _is_due(self) -> bool:
        return bool(self._heap) and self._heap[0][0] <= self._clock.now()

    def _fire_one(self, directive_id: DirectiveId, running: _Running, at: UtcMs) -> asyncio.Future[Seq] | None:
        header, issued = self._orders.header(directive_id), running.issued
        runs = header is not None and header.state is Header.ISSUED
        owed = header.countersign_by if header is not None else None
        unsigned = self._orders.unsigned(directive_id) if runs else ()
        timers = clocks.due(issued, unsigned, self._node, self._tree, running.done, at, owed)
        durable = self._append(clocks.fire(issued, timers, self._node, at)) if timers else None
        if runs and at >= issued.expires_at:
            self._orders.expire(directive_id, at)
            durable = self._journal.append()
        running.done = at
        running.dues = tuple(due for due in running.dues if due > at)
        if running.dues and (runs or owed is not None):
            self._arm(directive_id, running)
        else:
            del self._running[directive_id]
        return durable

    def _append(self, records: Iterable[FiringRecord]) -> asyncio.Future[Seq]:
        made = [self._signed(record) for record in records]
        for record in made:
            if isinstance(record, TimerFired):
                self._telemetry.count("timers_fired", kind=record.kind)
                self._telemetry.observe("timer_late_seconds", max(0.0, (record.at - record.due) / 1_000))
                if record.kind is TimerKind.COUNTERSIGN:
                    log.error("not countersigned in time", extra={"directive": record.subject})
            elif isinstance(record, EscalationRaised):
                log.warning(
                    "escalation raised",
                    extra={"directive": record.directive, "superior": record.superior, "n": record.n},
                )
        return self._journal.append(*made)

    def _signed(self, record: FiringRecord) -> FiringRecord:
        if isinstance(record, EscalationRaised):
            return msgspec.structs.replace(record, signature=self._keys.sign(signed_bytes(record)))
        return record

    # ---- learning --------------------------------------------------------------------------------

    def _fold(self, rows: Sequence[Row]) -> None:
        for row in rows:
            match row.record:
                case DirectiveIssued() as issued:
                    self._learn(issued)
                case DirectiveRecalled() | DirectiveSuperseded() as annulled:
                    self._running.pop(annulled.directive, None)
                case DirectiveClosed() | DirectiveExpired() as ended:
                    running = self._running.get(ended.directive)
                    if running is not None and running.issued.countersign_by is None:
                        del self._running[ended.directive]
                case TimerFired() as fired if self._replaying:
                    running = self._running.get(DirectiveId(fired.subject))
                    if running is not None and fired.due > running.done:
                        running.done = fired.due
                        ends = running.issued.expires_at  # that it expired may still be unsaid
                        running.dues = tuple(due for due in running.dues if due > fired.due or due == ends)
                case _:
                    pass

    def _learn(self, issued: DirectiveIssued) -> None:
        running = _Running(issued, clocks.dues(issued, self._node), UtcMs(issued.at))
        self._running[issued.directive] = running
        if not self._replaying:
            self._pin(running)
            self._arm(issued.directive, running)

    def _pin(self, running: _Running) -> None:
        wall = self._clock.at()
        ahead = running.issued.at - wall
        if ahead > SKEW_MS:
            log.error("a record from the future", extra={"node": running.issued.node, "ahead_ms": ahead})
            self._telemetry.count("clock_skew", node=running.issued.node)
        running.frame = max(wall, running.issued.at) - self._clock.now() * 1_000

    def _arm(self, directive_id: DirectiveId, running: _Running) -> None:
        heapq.heappush(self._heap, (Monotonic((running.dues[0] - running.frame) / 1_000), directive_id))
        self._moved.set()

    def _wall_ahead(self) -> float:
        return self._clock.at() - self._clock.now() * 1_000
