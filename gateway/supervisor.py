"""Child processes that are kept running, and that never outlive whoever keeps them.

Each child leads a process group, is told to end when its parent dies (PR_SET_PDEATHSIG), and is
started again when it ends unasked: at once the first time, later with growing pauses.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

RESTART_MIN_S = 0.1
RESTART_MAX_S = 5.0
STEADY_S = 10.0
"""A child that lived this long starts over with the shortest pause."""
STOP_S = 8.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(slots=True)
class Child:
    """One kept process.  ``say`` gets a sentence whenever it ends unasked and is started again."""

    name: str
    arguments: Sequence[str]
    log_file: Path
    say: Callable[[str], None]
    environment: Mapping[str, str] = field(default_factory=dict)
    _process: asyncio.subprocess.Process | None = None
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def keep(self) -> None:
        """Run the child until ``stop``; never returns before."""
        pause_s = RESTART_MIN_S
        loop = asyncio.get_running_loop()
        try:
            while not self._stopping.is_set():
                started = loop.time()
                status = await self._once()
                if self._stopping.is_set():
                    return
                pause_s = RESTART_MIN_S if loop.time() - started > STEADY_S else min(2 * pause_s, RESTART_MAX_S)
                self.say(f"{self.name} ended ({describe(status)}) and is started again; its log: {self.log_file}")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await self._stopping.wait()
        finally:
            self._signal_group(signal.SIGKILL)

    async def stop(self) -> None:
        """Ask the child to end, and end it after ``STOP_S`` seconds."""
        self._stopping.set()
        process = self._process
        if process is None:
            return
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            self._signal_group(signal.SIGKILL)
            await process.wait()
        self._signal_group(signal.SIGKILL)

    async def _once(self) -> int:
        with self.log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
                start_new_session=True,
                preexec_fn=end_with(os.getpid()),
            )
        return await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    def _signal_group(self, number: signal.Signals) -> None:
        """Signal what is left of the child's group; the group's id is not reused while it has members."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)


def describe(status: int) -> str:
    """Return a process's return code in words."""
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-status).name}"
    return f"exit code {status}"


def end_with(parent: int) -> Callable[[], None]:
    """Return what a new child of ``parent`` runs first, so as to be told to end when ``parent`` dies (prctl(2))."""

    def run() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return run
