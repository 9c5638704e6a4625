"""A clock that stands still until it is told to move, and draws the same ids every time."""

from gateway.clock import Clock, spell
from signaling.ids import Monotonic, UtcMs

START = UtcMs(1_760_000_000_000)


class FakeClock(Clock):
    """``serial`` keeps the ids of several clocks in one test apart."""

    def __init__(self, at: int = START, serial: int = 0) -> None:
        super().__init__()
        self._at = at
        self._begun = at
        self._drawn = serial << 64

    def now(self) -> Monotonic:
        return Monotonic((self._at - self._begun) / 1000)

    def at(self) -> UtcMs:
        return UtcMs(self._at)

    def advance(self, ms: int) -> UtcMs:
        self._at += ms
        return UtcMs(self._at)

    def new_id(self, prefix: str = "") -> str:
        self._drawn += 1
        return f"{prefix}-{spell(self._drawn)}" if prefix else spell(self._drawn)

    def random(self) -> float:
        return 0.5

    def token(self, nbytes: int = 16) -> str:
        self._drawn += 1
        return spell(self._drawn)[-nbytes:]
