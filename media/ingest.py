"""A media file as live media: H.264 or VP8 packets and 20 ms frames of sound, each when it is due.

The file's own video is passed on when a WebRTC receiver can take it: H.264 or VP8 without reordered pictures,
and a keyframe at least every 2 s, since a newcomer sees nothing before one.  Other video is encoded anew as
H.264 constrained baseline with a keyframe each second.  Sound becomes 48 kHz stereo frames, for an Opus encoder.
"""

import asyncio
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.bitstream import BitStreamFilterContext

from .answer import Codec, Kind

AHEAD_S = 0.5
LATE_S = 1.0
FRAME_SAMPLES = 960
SAMPLE_RATE = 48_000
FRAME_S = FRAME_SAMPLES / SAMPLE_RATE
MAX_KEYFRAME_GAP_S = 2.0
MAX_HEIGHT = 720
PROBE_PACKETS = 400
VIDEO_CLOCK = Fraction(1, 90_000)


class UnusableFile(ValueError):
    """The file has no video that can be sent."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One packet or frame and its time in seconds since the first; time goes on when the file begins again."""

    kind: Kind
    at_s: float
    media: Any


class FileReader:
    """Reads a file in order of time.  Blocking; use it in a thread.

    ``codec`` is what the video packets are, ``kinds`` which tracks there are, ``passes`` whether the video
    is the file's own.
    """

    def __init__(self, path: Path, loop: bool) -> None:
        """Open and look at ``path``.

        Raises:
            UnusableFile: It is no media file, or has no video.
        """
        self._path = path
        self._loop = loop
        try:
            with av.open(str(path)) as container:
                if not container.streams.video:
                    raise UnusableFile(f"{path}: no video")
                self.kinds: tuple[Kind, ...] = ("audio", "video") if container.streams.audio else ("video",)
                name = container.streams.video[0].codec_context.name
                self.passes = name in ("h264", "vp8") and _sendable(container)
        except av.error.FFmpegError as error:
            raise UnusableFile(f"{path}: {error}") from error
        self.codec: Codec = "vp8" if self.passes and name == "vp8" else "h264"
        self._units = self._endless()

    def read(self, until_s: float) -> list[Unit]:
        """The next units, up to and including the first at ``until_s`` or later; [] at the end."""
        units = []
        for unit in self._units:
            units.append(unit)
            if unit.at_s >= until_s:
                break
        return units

    def _endless(self) -> Iterator[Unit]:
        begin_s = 0.0
        while True:
            end_s = begin_s
            for unit in self._once(begin_s):
                end_s = max(end_s, unit.at_s)
                yield unit
            if not self._loop or end_s == begin_s:
                return
            begin_s = math.ceil((end_s + FRAME_S) / FRAME_S) * FRAME_S

    def _once(self, begin_s: float) -> Iterator[Unit]:
        """One pass through the file, its first time being ``begin_s``."""
        with av.open(str(self._path)) as container:
            video = self._video(container, begin_s)
            streams: list[Any] = [container.streams.video[0]]
            sound = None
            if "audio" in self.kinds:
                sound = _Sound(begin_s)
                streams.append(container.streams.audio[0])
            for packet in container.demux(streams):
                if packet.stream.type == "video":
                    yield from video.take(packet)
                elif sound is not None:
                    yield from sound.take(packet)

    def _video(self, container: Any, begin_s: float) -> "_Passed | _Encoded":
        stream = container.streams.video[0]
        return _Passed(stream, begin_s) if self.passes else _Encoded(stream, begin_s)


def _sendable(container: Any) -> bool:
    """Tell whether the first packets are in order of presentation and have keyframes often enough."""
    last, key_s = -math.inf, 0.0
    for count, packet in enumerate(container.demux(container.streams.video[0])):
        if packet.pts is None or count == PROBE_PACKETS:
            break
        at_s = float(packet.pts * packet.time_base)
        if at_s < last or at_s - key_s > MAX_KEYFRAME_GAP_S:
            return False
        last, key_s = at_s, at_s if packet.is_keyframe else key_s
    return True


class _Passed:
    """The file's own video; H.264 with start codes, and parameter sets before each keyframe (RFC 6184)."""

    def __init__(self, stream: Any, begin_s: float) -> None:
        self._begin_s = begin_s
        self._first: float | None = None
        h264 = stream.codec_context.name == "h264"
        annex_b = bytes(stream.codec_context.extradata or b"")[:1] != b"\x01"
        self._filter = BitStreamFilterContext("h264_mp4toannexb", stream) if h264 and not annex_b else None

    def take(self, packet: Any) -> Iterator[Unit]:
        if packet.pts is None:
            return
        at_s = float(packet.pts * packet.time_base)
        for item in self._filter.filter(packet) if self._filter is not None else [packet]:
            yield self._unit(bytes(item), at_s)

    def _unit(self, data: bytes, at_s: float) -> Unit:
        if self._first is None:
            self._first = at_s
        return _video_unit(data, self._begin_s + at_s - self._first)


