"""Gateways in a line of descent, each a process of its own, and between each two a line that can be cut.

They are started as anybody would start them and kept by the demo's supervisor: one that is killed is back in a
moment, on its data and its port.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import aiohttp

from gateway.auth import Auth
from gateway.clock import Clock
from gateway.demo import TIERS, Node, prepare, taken_ports, wuji
from gateway.embedded import EmbeddedServer
from gateway.reference import to_toml
from gateway.supervisor import Child
from signaling.records import Actor

from .streams import Streams

READY_S = 300.0
POLL_S = 0.05


class ChainError(Exception):
    """The gateways do not start; the text says what to look at."""


class BusServer(Protocol):
    """The Redis of all gateways; ``url`` is valid from construction on."""

    url: str

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


class Chain:
    """The running gateways of ``tiers``, from the top down.  Use as an async context manager.

    Attributes:
        lines: Of each node but the top the line to its parent.
        restarts: What the supervisor said.
    """

    def __init__(
        self,
        directory: Path,
        tiers: Sequence[str],
        base_port: int,
        bus: BusServer | None = None,
        prepare: Callable[[Path, int], Iterable[Node]] = prepare,
    ) -> None:
        """``tiers``: neighbours in ``TIERS``.  ``base_port`` and the four after it are theirs; so is ``bus``.

        ``prepare`` writes what the nodes of those tiers need into a directory: the demo's, unless told otherwise.

        Raises:
            ChainError: A port is in use.
        """
        self.directory = directory.resolve()
        self.tiers = tuple(tiers)
        self.lines: dict[str, Streams] = {}
        self.restarts: list[str] = []
        if taken := taken_ports(range(base_port, base_port + len(TIERS))):
            raise ChainError(f"ports in use: {', '.join(taken)}; choose others with --base-port")
        everybody = {node.tier: node for node in prepare(self.directory, base_port)}
        self.nodes: Mapping[str, Node] = {tier: everybody[tier] for tier in self.tiers}
        self.http: aiohttp.ClientSession
        self.bus: BusServer = bus or EmbeddedServer(self.directory)
        self._children: dict[str, Child] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self.http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        try:
            await self.bus.start()
            for upper, lower in zip(self.tiers, self.tiers[1:], strict=False):
                self.lines[lower] = await Streams.open(("127.0.0.1", self.nodes[upper].config.http.port))
            for tier in self.tiers:
                self._start(tier)
            for tier in self.tiers:
                await self.until(lambda tier=tier: self.ready(tier), f"{tier} is ready")  # type: ignore[misc]
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End every process and line; the journals stay."""
        await asyncio.gather(*(child.stop() for child in self._children.values()))
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for line in self.lines.values():
            await line.close()
        await self.http.close()
        await self.bus.stop()

    # ---- what is done to them --------------------------------------------------------------------

    def signal(self, tier: str, number: signal.Signals) -> None:
        """Send the process of ``tier`` a signal; SIGKILL is a power cut, and it is started again."""
        pid = self.pid(tier)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def program(self, tier: str) -> list[str]:
        """Return the command that serves ``tier``."""
        return wuji("node", "--config", str(self.nodes[tier].file))

    def replace(self, tier: str) -> None:
        """End the gateway of ``tier``; ``program``, as it is now, is started in its place."""
        self._children[tier].arguments = self.program(tier)
        self.signal(tier, signal.SIGTERM)

    # ---- what is asked of them -------------------------------------------------------------------

    def pid(self, tier: str) -> int | None:
        """Return the process id of ``tier``'s gateway while it runs."""
        return self._children[tier].pid

    def token(self, tier: str, who: Actor) -> str:
        with contextlib.closing(Auth(self.nodes[tier].config, Clock())) as auth:
            return auth.mint(who, 86_400)

    async def ready(self, tier: str) -> bool:
        """Return whether it serves, linked to its parent and its Redis."""
        checks = await self.checks(tier)
        return bool(checks) and all(said == "ok" for said in checks.values())

    async def repeats(self) -> float:
        """Return how many orders the nodes were sent that they had; a killed node forgets its count."""
        return sum([await self.metric(tier, 'wuji_repeats_total{kind="directive"}') for tier in self.tiers])

    async def metric(self, tier: str, name: str) -> float:
        """Return a sample of the node's metrics, 0 while it does not serve or has not counted."""
        try:
            async with self.http.get(f"{self.nodes[tier].url}/metrics", timeout=aiohttp.ClientTimeout(5)) as answer:
                rows = (await answer.text()).splitlines()
        except (aiohttp.ClientError, OSError, TimeoutError):
            return 0.0
        return sum(float(row.rpartition(" ")[2]) for row in rows if row.rpartition(" ")[0] == name)

    async def until(self, condition: Callable[[], Any], what: str, within_s: float = READY_S) -> None:
        """Return once ``condition()``, awaited, is true.

        Raises:
            ChainError: Not within ``within_s``.
        """
        try:
            async with asyncio.timeout(within_s):
                while not await condition():  # noqa: ASYNC110
                    await asyncio.sleep(POLL_S)  # another process: nothing here to wait on
        except TimeoutError:
            raise ChainError(f"never came true: {what}; see {self.directory / 'log'}") from None

    async def checks(self, tier: str) -> dict[str, str]:
        """Return what ``/readyz`` says of each check, nothing while it does not serve."""
        try:
            async with self.http.get(f"{self.nodes[tier].url}/readyz", timeout=aiohttp.ClientTimeout(5)) as answer:
                found: dict[str, str] = (await answer.json(content_type=None)).get("checks", {})
                return found
        except (aiohttp.ClientError, OSError, TimeoutError, json.JSONDecodeError):
            return {}

    def _start(self, tier: str) -> None:
        node = self.nodes[tier]
        table = tomllib.loads(node.file.read_text(encoding="utf-8"))
        if tier in self.lines:
            table["uplink"]["url"] = f"ws://127.0.0.1:{self.lines[tier].port}/link"
        else:
            table.pop("uplink", None)
        node.file.write_text(to_toml(table), encoding="utf-8")
        log_file = self.directory / "log" / f"{tier}.log"
        log_file.write_bytes(b"")
        environment = {"WUJI__BUS__URL": self.bus.url}
        child = Child(tier, self.program(tier), log_file, self.restarts.append, environment)
        self._children[tier] = child
        self._tasks.append(asyncio.create_task(child.keep()))
