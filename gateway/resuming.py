"""Seats that outlive their socket: kept for a while, and taken over by the session that names the lost one.

A terminal that moves from one network to another loses its WebSocket and keeps its media; it must not have
to leave and join again.  Whoever closes on purpose leaves at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from signaling.ids import ParticipantId
from signaling.records import Actor

from . import telemetry

KEPT_S = 12.0
"""As long as silent media is waited for: the page dials again within a second."""


class Sitter(Protocol):
    """A session that may have a seat."""

    who: Actor
    resume: str
    participant: ParticipantId | None

    def replaced(self) -> None:
        """Another session goes on in its place: close."""
        ...


class Resuming:
    """Sessions by what they may be resumed with.

    Args:
        leave: Called when nobody came for a seat.
    """

    def __init__(self, leave: Callable[[ParticipantId], None]) -> None:
        self._leave = leave
        self._live: dict[str, Sitter] = {}
        self._lost: dict[str, tuple[Sitter, asyncio.TimerHandle]] = {}

    def opened(self, sitter: Sitter) -> None:
        self._live[sitter.resume] = sitter

    def closed(self, sitter: Sitter, *, lost: bool) -> bool:
        """Note that its socket is gone; return whether its seat is kept."""
        self._live.pop(sitter.resume, None)
        if not lost or sitter.participant is None:
            return False
        timer = asyncio.get_running_loop().call_later(KEPT_S, self._give_up, sitter.resume)
        self._lost[sitter.resume] = (sitter, timer)
        return True

    def take(self, resume: str, who: Actor) -> ParticipantId | None:
        """Return the seat of the session that was to be resumed so, which is over then; None if there is none.

        Its socket may look open yet: a network that went away tells nobody.
        """
        sitter = self._live.get(resume)
        lost = self._lost.get(resume)
        found = sitter if lost is None else lost[0]
        if found is None or found.who != who:
            telemetry.count("session_refused", code="unknown-resume")
            return None
        participant, found.participant = found.participant, None
        if lost is not None:
            lost[1].cancel()
            del self._lost[resume]
        else:
            found.replaced()
        telemetry.count("sessions_resumed")
        return participant

    def _give_up(self, resume: str) -> None:
        sitter, _ = self._lost.pop(resume)
        if sitter.participant is not None:
            self._leave(sitter.participant)