def _video_unit(data: bytes, at_s: float) -> Unit:
    packet = av.Packet(data)
    packet.time_base = VIDEO_CLOCK
    packet.pts = round(at_s * 90_000)
    return Unit("video", at_s, packet)


class _Encoded:
    """Video encoded anew: H.264 constrained baseline, one keyframe a second, at most 720 lines."""

    def __init__(self, stream: Any, begin_s: float) -> None:
        self._begin_s = begin_s
        self._first: float | None = None
        source = stream.codec_context
        scale = min(1.0, MAX_HEIGHT / source.height)
        width, height = (2 * round(side * scale / 2) for side in (source.width, source.height))
        self._encoder = h264_encoder(width, height, stream.average_rate or Fraction(25), width * height * 3)

    def take(self, packet: Any) -> Iterator[Unit]:
        for frame in packet.decode():
            if frame.pts is None:
                continue
            at_s = float(frame.pts * frame.time_base)
            if self._first is None:
                self._first = at_s
            picture = frame.reformat(self._encoder.width, self._encoder.height, "yuv420p")
            picture.pict_type = 0
            for item in self._encoder.encode(picture):
                yield _video_unit(bytes(item), self._begin_s + at_s - self._first)


def h264_encoder(width: int, height: int, rate: Fraction, bit_rate: int) -> Any:
    """An encoder without delay: constrained baseline, a keyframe each second, parameter sets in the stream."""
    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.framerate, encoder.time_base = rate, 1 / rate
    encoder.bit_rate = bit_rate
    encoder.gop_size = max(1, round(rate))
    encoder.profile = "Baseline"
    encoder.options = {"preset": "veryfast", "tune": "zerolatency", "level": "31", "sc_threshold": "0"}
    return encoder


class _Sound:
    """Sound as 20 ms frames of 48 kHz stereo, counted in samples so that nothing drifts."""

    def __init__(self, begin_s: float) -> None:
        self._begin = round(begin_s * SAMPLE_RATE)
        self._samples = 0
        self._resampler = av.AudioResampler("s16", "stereo", SAMPLE_RATE, frame_size=FRAME_SAMPLES)

    def take(self, packet: Any) -> Iterator[Unit]:
        for decoded in packet.decode():
            decoded.pts = None
            for frame in self._resampler.resample(decoded):
                if frame.samples == FRAME_SAMPLES:
                    yield self._unit(frame)

    def _unit(self, frame: Any) -> Unit:
        frame.pts = self._begin + self._samples
        frame.time_base = Fraction(1, SAMPLE_RATE)
        self._samples += FRAME_SAMPLES
        return Unit("audio", frame.pts / SAMPLE_RATE, frame)


class Player:
    """Gives each track its next unit when it is due.  Reads a little ahead, in a thread."""

    def __init__(self, reader: FileReader) -> None:
        self._reader = reader
        self._waiting: dict[Kind, deque[Unit]] = {kind: deque() for kind in reader.kinds}
        self._read_s = 0.0
        self._ended = False
        self._began: float | None = None
        self._reading = asyncio.Lock()

    async def next(self, kind: Kind) -> Any:
        """Wait for the next packet or frame of ``kind``; None at the end of the file."""
        queue = self._waiting[kind]
        while not queue and not self._ended:
            await self._read()
        if not queue:
            return None
        unit = queue.popleft()
        await self._until(unit.at_s)
        return unit.media

    async def _read(self) -> None:
        before = self._read_s
        async with self._reading:
            if self._read_s != before or self._ended:
                return
            units = await asyncio.to_thread(self._reader.read, self._read_s + AHEAD_S)
            self._ended = not units
            for unit in units:
                self._waiting[unit.kind].append(unit)
                self._read_s = max(self._read_s, unit.at_s)

    async def _until(self, at_s: float) -> None:
        """Sleep until ``at_s`` of the media; after a long stop go on from here instead of catching up."""
        now = asyncio.get_running_loop().time()
        if self._began is None or now - self._began - at_s > LATE_S:
            self._began = now - at_s
        await asyncio.sleep(max(0.0, self._began + at_s - now))
