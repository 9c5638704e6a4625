"""What places beside each other tell each other: 通报 and 协查."""

from __future__ import annotations

from signaling.ids import CircularId, NodeCode

from .base import Actor, Record


class CircularSent(Record, frozen=True, tag="circular_sent", kw_only=True):
    """通报 or 协查: one place tells others beside it.  ``asks``: an answer is hoped for."""

    circular: CircularId
    click_id: str
    by: Actor
    to: tuple[NodeCode, ...]
    title: str
    text: str
    asks: bool
    exercise: bool
    signature: str = ""


class CircularAnswered(Record, frozen=True, tag="circular_answered", kw_only=True):
    """``place`` has read the circular; ``text`` is what it answers, if anything."""

    circular: CircularId
    place: NodeCode
    by: Actor
    text: str = ""
