"""How long a gateway takes to answer while something else goes on."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable

from gateway.clock import Clock

EVERY_S = 0.05
LIMIT_S = 60.0


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
