"""One link between two gateways, the same machine at both ends.

Pure: time comes in, effects go out in order.  It knows the greeting, when the peer is dead, which
batches of records wait for an acknowledgement, and how long to wait before dialling again.
Who the peer is, is for the driver to prove (``Prove``), since that takes keys.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from dataclasses import dataclass

from . import codec
from .errors import LocalError, MalformedMessage
from .ids import Epoch, Monotonic, Seq
from .messages import VERSION, LinkAck, LinkFailure, LinkHello, LinkMessage, LinkPing, LinkPong
from .session import Close, CloseCode, Count

HELLO_S = 10.0
PING_S = 1.0
"""A peer silent so long is pinged, and the line is looked at so often."""
DEAD_S = 4.0
"""A peer is dead when for so long no byte came from it and no byte of what waits for it was taken.

A frozen neighbour's kernel still takes pings, at once, so what is taken counts only while more waits: that is
a slow line at work, and our ping is behind what waits.  Any byte that comes counts, of half a message too."""
DOUBT_S = 2.5
"""A peer that showed no such life for so long may be behind a connection that stalls: another is dialled beside it."""
STUCK_S = 15.0
"""A peer that talks but takes nothing of what waits for so long does not read."""
LATE_S = 1.0
"""A tick so late means that this node stood still; the peer is given its time anew."""
WINDOW = 8
"""Batches of records that may be on the way unacknowledged."""
BATCH_BYTES = 65_536
"""Of records in one batch; one larger record travels alone.  At 64 kbit/s it takes 8 s, no silence: see DEAD_S."""
BATCH_ROWS = 1_000
REST_S = 0.02
"""Between two batches: under load the second carries what many would have carried."""
FORGIVEN = 3
LASTING = frozenset({"link_records", "link_ack", "link_failure", None})
"""Types of messages that no later version may change: what they carry must not be passed over."""

BACKOFF_FIRST_S = 0.5
BACKOFF_SHORT_S = 1.5
BACKOFF_SHORT_ATTEMPTS = 15
"""A restarted neighbour is back within seconds, so the first attempts stay close together."""
BACKOFF_LAST_S = 15.0


def backoff_s(attempt: int, draw: float) -> float:
    """Return seconds to wait before dialling again.

    Args:
        attempt: Failures since the last link that worked, 0 for the first.
        draw: Uniform in 0..1, so that the children of a restarted node do not return in step.

    Returns:
        0.5 to 1.5 s for the first fifteen attempts, growing to 15 s.
    """
    growth = 1.5 ** min(max(0, attempt - BACKOFF_SHORT_ATTEMPTS), 20)
    ceiling = min(BACKOFF_LAST_S, BACKOFF_SHORT_S * growth)
    return BACKOFF_FIRST_S + (ceiling - BACKOFF_FIRST_S) * draw


@dataclass(frozen=True, slots=True)
class Line:
    """What the socket knows of the line below the messages.

    Attributes:
        silent_s: Seconds since the last byte came in, of a whole message or not.
        taken: Bytes of ours that the peer's host has acknowledged since the connection began.
        waiting: Whether more of ours wait than a ping or two, here or on the way.
    """

    silent_s: float = math.inf
    taken: int = 0
    waiting: bool = False


@dataclass(frozen=True, slots=True)
class Prove:
    """Check the peer's token and place in the tree; then call ``accepted`` or ``refused``."""

    hello: LinkHello


@dataclass(frozen=True, slots=True)
class Handle:
    message: LinkMessage


@dataclass(frozen=True, slots=True)
class Say:
    message: LinkMessage


@dataclass(frozen=True, slots=True)
class Acked:
    """The peer holds our records after ``after`` up to ``seq``, durably."""

    after: Seq
    seq: Seq


Effect = Prove | Handle | Say | Acked | Count | Close


class Phase(enum.Enum):
    GREETING = "greeting"
    CHECKING = "checking"
    UP = "up"
    CLOSED = "closed"


