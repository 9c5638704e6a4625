"""What crosses the two WebSockets: ``/ws`` (terminal or console) and ``/link`` (gateway to gateway).

JSON text frames, one message each, ``type`` first.  Commands that have an HTTP endpoint (issue, sign,
convene, raise, ...) are not repeated here: the socket carries what only a live session can say.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from .attachment import Attachment
from .forms import FieldSpec
from .ids import (
    AlarmId,
    CircularId,
    ConferenceId,
    DirectiveId,
    Epoch,
    NodeCode,
    ParticipantId,
    Seq,
    SessionId,
    Sha256,
    TrackId,
    UtcMs,
)
from .records import Actor, AlarmState, DirectiveRequest, Stage, UnitState, Urgency

VERSION = 1
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


# ---- a terminal or console says ------------------------------------------------------------------


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


# ---- the gateway says to a terminal or console ---------------------------------------------------


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


class Slots(Message, frozen=True, tag="slots", kw_only=True):
    """Which source feeds each slot now.  Sent on every change."""

    conference: ConferenceId
    slots: tuple[SlotView, ...]


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


class RecipientView(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the sign-off matrix.  Times are None until reached."""

    node: NodeCode
    name: str
    stage: Stage
    relayed_at: UtcMs | None = None
    delivered_at: UtcMs | None = None
    shown_at: UtcMs | None = None
    signed_at: UtcMs | None = None
    signed_by: str = ""
    feedback_at: UtcMs | None = None
    done_at: UtcMs | None = None
    values: dict[str, int] = {}
    note: str = ""
    answers: dict[str, str] = {}
    post: str = ""
    """The post addressed here; "" is the terminal."""
    on_duty: str = ""
    """Who is on duty in that post now, as the roster has it: may sign."""


class AnnotationView(msgspec.Struct, frozen=True, kw_only=True):
    """What a tier between added for the places below it (转办批示)."""

    division: NodeCode
    division_name: str
    by: str
    at: UtcMs
    note: str


