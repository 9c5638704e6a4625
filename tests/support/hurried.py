"""``wuji`` on clocks that go AHEAD_MS ahead at every SIGUSR1: who waits for what runs out need not wait minutes."""

import signal

import gateway.app
from gateway.__main__ import app
from gateway.clock import Clock
from signaling.ids import Monotonic, UtcMs

AHEAD_MS = 75_000
"""More than the first limit of an alarm and the moments its list is gathered for."""


class Hurried(Clock):
    """All of a process are as far ahead."""

    ahead_ms = 0

    def now(self) -> Monotonic:
        return Monotonic(super().now() + Hurried.ahead_ms / 1_000)

    def at(self) -> UtcMs:
        return UtcMs(super().at() + Hurried.ahead_ms)


def _hurry(*_: object) -> None:
    Hurried.ahead_ms += AHEAD_MS


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _hurry)
    vars(gateway.app)["Clock"] = Hurried
    app()
