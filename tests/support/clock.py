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
        self._stepped = 0

    def now(self) -> Monotonic:
        return Monotonic((self._at - self._begun) / 1000)

    def at(self) -> UtcMs:
        return UtcMs(self._at + self._stepped)

    def advance(self, ms: int) -> UtcMs:
        self._at += ms
        return self.at()

    def step(self, ms: int) -> None:
        """Set the wall clock so much ahead; the steady clock does not notice."""
        self._stepped += ms

    def new_id(self, prefix: str = "") -> str:
        self._drawn += 1
        return f"{prefix}-{spell(self._drawn)}" if prefix else spell(self._drawn)

    def random(self) -> float:
        return 0.5

    def token(self, nbytes: int = 16) -> str:
        self._drawn += 1
        return spell(self._drawn)[-nbytes:]
