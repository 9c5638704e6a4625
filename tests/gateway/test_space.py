"""A full disk: pictures go first, directives go on out of the reserve, the node above hears of it, and it heals.

The disk is ``tests/support/disk.c``: a gateway runs on it as it is, and finds no more room than it is given.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.journal import Journal
from gateway.reserve import PIECES, Reserve
from gateway.space import Space
from gateway.telemetry import Telemetry
from signaling.records import Role
from tests.support import disk
from tests.support.clock import FakeClock
from tests.support.loop import on_loop
from tests.support.node import Node, running
from tests.support.places import COUNTY, VILLAGE

ROOM, RESERVE, SLACK = 8_000_000, 2_000_000, 200_000


def test_a_reserve_is_given_back_in_pieces_and_taken_again(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve", 160_000)
    assert reserve.path.stat().st_blocks * 512 >= reserve.held == 160_000
    pieces = 0
    while reserve.release():
        pieces += 1
    assert (pieces, reserve.held) == (PIECES, 0)
    reserve.fill()
    assert reserve.held == 160_000
    reserve.close()
    smaller = Reserve(tmp_path / "reserve", 10)
    assert smaller.held == 10
    smaller.close()


@on_loop
async def test_a_shortage_is_told_once_until_it_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []

    async def tell(left: int) -> None:
        told.append(left)

    reserve = Reserve(tmp_path / "reserve", 1_000)
    space = Space(tmp_path, reserve, Telemetry(), tell)
    free = 5_000
    monkeypatch.setattr(space, "free", lambda: free)
    await space.look()
    assert (space.problem, space.admits(4_000), space.admits(4_001), told) == ("", True, False, [])
    free = 900
    for _ in range(3):
        await space.look()
    assert (space.admits(1), told) == (False, [1_900])
    reserve.release()
    free = 1_500
    await space.look()
    assert "kept for directives" in space.problem  # there is not room enough to take it again
    free = 2_000
    await space.look()
    assert (space.problem, reserve.held) == ("", 1_000)
    free = 10
    await space.look()
    assert told == [1_900, 1_010]
    space.close()


@on_loop
async def test_a_journal_that_has_no_reserve_left_fails_as_before(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve", 0)
    journal = Journal.open(tmp_path / "journal.sqlite", COUNTY, FakeClock(), reserve)
    assert not reserve.release()
    await journal.close()
    reserve.close()


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def order(number: int) -> dict[str, object]:
    scope = [{"node": VILLAGE, "mode": "self"}]
    return {"click_id": f"c{number}", "urgency": "P1", "title": "转移", "text": "立即转移" * 100, "scope": scope}


def problem(node: Node) -> str:
    return str(node.get("/readyz").json["checks"]["disk"])


def test_directives_go_on_when_the_disk_is_full_pictures_do_not_and_it_is_told(tmp_path: Path) -> None:
    home = tmp_path / COUNTY
    environment = disk.environment(home, room=ROOM)
    with running(tmp_path, environment=environment, own={"reserve_bytes": RESERVE}) as node:
        commander, auditor = node.token(Role.COMMANDER), node.token(Role.AUDITOR)
        until(lambda: problem(node) == "ok", "room at first")
        used = sum(file.stat().st_size for file in home.iterdir() if file.is_file() and not file.name.endswith("-shm"))
        (home / "filler").write_bytes(bytes(ROOM - used - SLACK))
        until(lambda: "no pictures" in problem(node), "the shortage is seen")
        until(
            lambda: "disk-full" in {a["kind"] for a in node.get("/api/v1/alarms", auditor).json["alarms"]},
            "an alarm tells of it",
        )
        answers = [node.post("/api/v1/directives", order(n), commander).status for n in range(60)]
        assert answers == [201] * 60
        assert (home / "reserve").stat().st_size < RESERVE
        assert "kept for directives" in problem(node)
        (home / "filler").unlink()
        until(lambda: problem(node) == "ok", "room again, and the reserve taken")
        assert (home / "reserve").stat().st_size == RESERVE
        assert len(node.get("/api/v1/directives", commander).json["directives"]) == 60
    rows = [json.loads(line) for line in node.log_file.read_text(encoding="utf-8").splitlines() if line[:1] == "{"]
    assert any(row["event"] == "disk full; written from the reserve" for row in rows)
