"""One-click directive templates: what a duty officer need not type at three in the morning."""

from __future__ import annotations

from pathlib import Path

import msgspec

from signaling import text
from signaling.directive import MAX_TEXT, MAX_TITLE
from signaling.errors import Refused
from signaling.records import Urgency

from .config import ConfigError

MAX_TEMPLATES = 200


class Template(msgspec.Struct, frozen=True):
    """One entry; ``text`` may have blanks to fill in."""

    id: str
    title: str
    text: str
    urgency: Urgency


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
    except (OSError, msgspec.DecodeError, Refused) as error:
        raise ConfigError((f"{path}: {error}",)) from None
    if len({template.id for template in found}) != len(found) or len(found) > MAX_TEMPLATES:
        raise ConfigError((f"{path}: ids repeat, or more than {MAX_TEMPLATES} templates",))
    return found
