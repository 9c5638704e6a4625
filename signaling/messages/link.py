"""What gateways say to each other."""

from __future__ import annotations

from typing import Annotated

import msgspec

from signaling.ids import ConferenceId, Epoch, NodeCode, ParticipantId, Seq, Sha256, TrackId

from .base import MAX_WANTED, Dbov, Height, Message, ParticipantView, Ssrc, Standing, Text, Token


class LinkHello(Message, frozen=True, tag="link_hello", kw_only=True, forbid_unknown_fields=False, omit_defaults=True):
    """First from either side: who I am (node-key EdDSA JWT) and how far I have read your journal.

    ``media`` names the media transport with you that runs on from a link before, by its child's ICE user name: the
    child says which it has, the parent the same if it has that one too, else "".  ``oldest`` is the oldest version
    of a neighbour that the sender understands; 0: only its own.  ``program`` names the sender's process: of two
    with one node's key, one is linked.
    """

    version: int
    node: NodeCode
    token: Token
    epoch: Epoch | None
    seq: Seq
    media: Text = ""
    oldest: int = 0
    program: Text = ""


class LinkRecords(Message, frozen=True, tag="link_records", kw_only=True):
    """Records ``first`` .. ``last`` of the sender's journal that concern the receiver, canonical bytes as text.

    ``items`` may be empty: then only the cursor moves.
    """

    epoch: Epoch
    last: Seq
    items: tuple[str, ...]


class LinkAck(Message, frozen=True, tag="link_ack", kw_only=True):
    """Everything up to ``seq`` is durable here."""

    epoch: Epoch
    seq: Seq


class LinkRosters(Message, frozen=True, tag="link_roster", kw_only=True):
    """Who is in ``conference`` on the sender's side of this link; replaces what was said before."""

    conference: ConferenceId
    participants: tuple[ParticipantView, ...]


class OfferedVoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How loud a voice is (``level``) and how it ranks (``rank``: held through pauses), both dBov."""

    track: TrackId
    level: Dbov
    rank: Dbov


class LinkVoices(Message, frozen=True, tag="link_voices", kw_only=True):
    """The loudest voices on the sender's side, loudest first; replaces what was said before.

    Said when others are the loudest, and at most 4 times a second when only their levels changed.
    """

    conference: ConferenceId
    voices: Annotated[tuple[OfferedVoice, ...], msgspec.Meta(max_length=3)]


class LinkSpeaker(Message, frozen=True, tag="link_speaker", kw_only=True):
    """From the parent: who speaks.  Said on every change; the child takes it over."""

    conference: ConferenceId
    speaker: ParticipantId | None


class WantedTrack(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A track, and the greatest height in pixels (0: as large as there is) and the most urgent priority wanted beyond.

    ``small``: a small copy of the picture is wanted beside the large one, for it cannot go on everywhere beyond.
    Priorities: 0 a voice that is among the loudest, 10 current speaker, 20 shared content, 50 pinned, 100 the rest.
    """

    track: TrackId
    height: Height = 0
    priority: Annotated[int, msgspec.Meta(ge=0, le=255)] = 100
    small: bool = False


class LinkQuality(Message, frozen=True, tag="link_quality", kw_only=True):
    """Participants on the sender's side whose uplink is not the best, worst first, at most 200, on change, at most
    every 2 s; replaces what was said before."""

    conference: ConferenceId
    standings: tuple[Standing, ...]


class LinkWant(Message, frozen=True, tag="link_want", kw_only=True):
    """All tracks the sender wants carried to it over this link; replaces what was said before."""

    tracks: Annotated[tuple[WantedTrack, ...], msgspec.Meta(max_length=MAX_WANTED)]


class CarriedTrack(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """``paused``: no picture of it comes now, because a line on its way is too narrow; ``thumbnails``: one every few
    seconds.

    A picture has a second pair of streams, on which its small copy comes while it is wanted and is not the same.
    """

    track: TrackId
    kind: str
    ssrc: Ssrc
    rtx_ssrc: Ssrc | None = None
    small_ssrc: Ssrc | None = None
    small_rtx_ssrc: Ssrc | None = None
    paused: bool = False
    thumbnails: bool = False


class LinkCarry(Message, frozen=True, tag="link_carry", kw_only=True):
    """All tracks the sender is putting on this link; replaces what was said before."""

    tracks: tuple[CarriedTrack, ...]


class LinkMediaOffer(Message, frozen=True, tag="link_media_offer", kw_only=True):
    """From the child: parameters of one media transport.  A later one replaces it."""

    ufrag: Text
    pwd: Text
    fingerprint: Text


class LinkMediaAnswer(Message, frozen=True, tag="link_media_answer", kw_only=True):
    ufrag: Text
    pwd: Text
    fingerprint: Text
    candidates: tuple[tuple[str, int], ...]
    """Addresses to check; "" as host means the host this link was dialled at."""


class LinkBlobWant(Message, frozen=True, tag="link_blob_want", kw_only=True):
    sha256: Sha256
    offset: int


class LinkBlobChunk(Message, frozen=True, tag="link_blob_chunk", kw_only=True):
    """At most 32 KiB, base64 in JSON.  Sent only when no records wait."""

    sha256: Sha256
    offset: int
    total: int
    data: bytes


class LinkPresence(Message, frozen=True, tag="link_presence", kw_only=True):
    """Places of the sender's subtree that are online; replaces what was said before."""

    online: dict[NodeCode, int]
    """Division to number of terminals (0: gateway only)."""


class LinkPing(Message, frozen=True, tag="link_ping", kw_only=True):
    """Asked while the link is quiet; answered at once with the same number."""

    number: Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)]


class LinkPong(Message, frozen=True, tag="link_pong", kw_only=True):
    number: Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)]


class LinkFailure(Message, frozen=True, tag="link_failure", kw_only=True):
    code: str
    text: str


LinkMessage = (
    LinkHello
    | LinkRecords
    | LinkAck
    | LinkRosters
    | LinkVoices
    | LinkSpeaker
    | LinkQuality
    | LinkWant
    | LinkCarry
    | LinkMediaOffer
    | LinkMediaAnswer
    | LinkBlobWant
    | LinkBlobChunk
    | LinkPresence
    | LinkPing
    | LinkPong
    | LinkFailure
)
