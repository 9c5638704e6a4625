"""One ``/ws`` session: who may speak, how fast, and how often nonsense is forgiven.

Pure: time comes in, effects go out in the order they must be carried out.  A session waits for
``Hello``, is asked about by ``Authenticate``, lives, and is closed; nothing follows a ``Close``.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from . import codec, versions
from .errors import LocalError, MalformedMessage, Refused
from .ids import Monotonic
from .messages import ClientMessage, Failure, GatewayMessage, Hello

HELLO_S = 10.0
RATE_PER_S = 50.0
BURST = 50.0
FORGIVEN = 3
"""Malformed messages answered; the last of them closes the socket."""


class CloseCode(enum.IntEnum):
    """Why the gateway closed (RFC 6455 section 7.4.2: 4000-4999 are ours).  Stable."""

    GOING_AWAY = 1001
    HELLO_TIMEOUT = 4001
    MALFORMED = 4002
    REFUSED = 4003
    DEAD = 4004
    REPLACED = 4005
    TOO_FAST = 4008
    TOO_SLOW = 4009


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Check the token; then call ``accepted`` or ``refused``."""

    hello: Hello


@dataclass(frozen=True, slots=True)
class Handle:
    message: ClientMessage


@dataclass(frozen=True, slots=True)
class Say:
    message: GatewayMessage


@dataclass(frozen=True, slots=True)
class Count:
    """One more refusal with this stable code."""

    code: str


@dataclass(frozen=True, slots=True)
class Close:
    code: CloseCode
    text: str


Effect = Authenticate | Handle | Say | Count | Close


class Phase(enum.Enum):
    GREETING = "greeting"  # no Hello yet
    CHECKING = "checking"  # the token is being looked at
    LIVE = "live"
    CLOSED = "closed"


class Session:
    """The machine of one socket, from its first byte to its close."""

    def __init__(self, now: Monotonic) -> None:
        self.phase = Phase.GREETING
        self._opened = now
        self._bucket = BURST
        self._filled = now
        self._strikes = 0
        self._expires: Monotonic | None = None

    def deadline(self) -> Monotonic | None:
        """Return when ``tick`` must be called, or None."""
        match self.phase:
            case Phase.GREETING | Phase.CHECKING:
                return Monotonic(self._opened + HELLO_S)
            case Phase.LIVE:
                return self._expires
            case Phase.CLOSED:
                return None

    def tick(self, now: Monotonic) -> tuple[Effect, ...]:
        deadline = self.deadline()
        if deadline is None or now < deadline:
            return ()
        if self.phase is Phase.LIVE:
            return self.refused("token-expired", "the sign-in is over; sign in again")
        return self._close(CloseCode.HELLO_TIMEOUT, f"no hello within {HELLO_S:.0f} s")

    def receive(self, data: bytes, now: Monotonic) -> tuple[Effect, ...]:
        """Take one frame off the socket."""
        if self.phase is Phase.CLOSED:
            return ()
        if not self._spend(now):
            return self._close(CloseCode.TOO_FAST, f"more than {RATE_PER_S:.0f} messages a second")
        try:
            return self._take(codec.decode_client(data))
        except MalformedMessage as error:
            return self._forgive(error.code, str(error))

    def accepted(self, expires: Monotonic | None = None) -> None:
        """The token was good; it ends at ``expires``, and the session with it."""
        if self.phase is not Phase.CHECKING:
            raise LocalError(f"accepted while {self.phase.value}")
        self.phase = Phase.LIVE
        self._expires = expires

    def refused(self, code: str, text: str) -> tuple[Effect, ...]:
        """The token was not."""
        return (Count(code), Say(Failure(code=code, text=text)), *self._close(CloseCode.REFUSED, code))

    def _take(self, message: ClientMessage) -> tuple[Effect, ...]:
        match self.phase, message:
            case Phase.GREETING, Hello():
                return self._greeted(message)
            case Phase.LIVE, Hello():
                return self._forgive("unexpected-message", "hello was said before")
            case Phase.LIVE, _:
                return (Handle(message),)
            case _:
                return self._forgive("unexpected-message", "say hello first")

    def _greeted(self, hello: Hello) -> tuple[Effect, ...]:
        try:
            versions.check_terminal(hello)
        except Refused as error:
            return self.refused(error.code, str(error))
        self.phase = Phase.CHECKING
        return (Authenticate(hello),)

    def _forgive(self, code: str, text: str) -> tuple[Effect, ...]:
        self._strikes += 1
        said = (Count(code), Say(Failure(code=code, text=text)))
        if self._strikes < FORGIVEN:
            return said
        return (*said, *self._close(CloseCode.MALFORMED, f"{FORGIVEN} malformed messages"))

    def _close(self, code: CloseCode, text: str) -> tuple[Effect, ...]:
        self.phase = Phase.CLOSED
        return (Count(f"close-{int(code)}"), Close(code, text))

    def _spend(self, now: Monotonic) -> bool:
        self._bucket = min(BURST, self._bucket + (now - self._filled) * RATE_PER_S)
        self._filled = now
        if self._bucket < 1.0:
            return False
        self._bucket -= 1.0
        return True
