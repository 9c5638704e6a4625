"""Sizes, words and parts that several messages share."""

from __future__ import annotations

from typing import Annotated

import msgspec

from signaling.ids import NodeCode, ParticipantId, TrackId

VERSION = 3
"""Since 3 several people have a post together."""
OLDEST = 2
"""Oldest version of a neighbouring gateway that is understood: version 1 throws away records it does not know."""
OLDEST_TERMINAL = 1
"""Oldest version of a page or a terminal's program that is understood."""
MAX_MESSAGE_BYTES = 65_536
MAX_LINK_MESSAGE_BYTES = 1_048_576
MAX_WANTED = 2_000
Text = Annotated[str, msgspec.Meta(max_length=200)]
Token = Annotated[str, msgspec.Meta(max_length=4_096)]
Sdp = Annotated[str, msgspec.Meta(max_length=65_536)]
Ssrc = Annotated[int, msgspec.Meta(ge=1, le=0xFFFFFFFF)]
Index = Annotated[int, msgspec.Meta(ge=0, le=63)]
Dbov = Annotated[int, msgspec.Meta(ge=-127, le=0)]
"""RFC 6464 loudness: -127 is silence."""
Height = Annotated[int, msgspec.Meta(ge=0, le=4320)]
"""Pixels."""
Level = Annotated[int, msgspec.Meta(ge=0, le=4)]
Word = Annotated[str, msgspec.Meta(max_length=16)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", kw_only=True):
    """Base of all messages."""


class TrackView(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    track: TrackId
    kind: str
    label: str
    """camera, content or audio."""
    codec: str = ""
    muted: bool = False


class ParticipantView(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    participant: ParticipantId
    node: NodeCode
    division: NodeCode
    name: Text
    tracks: tuple[TrackView, ...] = ()


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How well one way of a connection works.

    ``level``: 4 as good as it gets, 3 good, 2 fair, 1 poor, 0 nothing arrives.  ``reason`` is "" at 4, else
    ``loss`` (``value``: percent), ``far`` (round trip, ms), ``jitter`` (ms), ``slow`` (what fits, kbit/s),
    ``paused`` (pictures), ``thumbnails`` (pictures), ``busy`` (the gateway's strain, 1 to 3), ``silent``, or ``link``
    (percent lost between gateways).
    """

    level: Level
    reason: Word = ""
    value: Count = 0


class Standing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How well what a participant sends reaches the gateways on its way here."""

    participant: ParticipantId
    condition: Condition
