"""What the gateway says to a terminal or console of its session, its meetings and its places."""

from __future__ import annotations

import msgspec

from signaling.ids import ConferenceId, NodeCode, ParticipantId, SessionId, TrackId, UtcMs
from signaling.records import Actor

from .base import Condition, Message, ParticipantView, Sdp, Standing


class Welcome(Message, frozen=True, tag="welcome", kw_only=True):
    version: int
    node: NodeCode
    node_name: str
    tier: int
    who: Actor
    division_name: str
    session: SessionId
    now: UtcMs
    resume: str = ""
    """Say it in the next ``Hello`` when this socket is lost, within 12 s.  A secret of this session."""
    participant: ParticipantId | None = None
    """The seat that went on; None: there is none, join again."""


class Joined(Message, frozen=True, tag="joined", kw_only=True):
    request: int
    conference: ConferenceId
    participant: ParticipantId
    sdp: Sdp
    slots: tuple[SlotView, ...]


class Restarted(Message, frozen=True, tag="restarted", kw_only=True):
    request: int
    sdp: Sdp


class Done(Message, frozen=True, tag="done", kw_only=True):
    """A request without other answer was carried out."""

    request: int


class Failure(Message, frozen=True, tag="failure", kw_only=True):
    """``code`` is stable; ``request`` is None when no request can be named."""

    code: str
    text: str
    request: int | None = None


class SlotView(msgspec.Struct, frozen=True, kw_only=True):
    """One slot of this terminal's connection and who is in it."""

    mid: str
    kind: str
    participant: ParticipantId | None = None
    track: TrackId | None = None
    paused: bool = False
    """No picture comes now, because the line is too narrow; sound goes on."""
    thumbnails: bool = False
    """A picture comes every few seconds, because the line has room for no more; sound goes on."""


class Slots(Message, frozen=True, tag="slots", kw_only=True):
    """Which source feeds each slot now.  Sent on every change."""

    conference: ConferenceId
    slots: tuple[SlotView, ...]


class ConferenceView(Message, frozen=True, tag="conference", kw_only=True):
    """A conference this session may join, as it stands."""

    conference: ConferenceId
    title: str
    home: NodeCode
    convened_at: UtcMs
    ended: bool
    exercise: bool
    participants: tuple[ParticipantView, ...]
    speaker: ParticipantId | None = None


class Silence(Message, frozen=True, tag="silence", kw_only=True):
    """To a console: what should keep watch (``of``: auditor) has said nothing for so long; 0: it is heard.

    Said at the start of a session, and when it or what the watch has found changes.
    """

    of: str
    seconds: int
    missed: int = 0
    """Timers that are overdue and have not fired, by its own arithmetic."""
    faults: int = 0
    """Timers that fired wrongly, since it began."""


class Skew(Message, frozen=True, tag="skew", kw_only=True):
    """To a console: neighbour ``node`` speaks version ``theirs`` (0: it did not say), this gateway ``ours``.

    ``refused``: they do not work together and are not linked.  ``held``: records of the newer neighbour that are kept
    until this gateway is upgraded.  Neither: all is well again.
    """

    node: NodeCode
    theirs: int
    ours: int
    held: int = 0
    refused: bool = False


class Unguarded(Message, frozen=True, tag="unguarded", kw_only=True):
    """To a console: the gateway of ``node`` below has not been linked since ``since``, UTC ms.

    Nobody here is told when the clocks of ``alarms`` alarms run out that it keeps, or a gateway below it; those of
    ``late`` have, and are not met.  ``since`` null: they are kept again, or nothing is left to keep.
    """

    node: NodeCode
    since: UtcMs | None = None
    alarms: int = 0
    late: int = 0


class NodeView(Message, frozen=True, tag="node", kw_only=True):
    """A place of this node's subtree came or went (a gateway link or a terminal session)."""

    node: NodeCode
    online: bool
    terminals: int = 0


class Speaking(Message, frozen=True, tag="speaking", kw_only=True):
    conference: ConferenceId
    speaker: ParticipantId | None


class Quality(Message, frozen=True, tag="quality", kw_only=True):
    """How well this connection works, and those it shows; on change, at most every 2 s.

    ``uplink`` is None while nothing is sent, ``downlink`` while nothing comes.  ``others`` has the participants in
    this connection's slots whose way is not the best; replaces what was said before.
    """

    conference: ConferenceId
    uplink: Condition | None
    downlink: Condition | None
    others: tuple[Standing, ...]
