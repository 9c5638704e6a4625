"""Still pictures: from a keyframe, or from a JPEG that somebody uploaded.

Decoding happens only in ``media/picture.py``, one short-lived process for each picture: a decoder that crashes,
hangs or grows takes nothing with it (S15, S17).
"""

import asyncio
import heapq
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakKeyDictionary

from . import worker

MAX_JPEG_BYTES = 4 << 20
MAX_KEYFRAME_BYTES = 4 << 20
DEADLINE_S = 20.0
"""On a busy machine; the worker's own processor time has a limit of its own (``picture.CPU_S``)."""
AT_ONCE = 1
WAITING = 32
URGENT_WAITING = 48
JPEG_MAGIC = b"\xff\xd8\xff"
START_OF_FRAME = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
START_OF_SCAN = 0xDA
CODECS = {"vp8": "vp8", "h264": "h264", "vp9": "vp9", "av1": "libdav1d", "hevc": "hevc"}
_PROGRAM = Path(__file__).with_name("picture.py")
_turns: "WeakKeyDictionary[asyncio.AbstractEventLoop, _Turns]" = WeakKeyDictionary()


class PictureError(ValueError):
    """A picture cannot be had.  ``code`` is stable.

    One of: picture-too-large, picture-not-jpeg, picture-too-many-pixels, picture-unreadable,
    picture-timeout, picture-busy, picture-codec, picture-format.
    """

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(f"{code}: {text}" if text else code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Pictures:
    """A clean JPEG without EXIF, and a thumbnail of at most 64 KiB.  Width and height are those of ``jpeg``."""

    jpeg: bytes
    thumbnail: bytes
    width: int
    height: int


async def jpeg_from_keyframe(codec: str, frame: bytes, max_side: int = 1280, thumbnail_side: int = 320) -> Pictures:
    """Decode a keyframe as ``Engine.keyframe`` gives it: VP8, VP9, H.264 in Annex B, or an AV1 temporal unit;
    or as ``media/camera.py`` does: HEVC in Annex B.

    Raises:
        PictureError: It cannot be decoded, or not within 5 s.
    """
    if codec not in CODECS:
        raise PictureError("picture-codec", codec)
    if len(frame) > MAX_KEYFRAME_BYTES:
        raise PictureError("picture-too-large", f"{len(frame)} bytes, limit {MAX_KEYFRAME_BYTES}")
    return await _run(CODECS[codec], frame, max_side, thumbnail_side)


def check_jpeg(data: bytes) -> None:
    """Return if ``data`` is built like a JPEG: a frame header and a scan come, each segment as long as it says.

    Takes microseconds, and decodes nothing.  Source: ITU-T T.81, annex B.

    Raises:
        PictureError: It is not: ``picture-too-large``, ``picture-not-jpeg`` or ``picture-unreadable``.
    """
    if len(data) > MAX_JPEG_BYTES:
        raise PictureError("picture-too-large", f"{len(data)} bytes, limit {MAX_JPEG_BYTES}")
    if not data.startswith(JPEG_MAGIC):
        raise PictureError("picture-not-jpeg")
    place, framed = 2, False
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:  # fill byte
            place += 1
            continue
        if marker == START_OF_SCAN and framed:
            return
        framed |= marker in START_OF_FRAME
        place += 2 + max(2, int.from_bytes(data[place + 2 : place + 4], "big"))
    raise PictureError("picture-unreadable", "no picture in it")


async def sanitise_jpeg(
    data: bytes, max_side: int = 2560, thumbnail_side: int = 320, *, urgent: bool = False
) -> Pictures:
    """Encode an uploaded JPEG anew, upright and without EXIF: at most 4 MiB and 40 million pixels in.

    Args:
        urgent: Its turn comes before those that are not.

    Raises:
        PictureError: It is no such picture.
    """
    check_jpeg(data)
    return await _run("jpeg", data, max_side, thumbnail_side, urgent=urgent)


@dataclass(slots=True)
class _Turns:
    """Who may decode now, and who waits: the urgent before the others, of each who came first."""

    free: int = AT_ONCE
    waiting: list[tuple[bool, int, asyncio.Future[None]]] = field(default_factory=list)
    """A heap: whether it is not urgent, a number that rises."""
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def take(self, *, urgent: bool) -> None:
        """Return when it is the caller's turn; it must ``give`` it back.

        Raises:
            PictureError: ``picture-busy``.
        """
        if self.free:
            self.free -= 1
            return
        if len(self.waiting) + AT_ONCE >= (URGENT_WAITING if urgent else WAITING):
            raise PictureError("picture-busy", f"{len(self.waiting)} pictures wait")
        turn = asyncio.get_running_loop().create_future()
        place = (not urgent, next(self.numbers), turn)
        heapq.heappush(self.waiting, place)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it came in the moment it was no longer wanted
                self.give()
            elif place in self.waiting:
                self.waiting.remove(place)
                heapq.heapify(self.waiting)
            raise

    def give(self) -> None:
        """It is the next one's turn."""
        while self.waiting:
            turn = heapq.heappop(self.waiting)[2]
            if not turn.done():
                turn.set_result(None)
                return
        self.free += 1


async def _run(codec: str, data: bytes, max_side: int, thumbnail_side: int, *, urgent: bool = False) -> Pictures:
    turns = _turns.setdefault(asyncio.get_running_loop(), _Turns())
    await turns.take(urgent=urgent)
    try:
        return await _in_a_process(codec, data, max_side, thumbnail_side)
    finally:
        turns.give()


async def _in_a_process(codec: str, data: bytes, max_side: int, thumbnail_side: int) -> Pictures:
    asked = {"codec": codec, "size": len(data), "max_side": max_side, "thumbnail_side": thumbnail_side}
    try:
        answer, body = await worker.ask(_PROGRAM, asked, data, deadline_s=DEADLINE_S)
    except TimeoutError:
        raise PictureError("picture-timeout", f"not decoded in {DEADLINE_S:g} s") from None
    except worker.WorkerError as error:  # it was killed by the picture
        raise PictureError("picture-unreadable", str(error)) from None
    if "code" in answer:
        raise PictureError(answer["code"], answer.get("text", ""))
    cut = answer["jpeg"]
    return Pictures(body[:cut], body[cut : cut + answer["thumbnail"]], answer["width"], answer["height"])
