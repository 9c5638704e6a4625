"""What people may write into names, titles and notes.

Pure.  Control characters and the marks that turn the direction of writing are refused: a name is printed into
SDP, logs and other people's screens, where they would forge a line or hide one.
"""

from __future__ import annotations

import unicodedata

from .errors import Refused

_TURNING = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u061c")
_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})


def line(value: str, field: str, limit: int, *, empty: bool = False) -> str:
    """Return ``value`` if it is one printable line of at most ``limit`` characters.

    Raises:
        Refused: ``bad-text``, naming ``field``.
    """
    return _checked(value, field, limit, "", empty)


def body(value: str, field: str, limit: int, *, empty: bool = False) -> str:
    """Return ``value`` if it is printable text of at most ``limit`` characters; newline and tab are allowed.

    Raises:
        Refused: ``bad-text``, naming ``field``.
    """
    return _checked(value, field, limit, "\n\t", empty)


def shown(value: str) -> str:
    """Return what somebody else wrote with a blank for every character that may not be shown."""
    return "".join(" " if _refused(character, "\n\t") else character for character in value)


def _refused(character: str, allowed: str) -> bool:
    if character in allowed:
        return False
    return character in _TURNING or unicodedata.category(character) in _REFUSED_CATEGORIES


def _checked(value: str, field: str, limit: int, allowed: str, empty: bool) -> str:
    if len(value) > limit:
        raise Refused("bad-text", f"{field}: {len(value)} characters, limit {limit}")
    if not empty and not value.strip():
        raise Refused("bad-text", f"{field}: empty")
    if value.isprintable():  # then no character is of a refused category; those that turn are of Cf
        return value
    for character in value:
        if _refused(character, allowed):
            raise Refused("bad-text", f"{field}: character U+{ord(character):04X} is not allowed")
    return value
