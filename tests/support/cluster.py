"""Real gateways in one process, linked over loopback: journals on disk, sockets, engine; no Redis."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Self

import aiohttp

from gateway.app import Node
from signaling import codec
from signaling.ids import NodeCode
from signaling.messages import ClientMessage, GatewayMessage, Hello
from signaling.records import Actor

from .edge import settings
from .places import COUNTY, TOWNSHIP, VILLAGE
from .ports import free_ports

LIMIT_S = 60.0
"""For what takes a second: a machine may be busy with something else."""


async def until(condition: Callable[[], object], what: str = "") -> None:
    """Return once ``condition`` holds; fail after LIMIT_S."""
    try:
        async with asyncio.timeout(LIMIT_S):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"never came true: {what or condition}") from None


class Running:
    """One gateway that can be stopped and started again on its data and its port."""

    def __init__(
        self, folder: Path, code: NodeCode, uplink: str | None, sections: dict[str, dict[str, Any]] | None = None
    ) -> None:
        self.code = code
        self._sections = sections or {}
        self.node: Node
        self._folder = folder
        self._uplink = uplink
        self._port = free_ports()
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        scheme = "https" if "tls_cert" in self._sections.get("http", {}) else "http"
        return f"{scheme}://127.0.0.1:{self._port}"

    async def start(self) -> Self:
        sections: dict[str, dict[str, Any]] = {
            "http": {"port": self._port, "shutdown_s": 0.2},
            "bus": {"url": f"unix://{self._folder}/nobody.sock"},
        }
        if self._uplink is not None:
            sections["uplink"] = {"url": f"{self._uplink.replace('http', 'ws')}/link"}
        for name, values in self._sections.items():
            sections[name] = {**sections.get(name, {}), **values}
        config = settings(self._folder, self.code, **sections)
        self.node = await Node.build(config)
        started: asyncio.Future[Node] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self.node.run(started))
        waiting: list[asyncio.Future[Any]] = [started, self._task]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            await self._task
        return self

    async def stop(self) -> None:
        if self._task is not None:
            self.node.stop.set()
            task, self._task = self._task, None
            await task

    def token(self, who: Actor) -> str:
        return self.node.auth.mint(who)


class Terminal:
    """A program at a terminal: says and remembers messages."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.heard: list[GatewayMessage] = []
        self._task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async for frame in self.socket:
            self.heard.append(codec.decode_gateway(frame.data.encode()))

    async def say(self, message: ClientMessage) -> None:
        await self.socket.send_str(codec.encode(message).decode())

    async def raw(self, text: str) -> None:
        await self.socket.send_str(text)

    async def hear(
        self, kind: type[Any] | tuple[type[Any], ...], where: Callable[[Any], object] = lambda _: True
    ) -> Any:
        """Return the first message of ``kind`` that fits, waiting for it."""

        def found() -> list[Any]:
            return [message for message in self.heard if isinstance(message, kind) and where(message)]

        await until(found, f"{kind} among {[type(m).__name__ for m in self.heard]}")
        return found()[0]

    async def closed(self) -> int | None:
        """Return the close code once the gateway has closed."""
        async with asyncio.timeout(LIMIT_S):
            await self._task
        return self.socket.close_code

    async def close(self) -> None:
        await self.socket.close()
        await self._task


class Cluster:
    """County, township and village, in a line."""

    def __init__(self, county: Running, township: Running, village: Running, client: aiohttp.ClientSession) -> None:
        self.county = county
        self.township = township
        self.village = village
        self.client = client
        self.terminals: list[Terminal] = []

    @property
    def all(self) -> tuple[Running, ...]:
        return (self.county, self.township, self.village)

    async def linked(self) -> None:
        """Return once both links are up, seen from both ends."""
        for upper, lower in ((self.county, self.township), (self.township, self.village)):
            await until(lambda upper=upper, lower=lower: lower.code in upper.node.links.up, "link seen from above")
            await until(lambda upper=upper, lower=lower: upper.code in lower.node.links.up, "link seen from below")

    async def connect(self, running: Running) -> Terminal:
        """Open a socket that has said nothing yet."""
        terminal = Terminal(await self.client.ws_connect(f"{running.url}/ws", autoping=True))
        self.terminals.append(terminal)
        return terminal

    async def sign_in(self, running: Running, who: Actor) -> Terminal:
        terminal = await self.connect(running)
        await terminal.say(Hello(version=1, token=running.token(who)))
        return terminal

    async def call(
        self, running: Running, who: Actor, method: str, path: str, body: object = None
    ) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {running.token(who)}"}
        async with self.client.request(method, f"{running.url}/api/v1/{path}", json=body, headers=headers) as response:
            return response.status, json.loads(await response.text())


@contextlib.asynccontextmanager
async def cluster(folder: Path, township: dict[str, dict[str, Any]] | None = None) -> AsyncIterator[Cluster]:
    """Run three gateways, linked; all are stopped at the end.  ``township`` are settings of the middle one."""
    async with contextlib.AsyncExitStack() as stack:
        county = await Running(folder, COUNTY, None).start()
        stack.push_async_callback(county.stop)
        middle = await Running(folder, TOWNSHIP, county.url, township).start()
        stack.push_async_callback(middle.stop)
        village = await Running(folder, VILLAGE, middle.url).start()
        stack.push_async_callback(village.stop)
        client = await stack.enter_async_context(aiohttp.ClientSession())
        made = Cluster(county, middle, village, client)
        await made.linked()
        yield made
        for terminal in made.terminals:
            await terminal.close()
