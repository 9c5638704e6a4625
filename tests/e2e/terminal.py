"""A village terminal without a screen: a WebSocket session on a thread, for what needs no browser."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import aiohttp

from tests.e2e.running import PATIENCE_S, until

Json = dict[str, Any]


class Terminal:
    """Signs in, answers every directive as a page does (delivered, then shown), and redials when cut off."""

    def __init__(self, base_url: str, token: str, *, reads: bool = True) -> None:
        self._url = base_url.replace("http", "ws", 1) + "/ws"
        self._token = token
        self._reads = reads
        self.messages: list[Json] = []
        self.rung: list[str] = []
        """Directives in the order they rang.  As on a page: what this terminal has put on its screen rings no more."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.run(self._live())

    async def _live(self) -> None:
        async with aiohttp.ClientSession() as http:
            while not self._stop.is_set():
                try:
                    async with http.ws_connect(self._url, max_msg_size=1 << 20) as socket:
                        await self._talk(socket)
                except (aiohttp.ClientError, OSError):
                    await asyncio.sleep(0.2)

    async def _talk(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        await socket.send_json({"type": "hello", "version": 1, "token": self._token, "client": "test"})
        while not self._stop.is_set():
            try:
                frame = await socket.receive(timeout=0.25)
            except TimeoutError:
                continue
            if frame.type is not aiohttp.WSMsgType.TEXT:
                return
            message = json.loads(frame.data)
            self.messages.append(message)
            if message["type"] == "directive" and message.get("mine") and self._reads:
                await self._answer(socket, message)

    async def _answer(self, socket: aiohttp.ClientWebSocketResponse, message: Json) -> None:
        stage = message["mine"]["stage"]
        if stage not in ("queued", "relayed", "delivered") or message["state"] != "issued":
            return
        if message["directive"] in self.rung:
            return
        self.rung.append(message["directive"])
        for stage in ("delivered", "shown"):
            await socket.send_json({"type": "receipt", "directive": message["directive"], "stage": stage})

    def find(self, wanted: Callable[[Json], bool]) -> Json | None:
        return next((m for m in list(self.messages) if wanted(m)), None)

    def wait_for(self, wanted: Callable[[Json], bool], *, what: str, within: float = PATIENCE_S) -> Json:
        """Return the first message that ``wanted`` accepts."""
        return until(lambda: self.find(wanted), within=within, what=what)

    def close(self) -> None:
        self._stop.set()
        self._thread.join(timeout=60)
