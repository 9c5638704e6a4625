"""What directives and alarms are in CAP 1.2, and what an alert of somebody else's asks of this node.

Pure.  A directive's or an alarm's first message is an Alert; what changes it later is a message of its own that
names the first: an Update when it was superseded or moved on, a Cancel when it was recalled or found false.  An
exercise has status Exercise, whatever else it is.
"""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from . import cap, geodesy, text
from .alarm import MAX_TEXT_BYTES, Alarm
from .cap import Alert, Area, Category, Certainty, Circle, Info, MsgType, Pair, Reference, Scope, Severity, Status, When
from .directive import Directive, Header
from .division import Tree
from .errors import Refused
from .ids import NodeCode, UtcMs
from .records import AlarmState, DirectiveIssued, Mode, ScopeItem, Urgency
from .vouching import MAX_NAME, MAX_NOTE

GEOCODE = "行政区划代码"
"""What we name a 12-digit division code; read under any name."""
LISTED = 1_000
"""Places named one by one in a message, in all its languages together; beyond that those above them are named."""
NAMED = 8
ALARM_KM = 0.5
"""How far about an alarm's position its message speaks of, km: positions are those of places."""
PUBLIC = ".public"
"""At the end of the identifier of what everybody is told: another message than the one for those who command."""
_OVER = {Header.RECALLED: "已撤回", Header.SUPERSEDED: "已由新指令取代"}
"""Ends that others must hear of: what they were told no longer holds."""
RESTRICTION = "应急指挥体系内部 / emergency command only"
EVENT_PREFIX = "cap:"

OUT: dict[Urgency, tuple[When, Severity]] = {
    Urgency.P0: (When.IMMEDIATE, Severity.EXTREME),
    Urgency.P1: (When.IMMEDIATE, Severity.SEVERE),
    Urgency.P2: (When.EXPECTED, Severity.MODERATE),
    Urgency.P3: (When.FUTURE, Severity.MINOR),
}
_GRAVE = {Severity.EXTREME: 0, Severity.SEVERE: 1, Severity.MODERATE: 2, Severity.UNKNOWN: 2, Severity.MINOR: 3}
_LATER = {When.FUTURE: 1, When.PAST: 2}

CATEGORIES: dict[str, Category] = {
    "flood": Category.MET,
    "water_level": Category.MET,
    "rain": Category.MET,
    "fire": Category.FIRE,
    "smoke": Category.FIRE,
    "geology": Category.GEO,
    "traffic": Category.TRANSPORT,
    "person": Category.RESCUE,
    "gas": Category.CBRNE,
}
"""Kinds of alarms that say what sort of thing happened; all others are Safety."""

_MOVED: dict[AlarmState, tuple[MsgType, Certainty]] = {
    AlarmState.TRIGGERED: (MsgType.ALERT, Certainty.POSSIBLE),
    AlarmState.FALSE: (MsgType.CANCEL, Certainty.UNLIKELY),
    AlarmState.MERGED: (MsgType.CANCEL, Certainty.UNKNOWN),
}
"""All other states are an Update of something observed."""
_HANDLING = frozenset({AlarmState.CONFIRMED, AlarmState.DISPATCHED, AlarmState.ON_SITE, AlarmState.HANDLED})
"""Who is on the way is not the public's affair: to it this is one Alert."""


def urgency_of(when: When, severity: Severity) -> Urgency:
    """Return our urgency of the standard's; of a message made from ours, the one it was made from."""
    return list(Urgency)[min(3, _GRAVE[severity] + _LATER.get(when, 0))]


def sender_of(node: NodeCode) -> str:
    """Return how a node is named as a sender."""
    return f"wuji.{node}"


# ---- going out -----------------------------------------------------------------------------------


