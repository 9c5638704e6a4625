"""Who may connect when an address, or the process, has no room."""

from __future__ import annotations

import contextlib
import resource
import socket
from pathlib import Path
from typing import Any

import pytest

from gateway.connection import LEAST, LOOKED_AT, RESERVED_FILES, Door, fitting
from signaling.records import Role
from tests.support.node import running
from tests.support.places import COUNTY

FILES = 128
CALLERS = 200


class Caller:
    def __init__(self, quiet: bool = True) -> None:
        self.quiet = quiet
        self.closed = False

    def force_close(self) -> None:
        self.closed = True


def admitted(door: Door, *callers: Any, address: str = "a") -> list[bool]:
    return [door.admit(caller, address) for caller in callers]


def test_an_address_that_has_its_share_loses_its_oldest_quiet_connection() -> None:
    door = Door(2, lambda: 100)
    busy, quiet, newest = Caller(quiet=False), Caller(), Caller()
    assert admitted(door, busy, quiet, newest) == [True, True, True]
    assert (busy.closed, quiet.closed, door.total) == (False, True, 2)


def test_without_descriptors_a_quiet_connection_of_anybody_gives_way() -> None:
    door = Door(10, lambda: 3)
    callers = [Caller(quiet=False), Caller(), Caller()]
    assert all(admitted(door, *callers, address="a"))
    assert admitted(door, Caller(), address="b") == [True]
    assert [caller.closed for caller in callers] == [False, True, False]
    assert door.total == 3


def test_without_descriptors_and_with_everybody_busy_nobody_new_comes_in() -> None:
    door = Door(1_000, lambda: LOOKED_AT * 2)
    busy = [Caller(quiet=False) for _ in range(LOOKED_AT * 2)]
    assert all(admitted(door, *busy))
    assert admitted(door, Caller(), address="b") == [False]
    door.leave(busy[0], "a")
    assert admitted(door, Caller(), address="b") == [True]


def test_a_quiet_connection_behind_many_busy_ones_is_found_in_turns() -> None:
    door = Door(1_000, lambda: LOOKED_AT * 2)
    busy = [Caller(quiet=False) for _ in range(LOOKED_AT * 2 - 1)]
    quiet = Caller()
    assert all(admitted(door, *busy, quiet))
    assert [admitted(door, Caller(quiet=False), address="b")[0] for _ in range(2)] == [False, True]
    assert quiet.closed


@pytest.mark.parametrize(("files", "room"), [(128, 80), (1_024, 896), (65_536, 57_344), (20, LEAST)])
def test_connections_leave_descriptors_for_everything_else(
    monkeypatch: pytest.MonkeyPatch, files: int, room: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    assert fitting() == room


def test_callers_who_take_every_descriptor_do_not_stop_directives(tmp_path: Path) -> None:
    order = {
        "click_id": "a-flood",
        "urgency": "P1",
        "title": "防汛",
        "text": "立即转移",
        "scope": [{"node": COUNTY, "mode": "self"}],
        "exercise": False,
    }
    with running(tmp_path, http={"connections_per_address": 1_000}) as node, contextlib.ExitStack() as callers:
        pid = node.process.pid
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (FILES, hard))
        token = node.token(Role.COMMANDER, COUNTY)
        for _ in range(CALLERS):
            callers.enter_context(socket.create_connection(("127.0.0.1", node.config.http.port), timeout=60))
        issued = node.post("/api/v1/directives", order, token)
        assert issued.status == 201, issued.body
        page = node.get("/metrics").body.decode()
    lines = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    assert float(lines['wuji_http_refused_total{reason="displaced"}']) >= CALLERS - FILES
    assert float(lines["process_open_fds"]) <= FILES - RESERVED_FILES // 4
