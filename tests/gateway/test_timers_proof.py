"""Thousands of timers over dozens of restarts: none missed, none twice, by the auditor's own arithmetic.

The disk is a list whose power is cut between any two appends, or after them and before anybody hears of it; the
clock is moved by hand and the auditor lives on.  ``tests/support/timers_child.py`` does it with a real journal and
``kill -9``.
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gateway.alarms import Alarms
from gateway.auditor import Auditor
from gateway.directives import Directives
from gateway.overdue_timers import OverdueTimers
from gateway.refusals import Refusals
from gateway.telemetry import Telemetry
from gateway.timers import Timers
from signaling import records
from signaling.ids import DirectiveId, NodeCode
from signaling.overdue import KINDS
from signaling.records import AnyRecord, DirectiveRequest, OverdueRaised, ScopeItem, Stage, TimerFired, Urgency
from tests.support.alarm_life import MINUTE, live_through
from tests.support.clock import FakeClock
from tests.support.ledger import DIVISIONS, feed, ledger
from tests.support.loop import on_loop
from tests.support.memory import Disk, MemoryJournal
from tests.support.nodes import Node, keys_of
from tests.support.places import COUNTY, TREE, commander, terminal

ROOT = Path(__file__).parents[2]
PLACES = tuple(TREE.subtree(COUNTY))
LINES = 90
"""About as many as a killed child says while it does everything once: it dies anywhere in that."""


class County:
    """One node on a disk that is a list."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.disk = clock, Disk(COUNTY)
        self.judge, self.fed, self.lives, self.again = ledger(), 0, 0, 0
        self.start()

    def start(self) -> None:
        self.lives += 1
        self.journal = MemoryJournal(self.disk)
        journal: Any = self.journal
        telemetry, keys = Telemetry(), keys_of(COUNTY)
        refusals = Refusals(COUNTY, journal, self.clock, telemetry)
        self.directives = Directives(COUNTY, TREE, keys, journal, self.clock, telemetry, refusals)
        self.timers = Timers(COUNTY, TREE, keys, journal, self.clock, telemetry, self.directives)
        nothing: Any = None  # of pictures there are none
        self.alarms = Alarms(COUNTY, TREE, journal, nothing, self.clock, telemetry, refusals)
        self.overdue = OverdueTimers(COUNTY, TREE, keys, journal, self.clock, telemetry, self.alarms)

    async def fire(self) -> None:
        """Fire what is due of both kinds."""
        await asyncio.gather(self.timers.fire(), self.overdue.fire())

    def audit(self) -> None:
        """Let the auditor read what the disk holds, as it does once a second."""
        feed(self.judge, self.disk.rows[self.fed :], self.clock)
        self.fed = len(self.disk.rows)

    def write(self, count: int | None = None, *, tell: bool = True) -> None:
        """Make appends durable; a timer that is appended though it stands there already is a second firing."""
        for entries, *_ in self.journal._waiting[:count]:
            known = [records.key(one) for one in entries if isinstance(one, TimerFired)]
            self.again += sum(key in self.disk.keys for key in known)
        self.journal.flush(count, tell=tell)
        self.audit()

    async def durable(self, work: Any) -> None:
        """Carry ``work`` out on a disk that works."""
        task = asyncio.ensure_future(work)
        while not task.done():
            await asyncio.sleep(0)
            self.write()
        task.result()

    async def dies_while(self, work: Any, draw: random.Random) -> None:
        """The power goes somewhere in ``work``: before, between or after its appends, heard of or not."""
        task = asyncio.ensure_future(work)
        for _ in range(draw.randrange(4)):
            await asyncio.sleep(0)
            self.write(draw.choice((0, 1, None)), tell=True)
        await asyncio.sleep(0)
        self.write(draw.choice((0, 1, None)), tell=False)
        self.journal.cut()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self.start()


async def issue(county: County, draw: random.Random, number: int) -> None:
    scope = tuple(ScopeItem(node=place) for place in draw.sample(PLACES, draw.randrange(1, 30)))
    request = DirectiveRequest(
        click_id=f"{number}",
        urgency=draw.choice(list(Urgency)),
        title="转移",
        text="立即",
        scope=scope,
        expires_ms=draw.choice((MINUTE, 10 * MINUTE, 24 * 60 * MINUTE)),
    )
    await county.durable(county.directives.issue(commander(), request))


async def sign(county: County, draw: random.Random) -> None:
    """Somebody who has not signed one of the open directives does."""
    entries = [county.directives.header(DirectiveId(d)) for d in list(county.timers._running)]
    header = draw.choice(entries) if entries else None
    left = county.directives.unsigned(header.issued.directive) if header else ()
    if header is None or not left or header.state != "issued":
        return
    place: NodeCode = draw.choice(left)
    await county.durable(county.directives.receipt(terminal(place), header.issued.directive, Stage.SHOWN))
    await county.durable(county.directives.sign(terminal(place), header.issued.directive))


