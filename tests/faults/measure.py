"""From what a viewer saw and heard to a row of figures.  Pure."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

FREEZE_EXTRA_S = 0.15
FREEZE_TIMES = 3
"""A freeze as in W3C webrtc-stats: a gap of at least 3 mean gaps, and of 150 ms more than one."""
SLOWEST_S = 0.2
"""Between pictures of something that moves: from 5 a second on a picture stands, however regularly."""
STAMP_MS = 65_536


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded picture.

    Attributes:
        at_s: When it was decoded, since the viewer asked for it.
        age_ms: Since it was drawn, 0..65535; None: its stamp could not be read.
        stamp_ms: When it was drawn, modulo 65536.
        height: Of the layer it came in.
    """

    at_s: float
    age_ms: int | None
    stamp_ms: int | None
    height: int


@dataclass(frozen=True, slots=True)
class Sample:
    """Counters of ``getStats`` at one moment, by kind; empty before the first packet."""

    at_s: float
    audio: Mapping[str, float]
    video: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Run:
    """One viewer from asking to leaving."""

    samples: tuple[Sample, ...]
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, slots=True)
class Figures:
    """A row of the report.

    Attributes:
        first_s: From asking to the first picture; None: there was none.
        fps: Pictures per second after the first.
        later_per_min: Pictures per minute of the later half of the run: thumbnails, where there is room for no more.
        freezes_per_min: Of the viewer's decoder (getStats).
        frozen_share: Part of the time after the first picture in which the picture stood, 0..1; counts a stand
            that lasts to the end, which getStats does not.
        concealed: Part of the sound that was made up, 0..1.
        age_ms: From drawing a picture to having it decoded: (median, 95th percentile).
        sound_wait_ms: What sound waited in the viewer's jitter buffer, mean.
        heights: Part of the time in each layer, by its height.
        again: Pictures shown that were not newer than the one before of the same layer; the first of another layer
            may be the same moment again.
        damaged: Pictures whose stamp could not be read.
    """

    first_s: float | None
    fps: float
    later_per_min: float
    freezes_per_min: float
    frozen_share: float
    concealed: float
    age_ms: tuple[float, float]
    sound_wait_ms: float
    heights: Mapping[int, float]
    again: int
    damaged: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def figures(run: Run) -> Figures:
    """Return the row of a run.  A run without a picture or a sound is all frozen, all concealed."""
    pictures, end_s = run.pictures, run.samples[-1].at_s
    ages = sorted(p.age_ms for p in pictures if p.age_ms is not None)
    watched_s = max(0.001, end_s - pictures[0].at_s) if pictures else 0.001
    freezes = _growth([sample.video for sample in run.samples], "freezeCount")
    return Figures(
        first_s=pictures[0].at_s if pictures else None,
        fps=(len(pictures) - 1) / watched_s if pictures else 0.0,
        later_per_min=60 * sum(p.at_s > end_s / 2 for p in pictures) / max(0.001, end_s / 2),
        freezes_per_min=60 * freezes / watched_s if pictures else 0.0,
        frozen_share=min(1.0, frozen_s(pictures, end_s) / watched_s) if pictures else 1.0,
        concealed=concealed([sample.audio for sample in run.samples]),
        age_ms=(percentile(ages, 0.5), percentile(ages, 0.95)),
        sound_wait_ms=_sound_wait_ms([sample.audio for sample in run.samples]),
        heights=_heights(pictures),
        again=_again(pictures),
        damaged=sum(p.stamp_ms is None for p in pictures),
    )


def frozen_s(pictures: Sequence[Picture], end_s: float) -> float:
    """Return how long the picture stood between the first one and ``end_s``."""
    times = [p.at_s for p in pictures] + [max(end_s, pictures[-1].at_s)]
    gaps = [b - a for a, b in itertools.pairwise(times)]
    usual = min(statistics.median(gaps), SLOWEST_S)
    limit = max(FREEZE_TIMES * usual, usual + FREEZE_EXTRA_S)
    return sum(gap for gap in gaps if gap >= limit)


def concealed(audio: Sequence[Mapping[str, float]]) -> float:
    """Return the part of the samples played after the first packet that were made up; 1.0 without any packet."""
    heard = [row for row in audio if row.get("packetsReceived", 0) > 0]
    played = _growth(heard, "totalSamplesReceived")
    if played <= 0:
        return 1.0
    return _growth(heard, "concealedSamples") / played


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` of ``ordered`` lies; 0 when there is none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _growth(rows: Sequence[Mapping[str, float]], key: str) -> float:
    values = [row[key] for row in rows if key in row]
    return values[-1] - values[0] if values else 0.0


def _sound_wait_ms(audio: Sequence[Mapping[str, float]]) -> float:
    emitted = _growth(audio, "jitterBufferEmittedCount")
    return 1000 * _growth(audio, "jitterBufferDelay") / emitted if emitted > 0 else 0.0


def _heights(pictures: Sequence[Picture]) -> dict[int, float]:
    """Weigh each picture by the time until the next: a slow layer counts for as long as it was seen."""
    total: dict[int, float] = {}
    for this, after in itertools.pairwise(pictures):
        total[this.height] = total.get(this.height, 0.0) + after.at_s - this.at_s
    whole = sum(total.values()) or 1.0
    return {height: round(part / whole, 3) for height, part in sorted(total.items())}


def _again(pictures: Sequence[Picture]) -> int:
    known = [(p.height, p.stamp_ms) for p in pictures if p.stamp_ms is not None]
    return sum(
        before == height and not _newer(was, stamp) for (before, was), (height, stamp) in itertools.pairwise(known)
    )


def _newer(before_ms: int, after_ms: int) -> bool:
    """Whether ``after_ms`` comes after ``before_ms``, less than half a turn of the stamp later."""
    return 0 < (after_ms - before_ms) % STAMP_MS < STAMP_MS // 2