class DirectiveView(Message, frozen=True, tag="directive", kw_only=True):
    """To a terminal: ring and show (``mine`` below ``shown``) or list it.  To a console: header and matrix."""

    directive: DirectiveId
    urgency: Urgency
    title: str
    text: str
    issuer: Actor
    issuer_name: str
    issued_at: UtcMs
    expires_at: UtcMs
    exercise: bool
    state: str
    """issued, recalled, superseded, expired or closed."""
    sign_by: UtcMs
    """After this an unsigned recipient is overdue."""
    recipients: tuple[RecipientView, ...] = ()
    total: int = 0
    counts: dict[Stage, int] = {}
    """Recipients now at each stage; stages nobody is at are left out."""
    sums: dict[str, int] = {}
    """The numbers fed back, added up."""
    mine: RecipientView | None = None
    annotations: tuple[AnnotationView, ...] = ()
    copied: bool = False
    """A copy for the tiers between issuer and recipients: to be known of, not to be signed for."""
    choices: dict[str, dict[str, int]] = {}
    """Field to choice to how many recipients chose it."""
    number: str = ""
    capacity: str = ""
    plan: str = ""
    level: int = 0
    fields: tuple[FieldSpec, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    texts: dict[str, str] = {}
    voice: Sha256 | None = None
    approved_by: str = ""
    countersign_by: UtcMs | None = None
    """By when somebody else must still countersign."""
    countersigned_by: str = ""
    supersedes: DirectiveId | None = None
    supersedes_number: str = ""
    successor: DirectiveId | None = None
    successor_number: str = ""


class DraftView(Message, frozen=True, tag="draft", kw_only=True):
    """A directive that is not issued yet, to its author and those who may approve it; sent again on every change.

    ``state`` is draft, pending, or issued: then it is a directive and this the last word of the draft.
    """

    directive: DirectiveId
    state: str
    revision: int
    by: Actor
    drafted_at: UtcMs
    submitted_at: UtcMs | None
    returned_by: str
    returned_reason: str
    recipients: int
    request: DirectiveRequest


class DeliveryChanged(Message, frozen=True, tag="delivery", kw_only=True):
    """One row of a matrix moved."""

    directive: DirectiveId
    recipient: RecipientView


class Ring(Message, frozen=True, tag="ring", kw_only=True):
    """To a terminal: it is shown and nobody has signed, so ring again, for the ``n``-th time."""

    directive: DirectiveId
    n: int


class MissingView(msgspec.Struct, frozen=True, kw_only=True):
    """One place of a list of those not reached.  ``stage`` is None where the directive itself is not known."""

    node: NodeCode
    name: str
    stage: Stage | None = None
    reached_at: UtcMs | None = None
    """Signed meanwhile: strike it out."""
    reached_by: str = ""


class EscalationView(Message, frozen=True, tag="escalation", kw_only=True):
    """未叫醒名单: who had not signed at the ``n``-th limit; sent again whole when anything on it changes."""

    escalation: str
    directive: DirectiveId
    urgency: Urgency
    title: str
    exercise: bool
    superior: NodeCode
    superior_name: str
    n: int
    raised_at: UtcMs
    open: bool
    """The directive still runs."""
    total: int
    rows: tuple[MissingView, ...]
    """The first 500 of ``total``."""
    acknowledged_by: Actor | None = None
    acknowledged_at: UtcMs | None = None
    note: str = ""


class ClockView(msgspec.Struct, frozen=True, kw_only=True):
    """One of the 1-3-5 clocks: ``response`` within 1 minute, ``on_site`` within 3, ``handled`` within 5."""

    clock: str
    due: UtcMs
    met_at: UtcMs | None = None
    """When it was stopped; None while it runs."""


class DispatchView(msgspec.Struct, frozen=True, kw_only=True):
    """One unit that was sent.  ``times``: when it said each of its states."""

    unit: str
    name: str
    place: NodeCode
    place_name: str
    lead: bool
    called_at: UtcMs
    deadline: UtcMs
    """By then it should be on the spot."""
    state: UnitState | None = None
    """None until it has answered."""
    times: dict[UnitState, UtcMs] = {}
    note: str = ""


class CallView(msgspec.Struct, frozen=True, kw_only=True):
    """A department above that was called, and what it answered; overdue when ``deadline`` is over and it has not."""

    call: str
    to: NodeCode
    to_name: str
    department: str
    by: Actor
    raised_at: UtcMs
    deadline: UtcMs
    note: str
    answered_at: UtcMs | None = None
    answered_by: Actor | None = None
    answer: str = ""


class AlarmView(Message, frozen=True, tag="alarm", kw_only=True):
    """A card of one alarm or many; sent again whole when anything on it changes.  Pictures are fetched by hash.

    ``urgency`` is the highest of its alarms, ``text`` the newest.  Ring when ``urgency`` rises to P0 or P1, and when
    ``reopened`` grows.
    """

    alarm: AlarmId
    source: str
    place: NodeCode
    place_name: str
    kind: str
    urgency: Urgency
    text: str
    longitude: float | None
    latitude: float | None
    state: AlarmState
    raised_at: UtcMs
    exercise: bool
    picture: Sha256 | None = None
    thumbnail: Sha256 | None = None
    card: AlarmId
    """The alarm whose card this one is on; "" for one of a disarmed source.  If another, take its own card away."""
    count: int = 1
    """Alarms on the card."""
    sources: int = 1
    newest_at: UtcMs
    reopened: int = 0
    """How often alarms came after all before were settled."""
    clocks: tuple[ClockView, ...] = ()
    dispatches: tuple[DispatchView, ...] = ()
    calls: tuple[CallView, ...] = ()
    outcome: str = ""
    """What was done, in the words of who closed it or found it false."""
    outcome_by: Actor | None = None


class CircularAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A told place has read a circular (``text`` is empty), or answers it."""

    place: NodeCode
    place_name: str
    by: str
    at: UtcMs
    text: str


class CircularView(Message, frozen=True, tag="circular", kw_only=True):
    """A lateral circular (通报, or 协查 when it ``asks``): read it or answer it; nobody signs."""

    circular: CircularId
    title: str
    text: str
    asks: bool
    exercise: bool
    by: Actor
    by_name: str
    sent_at: UtcMs
    to: tuple[NodeCode, ...]
    unread: int
    """Places told that have not read it."""
    answers: tuple[CircularAnswer, ...] = ()


class Silence(Message, frozen=True, tag="silence", kw_only=True):
    """To a console: what should keep watch (``of``: auditor) has said nothing for so long; 0: it is heard again."""

    of: str
    seconds: int


class DutyLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a duty roster.  ``now``: it is this person's turn now."""

    division: NodeCode
    post: str
    person: str
    starts_at: UtcMs
    ends_at: UtcMs
    by: str
    now: bool


class NodeView(Message, frozen=True, tag="node", kw_only=True):
    """A place of this node's subtree came or went (a gateway link or a terminal session)."""

    node: NodeCode
    online: bool
    terminals: int = 0


class Speaking(Message, frozen=True, tag="speaking", kw_only=True):
    conference: ConferenceId
    speaker: ParticipantId | None


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How well one way of a connection works.

    ``level``: 4 as good as it gets, 3 good, 2 fair, 1 poor, 0 nothing arrives.  ``reason`` is "" at 4, else
    ``loss`` (``value``: percent), ``far`` (round trip, ms), ``jitter`` (ms), ``slow`` (what fits, kbit/s),
    ``paused`` (pictures), ``busy`` (the gateway's strain, 1 to 3), ``silent``, or ``link`` (percent lost between
    gateways).
    """

    level: Level
    reason: Word = ""
    value: Count = 0


class Standing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How well what a participant sends reaches the gateways on its way here."""

    participant: ParticipantId
    condition: Condition


class Quality(Message, frozen=True, tag="quality", kw_only=True):
    """How well this connection works, and those it shows; on change, at most every 2 s.

    ``uplink`` is None while nothing is sent, ``downlink`` while nothing comes.  ``others`` has the participants in
    this connection's slots whose way is not the best; replaces what was said before.
    """

    conference: ConferenceId
    uplink: Condition | None
    downlink: Condition | None
    others: tuple[Standing, ...]


GatewayMessage = (
    Welcome
    | Joined
    | Restarted
    | Done
    | Failure
    | Slots
    | ConferenceView
    | DirectiveView
    | DraftView
    | DeliveryChanged
    | Ring
    | EscalationView
    | Silence
    | AlarmView
    | CircularView
    | NodeView
    | Speaking
    | Quality
)


# ---- gateways say to each other ------------------------------------------------------------------


class LinkHello(Message, frozen=True, tag="link_hello", kw_only=True):
    """First from either side: who I am (node-key EdDSA JWT) and how far I have read your journal.

    ``media`` names the media transport with you that runs on from a link before, by its child's ICE user name: the
    child says which it has, the parent the same if it has that one too, else "".
    """

    version: int
    node: NodeCode
    token: Token
    epoch: Epoch | None
    seq: Seq
    media: Text = ""


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


class CarriedTrack(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``paused``: no picture of it comes now, because a line on its way is too narrow.

    A picture has a second pair of streams, on which its small copy comes while it is wanted and is not the same.
    """

    track: TrackId
    kind: str
    ssrc: Ssrc
    rtx_ssrc: Ssrc | None = None
    small_ssrc: Ssrc | None = None
    small_rtx_ssrc: Ssrc | None = None
    paused: bool = False


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
