"""A picture is taken of a camera by RTSP, and a hostile one costs an error with its code (S16, S17)."""

from __future__ import annotations

import asyncio
import io
import select
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gateway.clock import Clock
from gateway.pki import files_of, make_certificates
from media import camera
from media.camera import CameraError, View, keyframe, still
from media.lens import carry
from media.snapshot import PictureError
from tests.support import camera as cameras
from tests.support.camera import Camera, Conversation, Track, coded, h264, hevc, mjpeg
from tests.support.loop import eventually
from tests.support.places import VILLAGE

VIEW = View("/live?channel=1&sub=0")
SOON_S, PATIENT_S = 2.0, 60.0


async def look(converse: Conversation, view: View = VIEW, deadline_s: float = PATIENT_S) -> Any:
    async with cameras.camera(converse) as port:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            return await still(connection, view, deadline_s)


async def code(converse: Conversation, view: View = VIEW, deadline_s: float = PATIENT_S) -> str:
    with pytest.raises((CameraError, PictureError)) as caught:
        await look(converse, view, deadline_s)
    assert isinstance(caught.value, CameraError | PictureError)
    return caught.value.code


@pytest.fixture(scope="module")
def pictures() -> list[bytes]:
    return coded("libx264")


@pytest.mark.parametrize("coding", ["h264", "hevc", "mjpeg"])
async def test_a_camera_gives_a_picture(coding: str, pictures: list[bytes]) -> None:
    makes: dict[str, Callable[[], Track]] = {
        "h264": lambda: h264(pictures),
        "hevc": lambda: hevc(coded("libx265")),
        "mjpeg": mjpeg,
    }
    device = Camera(makes[coding]())
    seen = await look(device)
    assert device.said[:4] == ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"]
    assert (seen.width, seen.height) == ((320, 176) if coding == "mjpeg" else (320, 180))
    with Image.open(io.BytesIO(seen.jpeg)) as image:
        assert image.format == "JPEG"
        assert int(np.ptp(np.asarray(image.convert("L"), dtype=int))) > 150, "there is something in it"


async def test_parameter_sets_may_come_in_the_description(pictures: list[bytes]) -> None:
    bare = [b"".join(b"\0\0\0\1" + u for u in cameras.units(p) if u[0] & 31 not in (7, 8)) for p in pictures]
    assert (await look(Camera(h264(bare, fmtp=cameras.parameters(pictures[0]))))).width == 320


async def test_a_camera_that_asks_who_it_is_is_told(pictures: list[bytes]) -> None:
    device = Camera(h264(pictures), login=("admin", "p@ss:/?#%"))
    assert (await look(device, View("/live", "admin", "p@ss:/?#%"))).width == 320
    assert await code(device, View("/live", "admin", "wrong")) == "camera-login"


def trusted(directory: Path) -> tuple[ssl.SSLContext, str]:
    """A camera's side of TLS, and the certificates that vouch for it."""
    ca = make_certificates(directory, {VILLAGE: ["camera.example"]}, Clock().at()).read_text()
    files = files_of(directory, VILLAGE)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.tls_cert, files.tls_key)
    return context, ca


async def test_a_picture_comes_over_tls_only_from_whom_the_certificate_names(
    pictures: list[bytes], tmp_path: Path
) -> None:
    context, ca = trusted(tmp_path)
    views = [
        View("/live", host="camera.example", tls=True, ca=ca),
        View("/live", host="other.example", tls=True, ca=ca),
    ]
    async with cameras.camera(Camera(h264(pictures)), context) as port:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            assert (await still(connection, views[0], PATIENT_S)).width == 320
        with socket.create_connection(("127.0.0.1", port)) as connection, pytest.raises(CameraError) as caught:
            await still(connection, views[1], PATIENT_S)
    assert caught.value.code == "camera-tls"


