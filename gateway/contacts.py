"""Whom to call at a place.  Numbers stay in the operator's file; records and logs name a person by reference.

[[contact]]
ref = "bali-1"
division = "430423100227"
phone = "+8613800000000"
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from signaling.ids import NodeCode

MAX_CONTACTS = 100_000
PHONE = re.compile(r"\+?[0-9]{3,20}")
"""What a number looks like."""
_REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Contact(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``ref`` says nothing about the person; ``phone`` is digits, perhaps after a plus."""

    ref: str
    division: NodeCode
    phone: str


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    contact: tuple[Contact, ...] = ()


class Contacts:
    """Everybody of one file."""

    def __init__(self, contacts: Iterable[Contact] = ()) -> None:
        """Raises: ValueError: two of one reference, or one that is none."""
        self._phones: dict[str, str] = {}
        self._places: dict[NodeCode, tuple[str, ...]] = {}
        for one in contacts:
            if not _REF.fullmatch(one.ref) or one.ref in self._phones:
                raise ValueError(f"contact.ref = {one.ref[:70]!r}: twice, or not 1..64 letters, digits, . _ -")
            if not PHONE.fullmatch(one.phone):
                raise ValueError(f"contact {one.ref}: phone is not 3..20 digits")
            self._phones[one.ref] = one.phone
            self._places[one.division] = (*self._places.get(one.division, ()), one.ref)

    def at(self, places: Iterable[NodeCode]) -> tuple[str, ...]:
        """Return the references of those to call at ``places``, in their order."""
        return tuple(ref for place in places for ref in self._places.get(place, ()))

    def phones(self, people: Iterable[str]) -> Mapping[str, str]:
        """Return reference to number, for those who are known."""
        return {ref: self._phones[ref] for ref in people if ref in self._phones}


def read(file: Path | None) -> Contacts:
    """Return the people in ``file``; nobody when there is none.

    Raises:
        ValueError: The file cannot be used; the text says why.
    """
    if file is None:
        return Contacts()
    try:
        found = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), _File).contact
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ValueError(f"{file}: {error}") from None
    if len(found) > MAX_CONTACTS:
        raise ValueError(f"{file}: {len(found)} contacts, limit {MAX_CONTACTS}")
    try:
        return Contacts(found)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
