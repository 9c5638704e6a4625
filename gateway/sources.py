"""The registry of collection points: what they are, whether they are armed, when they last said anything.

Points and their arming are records; when a point was last heard of changes with every alarm and is kept beside the
journal, written at most every SAVE_S.
"""

from __future__ import annotations

import asyncio
import csv
import io
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from gateway.camera_book import CameraBook
from gateway.clock import Clock
from gateway.journal import Journal, Row
from gateway.refusals import Refusals
from signaling import alarm_words
from signaling.division import Tree
from signaling.errors import Refused
from signaling.ids import Monotonic, NodeCode, UtcMs
from signaling.permission import Action, permit, permitted
from signaling.records import Actor, SourceArmed, SourceRegistered

MAX_SOURCES = 20_000
SAVE_S = 5.0
PICTURES_KEPT = 50_000
"""Buckets remembered; then all are full again."""

COLUMNS = ("source", "place", "kind", "longitude", "latitude")
CAMERA = "camera"
"""A column that may be missing: then every camera stays as it is."""

_SEEN = (
    "CREATE TABLE IF NOT EXISTS seen (place TEXT, source TEXT, at INTEGER, PRIMARY KEY (place, source)) WITHOUT ROWID"
)


class Name(NamedTuple):
    place: NodeCode
    source: str


