"""County, township and village with bad lines between them: searched for a history that loses or repeats.

The drivers are the real ones; the disk is a list whose power can be cut between any two appends.  A link loses
its tail, loses an acknowledgement, or says everything twice; receipts of terminals come late, twice and in any
order.  The village has a gateway, its sibling is a terminal at the township's.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, get_args

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.directives import DirectiveRecord, Directives
from gateway.refusals import Refusals
from gateway.telemetry import Telemetry
from signaling import records
from signaling.errors import Refused
from signaling.ids import DirectiveId, NodeCode, Seq
from signaling.records import (
    DirectiveIssued,
    DirectiveRequest,
    RefusalRecorded,
    ScopeItem,
    Stage,
    Urgency,
)
from signaling.routing import Router
from tests.support.clock import FakeClock
from tests.support.memory import Disk, MemoryJournal
from tests.support.nodes import keys_of
from tests.support.places import COUNTY, SIBLING, TOWNSHIP, TREE, VILLAGE, commander, terminal

PLACES = (COUNTY, TOWNSHIP, VILLAGE)
LINKS = ((COUNTY, TOWNSHIP), (TOWNSHIP, VILLAGE))
ENDS = LINKS + tuple((lower, upper) for upper, lower in LINKS)
TERMINALS = {VILLAGE: VILLAGE, SIBLING: TOWNSHIP}
SCOPE = tuple(ScopeItem(node=n) for n in (VILLAGE, SIBLING))


class Gateway:
    def __init__(self, code: NodeCode, clock: FakeClock) -> None:
        self.code, self.clock, self.disk = code, clock, Disk(code)
        self.start()

    def start(self) -> None:
        self.journal = MemoryJournal(self.disk)
        journal: Any = self.journal
        telemetry = Telemetry()
        refusals = Refusals(self.code, journal, self.clock, telemetry)
        self.directives = Directives(
            self.code, TREE, keys_of(self.code, COUNTY), journal, self.clock, telemetry, refusals
        )

    def power_cut(self, survived: int) -> None:
        """The first ``survived`` appends reached the disk, but nobody was told."""
        self.journal.flush(min(survived, self.journal.waiting), tell=False)
        self.journal.cut()
        self.start()


class Terminal:
    """A page: shows an order once, keeps sending what the gateway has not confirmed."""

    def __init__(self) -> None:
        self.shown: list[DirectiveId] = []


class BadLines(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        self.nodes = {code: Gateway(code, self.clock) for code in PLACES}
        self.terminals = {code: Terminal() for code in TERMINALS}
        self.clicks: list[asyncio.Task[Any]] = []
        self.acks: list[asyncio.Task[Any]] = []
        self.said: dict[DirectiveId, DirectiveIssued] = {}
        self.recalled: set[DirectiveId] = set()

    def do(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start ``work`` and let everything that can run without the disk run."""
        task = self.loop.create_task(work)
        self.turn()
        return task

    def turn(self) -> None:
        async def turns() -> None:
            for _ in range(10):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turns())
        for task in self.acks:
            if task.done():
                task.result()
        self.acks = [task for task in self.acks if not task.done()]
        answered = [task for task in self.clicks if task.done()]
        self.clicks = [task for task in self.clicks if not task.done()]
        for task in answered:
            if not task.cancelled():
                order, _ = task.result()
                self.said[order.directive] = order

    # ---- what may happen ----

    @rule(click=st.sampled_from(["one", "two"]))
    def press(self, click: str) -> None:
        """Issue; or press the same button again, at once or because no answer came."""
        request = DirectiveRequest(click_id=click, urgency=Urgency.P0, title="转移", text="立即", scope=SCOPE)
        self.clicks.append(self.do(self.nodes[COUNTY].directives.issue(commander(), request)))

    @rule(code=st.sampled_from(PLACES), count=st.none() | st.integers(0, 3))
    def disk_writes(self, code: NodeCode, count: int | None) -> None:
        self.nodes[code].journal.flush(count)
        self.turn()

    @rule(
        ends=st.sampled_from(ENDS),
        limit=st.integers(1, 4),
        copies=st.integers(1, 2),
        acknowledged=st.booleans(),
    )
    def records_cross(self, ends: tuple[NodeCode, NodeCode], limit: int, copies: int, acknowledged: bool) -> None:
        sender, receiver = self.nodes[ends[0]], self.nodes[ends[1]]
        _, after = receiver.journal.cursor(sender.code)
        router, crossed, last = Router(sender.code, TREE), [], after
        for row in sender.journal.replay():
            router.note(row.record)
            if after < row.seq <= after + limit:
                last = row.seq
                if row.via != receiver.code and router.concerns(row.record, receiver.code):
                    crossed.append(records.decode(row.data))

        async def receive() -> None:
            for record in crossed * copies:
                assert isinstance(record, get_args(DirectiveRecord))
                receiver.directives.receive(record, sender.code)
            if acknowledged:
                durable = receiver.journal.append(cursor=(sender.code, sender.journal.epoch, Seq(last)))
                durable.add_done_callback(lambda d: None if d.cancelled() else self.acknowledge(ends))

        self.acknowledge(ends)  # the hello says how far the receiver has read
        self.do(receive())

    def acknowledge(self, ends: tuple[NodeCode, NodeCode]) -> None:
        if ends in LINKS:
            sender, receiver = self.nodes[ends[0]], self.nodes[ends[1]]
            seq = receiver.journal.cursor(sender.code)[1]

            async def acknowledged() -> None:
                sender.directives.acknowledged(receiver.code, seq)
                sender.directives.say_relayed()

            self.acks.append(self.loop.create_task(acknowledged()))

    @rule(
        code=st.sampled_from(list(TERMINALS)),
        stages=st.lists(st.sampled_from([Stage.SHOWN, Stage.DELIVERED, Stage.SIGNED]), max_size=4),
    )
    def terminal_looks(self, code: NodeCode, stages: list[Stage]) -> None:
        """A page gets the open orders, shows what is new to it, and sends some receipts, some twice."""
        self.look(code, stages)

    def look(self, code: NodeCode, stages: list[Stage]) -> None:
        node, page = self.nodes[TERMINALS[code]], self.terminals[code]
        for view in node.directives.open_for(code):
            assert view.mine is not None
            if view.mine.shown_at is None and view.directive not in page.shown:
                page.shown.append(view.directive)
        for directive in page.shown:
            for stage in stages:
                self.send(node.directives, code, directive, stage)

    def send(self, directives: Directives, code: NodeCode, directive: DirectiveId, stage: Stage) -> None:
        async def attempt() -> None:
            try:
                if stage is Stage.SIGNED:
                    await directives.sign(terminal(code), directive)
                else:
                    await directives.receipt(terminal(code), directive, stage)
            except Refused as refused:
                if refused.code not in {"not-shown", "directive-recalled"}:
                    raise

        self.clock.advance(1)
        task = self.do(attempt())
        if task.done():
            task.result()

    @precondition(lambda self: self.said)
    @rule()
    def county_recalls(self) -> None:
        directive = next(iter(self.said))
        self.recalled.add(directive)
        self.do(self.nodes[COUNTY].directives.recall(commander(), directive, "雨停"))

    @rule(code=st.sampled_from(PLACES), survived=st.integers(0, 3))
    def power_cut(self, code: NodeCode, survived: int) -> None:
        if code == COUNTY:
            for task in self.clicks:
                task.cancel()
        self.nodes[code].power_cut(survived)
        self.turn()

    # ---- what must hold ----

    @invariant()
    def nothing_said_is_lost_and_nothing_is_there_twice(self) -> None:
        if not hasattr(self, "nodes"):
            return
        issued = [r.record for r in self.nodes[COUNTY].disk.rows if isinstance(r.record, DirectiveIssued)]
        assert self.said.keys() <= {r.directive for r in issued}
        assert len({r.click_id for r in issued}) == len(issued)
        for page in self.terminals.values():
            assert len(page.shown) == len(set(page.shown))
        for node in self.nodes.values():
            assert not any(isinstance(row.record, RefusalRecorded) for row in node.disk.rows)

    def teardown(self) -> None:
        """The lines heal: every page shows and signs, every matrix says so."""
        if not hasattr(self, "nodes"):
            return
        for directive in self.recalled:
            self.do(self.nodes[COUNTY].directives.recall(commander(), directive, "雨停"))
        for _ in range(6):
            for code in TERMINALS:
                self.look(code, [Stage.DELIVERED, Stage.SHOWN, Stage.SIGNED])
            for ends in ENDS:
                self.records_cross(ends, 1_000, 1, True)
                for code in PLACES:
                    self.disk_writes(code, None)
        try:
            self.compare()
            self.nothing_said_is_lost_and_nothing_is_there_twice()
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.turn()
            self.loop.close()

    def compare(self) -> None:
        county = self.nodes[COUNTY].directives
        for view in county.list(commander(), rows=True):
            for code, node in TERMINALS.items():
                below = self.nodes[node].directives.mine(view.directive, code)
                assert below.state == view.state
                (row,) = [r for r in view.recipients if r.node == code]
                assert below.mine is not None
                assert (row.shown_at, row.signed_at) == (below.mine.shown_at, below.mine.signed_at)
                if view.directive not in self.recalled:
                    assert row.stage is Stage.SIGNED
                    assert view.directive in self.terminals[code].shown
                    assert row.relayed_at is not None


TestBadLines = BadLines.TestCase
TestBadLines.settings = settings(max_examples=80, stateful_step_count=15, deadline=None)
"""Short histories: long ones heal themselves before anybody looks."""


class ManyBadLines(BadLines):
    """The same machine, searched for long."""


TestManyBadLines = pytest.mark.long(pytest.mark.timeout(3_600)(ManyBadLines.TestCase))
TestManyBadLines.settings = settings(max_examples=3_000, stateful_step_count=20, deadline=None)
