"""The demo as whoever tries it meets it: started, stopped, started again, and never left lying about."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.running import Demo, until

READY_S = 300.0
STOPPED_S = 60.0
"""Five nodes, two cameras and a Redis, on two cores that others use too."""


def started(folder: Path, *arguments: str) -> Demo:
    """Return a ready demo."""
    demo = Demo(folder, *arguments)
    try:
        demo.wait_ready(READY_S)
    except BaseException:
        demo.stop()
        raise
    return demo


def ended(demo: Demo, number: signal.Signals) -> int:
    """Send ``number`` to the supervisor alone; return its exit code, within STOPPED_S."""
    try:
        demo.process.send_signal(number)
        return demo.process.wait(timeout=STOPPED_S)
    finally:
        demo.stop()


WAYS = [
    ((), signal.SIGTERM),
    (("--no-cameras",), signal.SIGINT),
    pytest.param((), signal.SIGINT, marks=pytest.mark.long),
    pytest.param(("--no-cameras",), signal.SIGTERM, marks=pytest.mark.long),
]


@pytest.mark.parametrize(("arguments", "number"), WAYS)
def test_a_demo_that_is_told_to_end_leaves_nothing_behind(
    tmp_path: Path, arguments: tuple[str, ...], number: signal.Signals
) -> None:
    demo = started(tmp_path, *arguments)
    until(
        lambda: (tmp_path / "county" / "auditor.heartbeat").exists(), within=STOPPED_S, what="the auditor's heartbeat"
    )
    assert ended(demo, number) == 0
    assert demo.leftovers() == []


def test_a_demo_that_is_killed_takes_everything_with_it(tmp_path: Path) -> None:
    demo = started(tmp_path)
    assert sum(" auditor --config " in line for line in demo.leftovers()) == 1, "the county's"
    assert ended(demo, signal.SIGKILL) == -signal.SIGKILL
    until(lambda: not demo.leftovers(), within=STOPPED_S, what="processes that outlive the demo")


def test_a_demo_stopped_while_it_starts_leaves_nothing_behind(tmp_path: Path) -> None:
    demo = Demo(tmp_path)
    until(lambda: any("node --config" in line for line in demo.leftovers()), within=READY_S, what="a first node")
    assert ended(demo, signal.SIGINT) == 0
    assert demo.leftovers() == []


def made(folder: Path) -> dict[Path, int]:
    """What takes time to make or must not change, and when each was written, ns: private keys and clips."""
    return {path: path.stat().st_mtime_ns for path in (*folder.glob("keys/*.key"), *folder.glob("clips/*.mp4"))}


def test_a_second_start_in_the_same_folder_makes_nothing_twice_and_finds_its_meeting(tmp_path: Path) -> None:
    first = started(tmp_path)
    meeting, before = first.ready["conference"], made(tmp_path)
    assert len(before) == 5 + 2, "a key for each node, a clip for each camera"
    assert first.stop() == 0
    second = started(tmp_path)
    try:
        assert second.ready["conference"] == meeting
        assert made(tmp_path) == before
    finally:
        assert second.stop() == 0
    assert second.leftovers() == []


def test_a_port_in_use_is_named_and_nothing_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "gateway", "demo", "--base-port", str(port), "--dir", str(tmp_path)],
            capture_output=True, text=True, timeout=120, check=False, env={**os.environ, "NO_COLOR": "1"},
        )  # fmt: skip
    assert done.returncode == 1
    assert f"{port}/tcp" in done.stderr
    assert "--base-port" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
