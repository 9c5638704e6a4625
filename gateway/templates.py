"""One-click directive templates: what a duty officer need not type at three in the morning."""

from __future__ import annotations

from pathlib import Path

import msgspec

from signaling import text
from signaling.content import LEVELS, MAX_CAPACITY, MAX_WORD
from signaling.directive import MAX_TEXT, MAX_TITLE
from signaling.errors import Refused
from signaling.forms import FieldSpec, check_fields
from signaling.records import Urgency

from .config import ConfigError

MAX_TEMPLATES = 200


class Template(msgspec.Struct, frozen=True):
    """One entry; ``title`` and ``text`` may have blanks to fill in: ``{集合点}``.

    ``plan``: the contingency plan it belongs to; ``level``: its response level 1 (highest) .. 4, 0 for none.
    """

    id: str
    title: str
    text: str
    urgency: Urgency
    plan: str = ""
    level: int = 0
    capacity: str = ""
    fields: tuple[FieldSpec, ...] = ()


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    template: tuple[Template, ...] = ()


def read(path: Path | None) -> tuple[Template, ...]:
    """Return the templates in a TOML file, none without a file.

    Raises:
        ConfigError: The file cannot be used; the text names it.
    """
    if path is None:
        return ()
    try:
        found = msgspec.toml.decode(path.read_bytes(), type=_File).template
        for template in found:
            text.line(template.title, f"{template.id}.title", MAX_TITLE)
            text.body(template.text, f"{template.id}.text", MAX_TEXT)
            text.line(template.plan, f"{template.id}.plan", MAX_WORD, empty=True)
            text.line(template.capacity, f"{template.id}.capacity", MAX_CAPACITY, empty=True)
            check_fields(template.fields)
            if template.level not in LEVELS:
                raise Refused("bad-record", f"{template.id}.level: not in 0..{LEVELS[-1]}")
    except (OSError, msgspec.DecodeError, Refused) as error:
        raise ConfigError((f"{path}: {error}",)) from None
    if len({template.id for template in found}) != len(found) or len(found) > MAX_TEMPLATES:
        raise ConfigError((f"{path}: ids repeat, or more than {MAX_TEMPLATES} templates",))
    return found
