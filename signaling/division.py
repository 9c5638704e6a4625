"""The tree of administrative divisions: who is above, below and beside whom.

Pure: built from the text of a table, asked ever after.  The hierarchy is the parent pointer, never a
slice of the code: some cities have no county tier, and villages merge.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from .errors import Refused
from .ids import NodeCode
from .records import Mode, ScopeItem

MAX_HOPS = 8
"""A chain of parents longer than this is a mistake in the table."""

MAX_SCOPE_ITEMS = 500
MAX_RECIPIENTS = 40_000
TOWNSHIP_TIER = 4

_COLUMNS = ("code12", "name", "parent", "tier", "lon_gcj02", "lat_gcj02")


class TreeError(ValueError):
    """The table of divisions is not a tree.  Names the line."""


@dataclass(frozen=True, slots=True)
class Division:
    """One place.  ``tier`` 1 (province) .. 5 (village); GCJ-02 degrees."""

    code: NodeCode
    name: str
    parent: NodeCode | None
    tier: int
    longitude: float
    latitude: float


class Tree:
    """Immutable.  Unknown codes are nobody's parent, child or ancestor; ``name`` and ``tier`` refuse them."""

    def __init__(self, divisions: Iterable[Division]) -> None:
        """Build the tree.

        Raises:
            TreeError: A code twice, a missing parent, a loop, or not exactly one root.
        """
        self._divisions: dict[NodeCode, Division] = {}
        for division in divisions:
            if division.code in self._divisions:
                raise TreeError(f"{division.code}: listed twice")
            self._divisions[division.code] = division
        self._children: dict[NodeCode, tuple[NodeCode, ...]] = _children(self._divisions)
        self._paths = {code: _path(code, self._divisions) for code in self._divisions}
        self._sizes = Counter(above for path in self._paths.values() for above in path)
        self._audiences: dict[NodeCode, frozenset[NodeCode]] = {}
        """Filled as asked: each alarm asks many times."""
        roots = [d.code for d in self._divisions.values() if d.parent is None]
        if len(roots) != 1:
            raise TreeError(f"{len(roots)} divisions without a parent, need exactly 1")
        self.root = roots[0]

    def __contains__(self, code: object) -> bool:
        return code in self._divisions

    def __iter__(self) -> Iterator[NodeCode]:
        return iter(self._divisions)

    def __len__(self) -> int:
        return len(self._divisions)

    def get(self, code: NodeCode) -> Division:
        """Return the division of ``code``.

        Raises:
            Refused: ``unknown-node``.
        """
        try:
            return self._divisions[code]
        except KeyError:
            raise Refused("unknown-node", f"no division {code[:20]!r} in the tree") from None

    def name(self, code: NodeCode) -> str:
        return self.get(code).name

    def tier(self, code: NodeCode) -> int:
        return self.get(code).tier

    def position(self, code: NodeCode) -> tuple[float, float]:
        """Return (longitude, latitude), GCJ-02 degrees."""
        division = self.get(code)
        return division.longitude, division.latitude

    def parent(self, code: NodeCode) -> NodeCode | None:
        division = self._divisions.get(code)
        return division.parent if division else None

    def children(self, code: NodeCode) -> tuple[NodeCode, ...]:
        return self._children.get(code, ())

    def beside(self, code: NodeCode) -> tuple[NodeCode, ...]:
        """Return the other places under the same superior."""
        parent = self.parent(code)
        return () if parent is None else tuple(c for c in self.children(parent) if c != code)

    def path_up(self, code: NodeCode) -> tuple[NodeCode, ...]:
        """Return ``code``, its parent, and so on to the root; empty when unknown."""
        return self._paths.get(code, ())

    def is_within(self, code: NodeCode, ancestor: NodeCode) -> bool:
        """Return whether ``code`` is ``ancestor`` or below it."""
        return ancestor in self._paths.get(code, ())

    def subtree(self, code: NodeCode) -> Iterator[NodeCode]:
        """Yield ``code`` and everything below it, parents first."""
        yield code
        for child in self._children.get(code, ()):
            yield from self.subtree(child)

    def size(self, code: NodeCode) -> int:
        """Return how many places ``subtree`` yields; 0 when unknown."""
        return self._sizes[code]

    def next_hop(self, here: NodeCode, to: NodeCode) -> NodeCode | None:
        """Return the neighbour of ``here`` on the way to ``to``; None at the goal or when either is unknown."""
        path = self._paths.get(to, ())
        if here == to or not path or here not in self._divisions:
            return None
        if here in path:
            return path[path.index(here) - 1]
        return self.parent(here)

    def township(self, code: NodeCode) -> NodeCode | None:
        """Return the tier-4 ancestor-or-self of ``code``, or None above that tier."""
        return next((c for c in self.path_up(code) if self._divisions[c].tier == TOWNSHIP_TIER), None)

    def expand(self, scope: Sequence[ScopeItem]) -> tuple[NodeCode, ...]:
        """Return every place ``scope`` means, once each, in the order first meant.

        Raises:
            Refused: ``empty-scope``, ``scope-too-large`` or ``unknown-node``.
        """
        if not scope:
            raise Refused("empty-scope", "the scope names no place")
        if len(scope) > MAX_SCOPE_ITEMS:
            raise Refused("scope-too-large", f"{len(scope)} entries, limit {MAX_SCOPE_ITEMS}")
        places: dict[NodeCode, None] = {}
        for item in scope:
            self.get(item.node)
            places.update(dict.fromkeys(self._meant(item)))
            if len(places) > MAX_RECIPIENTS:
                raise Refused("scope-too-large", f"more than {MAX_RECIPIENTS} places")
        if not places:
            raise Refused("empty-scope", "the scope names no place")
        return tuple(places)

    def posts(self, scope: Sequence[ScopeItem]) -> dict[NodeCode, str]:
        """Return the post addressed at each place of ``scope`` that names one.

        Raises:
            Refused: ``post-conflict``: a place is meant twice, and not in the same post.
        """
        posts: dict[NodeCode, str] = {}
        for item in scope:
            for code in self._meant(item):
                if posts.setdefault(code, item.post) != item.post:
                    raise Refused("post-conflict", f"{self.name(code)} is addressed in two posts")
        return {code: post for code, post in posts.items() if post}

    def _meant(self, item: ScopeItem) -> Iterable[NodeCode]:
        match item.mode:
            case Mode.SELF:
                return (item.node,)
            case Mode.CHILDREN:
                return self.children(item.node)
            case Mode.SUBTREE:
                return self.subtree(item.node)
            case Mode.TIER:
                return (code for code in self.subtree(item.node) if self._divisions[code].tier == item.tier)

    def audience(self, place: NodeCode) -> frozenset[NodeCode]:
        """Return who is told of an alarm at ``place``: its line up to the root, and the places of its township."""
        known = self._audiences.get(place)
        if known is None:
            township = self.township(place)
            known = frozenset(self.path_up(place)) | frozenset(self.children(township) if township else ())
            if place in self._divisions:
                self._audiences[place] = known
        return known


