"""What crosses the two WebSockets: ``/ws`` (terminal or console) and ``/link`` (gateway to gateway).

JSON text frames, one message each, ``type`` first.  Commands that have an HTTP endpoint (issue, sign,
convene, raise, ...) are not repeated here: the socket carries what only a live session can say.
"""

from .alarms import AlarmView, CallView, ClockView, DispatchView
from .base import (
    MAX_LINK_MESSAGE_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_WANTED,
    OLDEST,
    OLDEST_TERMINAL,
    VERSION,
    Condition,
    Count,
    Dbov,
    Height,
    Index,
    Level,
    Message,
    ParticipantView,
    Sdp,
    Ssrc,
    Standing,
    Text,
    Token,
    TrackView,
    Word,
)
from .gateway import GatewayMessage
from .link import (
    CarriedTrack,
    LinkAck,
    LinkBlobChunk,
    LinkBlobWant,
    LinkCarry,
    LinkFailure,
    LinkHello,
    LinkMediaAnswer,
    LinkMediaOffer,
    LinkMessage,
    LinkPing,
    LinkPong,
    LinkPresence,
    LinkQuality,
    LinkRecords,
    LinkRosters,
    LinkSpeaker,
    LinkVoices,
    LinkWant,
    OfferedVoice,
    WantedTrack,
)
from .orders import (
    AnnotationView,
    CircularAnswer,
    CircularView,
    DeliveryChanged,
    DirectiveView,
    DraftView,
    DutyChanged,
    DutyLine,
    DutyNow,
    DutyPlace,
    DutyPost,
    DutyShift,
    EscalationView,
    MissingView,
    RecipientView,
    Ring,
)
from .overdue import LateView, OverdueView
from .session import (
    ConferenceView,
    Done,
    Failure,
    Joined,
    NodeView,
    Quality,
    Restarted,
    Silence,
    Skew,
    Slots,
    SlotView,
    Speaking,
    Welcome,
)
from .terminal import ClientMessage, Frozen, Hello, Join, Leave, Publishing, Receipt, Restart, Sizes, SlotSize, Watch
