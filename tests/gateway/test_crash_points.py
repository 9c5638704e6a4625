"""The power goes around every fsync of the journal, and what was not synced is lost: nothing acknowledged is.

The process runs on a disk of ours (``tests/support/disk.c``) that writes every change down.  From that trace every
disk is made that a power cut could have left: what was synced, and of the rest nothing, all, or any part down to
sectors.  The journal is opened on each, and must hold what had been acknowledged until then, chained and whole.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway import logfile
from gateway.journal import Journal, JournalError
from signaling.records import AuditRead
from tests.support import disk
from tests.support.clock import FakeClock
from tests.support.disk import Change, Disk
from tests.support.places import COUNTY

ROOT = Path(__file__).parents[2]
SEED = 20261122


@dataclass(frozen=True, slots=True)
class Crash:
    """A moment, and what may be left: ``draw`` None is the worst disk, which keeps only what was synced."""

    at: int
    draw: int | None


def traced(folder: Path, records: int, *synchronous: str) -> list[Change]:
    """Return what a journal of ``records`` records does to its disk."""
    home = folder / "run"
    home.mkdir()
    subprocess.run(
        [sys.executable, "-m", "tests.support.crash_child", str(home), str(records), *synchronous],
        env=disk.environment(home, trace=folder / "trace"), cwd=ROOT, check=True, timeout=300,
    )  # fmt: skip
    return list(disk.read_trace(folder / "trace"))


def moments(trace: Sequence[Change], every: int) -> list[Crash]:
    """Return crashes before and after each sync and after each acknowledgement, one in ``every`` of them."""
    draw = random.Random(SEED)
    points = [at + 1 for at, change in enumerate(trace) if change.what in "BSA"] + [
        at for at, change in enumerate(trace) if change.what == "B"
    ]
    chosen = sorted(point for point in points if draw.randrange(every) == 0)
    return [Crash(at, fate) for at in chosen for fate in (None, draw.randrange(1 << 32))]


def lost(trace: Sequence[Change], crashes: Sequence[Crash], folder: Path) -> list[str]:
    """Return a sentence for each crash after which something acknowledged is missing or the journal is damaged."""
    state, at, said, wrong = Disk(), 0, set[str](), []
    for number, crash in enumerate(crashes):
        for change in trace[at : crash.at]:
            state.take(change)
            if change.what == "A":
                said.add(change.data.split()[0].decode())
        at = crash.at
        home = folder / f"disk-{number}"
        home.mkdir()
        left = state.after_power_cut(None if crash.draw is None else random.Random(crash.draw))
        for path, content in left.items():
            if Path(path).name.startswith("journal.sqlite"):
                (home / Path(path).name).write_bytes(content)
        if problem := fault(home, said):
            wrong.append(f"{crash}, {len(said)} acknowledged: {problem}")
        for file in home.iterdir():
            file.unlink()
    return wrong


def fault(home: Path, said: set[str]) -> str:
    """Return what is wrong with the journal in ``home``, "" if it holds all of ``said``."""
    path = home / "journal.sqlite"

    async def look() -> str:
        journal = Journal.open(path, COUNTY, FakeClock())
        try:
            rows = [(row.record, row.via) for row in journal.replay()]
            there = {r.what.rpartition(":")[0]: via for r, via in rows if isinstance(r, AuditRead)}
            newest = {via: int(name.split(":")[1]) for name, via in there.items() if via is not None}
            behind = [peer for peer, number in newest.items() if journal.cursor(peer)[1] != number]
            missing = said - there.keys()
            return f"missing {sorted(missing)}" if missing else f"cursors of {behind}" if behind else ""
        finally:
            await journal.close()

    try:
        problem = asyncio.run(look())
    except JournalError as error:
        return str(error)
    broken = logfile.verify(path).broken_at
    return problem or ("" if broken is None else f"broken at {broken}")


def shape(trace: Sequence[Change]) -> dict[str, int]:
    return {what: sum(change.what == what for change in trace) for what in "WTBSUA"}


def test_a_power_cut_around_any_fsync_loses_nothing_acknowledged(tmp_path: Path) -> None:
    trace = traced(tmp_path, 60)
    counts = shape(trace)
    assert counts["A"] == 60
    assert counts["S"] >= 20, counts
    crashes = moments(trace, every=3)
    assert len(crashes) >= 40
    assert lost(trace, crashes, tmp_path) == []


def test_a_journal_that_does_not_wait_for_its_disk_is_found_out(tmp_path: Path) -> None:
    trace = traced(tmp_path, 30, "OFF")
    assert lost(trace, moments(trace, every=1)[-8:], tmp_path) != []


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_every_crash_point_of_a_journal_that_is_checkpointed(tmp_path: Path) -> None:
    trace = traced(tmp_path, 900)
    assert any(change.what == "W" and change.path.endswith(".sqlite") for change in trace), "no checkpoint"
    assert lost(trace, moments(trace, every=1), tmp_path) == []
