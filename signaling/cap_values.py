"""How the text of each CAP 1.2 element is read and written.

Pure.  Blanks around numbers, times, languages and addresses do not count, as in the schema's own types; in free
text and enumerations they do.

Source: OASIS Common Alerting Protocol 1.2, sections 3.2 and 3.3.2; W3C XML Schema Part 2 for the built-in types.
"""

from __future__ import annotations

import base64
import binascii
import enum
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from .cap_terms import (
    DEFAULT_LANGUAGE,
    MAX_BYTES,
    MAX_NAME,
    MAX_POINTS,
    MAX_REFERENCES,
    MAX_VALUE,
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

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT)(\d\d)(:\d\d:\d\d)([+-])(\d\d):(\d\d)", re.ASCII)
_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*")
_DECIMAL = re.compile(r"[+-]?(\d{1,20}(\.\d{0,40})?|\.\d{1,40})", re.ASCII)
_INTEGER = re.compile(r"[+]?\d{1,18}", re.ASCII)
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`]+")
_URI = re.compile(r"[^\s<>\"{}|\\^`]*")
_PART = r"[A-Za-z0-9!#$&^_.+-]{1,127}"
_MIME = re.compile(rf"{_PART}/{_PART}( ?;.*)?")
_SHA1 = re.compile(r"[0-9A-Fa-f]{40}")
_BLANKS = re.compile(r"[ \t\r\n]+")
_FORBIDDEN = re.compile(r"[\s,<&]")


class _WrongError(Exception):
    """The text breaks its element's rule."""


def _words(text: str) -> list[str]:
    return [word for word in _BLANKS.split(text) if word]


@dataclass(frozen=True, slots=True)
class Leaf:
    """How the text of an element is read and written, and the rule that text it cannot read breaks."""

    rule: Rule
    read: Callable[[str], Any]
    write: Callable[[Any], str] = str
    longest: int = MAX_VALUE
    """Characters; looked at before anything else."""
    exact: bool = False
    """Blanks around the value count: the schema's ``string``, unlike its numbers and times."""

    def value(self, text: str) -> tuple[Any, str]:
        """Return what ``text`` says, and what is wrong with it ("": nothing)."""
        if len(text) > self.longest:
            return None, f"{len(text)} characters, limit {self.longest}"
        try:
            return self.read(text if self.exact else " ".join(_words(text))), ""
        except _WrongError as wrong:
            return None, str(wrong)


