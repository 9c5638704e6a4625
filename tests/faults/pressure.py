"""A gateway that gets too little of its machine: a share of a processor, a handful of files."""

from __future__ import annotations

import os
import resource
import signal
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

PERIOD_S = 0.1


class Pulses:
    """Lets a process run for ``share`` of every ``period_s`` and stops it for the rest, until the block ends."""

    def __init__(self, pid: int, share: float, period_s: float = PERIOD_S) -> None:
        self._pid = pid
        self._run_s, self._stop_s = share * period_s, (1 - share) * period_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._pulse, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._done.set()
        self._thread.join()

    def _pulse(self) -> None:
        try:
            while not self._done.is_set():
                os.kill(self._pid, signal.SIGSTOP)
                self._done.wait(self._stop_s)
                os.kill(self._pid, signal.SIGCONT)
                self._done.wait(self._run_s)
        except ProcessLookupError:
            return  # who asks for figures sees that it died


class Cage:
    """Keeps a process within ``memory_mb`` by the kernel's own limit (cgroup v1 or v2), until the block ends.

    One byte more and it is killed.  ``caged`` is False where this machine lets nobody make such a group.
    """

    def __init__(self, pid: int, memory_mb: int) -> None:
        self._pid = pid
        self._bytes = memory_mb * 1024 * 1024
        self._group: Path | None = None

    @property
    def caged(self) -> bool:
        return self._group is not None

    def __enter__(self) -> Self:
        root = Path("/sys/fs/cgroup")
        for parent, limit in ((root, "memory.max"), (root / "memory", "memory.limit_in_bytes")):
            group = parent / f"wuji-{self._pid}"
            with suppress(OSError):
                group.mkdir()
                if not (group / limit).exists():
                    group.rmdir()
                    continue
                (group / limit).write_text(str(self._bytes))
                (group / "cgroup.procs").write_text(str(self._pid))
                self._group = group
                break
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._group is not None:
            with suppress(OSError):  # it has ended
                (self._group.parent / "cgroup.procs").write_text(str(self._pid))
            self._group.rmdir()


def open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def allow_files(pid: int, count: int) -> None:
    """Let the process open no descriptor numbered ``count`` or more."""
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (count, hard))


def resident_mb(pid: int) -> float:
    """Memory the process holds, MiB."""
    return _status_mb(pid, "VmRSS")


def greatest_mb(pid: int) -> float:
    """Memory the process ever held at once, MiB."""
    return _status_mb(pid, "VmHWM")


def _status_mb(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)
