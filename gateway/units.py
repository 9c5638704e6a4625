"""Departments and teams that can be sent: a file of them, and where each is needed now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from signaling import text
from signaling.division import Tree
from signaling.errors import Refused
from signaling.ids import NodeCode
from signaling.records import Unit
from signaling.vouching import MAX_NAME, identity

from .config import ConfigError

MAX_UNITS = 2_000


class Team(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry: ``id`` of letters, digits and dashes, ``place`` its 12-digit division, ``kind`` in one word."""

    id: str
    name: str
    place: NodeCode
    kind: Annotated[str, msgspec.Meta(max_length=MAX_NAME)] = ""
    phone: Annotated[str, msgspec.Meta(max_length=32)] = ""

    @property
    def unit(self) -> Unit:
        return Unit(unit=self.id, name=self.name, place=self.place)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    unit: tuple[Team, ...] = ()


class Units:
    """All units of the file, by id."""

    def __init__(self, teams: Iterable[Team] = ()) -> None:
        self._teams: Mapping[str, Team] = {team.id: team for team in teams}

    def all(self) -> Iterable[Team]:
        return self._teams.values()

    def get(self, unit: str) -> Team:
        """Return one unit.

        Raises:
            Refused: ``unknown-unit``.
        """
        try:
            return self._teams[unit]
        except KeyError:
            raise Refused("unknown-unit", f"no unit {unit[:40]!r} here") from None


def read(path: Path | None, tree: Tree) -> Units:
    """Return the units in a TOML file, none without a file.

    Raises:
        ConfigError: The file cannot be used; the text names it.
    """
    if path is None:
        return Units()
    try:
        found = msgspec.toml.decode(path.read_bytes(), type=_File).unit
        for team in found:
            identity(team.id)
            text.line(team.name, f"{team.id}.name", MAX_NAME)
            tree.get(team.place)
    except (OSError, msgspec.DecodeError, Refused) as error:
        raise ConfigError((f"{path}: {error}",)) from None
    if len({team.id for team in found}) != len(found) or len(found) > MAX_UNITS:
        raise ConfigError((f"{path}: ids repeat, or more than {MAX_UNITS} units",))
    return Units(found)
