"""The outbox: every durable row once and in order, whatever becomes of the bell."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway import outbox as module
from gateway.bus import Bus
from gateway.journal import Journal, Row
from gateway.outbox import Outbox
from gateway.telemetry import Telemetry
from signaling.ids import Seq
from signaling.records import AnyRecord, AuditRead
from tests.support.clock import FakeClock
from tests.support.loop import eventually, on_loop
from tests.support.places import COUNTY, auditor


def fact(number: int) -> AuditRead:
    return AuditRead(node=COUNTY, at=FakeClock().at(), by=auditor(), what=f"fact {number}", reason="test")


@contextlib.asynccontextmanager
async def running(*workers: Outbox | Bus) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@on_loop
async def test_rows_go_out_once_in_order_and_only_when_durable(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "j", COUNTY, FakeClock())
    await journal.append(fact(0))
    outbox = Outbox(journal)
    seen: list[tuple[Seq, AnyRecord]] = []

    def take(row: Row, record: AnyRecord) -> None:
        assert row.seq <= journal.head
        seen.append((row.seq, record))

    outbox.on_record(take)
    async with running(outbox):
        await asyncio.gather(*(journal.append(fact(n), fact(0)) for n in range(1, 700)))
        await eventually(lambda: outbox.position == 700)
    assert seen == [(n + 1, fact(n)) for n in range(1, 700)]
    await journal.close()


@on_loop
async def test_waiting_ends_when_the_journal_has_grown_past(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "j", COUNTY, FakeClock())
    outbox = Outbox(journal)
    waiting = [asyncio.create_task(outbox.wait(Seq(n))) for n in range(3)]
    await journal.append(fact(1))
    assert await waiting[0] == 1
    assert [task.done() for task in waiting] == [True, False, False]
    await journal.append(fact(2), fact(3))
    assert [await task for task in waiting[1:]] == [3, 3]
    assert await outbox.wait(Seq(2)) == 3
    await journal.close()


@on_loop
async def test_a_handler_that_fails_stops_neither_the_others_nor_the_next_row(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "j", COUNTY, FakeClock())
    outbox = Outbox(journal)
    seen: list[Seq] = []

    def fail(row: Row, record: AnyRecord) -> None:
        raise ValueError("a bug")

    outbox.on_record(fail)
    outbox.on_record(lambda row, record: seen.append(row.seq))
    async with running(outbox):
        await journal.append(fact(1), fact(2))
        await eventually(lambda: seen == [1, 2])
    await journal.close()


@on_loop
async def test_a_commit_rings_the_bus_and_a_dead_bus_delays_nobody(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "j", COUNTY, FakeClock())
    bus = Bus(COUNTY, None, tmp_path, Telemetry())
    outbox = Outbox(journal, bus)
    heard: list[Seq] = []
    seen: list[Seq] = []
    bus.listen(heard.append)
    outbox.on_record(lambda row, record: seen.append(row.seq))
    async with running(outbox, bus):
        await eventually(lambda: bus.up)
        await journal.append(fact(1))
        await eventually(lambda: 1 in heard and seen == [1])
        assert bus._server is not None
        process = bus._server._process
        assert process is not None
        process.kill()
        await eventually(lambda: not bus.up)
        await journal.append(fact(2))
        await eventually(lambda: seen == [1, 2])
        await eventually(lambda: bus.up)
        await bus.client.flushall()
        await journal.append(fact(3))
        await eventually(lambda: 3 in heard and seen == [1, 2, 3])
    await journal.close()


@on_loop
async def test_the_sweep_finds_what_no_bell_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SWEEP_S", 0.01)
    journal = Journal.open(tmp_path / "j", COUNTY, FakeClock())
    outbox = Outbox(journal)
    journal._listeners.clear()  # the bell is gone
    seen: list[Seq] = []
    outbox.on_record(lambda row, record: seen.append(row.seq))
    async with running(outbox):
        await journal.append(fact(1))
        await eventually(lambda: seen == [1])
    await journal.close()
