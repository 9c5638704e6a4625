"""What an exercise to every village showed: who answered, how fast, and who did not.

Times are those the villages' own gateways wrote down, since the order was issued; a clock that is behind the
issuer's makes one negative, which is counted and shown as it is.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec

STAGES = ("delivered", "shown", "signed")
"""In order: who is missing is missing at the first of them that was not reached."""


class Place(msgspec.Struct, frozen=True):
    """One row of ``GET nodes``, as far as it matters here."""

    code: str
    name: str
    tier: int
    parent: str | None = None


class Row(msgspec.Struct, frozen=True):
    """One row of a directive's matrix.  Milliseconds since the Unix epoch, None until reached."""

    node: str
    delivered_at: int | None = None
    shown_at: int | None = None
    signed_at: int | None = None

    def at(self, stage: str) -> int | None:
        """Return when ``stage`` was reached: what is signed for was shown, and what was shown has arrived."""
        times = (self.delivered_at, self.shown_at, self.signed_at)
        return next((at for at in times[STAGES.index(stage) :] if at is not None), None)


class Matrix(msgspec.Struct, frozen=True):
    """``GET directives/{id}``."""

    issued_at: int
    recipients: Annotated[tuple[Row, ...], msgspec.Meta(max_length=40_000)]


@dataclass(frozen=True, slots=True)
class Group:
    """The villages of one township, or all of them.  Times in ms since the order was issued."""

    name: str
    villages: int
    times: Mapping[str, Sequence[int]]

    def reached(self, stage: str) -> int:
        return len(self.times[stage])

    def percentile(self, stage: str, share: float) -> int | None:
        """Return the time within which ``share`` of those who reached ``stage`` did; None when nobody did."""
        times = sorted(self.times[stage])
        return times[math.ceil(share * len(times)) - 1] if times else None


@dataclass(frozen=True, slots=True)
class Report:
    directive: str
    total: Group
    townships: tuple[Group, ...]
    missing: Mapping[str, tuple[tuple[Place, str], ...]]
    """Stage to who did not reach it though they reached the one before, each with its township's name."""
    early: int
    """Times before the order was issued: so many clocks are behind."""

    @property
    def complete(self) -> bool:
        return not any(self.missing.values())


def report(directive: str, matrix: Matrix, places: Iterable[Place]) -> Report:
    """Return what ``matrix`` says of the villages it was sent to."""
    known = {place.code: place for place in places}
    villages = [(known.get(row.node, Place(row.node, row.node, 5)), row) for row in matrix.recipients]
    parents: dict[str, list[Row]] = {}
    missing: dict[str, list[tuple[Place, str]]] = {stage: [] for stage in STAGES}
    for place, row in villages:
        parents.setdefault(place.parent or "", []).append(row)
        short = next((stage for stage in STAGES if row.at(stage) is None), None)
        if short is not None:
            missing[short].append((place, _name(place.parent, known)))
    total = _group("", matrix, matrix.recipients)
    return Report(
        directive,
        total,
        tuple(_group(_name(parent, known), matrix, rows) for parent, rows in parents.items()),
        {stage: tuple(found) for stage, found in missing.items()},
        sum(time < 0 for stage in STAGES for time in total.times[stage]),
    )


def _name(code: str | None, known: Mapping[str, Place]) -> str:
    place = known.get(code or "")
    return place.name if place is not None else code or "?"


def _group(name: str, matrix: Matrix, rows: Sequence[Row]) -> Group:
    times = {stage: [at - matrix.issued_at for row in rows if (at := row.at(stage)) is not None] for stage in STAGES}
    return Group(name, len(rows), times)


# ---- for people and for programs -----------------------------------------------------------------


def lines(found: Report) -> Iterator[str]:
    """Yield the report as people read it."""
    width = max(map(_width, ("township", *(group.name for group in found.townships))))
    head = "".join(f"{stage:>11}{'p50/p95 s':>15}" for stage in STAGES)
    yield f"{'township':<{width}}  villages{head}"
    for group in found.townships:
        yield _line(group, group.name, width)
    yield _line(found.total, "all", width)
    for stage in STAGES:
        if found.missing[stage]:
            names = "、".join(f"{place.name}（{township}）" for place, township in found.missing[stage])
            yield f"not {stage} ({len(found.missing[stage])}): {names}"
    if found.early:
        yield f"{found.early} times are before the order was issued: look at the clocks (wuji doctor)"


def _line(group: Group, name: str, width: int) -> str:
    cells = "".join(f"{group.reached(stage):>11}{_span(group, stage):>15}" for stage in STAGES)
    return f"{name}{' ' * (width - _width(name))}  {group.villages:>8}{cells}"


def _span(group: Group, stage: str) -> str:
    times = group.percentile(stage, 0.5), group.percentile(stage, 0.95)
    return "/".join("-" if time is None else f"{time / 1000:.1f}" for time in times)


def _width(text: str) -> int:
    """Return how many columns of a terminal ``text`` takes."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def plain(found: Report) -> dict[str, object]:
    """Return the report as a JSON object."""
    return {
        "directive": found.directive,
        "complete": found.complete,
        **_plain(found.total),
        "townships": [{"name": group.name, **_plain(group)} for group in found.townships],
        **{
            f"not_{stage}": [
                {"code": place.code, "name": place.name, "township": township}
                for place, township in found.missing[stage]
            ]
            for stage in STAGES
        },
        "early": found.early,
    }


def _plain(group: Group) -> dict[str, object]:
    return {
        "villages": group.villages,
        **{stage: group.reached(stage) for stage in STAGES},
        "p50_ms": {stage: group.percentile(stage, 0.5) for stage in STAGES},
        "p95_ms": {stage: group.percentile(stage, 0.95) for stage in STAGES},
    }