class Link:
    """The machine of one WebSocket between gateways."""

    def __init__(self, epoch: Epoch, now: Monotonic) -> None:
        self.phase = Phase.GREETING
        self.version = VERSION
        """The peer's, once it is accepted."""
        self.rtt_s: float | None = None
        self.doubtful = False
        """No life for DOUBT_S when last looked at, and none since."""
        self._epoch = epoch
        self._opened = now
        self._heard = now
        self._taken = now
        """When something waiting was last taken while more waited: a slow line at work."""
        self._free = now
        """When nothing waited, or something was taken."""
        self._looked = now
        self._line = Line()
        self._asked: tuple[int, Monotonic] | None = None
        self._pings = 0
        self._acked = Seq(0)
        self._outstanding: deque[Seq] = deque()
        self._strikes = 0

    @property
    def window_open(self) -> bool:
        """Whether another batch may be sent now."""
        return self.phase is Phase.UP and len(self._outstanding) < WINDOW

    def lively(self, now: Monotonic) -> bool:
        """Return whether the peer has shown life within DOUBT_S, or could not, since this node stood still."""
        stood_still = now - self._looked > PING_S + LATE_S
        return self.phase is Phase.UP and (stood_still or now - self._alive < DOUBT_S)

    def accepted(self, hello: LinkHello, head: Seq, now: Monotonic) -> Seq:
        """The peer is who it says; return the sequence number to send from.

        A cursor in another journal, or beyond ``head`` (ours was restored from a copy), means from the start.
        """
        if self.phase is not Phase.CHECKING:
            raise LocalError(f"accepted while {self.phase.value}")
        self.phase = Phase.UP
        self.version = hello.version
        self._heard = self._free = self._looked = now
        known = hello.epoch == self._epoch and 0 <= hello.seq <= head
        self._acked = hello.seq if known else Seq(0)
        return self._acked

    def refused(self, code: str, text: str) -> tuple[Effect, ...]:
        return (Count(code), Say(LinkFailure(code=code, text=text)), *self._close(CloseCode.REFUSED, code))

    def sent(self, last: Seq) -> None:
        """A batch ending at ``last`` is on its way."""
        if not self.window_open:
            raise LocalError("a batch beyond the window")
        self._outstanding.append(last)

    def receive(self, data: bytes, now: Monotonic) -> tuple[Effect, ...]:
        if self.phase is Phase.CLOSED:
            return ()
        self._heard = now
        self.doubtful = False
        try:
            return self._take(codec.decode_link(data), now)
        except MalformedMessage as error:
            if self.phase is Phase.UP and self.version > VERSION and codec.kind(data) not in LASTING:
                return (Count(error.code),)  # a newer neighbour says more; it lasts a moment and is passed over
            return self._forgive(error.code, str(error))

    def deadline(self) -> Monotonic | None:
        match self.phase:
            case Phase.CLOSED:
                return None
            case Phase.UP:
                return Monotonic(min(self._alive + DEAD_S, self._looked + PING_S))
            case _:
                return Monotonic(self._opened + HELLO_S)

    @property
    def _alive(self) -> Monotonic:
        return max(self._heard, self._taken)

    def tick(self, now: Monotonic, line: Line = Line()) -> tuple[Effect, ...]:
        """Call at ``deadline``, with what the socket knows then."""
        deadline = self.deadline()
        if deadline is None or now < deadline:
            return ()
        if self.phase is not Phase.UP:
            return self._close(CloseCode.HELLO_TIMEOUT, f"no hello within {HELLO_S:.0f} s")
        if now - deadline > LATE_S:
            self._heard = self._free = now
        self._look(line, now)
        self.doubtful = now - self._alive >= DOUBT_S
        if now - self._alive >= DEAD_S:
            return self._close(CloseCode.DEAD, f"nothing heard for {DEAD_S:.0f} s")
        if now - self._free >= STUCK_S:
            return self._close(CloseCode.TOO_SLOW, f"nothing taken for {STUCK_S:.0f} s")
        if now - self._heard < PING_S or line.waiting:
            return ()
        self._pings = (self._pings + 1) & 0xFFFFFFFF
        if self._asked is None:
            self._asked = (self._pings, now)
        return (Say(LinkPing(number=self._pings)),)

    def _look(self, line: Line, now: Monotonic) -> None:
        before, self._line, self._looked = self._line, line, now
        self._heard = Monotonic(max(self._heard, now - line.silent_s))
        if line.waiting and before.waiting and line.taken > before.taken:
            self._taken = now
        if not line.waiting or line.taken > before.taken:
            self._free = now

    def _take(self, message: LinkMessage, now: Monotonic) -> tuple[Effect, ...]:
        match self.phase, message:
            case _, LinkFailure(code=code):
                return (Handle(message), *self._close(CloseCode.REFUSED, code))
            case Phase.GREETING, LinkHello():
                self.phase = Phase.CHECKING
                return (Prove(message),)
            case Phase.UP, LinkPing(number=number):
                return (Say(LinkPong(number=number)),)
            case Phase.UP, LinkPong(number=number):
                return self._ponged(number, now)
            case Phase.UP, LinkAck():
                return self._ack(message)
            case Phase.UP, LinkHello():
                return self._forgive("unexpected-message", "hello was said before")
            case Phase.UP, _:
                return (Handle(message),)
            case _:
                return self._forgive("unexpected-message", "say hello first")

    def _ponged(self, number: int, now: Monotonic) -> tuple[Effect, ...]:
        if self._asked is not None and self._asked[0] == number:
            self.rtt_s = now - self._asked[1]
            self._asked = None
        return ()

    def _ack(self, ack: LinkAck) -> tuple[Effect, ...]:
        if ack.epoch != self._epoch or ack.seq <= self._acked:
            return ()  # of a journal that is no more, or a repeat
        if not self._outstanding or ack.seq > self._outstanding[-1]:
            return self._forgive("unexpected-message", f"ack of {ack.seq}, which was not sent")
        while self._outstanding and self._outstanding[0] <= ack.seq:
            self._outstanding.popleft()
        after, self._acked = self._acked, ack.seq
        return (Acked(after, ack.seq),)

    def _forgive(self, code: str, text: str) -> tuple[Effect, ...]:
        self._strikes += 1
        if self.phase is Phase.UP and self._strikes < FORGIVEN:
            return (Count(code),)  # a failure that is said ends the link
        return (Count(code), Say(LinkFailure(code=code, text=text)), *self._close(CloseCode.MALFORMED, text))

    def _close(self, code: CloseCode, text: str) -> tuple[Effect, ...]:
        self.phase = Phase.CLOSED
        return (Count(f"close-{int(code)}"), Close(code, text))
