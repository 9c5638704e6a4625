"""A process of its own that turns one hostile picture into a clean JPEG and a thumbnail, then exits.

Run by ``media/snapshot.py`` as a script.  In: a line of JSON, then the bytes.  Out: a line of JSON, then the
JPEG and the thumbnail.  It may open no file, start no process, and use no more memory and CPU than its limits.
"""

import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MEMORY_BYTES = 1_536 << 20
CPU_S = 5
MAX_PIXELS = 40_000_000
THUMBNAIL_BYTES = 65_536
QUALITIES = (80, 70, 60, 50, 40, 30, 20)
PIXELS = frozenset({"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv420p10le"})
"""What cameras and browsers send.  Other formats take decoders' rarer paths."""


class Unusable(Exception):
    """The picture cannot be used; ``args[0]`` is a stable code."""


def rehearse() -> None:
    """Go once through Pillow with a picture of ours, so that it has loaded all it needs before files are forbidden."""
    import PIL.Image

    target = io.BytesIO()
    exif = PIL.Image.Exif()
    exif[0x0112] = 3
    PIL.Image.new("RGB", (16, 16)).save(target, "JPEG", exif=exif)
    _encode(_open_jpeg(target.getvalue()), 8, 8)


def main() -> None:
    import av

    from media.confined import confine, open_nothing

    rehearse()
    av.logging.set_level(av.logging.PANIC)
    asked = json.loads(sys.stdin.buffer.readline(4_096))
    data = sys.stdin.buffer.read(asked["size"])
    decoder = av.CodecContext.create(asked["codec"], "r") if asked["codec"] != "jpeg" else None
    confine(MEMORY_BYTES, CPU_S)
    open_nothing()
    try:
        image = _open_jpeg(data) if decoder is None else _decode(decoder, data)
        answer, body = _encode(image, asked["max_side"], asked["thumbnail_side"])
    except Unusable as verdict:
        answer, body = {"code": verdict.args[0]}, b""
    except Exception as error:  # whatever a decoder throws, the picture is what is wrong
        answer, body = {"code": "picture-unreadable", "text": type(error).__name__}, b""
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + body)
    sys.stdout.buffer.flush()


def _open_jpeg(data: bytes) -> Any:
    import PIL.Image

    PIL.Image.MAX_IMAGE_PIXELS = None  # our own limit is lower and has a code
    with PIL.Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise Unusable("picture-too-many-pixels")
        orientation = image.getexif().get(0x0112, 1)
        upright = _upright(image.convert("RGB"), orientation)
        upright.info.clear()
        return upright


def _upright(image: Any, orientation: int) -> Any:
    """Apply what EXIF says of the camera's attitude, since EXIF itself is thrown away."""
    from PIL.Image import Transpose

    turns: Mapping[int, Transpose] = {3: Transpose.ROTATE_180, 6: Transpose.ROTATE_270, 8: Transpose.ROTATE_90}
    return image.transpose(turns[orientation]) if orientation in turns else image


def _decode(decoder: Any, data: bytes) -> Any:
    import av

    decoder.thread_count = 1
    largest = None
    for packet in (av.Packet(data), None):
        for frame in decoder.decode(packet):
            if frame.width * frame.height > MAX_PIXELS:
                raise Unusable("picture-too-many-pixels")
            if frame.format.name not in PIXELS:
                raise Unusable("picture-format")
            if largest is None or frame.width > largest.width:  # one frame for each spatial layer
                largest = frame
    if largest is None:
        raise Unusable("picture-unreadable")
    return largest.to_image()


def _encode(image: Any, max_side: int, thumbnail_side: int) -> tuple[Mapping[str, Any], bytes]:
    picture = _fit(image, max_side)
    jpeg = _jpeg(picture, 85)
    small = _fit(image, thumbnail_side)
    thumbnail = next((t for t in (_jpeg(small, q) for q in QUALITIES) if len(t) <= THUMBNAIL_BYTES), None)
    if thumbnail is None:
        raise Unusable("picture-unreadable")
    width, height = picture.size
    return {"jpeg": len(jpeg), "thumbnail": len(thumbnail), "width": width, "height": height}, jpeg + thumbnail


def _fit(image: Any, side: int) -> Any:
    fitted = image.copy()
    fitted.thumbnail((side, side))
    return fitted


def _jpeg(image: Any, quality: int) -> bytes:
    target = io.BytesIO()
    image.save(target, "JPEG", quality=quality)
    return target.getvalue()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main()
