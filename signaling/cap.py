"""The Common Alerting Protocol, version 1.2: alerts as typed values, read from XML and written as XML.

Pure.  ``parse`` takes in what anybody may send, ``render`` gives what others can read, ``broken`` lists every rule
a document breaks.  What an alert means to a gateway is ``interchange.py``.  Positions are WGS 84, here alone.

Source: OASIS Common Alerting Protocol Version 1.2, 1 July 2010.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Annotated

import msgspec

from . import cap_xml
from .cap_terms import (
    DEFAULT_LANGUAGE,
    MAX_BYTES,
    MAX_NAME,
    TOLERATED,
    Broken,
    CapError,
    Category,
    Certainty,
    MsgType,
    ResponseType,
    Rule,
    Scope,
    Severity,
    Status,
    When,
)
from .cap_values import LANGUAGE, instant
from .ids import UtcMs

__all__ = [
    "MAX_BYTES",
    "MAX_NAME",
    "TOLERATED",
    "Alert",
    "Area",
    "Broken",
    "CapError",
    "Category",
    "Certainty",
    "Circle",
    "Info",
    "MsgType",
    "Pair",
    "Polygon",
    "Reference",
    "Resource",
    "ResponseType",
    "Rule",
    "Scope",
    "Severity",
    "Status",
    "When",
    "broken",
    "is_language",
    "parse",
    "render",
    "time_of",
    "utc_ms",
]

BEIJING = timezone(timedelta(hours=8))
CONTENT_TYPE = "application/cap+xml"

Polygon = tuple[tuple[float, float], ...]
"""(latitude, longitude) in degrees, at least 4, the last the first again."""


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    """Base of all parts.  The field names are the element names."""


class Pair(_Part, frozen=True, kw_only=True):
    """A value of a code system, named by ``value_name``."""

    value_name: str
    value: str


class Circle(_Part, frozen=True, kw_only=True):
    latitude: float
    longitude: float
    radius_km: float


class Reference(_Part, frozen=True, kw_only=True):
    """An earlier message, named by three of its elements."""

    sender: str
    identifier: str
    sent: str


class Area(_Part, frozen=True, kw_only=True):
    """``altitude`` and ``ceiling`` in feet above mean sea level."""

    area_desc: str
    polygon: tuple[Polygon, ...] = ()
    circle: tuple[Circle, ...] = ()
    geocode: tuple[Pair, ...] = ()
    altitude: float | None = None
    ceiling: float | None = None


class Resource(_Part, frozen=True, kw_only=True):
    """A file that belongs to the alert; ``deref_uri`` is its content in base64, ``digest`` its SHA-1."""

    resource_desc: str
    mime_type: str
    size: int | None = None
    uri: str | None = None
    deref_uri: str | None = None
    digest: str | None = None


class Info(_Part, frozen=True, kw_only=True):
    """What is said, in one language.  ``urgency`` is the standard's, not ours."""

    language: str = DEFAULT_LANGUAGE
    category: Annotated[tuple[Category, ...], msgspec.Meta(min_length=1)]
    event: str
    response_type: tuple[ResponseType, ...] = ()
    urgency: When
    severity: Severity
    certainty: Certainty
    audience: str | None = None
    event_code: tuple[Pair, ...] = ()
    effective: str | None = None
    onset: str | None = None
    expires: str | None = None
    sender_name: str | None = None
    headline: str | None = None
    description: str | None = None
    instruction: str | None = None
    web: str | None = None
    contact: str | None = None
    parameter: tuple[Pair, ...] = ()
    resource: tuple[Resource, ...] = ()
    area: tuple[Area, ...] = ()


class Alert(_Part, frozen=True, kw_only=True):
    """One message.  ``signed``: it came with an XML signature, which nobody here checks and ``render`` leaves out."""

    identifier: str
    sender: str
    sent: str
    status: Status
    msg_type: MsgType
    source: str | None = None
    scope: Scope
    restriction: str | None = None
    addresses: str | None = None
    code: tuple[str, ...] = ()
    note: str | None = None
    references: tuple[Reference, ...] = ()
    incidents: str | None = None
    info: tuple[Info, ...] = ()
    signed: bool = False

    @property
    def reference(self) -> Reference:
        """How later messages name this one."""
        return Reference(sender=self.sender, identifier=self.identifier, sent=self.sent)


def parse(data: bytes) -> Alert:
    """Return the alert in ``data``.

    Raises:
        CapError: A rule is broken that is not TOLERATED; nothing else, whatever the bytes.
    """
    raw, found = cap_xml.read(data)
    if fatal := tuple(one for one in found if one.rule not in TOLERATED):
        raise CapError(fatal)
    return msgspec.convert(raw, Alert)


def broken(data: bytes) -> tuple[Broken, ...]:
    """Return every rule that ``data`` breaks, those that are tolerated too."""
    try:
        return cap_xml.read(data)[1]
    except CapError as error:
        return error.broken


def render(alert: Alert) -> bytes:
    """Return ``alert`` as a document: the same bytes for the same alert, and no rule broken.

    Raises:
        CapError: The alert's values break a rule.
    """
    data = cap_xml.write(msgspec.to_builtins(alert))
    if found := broken(data):
        raise CapError(found)
    return data


def is_language(tag: str) -> bool:
    """Return whether ``tag`` can stand for a language."""
    return bool(tag) and not LANGUAGE.value(tag)[1]


def time_of(at: UtcMs) -> str:
    """Return ``at`` as CAP writes times: Beijing time, whole seconds."""
    return datetime.fromtimestamp(at // 1000, BEIJING).isoformat()


def utc_ms(time: str) -> UtcMs:
    """Return the moment of a time read by ``parse``."""
    return UtcMs(instant(time))
