"""The shape of a province: how many cities, counties, townships and villages, spread evenly over those above.

Pure.  The province of this project's proofs has 1-14-137-2006-29479.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from signaling.division import Division, Tree
from signaling.ids import NodeCode

LONGITUDE, LATITUDE = 112.8, 27.2
MAX_PLACES = 100_000


@dataclass(frozen=True)
class Shape:
    """How many places there are of each tier, the province first; none fewer than those above."""

    counts: tuple[int, int, int, int, int]

    @classmethod
    def parse(cls, text: str) -> Shape:
        """Return the shape in ``text``: five numbers and four hyphens.

        Raises:
            ValueError: It is something else, not one province, wider above than below, or of too many places.
        """
        counts = tuple(int(word) for word in text.split("-"))
        if len(counts) != 5 or counts[0] != 1 or list(counts) != sorted(counts) or sum(counts) > MAX_PLACES:
            raise ValueError(f"{text!r}: not 1-a-b-c-d, each at least the one before, {MAX_PLACES} places at most")
        return cls(counts)

    @classmethod
    def of_county(cls, towns: int) -> Shape:
        """Return one county with ``towns`` townships and their share of PROVINCE's villages, and the two above it."""
        _, _, _, all_towns, villages = PROVINCE.counts
        return cls((1, 1, 1, towns, round(villages * towns / all_towns)))

    def __str__(self) -> str:
        return "-".join(map(str, self.counts))

    @property
    def villages(self) -> int:
        return self.counts[4]

    @functools.cached_property
    def tree(self) -> Tree:
        """The places; the first of each tier stands below the first of the tier above, and no other has more below."""
        return Tree(self._divisions())

    def table(self) -> Iterator[str]:
        """Yield the lines of the table of divisions."""
        yield "code12,name,parent,tier,lon_gcj02,lat_gcj02"
        for division in self._divisions():
            code, parent = division.code, division.parent or ""
            yield f"{code},{division.name},{parent},{division.tier},{division.longitude},{division.latitude}"

    def _divisions(self) -> Iterator[Division]:
        for tier, count in enumerate(self.counts, 1):
            above = self.counts[max(0, tier - 2)]
            for number in range(count):
                code = place(tier, number)
                parent = place(tier - 1, number * above // count) if tier > 1 else None
                yield Division(code, code, parent, tier, LONGITUDE, LATITUDE)


PROVINCE = Shape((1, 14, 137, 2006, 29_479))


def place(tier: int, number: int = 0) -> NodeCode:
    """Return the code of the place of that ``number``, from 0, among those of ``tier``, 1 .. 5."""
    return NodeCode(f"{tier}{number:011d}")
