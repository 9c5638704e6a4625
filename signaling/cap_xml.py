"""CAP 1.2 as XML, read and written along the table of ``cap_elements.py``.

Pure.  ``read`` finds every broken rule, not only the first; what it returns is plain dictionaries whose keys are
the element names, for ``cap.py`` to make typed values of.  Document types, entities and anything external are
refused before they can do harm, and depth, repeats and bytes are bounded.

Source: OASIS Common Alerting Protocol 1.2, sections 3.2 (what elements say together) and 3.4 (schema).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from . import cap_values as values
from .cap_elements import ALERT, AREA, RESOURCE, Field
from .cap_terms import MAX_BYTES, MAX_ELEMENTS, NAMESPACE, SIGNATURE_NAMESPACE, Broken, CapError, MsgType, Rule, Scope

Raw = dict[str, Any]

MAX_DEPTH = 6
"""alert, info, area, geocode, value, and one more to say what is wrong with it."""
MAX_BROKEN = 100
_SCHEMA_HINTS = frozenset(
    f"{{http://www.w3.org/2001/XMLSchema-instance}}{name}" for name in ("schemaLocation", "noNamespaceSchemaLocation")
)
_UNPRINTABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


# ---- reading -------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class _Element:
    tag: str
    attributes: Mapping[str, str]
    text: list[str] = field(default_factory=list)
    children: list[_Element] = field(default_factory=list)


class _Builder:
    """What the XML parser tells of the document; too deep a document ends it."""

    def __init__(self) -> None:
        self._open: list[_Element] = []
        self._count = 0
        self.root: _Element | None = None

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise _fatal(Rule.ELEMENT, f"elements more than {MAX_DEPTH} deep")
        self._count += 1
        if self._count > MAX_ELEMENTS:
            raise _fatal(Rule.TOO_LARGE, f"more than {MAX_ELEMENTS} elements")
        element = _Element(tag, dict(attributes))
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def end(self, tag: str) -> None:
        self._open.pop()

    def data(self, text: str) -> None:
        self._open[-1].text.append(text)

    def close(self) -> _Element | None:
        return self.root


def read(data: bytes) -> tuple[Raw, tuple[Broken, ...]]:
    """Return what a document says, and every rule it breaks, at most MAX_BROKEN.

    Raises:
        CapError: It cannot be read at all: too large, not XML, with a document type, or not an alert.
    """
    root = _document(data)
    reader = _Reader()
    raw = reader.alert(root)
    return raw, tuple(reader.broken)


def _document(data: bytes) -> _Element:
    if len(data) > MAX_BYTES:
        raise _fatal(Rule.TOO_LARGE, f"{len(data)} bytes, limit {MAX_BYTES}")
    builder = _Builder()
    parser = DefusedXMLParser(target=builder, forbid_dtd=True, forbid_entities=True, forbid_external=True)
    try:
        parser.feed(data)
        parser.close()
    except DefusedXmlException as error:
        raise _fatal(Rule.DTD, type(error).__name__) from None
    except (ParseError, ValueError, LookupError) as error:  # the last two: an encoding nobody knows
        raise _fatal(Rule.XML, str(error)[:200]) from None
    if builder.root is None:
        raise _fatal(Rule.XML, "no element")
    namespace, name = _split(builder.root.tag)
    if name != "alert" or namespace != NAMESPACE:
        rule = Rule.NAMESPACE if name == "alert" else Rule.ELEMENT
        raise _fatal(rule, f"{builder.root.tag[:100]!r}, not {{{NAMESPACE}}}alert")
    return builder.root


def _fatal(rule: Rule, text: str) -> CapError:
    return CapError((Broken(rule, "alert", text),))


def _split(tag: str) -> tuple[str, str]:
    namespace, _, name = tag.rpartition("}")
    return namespace.removeprefix("{"), name


class _Reader:
    """Walks a document along the table and notes what is wrong."""

    def __init__(self) -> None:
        self.broken: list[Broken] = []

    def alert(self, root: _Element) -> Raw:
        """Return the alert; a signature at its end is passed over, and said to be there."""
        signs = [_split(child.tag)[0] == SIGNATURE_NAMESPACE for child in root.children]
        if signs != sorted(signs):
            self._note(Rule.ORDER, "alert", "a signature comes last")
        root.children = [child for child, sign in zip(root.children, signs, strict=True) if not sign]
        raw = self._object(root, ALERT, "alert")
        raw["signed"] = any(signs)
        return raw

    def _note(self, rule: Rule, where: str, text: str) -> None:
        if len(self.broken) < MAX_BROKEN:
            self.broken.append(Broken(rule, where, text))

    def _object(self, element: _Element, fields: tuple[Field, ...], where: str) -> Raw:
        self._attributes(element, where)
        if "".join(element.text).strip():
            self._note(Rule.STRAY_TEXT, where, "text between elements")
        found = self._children(element, fields, where)
        for row in fields:
            if len(found.get(row.name, ())) < row.low:
                self._note(Rule.MISSING, f"{where}/{row.name}", "is missing")
        raw = {row.name: found[row.name] if row.high > 1 else found[row.name][0] for row in fields if row.name in found}
        if fields in _TOGETHER:
            for rule, name, text in _TOGETHER[fields](raw):
                self._note(rule, f"{where}/{name}", text)
        return raw

    def _children(self, element: _Element, fields: tuple[Field, ...], where: str) -> dict[str, list[Any]]:
        """Return the values by element name, at most as many of each as there may be."""
        positions = {row.name: position for position, row in enumerate(fields)}
        found: dict[str, list[Any]] = {}
        reached = 0
        for child in element.children:
            namespace, name = _split(child.tag)
            there = f"{where}/{name[:40]}"
            if namespace != NAMESPACE:
                self._note(Rule.NAMESPACE, there, f"namespace {namespace[:60]!r}")
                continue
            if name not in positions:
                self._note(Rule.ELEMENT, there, "no such element here")
                continue
            if positions[name] < reached:
                self._note(Rule.ORDER, there, f"comes before {fields[reached].name}")
            reached = max(reached, positions[name])
            row, known = fields[positions[name]], found.setdefault(name, [])
            if len(known) >= row.high:
                self._note(Rule.REPEATED, there, f"more than {row.high} times")
                continue
            known.append(self._value(child, row, f"{there}[{len(known) + 1}]" if row.high > 1 else there))
        return found

    def _value(self, element: _Element, row: Field, where: str) -> Any:
        if row.leaf is None:
            return self._object(element, row.inner, where)
        self._attributes(element, where)
        if element.children:
            self._note(Rule.ELEMENT, where, "elements where text belongs")
        value, wrong = row.leaf.value("".join(element.text))
        if wrong:
            self._note(row.leaf.rule, where, wrong)
        elif row.leaf is values.TIME and value.endswith("+00:00"):
            self._note(Rule.UTC, where, "UTC is written -00:00")
        return value

    def _attributes(self, element: _Element, where: str) -> None:
        for name in element.attributes:
            if name not in _SCHEMA_HINTS:
                self._note(Rule.ATTRIBUTE, where, f"attribute {name[:60]!r}")


_Finding = tuple[Rule, str, str]


def _alert_together(raw: Raw) -> Iterator[_Finding]:
    if raw.get("msgType") in (MsgType.UPDATE, MsgType.CANCEL, MsgType.ACK, MsgType.ERROR) and not raw.get("references"):
        yield Rule.REFERENCES_MISSING, "references", f"{raw['msgType']} names the messages it is about"
    if raw.get("scope") == Scope.RESTRICTED and not (raw.get("restriction") or "").strip():
        yield Rule.RESTRICTION, "restriction", "scope Restricted says to whom"
    if raw.get("scope") == Scope.PRIVATE and not (raw.get("addresses") or "").strip():
        yield Rule.ADDRESSES, "addresses", "scope Private names its recipients"


def _area_together(raw: Raw) -> Iterator[_Finding]:
    altitude, ceiling = raw.get("altitude"), raw.get("ceiling")
    if "ceiling" in raw and "altitude" not in raw:
        yield Rule.CEILING, "ceiling", "comes only with an altitude"
    elif altitude is not None and ceiling is not None and ceiling < altitude:
        yield Rule.CEILING, "ceiling", "below the altitude"


def _resource_together(raw: Raw) -> Iterator[_Finding]:
    packed, digest, uri = raw.get("derefUri"), raw.get("digest"), raw.get("uri")
    if uri and packed is None and values.WEB.value(uri)[1]:
        yield Rule.URI, "uri", "not absolute, and no content comes with it"
    if packed is not None and digest is not None:
        content = base64.b64decode(packed)
        if hashlib.sha1(content, usedforsecurity=False).hexdigest() != digest.lower():
            yield Rule.DIGEST, "digest", "not the SHA-1 of the content that comes with it"


_TOGETHER: Mapping[tuple[Field, ...], Callable[[Raw], Iterator[_Finding]]] = {
    ALERT: _alert_together,
    AREA: _area_together,
    RESOURCE: _resource_together,
}


# ---- writing -------------------------------------------------------------------------------------


def write(raw: Raw) -> bytes:
    """Return the document of ``raw``, element names to values: UTF-8, the same bytes for the same values.

    Raises:
        CapError: A text has a character that no XML may have.
    """
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f'<alert xmlns="{NAMESPACE}">']
    lines += _lines(raw, ALERT, "  ", "alert")
    return ("\n".join([*lines, "</alert>"]) + "\n").encode()


def _lines(raw: Raw, fields: tuple[Field, ...], indent: str, where: str) -> Iterator[str]:
    for row in fields:
        if row.name not in raw:
            continue
        for value in raw[row.name] if row.high > 1 else [raw[row.name]]:
            there = f"{where}/{row.name}"
            if row.leaf is None:
                yield f"{indent}<{row.name}>"
                yield from _lines(value, row.inner, indent + "  ", there)
                yield f"{indent}</{row.name}>"
            else:
                yield f"{indent}<{row.name}>{_escaped(row.leaf.write(value), there)}</{row.name}>"


def _escaped(text: str, where: str) -> str:
    if bad := _UNPRINTABLE.search(text):
        raise CapError((Broken(Rule.CHARACTER, where, f"character U+{ord(bad[0]):04X}"),))
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return plain.replace("\r", "&#13;")  # a parser would make a line feed of it
