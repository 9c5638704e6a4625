"""What a terminal or console says."""

from __future__ import annotations

from typing import Annotated

import msgspec

from signaling.ids import ConferenceId, DirectiveId, ParticipantId
from signaling.records import Stage

from .base import Height, Index, Message, Sdp, Text, Token


class Hello(Message, frozen=True, tag="hello", kw_only=True):
    """First message of a session, within 10 s."""

    version: int
    token: Token
    client: Text = ""
    resume: Text = ""
    """``resume`` of the welcome of a session whose socket was lost: its seat goes on in this one."""


class Join(Message, frozen=True, tag="join", kw_only=True):
    """Enter a conference with the one offer of the connection.  Answered by ``Joined`` or ``Failure``."""

    request: int
    conference: ConferenceId
    sdp: Sdp
    name: Text = ""


class Restart(Message, frozen=True, tag="restart", kw_only=True):
    """A new way to the same connection: an offer with ``a=ice-ufrag`` and ``a=ice-pwd`` changed, nothing else.

    Answered by ``Restarted`` or ``Failure``.
    """

    request: int
    sdp: Sdp


class Leave(Message, frozen=True, tag="leave", kw_only=True):
    request: int


class Watch(Message, frozen=True, tag="watch", kw_only=True):
    """Pin a participant into a video slot, or None to let the gateway choose."""

    request: int
    slot: Index
    participant: ParticipantId | None


class Receipt(Message, frozen=True, tag="receipt", kw_only=True):
    """The page holds (``delivered``) or has put on the screen (``shown``) a directive."""

    directive: DirectiveId
    stage: Stage


class Publishing(Message, frozen=True, tag="publishing", kw_only=True):
    """Camera, microphone or content switched on or off without renegotiating."""

    audio: bool
    video: bool
    content: bool


class SlotSize(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``slot`` counts video slots, as in ``Watch``; ``height`` is in device pixels, 0 when nobody sees it."""

    slot: Index
    height: Height


class Sizes(Message, frozen=True, tag="sizes", kw_only=True):
    """How high each picture is on the screen; replaces what was said before.

    The gateway sends no larger picture than that, and none for a slot that nobody sees.  A slot that is not
    named gets the largest picture there is.
    """

    slots: Annotated[tuple[SlotSize, ...], msgspec.Meta(max_length=64)]


class Frozen(Message, frozen=True, tag="frozen", kw_only=True):
    """The picture worst off stood still for so many milliseconds since the page last looked, two seconds ago.

    Said only when one did that should have moved.  It is part of how well the page's own way in works.
    """

    ms: Annotated[int, msgspec.Meta(ge=1, le=10_000)]


ClientMessage = Hello | Join | Restart | Leave | Watch | Receipt | Publishing | Sizes | Frozen
