"""Pictures are decoded in another process, which hostile ones cannot leave (S15, S17)."""

import asyncio
import contextlib
import io
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from media import snapshot
from media.snapshot import PictureError, Pictures, check_jpeg, jpeg_from_keyframe, sanitise_jpeg

OPTIONS = {
    "libx264": {"tune": "zerolatency"},
    "libsvtav1": {"preset": "12"},
    "libx265": {"tune": "zerolatency", "x265-params": "log-level=none:pools=1"},
}


def keyframe(encoder: str, width: int = 640, height: int = 360) -> bytes:
    """One intra picture as the engine gives it: a VP8 or VP9 frame, H.264 in Annex B, an AV1 temporal unit."""
    codec = av.VideoCodecContext.create(encoder, "w")
    assert isinstance(codec, av.VideoCodecContext)
    codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
    codec.framerate = Fraction(25)
    codec.time_base = 1 / codec.framerate
    codec.options = OPTIONS.get(encoder, {})
    frame = av.VideoFrame.from_ndarray(np.asarray(Image.linear_gradient("L").resize((width, height)).convert("RGB")))
    packets = [*codec.encode(frame.reformat(format="yuv420p")), *codec.encode(None)]
    return bytes(packets[0])


def jpeg(width: int = 800, height: int = 600, **save: object) -> bytes:
    target = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(target, "JPEG", **save)
    return target.getvalue()


def assert_is_picture(pictures: Pictures, width: int, height: int) -> None:
    with Image.open(io.BytesIO(pictures.jpeg)) as image:
        assert (image.format, image.size) == ("JPEG", (width, height))
        assert not image.getexif()
        darkest, lightest = (
            np.asarray(image.convert("L"), dtype=int).min(),
            np.asarray(image.convert("L"), dtype=int).max(),
        )
        assert lightest - darkest > 150, "the gradient is still there"
    with Image.open(io.BytesIO(pictures.thumbnail)) as small:
        assert max(small.size) <= 320
    assert len(pictures.thumbnail) <= 65_536
    assert (pictures.width, pictures.height) == (width, height)


@pytest.mark.parametrize(
    ("codec", "encoder"),
    [("vp8", "libvpx"), ("h264", "libx264"), ("vp9", "libvpx-vp9"), ("av1", "libsvtav1"), ("hevc", "libx265")],
)
async def test_a_keyframe_becomes_a_picture(codec: str, encoder: str) -> None:
    frame = await coded_elsewhere(encoder) if codec == "av1" else keyframe(encoder)
    assert_is_picture(await jpeg_from_keyframe(codec, frame), 640, 360)


