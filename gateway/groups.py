"""Named circles of recipients: what a duty officer ticks with one click (全县乡镇带班领导, 沿江乡镇, ...)."""

from __future__ import annotations

from pathlib import Path

import msgspec

from signaling import text
from signaling.division import Tree
from signaling.errors import Refused
from signaling.records import ScopeItem

from .config import ConfigError

MAX_GROUPS = 100
MAX_NAME = 40


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``scope`` goes into a directive as it stands: places, and the posts addressed there."""

    id: str
    name: str
    scope: tuple[ScopeItem, ...]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    group: tuple[Group, ...] = ()


def read(path: Path | None, tree: Tree) -> tuple[Group, ...]:
    """Return the groups in a TOML file, none without a file.

    Raises:
        ConfigError: The file cannot be used, or names what is no place of the tree; the text names it.
    """
    if path is None:
        return ()
    try:
        found = msgspec.toml.decode(path.read_bytes(), type=_File).group
        for group in found:
            text.line(group.name, f"{group.id}.name", MAX_NAME)
            tree.expand(group.scope)
            tree.posts(group.scope)
    except (OSError, msgspec.DecodeError, Refused) as error:
        raise ConfigError((f"{path}: {error}",)) from None
    if len({group.id for group in found}) != len(found) or len(found) > MAX_GROUPS:
        raise ConfigError((f"{path}: ids repeat, or more than {MAX_GROUPS} groups",))
    return found
