"""The newest whole picture of a participant, wherever it is: for snapshots.

A hidden seat wants the picture for a moment, so that the links between carry it; nobody sees the seat.
"""

from __future__ import annotations

import asyncio

from media.engine import Engine
from signaling.errors import Refused
from signaling.ids import ConferenceId, NodeCode, ParticipantId
from signaling.messages import ParticipantView
from signaling.seating import Seat, Seating

from .clock import Clock
from .switching import Switching

PICTURE_S = 4.0
PICTURE_POLL_S = 0.05
"""The engine has no event for a keyframe, so it is asked again and again."""


class Keyframes:
    """Looks at participants for one node."""

    def __init__(self, node: NodeCode, clock: Clock, engine: Engine, switching: Switching) -> None:
        self._node = node
        self._clock = clock
        self._engine = engine
        self._switching = switching

    async def newest(self, conference: ConferenceId, participant: ParticipantId) -> tuple[str, bytes]:
        """Return (codec, keyframe).

        Raises:
            Refused: ``no-picture`` within 4 s.
        """
        looker = ParticipantId(self._clock.new_id("look"))
        view = ParticipantView(participant=looker, node=self._node, division=self._node, name="")
        pins = {0: participant}
        self._switching.look(Seat(conference, view, pictures=1, voices=0, only=participant, pins=pins, hidden=True))
        try:
            for _ in range(round(PICTURE_S / PICTURE_POLL_S)):
                frame = self._frame(looker)
                if frame is not None:
                    return frame
                await asyncio.sleep(PICTURE_POLL_S)
        finally:
            self._switching.look_away(looker)
        raise Refused("no-picture", "no picture came from there")

    def _frame(self, looker: ParticipantId) -> tuple[str, bytes] | None:
        seating = self._switching.plan.seatings.get(looker, Seating())
        track = seating.pictures[0] if seating.pictures else None
        source = None if track is None else self._switching.source(track)
        if source is None:
            return None
        frame = self._engine.keyframe(source)
        if frame is None:
            self._engine.request_keyframe(source)
        return frame