def parse(text: str) -> Tree:
    """Return the tree in ``text``: CSV with the columns code12,name,parent,tier,lon_gcj02,lat_gcj02.

    Further columns are ignored.

    Raises:
        TreeError: Names the line and what is wrong with it.
    """
    reader = csv.DictReader(io.StringIO(text))
    missing = [c for c in _COLUMNS if c not in (reader.fieldnames or ())]
    if missing:
        raise TreeError(f"line 1: missing columns {', '.join(missing)}")
    return Tree([_division(row, reader.line_num) for row in reader])


def _division(row: Mapping[str, str | None], line: int) -> Division:
    values = {column: (row[column] or "").strip() for column in _COLUMNS}
    code, parent = values["code12"], values["parent"]
    if not (len(code) == 12 and code.isascii() and code.isdigit()):
        raise TreeError(f"line {line}: code12 = {code[:20]!r}: not 12 digits")
    if not values["name"]:
        raise TreeError(f"line {line}: name is empty")
    try:
        tier = int(values["tier"])
        longitude, latitude = float(values["lon_gcj02"]), float(values["lat_gcj02"])
    except ValueError as error:
        raise TreeError(f"line {line}: {error}") from None
    if not (1 <= tier <= 5 and -180 <= longitude <= 180 and -90 <= latitude <= 90):
        raise TreeError(f"line {line}: tier not in 1..5, or position not in degrees")
    return Division(NodeCode(code), values["name"], NodeCode(parent) if parent else None, tier, longitude, latitude)


def _children(divisions: Mapping[NodeCode, Division]) -> dict[NodeCode, tuple[NodeCode, ...]]:
    children: dict[NodeCode, list[NodeCode]] = {}
    for division in divisions.values():
        if division.parent is None:
            continue
        if division.parent not in divisions:
            raise TreeError(f"{division.code}: parent {division.parent} is not listed")
        if divisions[division.parent].tier >= division.tier:
            raise TreeError(f"{division.code}: tier {division.tier} is not below its parent's")
        children.setdefault(division.parent, []).append(division.code)
    return {parent: tuple(codes) for parent, codes in children.items()}


def _path(code: NodeCode, divisions: Mapping[NodeCode, Division]) -> tuple[NodeCode, ...]:
    path = [code]
    while (parent := divisions[path[-1]].parent) is not None:
        path.append(parent)
        if len(path) > MAX_HOPS:
            raise TreeError(f"{code}: more than {MAX_HOPS} parents, or a loop")
    return tuple(path)
