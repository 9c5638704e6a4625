"""The auditor: agrees with the clocks by its own arithmetic, finds every planted mistake, watches and is watched."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from gateway import heartbeat
from gateway.__main__ import app
from gateway.auditor import Auditor, Watchman, ready_url
from gateway.heartbeat import AuditorWatch, Beat, Watch
from gateway.reference import to_toml
from gateway.telemetry import Telemetry
from signaling import clocks, records
from signaling.ids import NodeCode, Seq, UtcMs
from signaling.records import (
    AnyRecord,
    DirectiveCountersigned,
    DirectiveExpired,
    EscalationRaised,
    RedialOrdered,
    Stage,
    TimerFired,
    TimerKind,
    Urgency,
)
from tests.gateway.test_timers import HOUR, MINUTE, issue, passes, sign
from tests.support.clock import START, FakeClock
from tests.support.edge import settings
from tests.support.facts import order, word
from tests.support.ledger import DIVISIONS, feed, ledger
from tests.support.loop import on_loop
from tests.support.node import running
from tests.support.nodes import Node, until_quiet
from tests.support.places import COUNTY, OTHER_VILLAGE, SIBLING, TOWNSHIP, TREE, VILLAGE, commander

PLACES = (VILLAGE, SIBLING, OTHER_VILLAGE, TOWNSHIP, COUNTY)
ORDER = order(VILLAGE, SIBLING, urgency=Urgency.P0, at=START, expires_at=UtcMs(START + HOUR))


def auditor(node: Node) -> Auditor:
    return Auditor(node.directory / "journal.sqlite", node.code, DIVISIONS, node.clock, 5_000)


@on_loop
async def test_a_day_of_directives_is_as_it_should_be_at_every_node(tmp_path: Path) -> None:
    county, township = Node(COUNTY, tmp_path), Node(TOWNSHIP, tmp_path)
    audits = [auditor(node) for node in (county, township)]
    for number, urgency in enumerate(Urgency):
        one = await issue(county, VILLAGE, SIBLING, TOWNSHIP, urgency=urgency, click_id=f"{number}")
        await until_quiet(county, township)
        for step in range(6):
            await passes(2 * MINUTE, county, township)
            if step == 3:
                await sign(township, one, SIBLING)
            await until_quiet(county, township)
            assert [audit.look().clean for audit in audits] == [True, True]
    await passes(80 * HOUR, county, township)
    await until_quiet(county, township)
    for audit in audits:
        report = audit.look()
        assert report.clean
        assert report.counts["fired"] > 8
    assert auditor(county).look().clean  # read at once, as after a restart
    for audit in audits:
        audit.close()
    for node in (county, township):
        await node.close()


@given(
    st.sampled_from(Urgency),
    st.lists(st.sampled_from(PLACES), min_size=1, unique=True),
    st.integers(MINUTE, 48 * HOUR),
    st.sampled_from([COUNTY, TOWNSHIP]),
    st.sampled_from([COUNTY, TOWNSHIP]),
    st.sets(st.sampled_from(PLACES)),
    st.none() | st.integers(1, 49 * HOUR),
)
def test_two_implementations_agree_about_every_timer(
    urgency: Urgency,
    recipients: list[NodeCode],
    expires_ms: int,
    here: NodeCode,
    issuer: NodeCode,
    signed: set[NodeCode],
    countersign_ms: int | None,
) -> None:
    one = order(
        *recipients,
        node=COUNTY,
        issuer=commander(issuer),
        urgency=urgency,
        at=START,
        expires_at=UtcMs(START + expires_ms),
        countersign_by=None if countersign_ms is None else UtcMs(START + countersign_ms),
    )
    last = UtcMs(START + 100 * HOUR)
    left = [place for place in recipients if place not in signed]
    timers = clocks.due(one, left, here, TREE, START, last, one.countersign_by)
    judge, clock = ledger(here), FakeClock()
    rows: list[AnyRecord] = [one, *(word(Stage.SIGNED, place) for place in recipients if place in signed)]
    rows += clocks.fire(one, timers, here, last)
    rows.append(DirectiveExpired(node=here, at=one.expires_at, directive=one.directive))
    take(judge, rows, clock)
    assert list(judge.faults) == []
    assert judge.overdue(clock.now() * 1_000 + 1_000 * HOUR) == []
    silent = ledger(here)
    take(silent, rows[:1], clock)
    missed = {finding.timer for finding in silent.overdue(clock.now() * 1_000 + 1_000 * HOUR)}
    everybody = clocks.due(one, recipients, here, TREE, START, last, one.countersign_by)
    assert missed == {f"{t.kind}:{t.place or ''}:{t.n}" for t in everybody} | {"expire::0"}


def take(judge: Any, rows: Sequence[AnyRecord], clock: FakeClock, *, live: bool = False) -> None:
    for record in rows:
        judge.take(records.encode(record), wall_ms=clock.at(), steady_ms=clock.now() * 1_000, live=live)


def good() -> list[Any]:
    """A directive and everything its clocks say at its limit."""
    at = UtcMs(START + 3 * MINUTE)
    timers = clocks.due(ORDER, ORDER.recipients, COUNTY, TREE, START, at)
    return [ORDER, *clocks.fire(ORDER, timers, COUNTY, at)]


def first(rows: Sequence[Any], kind: type) -> int:
    return next(i for i, row in enumerate(rows) if isinstance(row, kind))


def second_name_in_time(rows: list[Any]) -> list[Any]:
    owed = msgspec.structs.replace(rows[0], countersign_by=UtcMs(START + MINUTE))
    named = DirectiveCountersigned(node=COUNTY, at=START, directive=ORDER.directive, by=commander())
    timers = clocks.due(owed, (), COUNTY, TREE, START, ORDER.expires_at, owed.countersign_by)
    return [owed, named, *clocks.fire(owed, timers, COUNTY, ORDER.expires_at)]


def twice(rows: list[Any]) -> list[Any]:
    return [*rows, rows[1]]


def twice_by_another_name(rows: list[Any]) -> list[Any]:
    return [*rows, msgspec.structs.replace(rows[1], at=UtcMs(rows[1].at + 1))]


def early(rows: list[Any]) -> list[Any]:
    return [rows[0], msgspec.structs.replace(rows[1], at=UtcMs(rows[1].due - 1)), *rows[2:]]


def wrong_due(rows: list[Any]) -> list[Any]:
    return [rows[0], msgspec.structs.replace(rows[1], due=UtcMs(rows[1].due - 1)), *rows[2:]]


def of_nobody(rows: list[Any]) -> list[Any]:
    return [rows[0], word(Stage.SIGNED, VILLAGE), word(Stage.SIGNED, SIBLING), rows[1]]


def after_the_end(rows: list[Any]) -> list[Any]:
    return [rows[0], DirectiveExpired(node=COUNTY, at=ORDER.expires_at, directive=ORDER.directive), rows[1]]


def of_another_directive(rows: list[Any]) -> list[Any]:
    return [*rows, msgspec.structs.replace(rows[1], subject="d-2", timer="repeat:d-2::1")]


def of_another_number(rows: list[Any]) -> list[Any]:
    return [*rows, msgspec.structs.replace(rows[1], timer="repeat:d-1::9")]


def without_its_list(rows: list[Any]) -> list[Any]:
    return [row for row in rows if not isinstance(row, EscalationRaised)]


def without_its_call(rows: list[Any]) -> list[Any]:
    return [row for row in rows if not isinstance(row, RedialOrdered)]


def somebody_left_out(rows: list[Any]) -> list[Any]:
    at = first(rows, EscalationRaised)
    return [*rows[:at], msgspec.structs.replace(rows[at], not_reached=(VILLAGE,)), *rows[at + 1 :]]


def a_list_from_nowhere(rows: list[Any]) -> list[Any]:
    return [rows[0], rows[first(rows, EscalationRaised)]]


def expired_early(rows: list[Any]) -> list[Any]:
    return [rows[0], DirectiveExpired(node=COUNTY, at=UtcMs(ORDER.expires_at - 1), directive=ORDER.directive)]


@pytest.mark.parametrize(
    ("mistake", "what"),
    [
        (twice, "twice"),
        (twice_by_another_name, "twice"),
        (early, "early"),
        (wrong_due, "wrong-due"),
        (of_nobody, "void"),
        (after_the_end, "void"),
        (second_name_in_time, "void"),
        (of_another_directive, "unexpected"),
        (of_another_number, "unexpected"),
        (without_its_list, "no-escalation"),
        (without_its_call, "no-redial"),
        (somebody_left_out, "wrong-list"),
        (a_list_from_nowhere, "unexpected"),
        (expired_early, "early"),
    ],
)
def test_every_planted_mistake_is_found(mistake: Callable[[list[Any]], list[Any]], what: str) -> None:
    clock = FakeClock()
    right, wrong = ledger(), ledger()
    take(right, good(), clock)
    right.overdue(clock.now() * 1_000)
    assert list(right.faults) == []
    take(wrong, mistake(good()), clock)
    wrong.overdue(clock.now() * 1_000)
    assert {finding.what for finding in wrong.faults} == {what}


@on_loop
async def test_a_timer_nobody_fires_is_missed_after_its_grace_and_healed_by_firing(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path)
    audit = auditor(county)
    one = await issue(county, VILLAGE)
    assert audit.look().clean
    county.clock.advance(MINUTE + 5_000)
    assert audit.look().clean
    county.clock.advance(1)
    assert [(f.what, f.subject, f.timer) for f in audit.look().missed] == [("missed", one.directive, "repeat::1")]
    county.clock.step(-HOUR)  # the wall clock moves no verdict
    assert len(audit.look().missed) == 1
    county.clock.step(HOUR)
    await county.timers.fire()
    report = audit.look()
    assert report.clean
    assert report.counts["late"] == 1
    audit.close()
    await county.close()


@on_loop
async def test_a_timer_fired_before_its_time_is_seen_by_the_auditors_own_clock(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path)
    audit = auditor(county)
    audit.look()
    one = await issue(county, VILLAGE)
    audit.look()
    county.clock.advance(30_000)
    due = UtcMs(one.at + MINUTE)
    forged = TimerFired(
        node=COUNTY, at=due, timer=f"repeat:{one.directive}::1", kind=TimerKind.REPEAT, subject=one.directive, due=due
    )
    await county.journal.append(forged)
    assert [f.what for f in audit.look().faults] == ["early"]
    audit.close()
    await county.close()


@on_loop
async def test_another_journal_is_read_from_its_beginning_and_none_is_said_to_be_none(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path / "a")
    audit = Auditor(tmp_path / "j", COUNTY, DIVISIONS, county.clock, 5_000)
    assert "unable to open" in audit.look().unreadable
    await issue(county, VILLAGE)
    (tmp_path / "j").symlink_to(county.directory / "journal.sqlite")
    assert audit.look().seq == 1
    audit.close()
    other = Node(COUNTY, tmp_path / "b", county.clock)
    await issue(other, VILLAGE)
    await issue(other, SIBLING, click_id="2")
    (tmp_path / "j").unlink()
    (tmp_path / "j").symlink_to(other.directory / "journal.sqlite")
    report = audit.look()
    assert (report.seq, report.clean) == (2, True)
    audit.close()
    for node in (county, other):
        await node.close()


# ---- two that watch each other -------------------------------------------------------------------


def beat(number: int) -> Beat:
    return Beat(run="w", number=number, at=START, seq=0)


def test_silence_is_counted_on_the_watchers_own_clock() -> None:
    clock = FakeClock()
    watch = Watch(clock, 10.0)
    assert watch.silent_for(beat(1)) == 0.0
    clock.advance(10_000)
    assert watch.silent_for(beat(1)) == 0.0
    clock.advance(1)
    clock.step(-HOUR)
    assert watch.silent_for(beat(1)) == pytest.approx(10.001)
    assert watch.silent_for(None) > 10
    assert watch.silent_for(beat(2)) == 0.0


def test_the_node_says_when_its_auditor_falls_silent_and_is_heard_again(tmp_path: Path) -> None:
    clock, told = FakeClock(), []
    watch = AuditorWatch(tmp_path, clock, 10.0, Telemetry())
    watch.on_change = lambda: told.append(watch.complaint)
    watch.look()
    clock.advance(11_000)
    watch.look()
    heartbeat.write(tmp_path, beat(1))
    watch.look()
    clock.advance(11_000)
    watch.look()
    watch.look()
    (tmp_path / heartbeat.NAME).write_bytes(b"{garbage")
    clock.advance(1_000)
    watch.look()
    heartbeat.write(tmp_path, beat(2))
    watch.look()
    assert told == ["silent for 11 s", "", "silent for 11 s", ""]
    heartbeat.write(tmp_path, msgspec.structs.replace(beat(3), missed=2))
    watch.look()
    watch.look()
    assert (len(told), watch.beat and watch.beat.missed) == (5, 2)


def test_a_heartbeat_is_read_as_it_was_written_and_nonsense_is_none(tmp_path: Path) -> None:
    assert heartbeat.read(tmp_path) is None
    heartbeat.write(tmp_path, beat(7))
    assert heartbeat.read(tmp_path) == beat(7)
    assert [path.name for path in tmp_path.iterdir()] == [heartbeat.NAME]


class Voice:
    def __init__(self) -> None:
        self.said: list[str] = []

    async def send(self, notice: Any) -> None:
        self.said.append(notice.title)


@on_loop
async def test_the_auditor_raises_its_voice_once_for_each_trouble(tmp_path: Path) -> None:
    county, voice = Node(COUNTY, tmp_path), Voice()
    config = settings(tmp_path / "c")
    config.node.data_dir.mkdir()
    speaker: Any = voice
    watchman = Watchman(config, county.clock, auditor(county), speaker, "http://127.0.0.1:1/readyz")
    await issue(county, VILLAGE)
    await watchman.step()
    assert (voice.said, watchman.wrong) == ([], False)
    county.clock.advance(2 * MINUTE)
    for _ in range(2):
        await watchman.step()
    assert (voice.said, watchman.wrong) == (["the node is silent"], True)  # nobody asked it, and so nobody answered
    beats = heartbeat.read(config.node.data_dir)
    assert beats is not None
    assert (beats.number, beats.missed) == (3, 1)
    watchman._auditor.close()
    await county.close()


def test_where_the_node_is_asked(tmp_path: Path) -> None:
    for host, url in (("0.0.0.0", "http://127.0.0.1:8801/readyz"), ("::", "http://[::1]:8801/readyz")):
        config = settings(tmp_path, COUNTY, http={"host": host, "port": 8801})
        assert ready_url(config) == url


# ---- the command ---------------------------------------------------------------------------------


def config_file(folder: Path, **sections: Any) -> Path:
    config = settings(folder, COUNTY)
    table = {
        "node": {"code": COUNTY, "data_dir": str(config.node.data_dir)},
        "tree": {"file": str(config.tree.file)},
        "keys": {
            "private_key_file": str(config.keys.private_key_file),
            "public_keys_file": str(config.keys.public_keys_file),
        },
        **sections,
    }
    file = folder / "auditor.toml"
    file.write_text(to_toml(table), encoding="utf-8")
    return file


def test_one_look_ends_with_a_verdict(tmp_path: Path) -> None:
    file = config_file(tmp_path)

    @on_loop
    async def write(*rows: AnyRecord) -> None:
        county = Node(COUNTY, tmp_path, FakeClock(at=time.time_ns() // 1_000_000 - 2 * MINUTE))
        await (county.journal.append(*rows) if rows else issue(county, VILLAGE))
        await county.close()

    write()
    looked = CliRunner().invoke(app, ["auditor", "--config", str(file), "--once", "--json"])
    verdict = json.loads(looked.stdout.splitlines()[-1])
    assert (looked.exit_code, verdict["ok"]) == (1, False)
    assert [finding["what"] for finding in verdict["findings"]] == ["missed"]  # a minute ago it should have rung
    empty = config_file(tmp_path / "empty")
    looked = CliRunner().invoke(app, ["auditor", "--config", str(empty), "--once"])
    assert looked.exit_code == 1
    assert "unable to open" in looked.stdout


@pytest.mark.long
def test_two_processes_watch_each_other(tmp_path: Path) -> None:
    with running(tmp_path, auditor={"watched": True}) as node:
        command = [sys.executable, "-m", "gateway", "auditor", "--config", str(tmp_path / "node.toml")]
        log = tmp_path / "auditor.log"
        with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
            try:
                until(lambda: heartbeat.read(node.config.node.data_dir) is not None)
                until(lambda: node.get("/readyz").json["checks"]["auditor"] == "ok")
                os.kill(process.pid, signal.SIGSTOP)
                until(lambda: "silent" in node.get("/readyz").json["checks"]["auditor"])
                assert node.get("/readyz").status == 503
                os.kill(process.pid, signal.SIGCONT)
                until(lambda: node.get("/readyz").status == 200)
                os.kill(node.process.pid, signal.SIGSTOP)
                until(lambda: b"the node is silent" in log.read_bytes())
                os.kill(node.process.pid, signal.SIGCONT)
                until(lambda: b'"alarm": "none"' in log.read_bytes())
                process.terminate()
                assert process.wait(60) == 0
            finally:
                os.kill(node.process.pid, signal.SIGCONT)
                process.kill()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@on_loop
async def test_rows_fed_live_agree_too(tmp_path: Path) -> None:
    county, judge = Node(COUNTY, tmp_path), ledger()
    fed = 0
    await issue(county, VILLAGE, SIBLING)
    for _ in range(20):
        await passes(MINUTE, county)
        rows = county.journal.read(Seq(fed), 1_000)
        fed += len(rows)
        feed(judge, rows, county.clock)
        assert judge.overdue(county.clock.now() * 1_000) == []
    assert list(judge.faults) == []
    await county.close()
