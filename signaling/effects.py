"""What every durable machine may say besides "append this": nothing new, or no."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Repeat:
    """Known already: nothing changes, and the asker is answered as the first time."""


@dataclass(frozen=True, slots=True)
class Deny:
    """A lawful request that cannot be granted, or not yet.  ``code`` is stable."""

    code: str
    text: str