async def coded_elsewhere(encoder: str) -> bytes:
    """``keyframe``, by a process of its own: of root, SVT-AV1 makes the one it is in a real-time process for good."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return await asyncio.get_running_loop().run_in_executor(pool, keyframe, encoder)


async def test_a_large_keyframe_is_made_smaller() -> None:
    assert_is_picture(await jpeg_from_keyframe("h264", keyframe("libx264", 1920, 1080)), 1280, 720)


async def test_an_upload_loses_its_exif_and_stands_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x8825] = {2: (27.0, 14.0, 0.0)}
    assert_is_picture(await sanitise_jpeg(jpeg(800, 600, exif=exif)), 600, 800)


async def test_a_comment_does_not_survive() -> None:
    pictures = await sanitise_jpeg(jpeg(comment=b"by wire 139-0000-0000"))
    assert b"139-0000" not in pictures.jpeg + pictures.thumbnail


def bomb() -> bytes:
    """A JPEG whose header says 65,000 x 65,000."""
    data = bytearray(jpeg(16, 16))
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = (65_000).to_bytes(2, "big") * 2
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "picture-not-jpeg"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "picture-not-jpeg"),
        (b"<svg onload=alert(1)>", "picture-not-jpeg"),
        (b"\xff\xd8\xff" + bytes(4 << 20), "picture-too-large"),
        (b"\xff\xd8\xff" + bytes(1_000), "picture-unreadable"),
        (jpeg()[:2_000], "picture-unreadable"),
        (bomb(), "picture-too-many-pixels"),
    ],
)
async def test_what_is_no_picture_is_refused_with_its_code(data: bytes, code: str) -> None:
    with pytest.raises(PictureError) as caught:
        await sanitise_jpeg(data)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "frame", [b"", b"\x00", bytes(5_000), b"\x00\x00\x00\x01\x65" + b"\xff" * 900, keyframe("libvpx")[:30]]
)
@pytest.mark.parametrize("codec", ["vp8", "h264", "vp9", "av1", "hevc"])
async def test_a_broken_keyframe_is_refused(codec: str, frame: bytes) -> None:
    with pytest.raises(PictureError) as caught:
        await jpeg_from_keyframe(codec, frame)
    assert caught.value.code == "picture-unreadable"


async def test_only_our_codecs_are_decoded() -> None:
    with pytest.raises(PictureError) as caught:
        await jpeg_from_keyframe("mpeg4", b"x")
    assert caught.value.code == "picture-codec"


def program(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "picture.py"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("import time; time.sleep(600)", "picture-timeout"),
        ("import os; os.abort()", "picture-unreadable"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "picture-unreadable"),
    ],
)
async def test_a_decoder_that_hangs_or_dies_takes_nothing_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, code: str
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(snapshot, "_PROGRAM", program(tmp_path, text))
        if code == "picture-timeout":
            patched.setattr(snapshot, "DEADLINE_S", 0.5)
        with pytest.raises(PictureError) as caught:
            await sanitise_jpeg(jpeg())
        assert caught.value.code == code
    assert_is_picture(await sanitise_jpeg(jpeg()), 800, 600)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"exif": b"Exif\0\0II*\0" + bytes(300)}])
def test_what_is_built_like_a_picture_passes_before_it_is_decoded(options: dict[str, Any]) -> None:
    whole = io.BytesIO()
    Image.radial_gradient("L").save(whole, "JPEG", **options)
    check_jpeg(whole.getvalue())
    check_jpeg(whole.getvalue()[:-100])  # what only decoding finds
    for cut in (3, 20, 100):
        with pytest.raises(PictureError):
            check_jpeg(whole.getvalue()[:cut])


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    for start in (b"", b"\xff\xd8\xff", b"\xff\xd8\xff\xc0\0\x02\xff"):
        with contextlib.suppress(PictureError):
            check_jpeg(start + data)


async def test_the_urgent_picture_is_decoded_next(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[int] = []

    async def decode(codec: str, data: bytes, max_side: int, thumbnail_side: int) -> Pictures:
        order.append(max_side)
        await asyncio.sleep(0)
        return Pictures(b"", b"", 1, 1)

    monkeypatch.setattr(snapshot, "_in_a_process", decode)
    picture, urgent = jpeg(64, 64), {2, 5, 6}
    asked = [asyncio.create_task(sanitise_jpeg(picture, n, urgent=n in urgent)) for n in range(8)]
    await asyncio.sleep(0)
    asked[3].cancel()
    asked[5].cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    assert order == [0, 2, 6, 1, 4, 7]
    await sanitise_jpeg(picture)  # nobody's turn was lost


async def test_the_urgent_find_room_where_the_others_find_none(monkeypatch: pytest.MonkeyPatch) -> None:
    go = asyncio.Event()

    async def decode(codec: str, data: bytes, max_side: int, thumbnail_side: int) -> Pictures:
        await go.wait()
        return Pictures(b"", b"", 1, 1)

    monkeypatch.setattr(snapshot, "_in_a_process", decode)
    most = snapshot.URGENT_WAITING
    asked = [sanitise_jpeg(jpeg(64, 64), urgent=False) for _ in range(most)]
    asked += [sanitise_jpeg(jpeg(64, 64), urgent=True) for _ in range(most)]
    waiting = asyncio.gather(*asked, return_exceptions=True)
    await asyncio.sleep(0)
    go.set()
    done = await waiting
    taken = [isinstance(result, Pictures) for result in done]
    assert (sum(taken[:most]), sum(taken[most:])) == (snapshot.WAITING, most - snapshot.WAITING)


async def test_too_many_waiting_pictures_are_refused() -> None:
    done = await asyncio.gather(
        *(sanitise_jpeg(jpeg(64, 64)) for _ in range(snapshot.WAITING + 2)), return_exceptions=True
    )
    refused = [result for result in done if isinstance(result, PictureError)]
    assert [error.code for error in refused] == ["picture-busy"] * 2
    assert len([result for result in done if isinstance(result, Pictures)]) == snapshot.WAITING
