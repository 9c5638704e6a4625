"""Whether a gateway has time for people while something else goes on: how soon it answers, and whom it cuts off."""

from __future__ import annotations

import asyncio
import http.client
import threading
from collections.abc import Callable

import aiohttp

from gateway.clock import Clock
from signaling import codec
from signaling.messages import VERSION, Hello
from signaling.session import CloseCode

EVERY_S = 0.05
LIMIT_S = 60.0
AGAIN_S = 0.5


class Probe:
    """Asks the gateway at a port of 127.0.0.1 whether it lives, over and over; use as a context manager.

    From a thread of its own, so that what this process does meanwhile is not taken for the gateway's delay.
    """

    def __init__(self, port: int, clock: Clock) -> None:
        self.took_s: list[float] = []
        self._connect: Callable[[], http.client.HTTPConnection] = lambda: http.client.HTTPConnection(
            "127.0.0.1", port, timeout=LIMIT_S
        )
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="probe", daemon=True)

    def __enter__(self) -> Probe:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()

    def _run(self) -> None:
        connection = self._connect()
        while not self._stop.wait(EVERY_S):
            began = self._clock.now()
            try:
                connection.request("GET", "/healthz")
                connection.getresponse().read()
            except OSError:  # no answer in LIMIT_S, which counts
                connection.close()
                connection = self._connect()
            self.took_s.append(self._clock.now() - began)
        connection.close()


class Console:
    """A console that is open all the while, and reads all it is told."""

    def __init__(self) -> None:
        self.messages = 0
        self.cut_off = 0
        """How often the gateway said that it does not read."""

    async def run(self, http: aiohttp.ClientSession, url: str, token: str) -> None:
        """Stay connected until cancelled."""
        while True:
            async with http.ws_connect(f"{url}/ws", max_msg_size=0) as socket:
                await socket.send_str(codec.encode(Hello(version=VERSION, token=token)).decode())
                async for _ in socket:
                    self.messages += 1
            self.cut_off += socket.close_code == CloseCode.TOO_SLOW
            await asyncio.sleep(AGAIN_S)
