"""The journal: durable, in order, once, chained; through power cuts."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import logfile
from gateway.journal import MAX_GROUP, RECENT_ROWS, Journal, JournalError, Row
from signaling import records
from signaling.ids import Epoch, NodeCode, Seq
from signaling.records import AuditRead
from tests.support.clock import FakeClock
from tests.support.loop import on_loop
from tests.support.places import COUNTY, TOWNSHIP, auditor

ROOT = Path(__file__).parents[2]


def fact(number: int) -> AuditRead:
    return AuditRead(node=COUNTY, at=FakeClock().at(), by=auditor(), what=f"fact {number}", reason="test")


def opened(path: Path, node: NodeCode = COUNTY) -> Journal:
    return Journal.open(path / "journal.sqlite", node, FakeClock())


@on_loop
async def test_what_was_acknowledged_is_there_after_reopening(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    epoch = journal.epoch
    assert [await journal.append(fact(n)) for n in range(3)] == [1, 2, 3]
    await journal.close()
    again = opened(tmp_path)
    assert (again.head, again.epoch) == (3, epoch)
    assert [row.record for row in again.replay()] == [fact(n) for n in range(3)]
    assert await again.append(fact(3)) == 4
    assert (await again.verify()).broken_at is None
    await again.close()


@on_loop
async def test_the_order_of_calls_is_the_order_in_the_log(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    count = MAX_GROUP * 2 + 7
    futures = [journal.append(fact(n), via=TOWNSHIP if n % 2 else None) for n in range(count)]
    await asyncio.gather(*futures)
    rows = list(journal.replay())
    assert [row.seq for row in rows] == list(range(1, count + 1))
    assert [row.record for row in rows] == [fact(n) for n in range(count)]
    assert [row.via for row in rows[:2]] == [None, TOWNSHIP]
    await journal.close()


@on_loop
async def test_what_is_appended_in_one_turn_of_the_loop_is_one_commit(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    commits: list[list[Seq]] = []
    journal.subscribe(lambda rows: commits.append([row.seq for row in rows]))
    await asyncio.gather(journal.append(fact(1)), journal.append(fact(2), fact(3)), journal.append(fact(4)))
    await journal.append(fact(5))
    assert commits == [[1, 2, 3, 4], [5]]
    await journal.close()


@on_loop
async def test_a_known_key_is_not_written_again(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    await asyncio.gather(*(journal.append(fact(1), fact(2), fact(1)) for _ in range(5)))
    assert journal.head == 2
    await journal.append(fact(3), fact(2))
    assert [row.record for row in journal.replay()] == [fact(1), fact(2), fact(3)]
    await journal.close()


@on_loop
async def test_listeners_see_each_durable_row_once_before_the_append_resolves(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    await journal.append(fact(1))
    seen: list[Row] = []
    others: list[Row] = []
    journal.follow(seen.extend)
    assert [row.seq for row in seen] == [1]
    journal.follow(others.extend, ("directive:", "alarm:"))
    future = journal.append(fact(2), fact(1))
    assert len(seen) == 1
    await future
    assert [row.seq for row in seen] == [1, 2]
    assert [row.seq for row in others] == [2]  # of the past, only what it asked for
    await journal.close()


@on_loop
async def test_a_cursor_moves_with_its_records_and_alone_in_its_turn(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    assert journal.cursor(TOWNSHIP) == (None, 0)
    moved = journal.append(fact(1), via=TOWNSHIP, cursor=(TOWNSHIP, Epoch("e1"), Seq(7)))
    assert journal.cursor(TOWNSHIP) == (None, 0)
    await moved
    assert journal.cursor(TOWNSHIP) == ("e1", 7)
    assert await journal.append(cursor=(TOWNSHIP, Epoch("e2"), Seq(1))) == 1
    await journal.close()
    again = opened(tmp_path)
    assert again.cursor(TOWNSHIP) == ("e2", 1)
    await again.close()


@on_loop
async def test_reading_from_memory_and_from_disk_is_the_same(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    count = RECENT_ROWS + 300
    await asyncio.gather(*(journal.append(fact(n)) for n in range(count)))
    for after in (0, 200, 299, 300, 301, count - 5, count, count + 9):
        rows = journal.read(Seq(after), 50)
        assert [row.seq for row in rows] == list(range(after + 1, min(after + 50, count) + 1))
        assert [row.record for row in rows] == [fact(row.seq - 1) for row in rows]
    await journal.close()


@on_loop
async def test_one_process_writes_one_journal(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    with pytest.raises(JournalError, match="in use"):
        opened(tmp_path)
    await journal.close()
    await opened(tmp_path).close()


def test_every_connection_waits_for_the_disk(tmp_path: Path) -> None:
    """A kill cannot show it, only a power cut could: a commit is synced before it is told (2 is FULL)."""
    connection = logfile.connect(tmp_path / "journal.sqlite")
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


@on_loop
async def test_another_nodes_journal_and_no_journal_are_refused(tmp_path: Path) -> None:
    await opened(tmp_path).close()
    with pytest.raises(JournalError, match=f"of node {COUNTY}"):
        opened(tmp_path, TOWNSHIP)
    (tmp_path / "noise").mkdir()
    (tmp_path / "noise" / "journal.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(JournalError, match="not a database"):
        opened(tmp_path / "noise")
    await opened(tmp_path).close()


def tamper(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    ("statement", "broken_at"),
    [
        ("UPDATE records SET data = CAST(replace(data, 'fact 4', 'fact 9') AS BLOB) WHERE seq = 5", 5),
        ("UPDATE records SET key = 'other' WHERE seq = 3", 3),
        ("UPDATE records SET chain = zeroblob(32) WHERE seq = 7", 7),
        ("DELETE FROM records WHERE seq = 2", 2),
        ("UPDATE records SET seq = seq + 100 WHERE seq >= 6", 6),
    ],
)
def test_tampering_is_located(tmp_path: Path, statement: str, broken_at: int) -> None:
    async def write() -> None:
        journal = opened(tmp_path)
        await asyncio.gather(*(journal.append(fact(n)) for n in range(10)))
        await journal.close()

    asyncio.run(write())
    path = tmp_path / "journal.sqlite"
    assert logfile.verify(path).broken_at is None
    assert logfile.verify(path).count == 10
    tamper(path, statement)
    found = logfile.verify(path)
    assert (found.broken_at, found.count) == (broken_at, broken_at - 1)


@on_loop
async def test_a_failed_write_is_told_to_everybody_who_waits(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    await journal.append(fact(1))
    tamper(tmp_path / "journal.sqlite", "DROP TABLE cursors")
    failing = [journal.append(fact(n), cursor=(TOWNSHIP, Epoch("e"), Seq(n))) for n in range(2, 5)]
    with pytest.raises(JournalError, match="no such table"):
        await journal.failure()
    outcomes = await asyncio.gather(*failing, journal.append(fact(9)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [JournalError] * 4
    assert journal.failed
    assert journal.head == 1
    await journal.close()


def test_kill_9_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """Twelve times: eight writers, killed after so many acknowledgements; then everything said is looked for."""
    path = tmp_path / "journal.sqlite"
    said: dict[str, int] = {}
    for run in range(12):
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.support.journal_child", str(path), f"run{run}"],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
        assert child.stdout is not None
        heard = [child.stdout.readline() for _ in range(20 + 17 * run)]
        os.kill(child.pid, signal.SIGKILL)
        heard += child.stdout.readlines()
        child.stdout.close()
        child.wait()
        said |= {name: int(seq) for name, seq in (line.split() for line in heard if line.endswith("\n"))}
        check(path, said)
    assert len(said) > 12 * 20


def check(path: Path, said: dict[str, int]) -> None:
    async def look() -> None:
        journal = Journal.open(path, COUNTY, FakeClock())
        rows = list(journal.replay())
        there = {row.record.what: row.via for row in rows if isinstance(row.record, AuditRead)}
        assert len(there) == len(rows)
        assert said.keys() <= there.keys()
        newest = {via: int(what.split(":")[2]) for what, via in there.items()}
        for peer, number in newest.items():
            assert peer is not None
            assert journal.cursor(peer)[1] == number
        await journal.close()

    asyncio.run(look())
    found = logfile.verify(path)
    assert found.broken_at is None
    assert found.count >= max(said.values())


def test_the_hash_chain_can_be_recomputed_from_the_records_alone(tmp_path: Path) -> None:
    async def write() -> list[Row]:
        journal = opened(tmp_path)
        await asyncio.gather(*(journal.append(fact(n)) for n in range(5)))
        rows = list(journal.replay())
        await journal.close()
        return rows

    chain = bytes(32)
    for row in asyncio.run(write()):
        chain = records.chain(chain, row.data)
    assert logfile.verify(tmp_path / "journal.sqlite").chain == chain