def of_directive(
    header: Directive,
    tree: Tree,
    *,
    public: bool,
    within: NodeCode | None = None,
    earlier: DirectiveIssued | None = None,
) -> Alert:
    """Return the newest message about a directive.

    Args:
        public: For everybody; otherwise restricted to those who command.
        within: Whose part of it this is: only recipients at or below are named, and it is a message of its own.
        earlier: The directive it takes the place of, if those who read this were told of that.
    """
    issued = header.issued
    first = _first(issued, within, public=public)
    said = _OVER.get(header.state)
    recipients = [r for r in issued.recipients if within is None or tree.is_within(r, within)]
    texts = {"zh-CN": issued.text, **issued.texts} if said is None else {"zh-CN": said}
    spoken = [language for language in texts if cap.is_language(language)]
    area = _places(recipients, issued.scope, tree, LISTED // len(spoken))
    info = tuple(_info(issued, language, texts[language], area, tree, over=said is not None) for language in spoken)
    kind = MsgType.ALERT if earlier is None else MsgType.UPDATE
    return _message(
        first,
        suffix="" if said is None else f".{header.state}",
        at=None if said is None else header.ended_at,
        kind=kind if said is None else MsgType.CANCEL,
        exercise=issued.exercise,
        public=public,
        info=info,
        about=first if earlier is None or said is not None else _first(earlier, within, public=public),
    )


def _first(issued: DirectiveIssued, within: NodeCode | None, *, public: bool) -> Reference:
    """Return the name of a directive's first message."""
    part = ("" if within is None else f".{within}") + (PUBLIC if public else "")
    identifier = f"{issued.directive}{part}"
    return Reference(sender=sender_of(issued.node), identifier=identifier, sent=cap.time_of(issued.at))


def _info(issued: DirectiveIssued, language: str, words: str, area: Area, tree: Tree, *, over: bool) -> Info:
    """Return one language's block.  Titles are written in one language only."""
    when, severity = OUT[issued.urgency]
    number = (Pair(value_name="文号", value=issued.number),) if issued.number else ()
    return Info(
        language=language,
        category=(Category.SAFETY,),
        event=issued.title,
        urgency=When.PAST if over else when,
        severity=severity,
        certainty=Certainty.LIKELY,
        expires=cap.time_of(issued.expires_at),
        sender_name=issued.capacity or tree.name(issued.issuer.division),
        headline=f"【演练】{issued.title}" if issued.exercise else issued.title,
        description=words,
        parameter=(Pair(value_name="wuji:urgency", value=issued.urgency), *number),
        area=(area,),
    )


def of_alarm(state: Alarm, tree: Tree, *, public: bool) -> Alert:
    """Return the newest message about an alarm: what it was, and what it has come to."""
    raised, shown = state.raised, state.state
    kind, certainty = _MOVED.get(shown, (MsgType.UPDATE, Certainty.OBSERVED))
    if public and shown in _HANDLING:
        kind, shown = MsgType.ALERT, AlarmState.CONFIRMED
    step = next((step for step in reversed(state.steps) if step.state is shown), None)
    later = None if kind is MsgType.ALERT else step
    when, severity = OUT[raised.urgency]
    over = shown in (AlarmState.HANDLED, AlarmState.CLOSED) or kind is MsgType.CANCEL
    info = Info(
        language="zh-CN",
        category=(CATEGORIES.get(raised.kind, Category.SAFETY),),
        event=raised.kind,
        urgency=When.PAST if over else when,
        severity=severity,
        certainty=certainty,
        sender_name=tree.name(raised.place),
        headline=f"【演练】{raised.kind}" if raised.exercise else raised.kind,
        description=raised.text,
        instruction=(step.note or None) if step and not public else None,  # notes are for those at work
        parameter=(
            Pair(value_name="wuji:urgency", value=raised.urgency),
            Pair(value_name="wuji:state", value=shown),
        ),
        area=(_spot(state, tree),),
    )
    identifier = f"{raised.alarm}{PUBLIC if public else ''}"
    first = Reference(sender=sender_of(raised.node), identifier=identifier, sent=cap.time_of(raised.at))
    return _message(
        first,
        about=first,
        suffix="" if later is None else f".{later.state}",
        at=None if later is None else later.at,
        kind=kind,
        exercise=raised.exercise,
        public=public,
        info=(info,),
    )


def _message(
    first: Reference,
    *,
    about: Reference,
    suffix: str,
    at: UtcMs | None,
    kind: MsgType,
    exercise: bool,
    public: bool,
    info: tuple[Info, ...],
) -> Alert:
    """Return a message of what ``first`` names; one that is not an Alert refers to ``about``."""
    return Alert(
        identifier=f"{first.identifier}{suffix}",
        sender=first.sender,
        sent=first.sent if at is None else cap.time_of(at),
        status=Status.EXERCISE if exercise else Status.ACTUAL,
        msg_type=kind,
        scope=Scope.PUBLIC if public else Scope.RESTRICTED,
        restriction=None if public else RESTRICTION,
        note=f"演练 exercise {first.identifier}" if exercise else None,
        references=() if kind is MsgType.ALERT else (about,),
        info=info,
    )


def _places(recipients: Sequence[NodeCode], scope: Sequence[ScopeItem], tree: Tree, limit: int) -> Area:
    """Return the area of ``recipients``: each of them, or the places of the scope, or what is above them all."""
    meant = list(dict.fromkeys(item.node for item in scope))
    codes = next((list(some) for some in (recipients, meant) if len(some) <= limit), _common(meant, tree)[-1:])
    named = dict.fromkeys(item.node for item in scope if item.mode is not Mode.SELF) or dict.fromkeys(codes)
    names = [tree.name(code) for code in list(named)[:NAMED]]
    return Area(
        area_desc="、".join(names) + ("等" if len(named) > NAMED else ""),
        geocode=tuple(Pair(value_name=GEOCODE, value=code) for code in codes),
    )


def _spot(state: Alarm, tree: Tree) -> Area:
    raised = state.raised
    circles: tuple[Circle, ...] = ()
    if raised.longitude is not None and raised.latitude is not None:
        longitude, latitude = geodesy.to_wgs84(raised.longitude, raised.latitude)
        circles = (Circle(latitude=round(latitude, 6), longitude=round(longitude, 6), radius_km=ALARM_KM),)
    return Area(
        area_desc=tree.name(raised.place), circle=circles, geocode=(Pair(value_name=GEOCODE, value=raised.place),)
    )


# ---- coming in -----------------------------------------------------------------------------------


class Asks(enum.StrEnum):
    """What an alert wants of whoever receives it."""

    RAISE = "raise"
    REPLACE = "replace"
    WITHDRAW = "withdraw"
    NOTE = "note"
    """An acknowledgement or an error about a message of ours."""
    NOTHING = "nothing"
    """A test, a draft, or between systems: to be disregarded, by the standard."""


_ASKS = {
    MsgType.ALERT: Asks.RAISE,
    MsgType.UPDATE: Asks.REPLACE,
    MsgType.CANCEL: Asks.WITHDRAW,
    MsgType.ACK: Asks.NOTE,
    MsgType.ERROR: Asks.NOTE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """An alert in this node's words.  ``event`` and ``about`` are names of messages as alarms carry them."""

    asks: Asks
    event: str
    about: tuple[str, ...]
    exercise: bool
    source: str
    place: NodeCode
    kind: str
    text: str
    urgency: Urgency
    longitude: float | None
    latitude: float | None
    note: str


def event_of(reference: Reference) -> str:
    """Return the name of a message that an alarm carries: of fixed length, whatever its sender calls it."""
    name = f"{reference.sender},{reference.identifier}".encode()
    return EVENT_PREFIX + hashlib.sha256(name).hexdigest()[:40]


def incoming(alert: Alert, tree: Tree, within: NodeCode) -> Incoming:
    """Return what ``alert`` asks of a node.

    Args:
        within: The division of whoever brings it: places outside it are not taken from the message.

    Raises:
        Refused: ``cap-own``: the message was made in this tree, and is known here without it.
    """
    if (alert.sender.removeprefix("wuji.")) in tree and alert.sender.startswith("wuji."):
        raise Refused("cap-own", f"{alert.identifier} was made by {alert.sender}")
    info = next((one for one in alert.info if one.language.lower().startswith("zh")), None)
    info = info or (alert.info[0] if alert.info else None)
    longitude, latitude = _position(info.area if info else ())
    actionable = alert.status in (Status.ACTUAL, Status.EXERCISE)
    return Incoming(
        asks=_ASKS[alert.msg_type] if actionable else Asks.NOTHING,
        event=event_of(alert.reference),
        about=tuple(dict.fromkeys(map(event_of, alert.references))),
        exercise=alert.status is Status.EXERCISE,
        source=clean((info.sender_name if info else None) or alert.source or alert.sender, MAX_NAME),
        place=_place(info.area if info else (), tree, within),
        kind=clean(info.event if info else "", MAX_NAME) or "CAP",
        text=_text(alert, info),
        urgency=urgency_of(info.urgency, info.severity) if info else Urgency.P2,
        longitude=longitude,
        latitude=latitude,
        note=clean(alert.note or (info.description if info else None) or "", MAX_NOTE),
    )


def clean(value: str, limit: int) -> str:
    """Return ``value`` as one line that may be shown: what may not be becomes a blank, and the end is cut."""
    return " ".join(re.sub(r"[\r\n\t]", " ", text.shown(value)).split())[:limit]


def _text(alert: Alert, info: Info | None) -> str:
    said = [info.headline, info.description, info.instruction] if info else [alert.note]
    if alert.signed:
        said.append("（来信带有电子签名，本机未验证）")
    lines = [text.shown(part).strip() for part in dict.fromkeys(said) if part]
    whole = "\n".join(line for line in lines if line)
    data = whole.encode()
    return whole if len(data) <= MAX_TEXT_BYTES else data[: MAX_TEXT_BYTES - 3].decode(errors="ignore") + "…"


def _place(areas: Iterable[Area], tree: Tree, within: NodeCode) -> NodeCode:
    """Return the lowest place that has all places the message names at or below ``within``, or ``within``."""
    codes = {_division(pair.value.strip(), tree) for area in areas for pair in area.geocode}
    common = _common([code for code in codes if code is not None and tree.is_within(code, within)], tree)
    return common[-1] if common else within


def _common(codes: Iterable[NodeCode], tree: Tree) -> list[NodeCode]:
    """Return the places that have all of ``codes`` at or below them, the uppermost first."""
    paths = [tree.path_up(code)[::-1] for code in codes]
    return [steps[0] for steps in zip(*paths, strict=False) if len(set(steps)) == 1]


def _division(value: str, tree: Tree) -> NodeCode | None:
    """Return the division of a code of 6 (county), 9 (township) or 12 digits, if the tree has it."""
    if len(value) not in (6, 9, 12) or not (value.isascii() and value.isdigit()):
        return None
    code = NodeCode(value.ljust(12, "0"))
    return code if code in tree else None


def _position(areas: Iterable[Area]) -> tuple[float | None, float | None]:
    """Return (longitude, latitude), GCJ-02, of the middle of the first shape."""
    for area in areas:
        if area.circle:
            return geodesy.to_gcj02(area.circle[0].longitude, area.circle[0].latitude)
        if area.polygon:
            corners = area.polygon[0][1:]
            latitude = sum(corner[0] for corner in corners) / len(corners)
            return geodesy.to_gcj02(sum(corner[1] for corner in corners) / len(corners), latitude)
    return None, None