async def history(seed: int, timers: int, restarts: int) -> County:
    """Live on until so many timers have fired and the node has died so often."""
    draw, county = random.Random(seed), County(FakeClock())
    number = 0
    while county.judge.counts["fired"] < timers or county.lives <= restarts:
        number += 1
        await issue(county, draw, number)
        for _ in range(draw.randrange(4)):
            await sign(county, draw)
        for _ in range(draw.randrange(4)):
            await county.durable(live_through(county.alarms, county.journal, county.clock, draw, number))
        county.clock.advance(draw.randrange(8 * MINUTE))
        if draw.random() < min(1.0, 6 * restarts / timers) or county.judge.counts["fired"] >= timers:
            await county.dies_while(county.fire(), draw)
            county.clock.advance(draw.choice((0, 0, draw.randrange(60 * MINUTE))))  # away for a while
        await county.durable(county.fire())
        assert county.judge.overdue(county.clock.now() * 1_000) == [], seed
    county.clock.advance(48 * 60 * MINUTE)
    await county.durable(county.fire())
    return county


@pytest.mark.parametrize(
    ("seed", "timers", "restarts"),
    [
        pytest.param(1, 400, 8, id="400-timers-8-restarts"),
        pytest.param(2, 10_000, 50, id="10000-timers-50-restarts", marks=pytest.mark.long),
        pytest.param(3, 3_000, 150, id="3000-timers-150-restarts", marks=pytest.mark.long),
    ],
)
def test_no_timer_is_missed_and_none_fires_twice(seed: int, timers: int, restarts: int) -> None:
    @on_loop
    async def run() -> None:
        county = await history(seed, timers, restarts)
        judge = county.judge
        assert list(judge.faults) == [], seed
        assert judge.overdue(county.clock.now() * 1_000) == [], seed
        assert county.again == 0, "fired again and hidden by its key"
        fired = Counter(row.record.timer for row in county.disk.rows if isinstance(row.record, TimerFired))
        assert max(fired.values()) == 1
        assert judge.counts["fired"] >= timers
        assert county.lives > restarts
        assert judge.counts["late"] > 0  # the node was away when some fell due
        kinds = {row.record.kind for row in county.disk.rows if isinstance(row.record, TimerFired)}
        assert kinds >= set(KINDS)
        assert len(county.timers) == 0

    run()


def test_an_effect_torn_from_its_timer_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof can fail: a journal that cuts an append in two loses what follows from a timer."""

    def torn(self: MemoryJournal, *entries: AnyRecord, **rest: Any) -> asyncio.Future[Any]:
        done = None
        for entry in entries or ((),):
            done = whole(self, *((entry,) if entries else ()), **rest)
        assert done is not None
        return done

    whole = MemoryJournal.append
    monkeypatch.setattr(MemoryJournal, "append", torn)

    @on_loop
    async def run() -> None:
        draw, county = random.Random(5), County(FakeClock())
        for number in range(40):
            await issue(county, draw, number)
            county.clock.advance(16 * MINUTE)
            await county.dies_while(county.timers.fire(), draw)
        county.judge.overdue(county.clock.now() * 1_000)
        assert {finding.what for finding in county.judge.faults} & {"no-escalation", "no-redial"}

    run()


# ---- a real journal, and kill -9 -------------------------------------------------------------------


def until_killed(path: Path, seed: int, run: int, timers: int, lines: int | None) -> None:
    """Run the child until it has said so many lines, then kill it; None: until it ends."""
    command = [sys.executable, "-m", "tests.support.timers_child", str(path), str(seed), str(run), str(timers)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True)
    assert child.stdout is not None
    for number, _ in enumerate(child.stdout, 1):
        if number == lines:
            os.kill(child.pid, signal.SIGKILL)
    child.stdout.close()
    status = child.wait()
    assert status == (0 if lines is None else -signal.SIGKILL)


@pytest.mark.parametrize(
    ("timers", "restarts"),
    [
        pytest.param(200, 2, id="200-timers-2-kills"),
        pytest.param(10_000, 50, id="10000-timers-50-kills", marks=[pytest.mark.long, pytest.mark.timeout(3_000)]),
    ],
)
def test_a_gateway_killed_again_and_again_fires_each_timer_once(tmp_path: Path, timers: int, restarts: int) -> None:
    seed = 430423
    draw = random.Random(seed)
    for run in range(restarts):
        until_killed(tmp_path, seed, run, 10**9, 1 + draw.randrange(LINES))
    until_killed(tmp_path, seed, restarts, timers, None)

    @on_loop
    async def check() -> None:
        node = Node(COUNTY, tmp_path, FakeClock(at=FakeClock().at() + 10**12))
        written = [row.record for row in node.journal.replay()]
        fired = [record for record in written if isinstance(record, TimerFired)]
        assert max(Counter(record.timer for record in fired).values()) == 1, seed
        assert len(fired) >= timers
        assert {record.kind for record in fired} >= set(KINDS)
        lists = [record for record in written if isinstance(record, OverdueRaised)]
        named = Counter((late.kind, late.alarm, late.what, late.n) for record in lists for late in record.late)
        assert max(named.values()) == 1, seed
        assert len(named) == sum(record.kind in KINDS for record in fired)
        await asyncio.gather(node.timers.fire(), node.overdue_timers.fire())
        audit = Auditor(node.directory / "journal.sqlite", COUNTY, DIVISIONS, node.clock, 5_000)
        report = audit.look()
        assert report.clean, (seed, report.faults[:5], report.missed[:5])
        audit.close()
        await node.close()

    check()