@dataclass(frozen=True, slots=True)
class Point:
    """One collection point.  ``seen`` is when it last raised an alarm here, None if never."""

    registered: SourceRegistered
    armed: bool = True
    seen: UtcMs | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which points a list is of: all whose name, kind or place has ``text`` in it, and of which nothing was heard
    since ``silent_since`` (None: whatever was heard)."""

    text: str = ""
    silent_since: UtcMs | None = None

    def fits(self, point: Point, tree: Tree) -> bool:
        if self.silent_since is not None and point.seen is not None and point.seen >= self.silent_since:
            return False
        known = point.registered
        where = (known.source, known.kind, known.place, tree.name(known.place))
        return not self.text or any(self.text.casefold() in one.casefold() for one in where)


class Sources:
    """All points of one node.  Run ``run`` in a task group."""

    def __init__(
        self,
        node: NodeCode,
        tree: Tree,
        journal: Journal,
        clock: Clock,
        path: Path,
        pictures_per_min: float,
        burst: int,
        refusals: Refusals,
        book: CameraBook,
        check_camera: Callable[[str], None],
    ) -> None:
        """``pictures_per_min`` and ``burst``: how many pictures one source may send.

        ``check_camera`` raises Refused for an address where no camera may be.
        """
        self._node = node
        self._tree = tree
        self._journal = journal
        self._clock = clock
        self._rate_s = pictures_per_min / 60
        self._burst = burst
        self._refusals = refusals
        self._book = book
        self._check_camera = check_camera
        self._points: dict[Name, Point] = {}
        self._buckets: dict[Name, tuple[float, Monotonic]] = {}
        self._unsaved: dict[Name, UtcMs] = {}
        self._table = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._table.execute(_SEEN)
        journal.follow(self._fold, ("source:",))
        for place, source, at in self._table.execute("SELECT place, source, at FROM seen"):
            self._see(Name(place, source), at)

    # ---- points ----------------------------------------------------------------------------------

    async def load(self, actor: Actor, text: str) -> tuple[int, int]:
        """Register the points of a CSV (``COLUMNS``, ``CAMERA``); return how many there were, and how many changed.

        All or none: one line that cannot be stops it.  Addresses of cameras are kept at this node, in no record.

        Raises:
            Refused: ``bad-csv``, ``bad-text``, ``bad-record``, ``bad-camera``, ``unknown-node``, ``not-permitted`` or
                ``too-many-sources``.
        """
        try:
            read = [self._record(actor, line, row) for line, row in _rows(text)]
        except Refused as error:
            self._refusals.answer(actor, Action.ADMINISTER, "sources", error)
            raise
        if len(self._points.keys() | {_name(record) for record, _ in read}) > MAX_SOURCES:
            raise Refused("too-many-sources", f"more than {MAX_SOURCES}")
        changed = [(record, camera) for record, camera in read if self._changes(record, camera)]
        if changed:
            await self._journal.append(*(record for record, _ in changed))
            await asyncio.to_thread(self._book.write, {_name(record): camera for record, camera in changed})
        return len(read), len(changed)

    def _record(self, actor: Actor, line: int, row: Mapping[str, str | None]) -> tuple[SourceRegistered, str]:
        """Return what a line registers, and the address of its camera, "" for none."""
        values = {column: (row.get(column) or "").strip() for column in COLUMNS}
        place, camera = NodeCode(values["place"]), row.get(CAMERA)
        camera = self._book.get((place, values["source"])) if camera is None else camera.strip()
        try:
            record = SourceRegistered(
                node=self._node,
                at=self._clock.at(),
                place=place,
                source=values["source"],
                kind=values["kind"],
                longitude=float(values["longitude"]) if values["longitude"] else None,
                latitude=float(values["latitude"]) if values["latitude"] else None,
                by=actor,
                camera=bool(camera),
            )
            self._tree.get(place)
            permit(actor, Action.ADMINISTER, place, self._tree)
            alarm_words.check_source(record)
            if camera and row.get(CAMERA) is not None:
                self._check_camera(camera)
        except ValueError:
            raise Refused("bad-csv", f"line {line}: longitude or latitude is no number") from None
        except Refused as error:
            raise Refused(error.code, f"line {line}: {error}") from None
        return record, camera

    def _changes(self, record: SourceRegistered, camera: str) -> bool:
        known = self._points.get(_name(record))
        if known is None or self._book.get(_name(record)) != camera:
            return True
        old = known.registered
        return (old.kind, old.longitude, old.latitude) != (record.kind, record.longitude, record.latitude)

    async def arm(self, actor: Actor, place: NodeCode, source: str, armed: bool, reason: str) -> None:
        """Arm or disarm a point; what a disarmed one says is written down and shown on no card.

        Raises:
            Refused: ``unknown-source``, ``not-permitted`` or ``bad-text``.
        """
        point = self._points.get(Name(place, source))
        if point is None:
            raise Refused("unknown-source", f"no source {source[:40]!r} at {place[:20]}")
        try:
            permit(actor, Action.ADVANCE_ALARM, place, self._tree)
        except Refused as error:
            self._refusals.answer(actor, Action.ADVANCE_ALARM, source, error)
            raise
        if point.armed == armed:
            return
        record = SourceArmed(
            node=self._node, at=self._clock.at(), place=place, source=source, armed=armed, by=actor, reason=reason
        )
        alarm_words.check_armed(record)
        await self._journal.append(record)

    def list(self, actor: Actor, after: int, limit: int, wanted: Wanted | None = None) -> tuple[Sequence[Point], int]:
        """Return points ``actor`` is told of, by place and name, passing over ``after``; and how many there are."""
        wanted = wanted or Wanted()
        told = [
            point
            for name, point in sorted(self._points.items())
            if wanted.fits(point, self._tree) and permitted(actor, Action.READ_ALARM, name.place, self._tree)
        ]
        return told[after : after + limit], len(told)

    # ---- alarms of theirs ------------------------------------------------------------------------

    def armed(self, place: NodeCode, source: str) -> bool:
        """Return whether alarms of a source make cards: all do that nobody disarmed."""
        point = self._points.get(Name(place, source))
        return point is None or point.armed

    def camera(self, place: NodeCode, source: str) -> str:
        """Return the address of the camera that looks at a source, "" for none.  It holds a login: keep it here."""
        return self._book.get((place, source))

    def heard(self, place: NodeCode, source: str, at: UtcMs) -> None:
        """A source has raised an alarm."""
        name = Name(place, source)
        if name in self._points:
            self._see(name, at)
            self._unsaved[name] = at

    def may_picture(self, place: NodeCode, source: str) -> bool:
        """Return whether a source may send a picture now, and count it."""
        name, now = Name(place, source), self._clock.now()
        if len(self._buckets) >= PICTURES_KEPT and name not in self._buckets:
            self._buckets.clear()
        left, filled = self._buckets.get(name, (float(self._burst), now))
        left = min(float(self._burst), left + (now - filled) * self._rate_s)
        allowed = left >= 1.0
        self._buckets[name] = (left - 1.0 if allowed else left, now)
        return allowed

    def pictured_not(self, place: NodeCode, source: str) -> None:
        """The picture that was counted could not be taken now: the source may send it again."""
        name = Name(place, source)
        if name in self._buckets:
            left, filled = self._buckets[name]
            self._buckets[name] = (min(float(self._burst), left + 1.0), filled)

    async def run(self) -> None:
        """Save what was heard, until cancelled."""
        while True:
            await asyncio.sleep(SAVE_S)
            await self.save()

    async def save(self) -> None:
        """Write down when points were last heard of."""
        unsaved, self._unsaved = self._unsaved, {}
        if unsaved:
            rows = [(name.place, name.source, at) for name, at in unsaved.items()]
            await asyncio.to_thread(self._write, rows)

    def close(self) -> None:
        self._write([(name.place, name.source, at) for name, at in self._unsaved.items()])
        self._table.close()
        self._book.close()

    def _write(self, rows: Sequence[tuple[str, str, int]]) -> None:
        self._table.execute("BEGIN")
        self._table.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?, ?)", rows)
        self._table.execute("COMMIT")

    def _see(self, name: Name, at: UtcMs) -> None:
        if name in self._points:
            self._points[name] = replace(self._points[name], seen=at)

    def _fold(self, rows: Sequence[Row]) -> None:
        for row in rows:
            match row.record:
                case SourceRegistered() as record:
                    known = self._points.get(_name(record))
                    point = Point(record) if known is None else replace(known, registered=record)
                    self._points[_name(record)] = point
                case SourceArmed() as record:
                    name = Name(record.place, record.source)
                    self._points[name] = replace(self._points[name], armed=record.armed)
                case _:
                    pass


def _name(record: SourceRegistered) -> Name:
    return Name(record.place, record.source)


def _rows(text: str) -> Iterable[tuple[int, Mapping[str, str | None]]]:
    """Yield (line, row) of a CSV.

    Raises:
        Refused: ``bad-csv``.
    """
    reader = csv.DictReader(io.StringIO(text), strict=True)
    try:
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise Refused("bad-csv", f"line 1: missing columns {', '.join(missing)}")
        for row in reader:
            if reader.line_num > MAX_SOURCES + 1:
                raise Refused("too-many-sources", f"more than {MAX_SOURCES} lines")
            yield reader.line_num, row
    except csv.Error as error:
        raise Refused("bad-csv", f"line {reader.line_num}: {error}") from None
