"""What left for other systems, and what came of theirs."""

from __future__ import annotations

from signaling.ids import AlarmId, NodeCode

from .base import Actor, Record


class Released(Record, frozen=True, tag="released", kw_only=True):
    """Somebody let a directive or an alarm out to the public.  Local; what later becomes of it goes out too."""

    subject: str
    """Id of the directive or the alarm."""
    within: NodeCode | None
    """Only for the places at or below this one; None: for all."""
    by: Actor


class CapReceived(Record, frozen=True, tag="cap_received", kw_only=True):
    """A CAP message of somebody else's came in by ``by``, and what came of it.  Local; said once for each message."""

    by: Actor
    sender: str
    identifier: str
    msg_type: str
    event: str
    """The message's name as alarms carry it."""
    about: tuple[str, ...]
    """The names of the messages it refers to."""
    exercise: bool
    effect: str
    """raised, replaced, withdrawn, acknowledged, noted (nothing here to act on) or ignored (a test or a draft)."""
    alarm: AlarmId | None = None
    note: str = ""
