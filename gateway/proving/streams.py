"""A bad network for TCP in front of one server: slow, late, silent, stranded or cut."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from .network import CLEAN, Way

Address = tuple[str, int]
CHUNK_BYTES = 16_384


@dataclass(eq=False)
class _Connection:
    """A client's connection and ours to the server; ``stranded``: both stay open and nothing passes any more."""

    ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter]
    stranded: bool = False

    def abort(self) -> None:
        for end in self.ends:
            end.transport.abort()

    async def gone(self) -> None:
        for end in self.ends:
            await vanished(end)


async def vanished(writer: asyncio.StreamWriter) -> None:
    """Return once the socket is closed, however it ended."""
    with suppress(OSError):
        await writer.wait_closed()


class Streams:
    """Stands at ``port`` of 127.0.0.1 for ``server``.

    ``up`` is the way towards the server, ``down`` the way back; both may be replaced while it runs.
    """

    def __init__(self, server: Address) -> None:
        self.up = Way(CLEAN, "")
        self.down = Way(CLEAN, "")
        self._server = server
        self._connections: set[_Connection] = set()
        self._open = asyncio.Event()
        self._open.set()
        self._refusing = False
        self._loop = asyncio.get_running_loop()
        self._listener: asyncio.Server
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(cls, server: Address, port: int = 0) -> Self:
        """Listen at ``port`` (0: any free one)."""
        made = cls(server)
        made._listener = await asyncio.start_server(made._accept, "127.0.0.1", port)
        return made

    @property
    def port(self) -> int:
        return int(self._listener.sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        return len(self._connections)

    def cut(self) -> None:
        """End every connection with a reset and refuse new ones until ``mend``."""
        self._refusing = True
        for connection in self._connections:
            connection.abort()

    def hold(self) -> None:
        """Let nothing pass and end nothing until ``mend``: a black hole.  What is sent waits with its sender."""
        self._open.clear()

    def strand(self) -> None:
        """Half-open: today's connections never pass anything again, nor end; new ones are good."""
        for connection in self._connections:
            connection.stranded = True

    def mend(self) -> None:
        """Take ``cut`` and ``hold`` back."""
        self._refusing = False
        self._open.set()

    def turn(self, server: Address) -> None:
        """Stand for another server from now on; connections to the one before end with a reset."""
        self._server = server
        for connection in self._connections:
            connection.abort()

    async def close(self) -> None:
        self._listener.close()
        connections = list(self._connections)
        for connection in connections:
            connection.abort()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in connections:
            await connection.gone()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            await vanished(writer)
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            server_reader, server_writer = await asyncio.open_connection(*self._server)
        except OSError:  # nobody listens there now
            writer.transport.abort()
            await vanished(writer)
            return
        with suppress(asyncio.CancelledError):  # by ``close`` only, which waits for this task's end
            await self._serve(_Connection((writer, server_writer)), reader, server_reader)

    async def _serve(self, connection: _Connection, client: asyncio.StreamReader, server: asyncio.StreamReader) -> None:
        self._connections.add(connection)
        writer, server_writer = connection.ends
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(connection, client, server_writer, upwards=True))
                tasks.create_task(self._pump(connection, server, writer, upwards=False))
            for end in connection.ends:
                end.close()  # after what it still has to send
        finally:
            self._connections.discard(connection)
        await connection.gone()

    async def _pump(
        self, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, upwards: bool
    ) -> None:
        """Carry one direction until its end; chunks on their way do not wait for each other's delay."""
        due: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)
        delivering = asyncio.create_task(self._deliver(due, connection, writer))
        last = 0.0
        try:
            with suppress(OSError):  # a reset
                while chunk := await reader.read(CHUNK_BYTES):
                    await self._open.wait()
                    at = (self.up if upwards else self.down).stream(len(chunk), self._loop.time(), last)
                    if at is None:
                        connection.stranded = True  # a lost segment that never comes holds all that follows
                    else:
                        last = at
                        await due.put((at, chunk))
            await due.put((self._loop.time(), b""))
            await delivering
        finally:
            delivering.cancel()
        with suppress(OSError):  # it may have gone meanwhile
            if not connection.stranded and not writer.is_closing():
                writer.write_eof()

    async def _deliver(
        self, due: asyncio.Queue[tuple[float, bytes]], connection: _Connection, writer: asyncio.StreamWriter
    ) -> None:
        lost = False
        while True:
            at, chunk = await due.get()
            if not chunk:
                return
            await asyncio.sleep(at - self._loop.time())
            await self._open.wait()
            if lost or connection.stranded:
                continue
            try:
                writer.write(chunk)
                await writer.drain()
            except OSError:
                lost = True
