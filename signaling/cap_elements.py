"""The elements of CAP 1.2: in which order they come, how often, and what each holds.

Pure.  One table for the parser and the writer.

Source: OASIS Common Alerting Protocol 1.2, section 3.4 (schema).
"""

from __future__ import annotations

from dataclasses import dataclass

from . import cap_values as values
from .cap_terms import MAX_REPEATS
from .cap_values import Leaf


@dataclass(frozen=True, slots=True)
class Field:
    """One row: an element, ``low`` .. ``high`` times, holding text (``leaf``) or further elements (``inner``)."""

    name: str
    leaf: Leaf | None = None
    low: int = 0
    high: int = 1
    inner: tuple[Field, ...] = ()


def _one(name: str, leaf: Leaf = values.TEXT) -> Field:
    return Field(name, leaf, low=1)


def _maybe(name: str, leaf: Leaf = values.TEXT) -> Field:
    return Field(name, leaf)


def _any(name: str, leaf: Leaf | None = values.TEXT, *, low: int = 0, inner: tuple[Field, ...] = ()) -> Field:
    return Field(name, leaf, low, MAX_REPEATS, inner)


PAIR = (_one("valueName"), _one("value"))
AREA = (
    _one("areaDesc"),
    _any("polygon", values.POLYGON),
    _any("circle", values.CIRCLE),
    _any("geocode", None, inner=PAIR),
    _maybe("altitude", values.NUMBER),
    _maybe("ceiling", values.NUMBER),
)
RESOURCE = (
    _one("resourceDesc"),
    _one("mimeType", values.MIME),
    _maybe("size", values.INTEGER),
    _maybe("uri", values.URI),
    _maybe("derefUri", values.BASE64),
    _maybe("digest", values.DIGEST),
)
INFO = (
    _maybe("language", values.LANGUAGE),
    _any("category", values.CATEGORY, low=1),
    _one("event"),
    _any("responseType", values.RESPONSE),
    _one("urgency", values.WHEN),
    _one("severity", values.SEVERITY),
    _one("certainty", values.CERTAINTY),
    _maybe("audience"),
    _any("eventCode", None, inner=PAIR),
    _maybe("effective", values.TIME),
    _maybe("onset", values.TIME),
    _maybe("expires", values.TIME),
    _maybe("senderName"),
    _maybe("headline"),
    _maybe("description"),
    _maybe("instruction"),
    _maybe("web", values.WEB),
    _maybe("contact"),
    _any("parameter", None, inner=PAIR),
    _any("resource", None, inner=RESOURCE),
    _any("area", None, inner=AREA),
)
ALERT = (
    _one("identifier", values.IDENTIFIER),
    _one("sender", values.SENDER),
    _one("sent", values.TIME),
    _one("status", values.STATUS),
    _one("msgType", values.MSG_TYPE),
    _maybe("source"),
    _one("scope", values.SCOPE),
    _maybe("restriction"),
    _maybe("addresses"),
    _any("code"),
    _maybe("note"),
    _maybe("references", values.REFERENCES),
    _maybe("incidents"),
    _any("info", None, inner=INFO),
)
"""The whole schema, in the order the elements must come."""
