"""The only reader of clocks and of randomness; everything else is handed one of these.

A test hands in its own subclass and thereby owns time and identity.
"""

from __future__ import annotations

import base64
import secrets
import time

from signaling.ids import Monotonic, UtcMs

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32, lower case: sorts as the number it stands for."""

_TIME_BITS = 48
_RANDOM_BITS = 80


def spell(number: int) -> str:
    """Return ``number`` (0 <= number < 2**130) as 26 characters that sort like the number."""
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -5, -5))


class Clock:
    """Steady time, wall time, identity and secrets."""

    def __init__(self) -> None:
        self._last_id = 0

    def now(self) -> Monotonic:
        """Return seconds on the steady clock."""
        return Monotonic(time.monotonic())

    def at(self) -> UtcMs:
        """Return milliseconds since the Unix epoch, UTC."""
        return UtcMs(time.time_ns() // 1_000_000)

    def new_id(self, prefix: str = "") -> str:
        """Return an identity nobody else has: ``prefix-`` and 26 characters that sort by time of birth.

        48 bits of milliseconds, 80 random bits.  Two ids of one clock ascend even within a
        millisecond and while the wall clock steps back.
        """
        drawn = (self.at() << _RANDOM_BITS) | secrets.randbits(_RANDOM_BITS)
        if drawn <= self._last_id:
            drawn = self._last_id + 1
        self._last_id = drawn
        return f"{prefix}-{spell(drawn)}" if prefix else spell(drawn)

    def random(self) -> float:
        """Return a number in [0, 1), for jitter."""
        return secrets.randbits(53) / (1 << 53)

    def token(self, nbytes: int = 16) -> str:
        """Return ``nbytes`` unguessable bytes as unpadded base64url text."""
        return base64.urlsafe_b64encode(self.secret(nbytes)).rstrip(b"=").decode()

    def secret(self, nbytes: int) -> bytes:
        """Return ``nbytes`` unguessable bytes."""
        return secrets.token_bytes(nbytes)
