"""The node's packet engine as another process uses it: peers elsewhere, so that what they cost is not the node's."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from media import _native

CALLS = frozenset({"add_transport", "set_keys", "add_source", "add_sink", "route", "stats"})
SPAWN = multiprocessing.get_context("spawn")
Load = Callable[["Far", dict[str, Any]], dict[str, Any]]


class Far:
    """The peers' side: passes on the calls that a peer makes."""

    def __init__(self, pipe: Connection, port: int) -> None:
        self.port = port
        self._pipe = pipe

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*positional: Any, **named: Any) -> Any:
            return self._ask(name, positional, named)

        return call

    def go_on(self) -> bool:
        """Whether what is measured is not over."""
        return bool(self._ask("go_on", (), {}))

    def ready(self) -> None:
        """Wait until everybody is."""
        self._ask("ready", (), {})

    def _ask(self, name: str, positional: tuple[Any, ...], named: dict[str, Any]) -> Any:
        self._pipe.send((name, positional, named))
        return self._pipe.recv()


def _run(load: Load, pipe: Connection, port: int, given: dict[str, Any]) -> None:
    pipe.send(("done", (load(Far(pipe, port), given),), {}))


class Loads:
    """The node's side: runs loads at the same time, each in a process of its own."""

    def __init__(self, engine: _native.Engine) -> None:
        self.over = False
        """Loads that ask are told to stop."""
        self._engine = engine

    async def run(self, *loads: tuple[Load, dict[str, Any]], limit_s: float) -> list[dict[str, Any]]:
        """Return what each load found, in order.  None begins before all are ready."""
        barrier = asyncio.Barrier(len(loads))
        async with asyncio.timeout(limit_s), asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._one(load, given, barrier)) for load, given in loads]
        return [task.result() for task in tasks]

    async def _one(self, load: Load, given: dict[str, Any], barrier: asyncio.Barrier) -> dict[str, Any]:
        ours, theirs = SPAWN.Pipe()
        process = SPAWN.Process(target=_run, args=(load, theirs, self._engine.port, given), daemon=True)
        process.start()
        theirs.close()
        transports: list[int] = []
        try:
            return await self._serve(ours, barrier, transports)
        finally:
            for transport in transports:
                self._engine.drop_transport(transport)
            await asyncio.to_thread(self._end, process)
            ours.close()

    @staticmethod
    def _end(process: Any) -> None:
        process.join(5)
        process.kill()
        process.join()
        process.close()

    async def _serve(self, pipe: Connection, barrier: asyncio.Barrier, transports: list[int]) -> dict[str, Any]:
        while True:
            await _readable(pipe)
            name, positional, named = pipe.recv()
            if name == "done":
                found: dict[str, Any] = positional[0]
                return found
            if name == "ready":
                await barrier.wait()
                pipe.send(None)
                continue
            if name == "go_on":
                pipe.send(not self.over)
                continue
            assert name in CALLS, name
            if name == "add_transport":
                transports.append(positional[0])
            pipe.send(getattr(self._engine, name)(*positional, **named))


async def _readable(pipe: Connection) -> None:
    loop = asyncio.get_running_loop()
    came = asyncio.Event()
    loop.add_reader(pipe.fileno(), came.set)
    try:
        await came.wait()
    finally:
        loop.remove_reader(pipe.fileno())