async def test_what_tls_says_of_itself_keeps_nobody_waiting(tmp_path: Path) -> None:
    """Session tickets come right after the handshake, often before we have asked the camera anything."""
    context, ca = trusted(tmp_path)
    ends = socket.socketpair()
    shakes = asyncio.create_task(asyncio.to_thread(context.wrap_socket, ends[1], server_side=True))
    trust = ssl.create_default_context(cadata=ca)
    outer = await asyncio.to_thread(trust.wrap_socket, ends[0], server_hostname="camera.example")
    device = await shakes
    inner, visitor = socket.socketpair()
    with outer, device, inner, visitor:
        for end in (device, visitor):
            end.settimeout(PATIENT_S)
        readable = select.poll()
        readable.register(outer, select.POLLIN)
        assert readable.poll(PATIENT_S * 1_000), "the tickets have come"
        carrying = asyncio.create_task(asyncio.to_thread(carry, inner, outer))
        await eventually(lambda: not readable.poll(0))
        for speaks, hears in ((visitor, device), (device, visitor)):
            speaks.sendall(b"OPTIONS")
            assert await asyncio.to_thread(hears.recv, 100) == b"OPTIONS"
        visitor.shutdown(socket.SHUT_WR)
        await carrying


def silent_after_noise() -> Camera:
    return Camera(h264([b"\0\0\0\1\x65" + bytes(range(256)) * 20] * 3))


@pytest.mark.parametrize(
    ("converse", "wanted", "deadline_s"),
    [
        (cameras.never_answers, "camera-timeout", SOON_S),
        (cameras.endless_header, "camera-timeout", SOON_S),
        (silent_after_noise(), "camera-timeout", SOON_S),
        (cameras.garbage, "camera-unusable", PATIENT_S),
        (cameras.too_much, "camera-unusable", PATIENT_S),
    ],
    ids=["never answers", "endless header", "noise", "garbage", "too much"],
)
async def test_a_camera_without_sense_is_given_up(converse: Conversation, wanted: str, deadline_s: float) -> None:
    assert await code(converse, deadline_s=deadline_s) == wanted


@pytest.mark.parametrize("method", ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"])
async def test_a_camera_that_dies_is_given_up(method: str, pictures: list[bytes]) -> None:
    assert await code(cameras.dies_after(Camera(h264(pictures)), method)) == "camera-unusable"


async def test_a_redirect_is_not_followed(pictures: list[bytes]) -> None:
    elsewhere = Camera(h264(pictures))
    async with cameras.camera(elsewhere) as port:
        assert await code(cameras.redirects(f"rtsp://127.0.0.1:{port}/live")) == "camera-unusable"
    assert elsewhere.connections == 0


async def test_other_codings_are_refused() -> None:
    frames = coded("libvpx", size=(64, 48), pictures=25) * 4
    assert await code(Camera(Track("VP8/90000", "", [[b"\x10" + frame] for frame in frames]))) == "camera-codec"


async def test_other_colours_are_refused() -> None:
    assert await code(Camera(h264(coded("libx264", pix_fmt="yuv444p")))) == "picture-format"


@pytest.mark.parametrize("times", [3, pytest.param(100, marks=pytest.mark.long)])
async def test_a_lens_that_is_killed_costs_one_picture(
    pictures: list[bytes], monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    started: list[asyncio.subprocess.Process] = []
    start = asyncio.create_subprocess_exec

    async def remember(*arguments: Any, **options: Any) -> asyncio.subprocess.Process:
        started.append(await start(*arguments, **options))
        return started[-1]

    async def kills(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        started[-1].kill()
        await reader.read()

    monkeypatch.setattr(asyncio, "create_subprocess_exec", remember)
    for _ in range(times):
        assert await code(kills) == "camera-unusable"
    assert [process.returncode for process in started] == [-9] * times, "and none is left"
    assert (await look(Camera(h264(pictures)))).width == 320


@pytest.mark.parametrize(
    "said", ["print('[]')", "print('x')", "print('{')", "pass", "import sys; sys.stdout.write('x' * (17 << 20))"]
)
async def test_a_lens_that_talks_nonsense_is_not_believed(
    said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "lens.py"
    program.write_text(said)
    monkeypatch.setattr(camera, "_PROGRAM", program)
    with socket.socket() as connection, pytest.raises(CameraError) as caught:
        await keyframe(connection, VIEW, PATIENT_S)
    assert caught.value.code == "camera-unusable"


def test_a_view_does_not_show_its_secrets() -> None:
    shown = repr(View("/user=admin&password=secret", "admin", "secret2", "camera.example"))
    assert "secret" not in shown
    assert "admin" not in shown
