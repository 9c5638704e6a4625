"""All that a gateway says to a terminal or console."""

from __future__ import annotations

from .alarms import AlarmView
from .orders import CircularView, DeliveryChanged, DirectiveView, DraftView, DutyChanged, EscalationView, Ring
from .overdue import OverdueView
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
    Speaking,
    Unguarded,
    Welcome,
)

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
    | DutyChanged
    | EscalationView
    | OverdueView
    | Silence
    | Skew
    | Unguarded
    | AlarmView
    | CircularView
    | NodeView
    | Speaking
    | Quality
)
