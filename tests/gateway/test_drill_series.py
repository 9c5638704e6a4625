"""Exercises that repeat: none skipped unsaid, none held twice, over restarts at any moment; reports kept and listed."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway import drill_repeat
from gateway.asking import AskError, Target
from gateway.drill_repeat import Repeat
from gateway.drill_report import Matrix, plain, report
from gateway.drill_series import KEPT, LATE_MS, Kept, Series, lines
from signaling.ids import UtcMs
from signaling.records import Urgency
from tests.gateway.test_drill import MATRIX, PLACES
from tests.support.clock import START, FakeClock
from tests.support.loop import on_loop

DAY = 86_400_000
WEEK = Series(START, 7 * DAY)
FULL = {"missed": False, "villages": 2, "delivered": 2, "shown": 1, "signed": 1}


def test_moments_are_so_far_apart_whatever_happens_between() -> None:
    assert (WEEK.last(UtcMs(START - 1)), WEEK.next(UtcMs(START - 1))) == (None, START)
    assert (WEEK.last(START), WEEK.next(START)) == (START, START + 7 * DAY)
    assert WEEK.last(UtcMs(START + 15 * DAY)) == START + 14 * DAY


def test_a_restart_moves_no_exercise_and_another_interval_begins_anew(tmp_path: Path) -> None:
    made = Kept(tmp_path).series(7 * DAY, START, START)
    for first in (START, UtcMs(START + 3 * DAY), None):
        assert Kept(tmp_path).series(7 * DAY, first, UtcMs(START + 3 * DAY)) == made
    assert Kept(tmp_path).series(7 * DAY, UtcMs(START + 60_000), START).first == START + 60_000
    assert Kept(tmp_path).series(DAY, None, UtcMs(START + 5)).first == START + 5


def test_what_was_begun_goes_on_and_what_nobody_began_is_kept_as_missed(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    assert kept.task(WEEK, UtcMs(START - 1)) is None
    for late in (0, LATE_MS):
        task = kept.task(WEEK, UtcMs(START + late))
        assert task is not None
        assert (task.at, task.missed) == (START, False)
    task = kept.task(WEEK, UtcMs(START + LATE_MS + 1))
    assert task is not None
    assert task.missed
    assert kept.begin(START) == kept.begin(START) == f"drill-{START}"
    task = Kept(tmp_path).task(WEEK, UtcMs(START + 6 * DAY))
    assert task is not None
    assert (task.at, task.missed) == (START, False)
    kept.end(START, FULL)
    assert Kept(tmp_path).task(WEEK, UtcMs(START + 6 * DAY)) is None


def test_the_oldest_reports_make_room_and_one_says_who_did_not_answer(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    for number in range(KEPT + 3):
        kept.end(UtcMs(START + number), {"missed": True})
    assert [one["at"] for one in kept.reports()][:1] == [START + 3]
    said = "\n".join(lines({"at": START, **plain(report("d-1", MATRIX, PLACES))}))
    assert said.startswith("2025-10-09 16:53  villages 8 delivered 6 shown 5 signed 4")
    assert "not signed (1): 3村（甲镇）" in said
    assert list(lines({"at": START, "missed": True})) == ["2025-10-09 16:53  missed: nobody was there to hold it"]


class Gateway:
    """Stands for the gateway: remembers by which name it was asked; ``gone``: it does not answer."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.gone = False

    async def hold(self, _client: Any, _clock: Any, _urgency: Any, _wait_s: float, over: Any, name: str) -> Any:
        self.names.append(name)
        if self.gone:
            raise AskError("gone")
        await over.wait()
        return report("d-1", Matrix(UtcMs(START), MATRIX.recipients), PLACES)


@on_loop
async def test_an_exercise_that_is_cut_in_two_is_asked_for_by_the_same_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, clock = Gateway(), FakeClock(at=START)
    monkeypatch.setattr(drill_repeat, "hold", gateway.hold)
    kept = Kept(tmp_path)

    def repeat(wait_s: float) -> Repeat:
        return Repeat(lambda: Target("http://127.0.0.1:1", "t"), kept, WEEK, clock, Urgency.P1, wait_s, lambda _: None)

    task = kept.task(WEEK, clock.at())
    assert task is not None
    cut = asyncio.create_task(repeat(3_600.0).step(task))
    while not gateway.names:
        await asyncio.sleep(0)
    cut.cancel()
    await asyncio.gather(cut, return_exceptions=True)
    gateway.gone = True
    assert not await repeat(0.0).step(task)
    gateway.gone = False
    clock.advance(DAY)
    again = kept.task(WEEK, clock.at())
    assert again == task
    assert await repeat(0.0).step(again)
    assert set(gateway.names) == {f"drill-{START}"}
    (listed,) = kept.reports()
    assert (listed["at"], len(listed["not_signed"])) == (START, 1)
    assert kept.task(WEEK, clock.at()) is None
    clock.advance(13 * DAY)
    missed = kept.task(WEEK, UtcMs(clock.at() + LATE_MS + 1))
    assert missed is not None
    assert await repeat(0.0).step(missed)
    assert [one.get("missed", False) for one in kept.reports()] == [False, True]
