"""``wuji drill --every``: an exercise that repeats by itself, and the reports it leaves.

Everything durable is files under ``drills/`` beside the journal.  ``series.json`` says when the first exercise was
and how far apart they are, so a restart moves none.  Each has a name, its moment; the gateway takes an order of one
name once, so an exercise that a restart cut in two goes on and is not sent again.  ``NAME.begun`` is written before
the order goes out, ``NAME.json`` when it is over.  One that nobody was there to begin is kept as missed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from gateway import whole
from gateway.drill import BEIJING
from signaling.ids import UtcMs

LATE_MS = 3_600_000
"""An exercise may begin so late, when nobody was there at its time; later it would come as a surprise."""
KEPT = 500
DAY_MS = 86_400_000


class Series(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Exercises at ``first``, ``first + every_ms``, ..., UTC milliseconds."""

    first: UtcMs
    every_ms: int

    def last(self, now: UtcMs) -> UtcMs | None:
        """Return the newest moment that is not after ``now``; None before the first."""
        return None if now < self.first else UtcMs(now - (now - self.first) % self.every_ms)

    def next(self, now: UtcMs) -> UtcMs:
        """Return the first moment after ``now``."""
        last = self.last(now)
        return self.first if last is None else UtcMs(last + self.every_ms)


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be done about one moment: hold the exercise, or note that nobody did."""

    at: UtcMs
    missed: bool


class Kept:
    """The folder of one gateway's exercises."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def series(self, every_ms: int, first: UtcMs | None, now: UtcMs) -> Series:
        """Return the series that runs here; another interval or time of day begins a new one.

        Args:
            first: Its first exercise, None for now.

        Raises:
            OSError: The folder cannot be used.
        """
        file = self._directory / "series.json"
        try:
            known = msgspec.json.decode(file.read_bytes(), type=Series)
            if known.every_ms == every_ms and (first is None or (known.first - first) % DAY_MS == 0):
                return known
        except (FileNotFoundError, msgspec.DecodeError):
            pass
        made = Series(now if first is None else first, every_ms)
        self._write(file, msgspec.json.encode(made))
        return made

    def task(self, series: Series, now: UtcMs) -> Task | None:
        """Return what the newest moment still needs, None when it has its report or is yet to come."""
        at = series.last(now)
        if at is None or self._report(at).exists():
            return None
        return Task(at, missed=now - at > LATE_MS and not self._begun(at).exists())

    def begin(self, at: UtcMs) -> str:
        """Note that the exercise of ``at`` is about to be sent; return its name."""
        if not self._begun(at).exists():
            self._write(self._begun(at), b"")
        return f"drill-{at}"

    def end(self, at: UtcMs, report: Mapping[str, Any]) -> None:
        """Keep the report of ``at``; the oldest make room."""
        self._write(self._report(at), msgspec.json.encode({"at": at, **report}))
        self._begun(at).unlink(missing_ok=True)
        for old in sorted(self._directory.glob("[0-9]*.json"))[:-KEPT]:
            old.unlink(missing_ok=True)

    def reports(self) -> Iterator[Mapping[str, Any]]:
        """Yield the reports that are kept, oldest first."""
        for file in sorted(self._directory.glob("[0-9]*.json")):
            yield msgspec.json.decode(file.read_bytes(), type=dict[str, Any])

    def _report(self, at: UtcMs) -> Path:
        return self._directory / f"{at:015d}.json"

    def _begun(self, at: UtcMs) -> Path:
        return self._directory / f"{at:015d}.begun"

    def _write(self, file: Path, data: bytes) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        whole.put(file, data)


def lines(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield a kept report as people read it: when, how many, and who did not answer."""
    when = datetime.fromtimestamp(report["at"] / 1_000, BEIJING).strftime("%Y-%m-%d %H:%M")
    if report.get("missed"):
        yield f"{when}  missed: nobody was there to hold it"
        return
    counts = " ".join(f"{stage} {report[stage]}" for stage in ("delivered", "shown", "signed"))
    yield f"{when}  villages {report['villages']} {counts}"
    for stage in ("delivered", "shown", "signed"):
        if silent := report[f"not_{stage}"]:
            yield f"  not {stage} ({len(silent)}): " + "、".join(f"{p['name']}（{p['township']}）" for p in silent)