def instant(text: str) -> int:
    """Return milliseconds since the Unix epoch, UTC, of a CAP time.

    Raises:
        ValueError: Not a time, or none of this calendar.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError("not YYYY-MM-DDThh:mm:ss followed by +hh:mm or -hh:mm")
    hours, minutes = int(match[5]), int(match[6])
    if hours * 60 + minutes > 14 * 60 or minutes > 59:
        raise ValueError("offset: more than 14 hours")
    last = match[2] == "24" and match[3] == ":00:00"  # the schema's other name for the next midnight
    offset = timedelta(hours=hours, minutes=minutes) * (-1 if match[4] == "-" else 1)
    began = datetime.fromisoformat(match[1] + ("00" if last else match[2]) + match[3])
    since = began - datetime(1970, 1, 1) - offset + timedelta(days=1 if last else 0)
    return since // timedelta(milliseconds=1)


def _time(text: str) -> str:
    try:
        instant(text)
    except ValueError as error:
        raise _WrongError(f"{text[:40]!r}: {error}") from None
    return text


def _named(text: str) -> str:
    if not text or len(text) > MAX_NAME or _FORBIDDEN.search(text):
        raise _WrongError(f"{text[:40]!r}: 1..{MAX_NAME} characters without blanks, commas, < and &")
    return text


def _one_of(kind: type[enum.StrEnum]) -> Leaf:
    values = frozenset(member.value for member in kind)

    def read(text: str) -> str:
        if text not in values:
            raise _WrongError(f"{text[:40]!r}: not one of {', '.join(sorted(values))}")
        return text

    return Leaf(Rule.VALUE, read, exact=True)


def _fits(pattern: re.Pattern[str], expected: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not pattern.fullmatch(text):
            raise _WrongError(f"{text[:40]!r}: not {expected}")
        return text

    return read


def _language(text: str) -> str:
    if not text:
        return DEFAULT_LANGUAGE
    return _fits(_LANGUAGE, "a language tag of RFC 3066")(text)


def _web(text: str) -> str:
    return _fits(_ABSOLUTE, "an absolute URI")(text) if text else text


def _number(text: str) -> float:
    if not _DECIMAL.fullmatch(text):
        raise _WrongError(f"{text[:40]!r}: not a decimal number")
    return float(text)


def _size(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise _WrongError(f"{text[:40]!r}: not a number of bytes")
    return int(text)


def _base64(text: str) -> str:
    packed = "".join(text.split())
    try:
        base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError):
        raise _WrongError("not base64") from None
    return packed


def _pair(text: str) -> tuple[float, float]:
    latitude, comma, longitude = text.partition(",")
    if not comma:
        raise _WrongError(f"{text[:40]!r}: not latitude,longitude")
    pair = _number(latitude), _number(longitude)
    if abs(pair[0]) > 90 or abs(pair[1]) > 180:
        raise _WrongError(f"{text[:40]!r}: not degrees of latitude,longitude")
    return pair


def _polygon(text: str) -> tuple[tuple[float, float], ...]:
    words = _words(text)
    if not 4 <= len(words) <= MAX_POINTS:
        raise _WrongError(f"{len(words)} points, not in 4..{MAX_POINTS}")
    points = tuple(map(_pair, words))
    if points[0] != points[-1]:
        raise _WrongError("the last point is not the first")
    return points


def _circle(text: str) -> dict[str, float]:
    words = _words(text)
    if len(words) != 2:
        raise _WrongError(f"{text[:40]!r}: not latitude,longitude and a radius")
    (latitude, longitude), radius_km = _pair(words[0]), _number(words[1])
    if radius_km < 0:
        raise _WrongError("the radius is negative")
    return {"latitude": latitude, "longitude": longitude, "radiusKm": radius_km}


def _references(text: str) -> list[dict[str, str]]:
    words = _words(text)
    if len(words) > MAX_REFERENCES:
        raise _WrongError(f"{len(words)} references, limit {MAX_REFERENCES}")
    found = []
    for word in words:
        parts = word.split(",")
        if len(parts) != 3:
            raise _WrongError(f"{word[:60]!r}: not sender,identifier,sent")
        found.append({"sender": _named(parts[0]), "identifier": _named(parts[1]), "sent": _time(parts[2])})
    return found


def plain_number(value: float) -> str:
    """Return ``value`` without an exponent, exactly enough to read it back."""
    return format(Decimal(repr(value)), "f").removesuffix(".0")


def _write_polygon(points: list[list[float]]) -> str:
    return " ".join(f"{plain_number(latitude)},{plain_number(longitude)}" for latitude, longitude in points)


def _write_circle(circle: Mapping[str, float]) -> str:
    centre = f"{plain_number(circle['latitude'])},{plain_number(circle['longitude'])}"
    return f"{centre} {plain_number(circle['radiusKm'])}"


def _write_references(references: list[dict[str, str]]) -> str:
    return " ".join(f"{r['sender']},{r['identifier']},{r['sent']}" for r in references)


TEXT = Leaf(Rule.CHARACTER, str, longest=MAX_BYTES, exact=True)
TIME = Leaf(Rule.TIME, _time)
NUMBER = Leaf(Rule.NUMBER, _number, plain_number)
INTEGER = Leaf(Rule.NUMBER, _size)
LANGUAGE = Leaf(Rule.LANGUAGE, _language)
IDENTIFIER = Leaf(Rule.IDENTIFIER, _named, exact=True)
SENDER = Leaf(Rule.SENDER, _named, exact=True)
REFERENCES = Leaf(Rule.REFERENCES, _references, _write_references, MAX_BYTES)
WEB = Leaf(Rule.URI, _web)
URI = Leaf(Rule.URI, _fits(_URI, "a URI"))
MIME = Leaf(Rule.MIME, _fits(_MIME, "type/subtype"))
BASE64 = Leaf(Rule.BASE64, _base64, longest=MAX_BYTES)
DIGEST = Leaf(Rule.DIGEST, _fits(_SHA1, "40 hexadecimal digits (SHA-1)"))
POLYGON = Leaf(Rule.POLYGON, _polygon, _write_polygon, MAX_BYTES)
CIRCLE = Leaf(Rule.CIRCLE, _circle, _write_circle)
STATUS = _one_of(Status)
MSG_TYPE = _one_of(MsgType)
SCOPE = _one_of(Scope)
CATEGORY = _one_of(Category)
RESPONSE = _one_of(ResponseType)
WHEN = _one_of(When)
SEVERITY = _one_of(Severity)
CERTAINTY = _one_of(Certainty)
