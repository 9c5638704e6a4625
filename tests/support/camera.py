"""As much of a camera as a client needs: RTSP (RFC 2326) with one track, RTP within the connection, as H.264 (RFC 6184)
or HEVC (RFC 7798) or JPEG (RFC 2435); and cameras that mean harm."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import re
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction

import av
from PIL import Image

REALM, NONCE = "camera", "5f2c9a"
RTP_BYTES = 1_400
Conversation = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Track:
    """What a camera sends: the name and parameters of its coding, and the payloads of each picture."""

    rtpmap: str
    fmtp: str
    pictures: Sequence[Sequence[bytes]]
    payload_type: int = 96


def coded(
    encoder: str, *, pix_fmt: str = "yuv420p", pictures: int = 12, size: tuple[int, int] = (320, 180)
) -> list[bytes]:
    """A few moving test pictures, the first a keyframe."""
    codec = av.VideoCodecContext.create(encoder, "w")
    assert isinstance(codec, av.VideoCodecContext)
    codec.width, codec.height = size
    codec.pix_fmt, codec.framerate, codec.time_base = pix_fmt, Fraction(25), Fraction(1, 25)
    codec.options = {
        "libx264": {"tune": "zerolatency", "preset": "ultrafast"},
        "libx265": {"tune": "zerolatency", "preset": "ultrafast", "x265-params": "log-level=none:pools=1"},
    }.get(encoder, {})
    out = []
    with av.open(f"testsrc2=size={size[0]}x{size[1]}:rate=25:duration=1", format="lavfi") as seen:
        for number, frame in enumerate(seen.decode(video=0)):
            if number == pictures:
                break
            picture = frame.reformat(format=pix_fmt)
            picture.pts, picture.time_base, picture.pict_type = number, Fraction(1, 25), 0
            out += [bytes(packet) for packet in codec.encode(picture)]
    return out + [bytes(packet) for packet in codec.encode(None)]


def units(picture: bytes) -> list[bytes]:
    """The NAL units of a picture in Annex B."""
    return [unit for unit in re.split(b"\x00\x00\x00?\x01", picture) if unit]


def h264(pictures: Sequence[bytes], *, fmtp: str = "packetization-mode=1") -> Track:
    """RFC 6184: single units, and FU-A for what is longer than a packet."""

    def payloads(unit: bytes) -> Iterator[bytes]:
        if len(unit) <= RTP_BYTES:
            yield unit
            return
        pieces = [unit[at : at + RTP_BYTES] for at in range(1, len(unit), RTP_BYTES)]
        for number, piece in enumerate(pieces):
            ends = (0x80 if number == 0 else 0) | (0x40 if number == len(pieces) - 1 else 0)
            yield bytes([unit[0] & 0xE0 | 28, ends | unit[0] & 0x1F]) + piece

    return Track("H264/90000", fmtp, [[p for unit in units(picture) for p in payloads(unit)] for picture in pictures])


def hevc(pictures: Sequence[bytes]) -> Track:
    """RFC 7798: single units, and fragmentation units."""

    def payloads(unit: bytes) -> Iterator[bytes]:
        if len(unit) <= RTP_BYTES:
            yield unit
            return
        pieces = [unit[at : at + RTP_BYTES] for at in range(2, len(unit), RTP_BYTES)]
        for number, piece in enumerate(pieces):
            ends = (0x80 if number == 0 else 0) | (0x40 if number == len(pieces) - 1 else 0)
            yield bytes([unit[0] & 0x81 | 49 << 1, unit[1], ends | unit[0] >> 1 & 0x3F]) + piece

    return Track("H265/90000", "", [[p for unit in units(picture) for p in payloads(unit)] for picture in pictures])


def mjpeg(width: int = 320, height: int = 176) -> Track:
    """RFC 2435, type 1 (4:2:0), quantisation tables in the first packet."""
    target = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(target, "JPEG", subsampling=2)
    data = target.getvalue()
    tables, scan, at = b"", b"", 2
    while not scan:
        marker, size = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        segment = data[at + 4 : at + 2 + size]
        at += 2 + size
        if marker == 0xDB:
            tables += b"".join(segment[n + 1 : n + 65] for n in range(0, len(segment), 65))
        elif marker == 0xDA:
            scan = data[at:-2]
    payloads = []
    for offset in range(0, len(scan), 1_300):
        head = struct.pack(">IBBBB", offset, 1, 255, width // 8, height // 8)
        quantisation = struct.pack(">HH", 0, len(tables)) + tables if offset == 0 else b""
        payloads.append(head + quantisation + scan[offset : offset + 1_300])
    return Track("JPEG/90000", "", [payloads] * 4, payload_type=26)


@dataclass(slots=True)
class Camera:
    """A camera that behaves.  ``said`` is what it was asked, ``logins`` what it was told of users."""

    track: Track
    login: tuple[str, str] | None = None
    connections: int = 0
    said: list[str] = field(default_factory=list)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while request := await read_request(reader):
            method, url, headers = request
            self.said.append(method)
            answer, body = self._answer(method, url, headers)
            writer.write(reply(headers["cseq"], answer, body))
            if method == "PLAY" and answer.startswith("200"):
                await self._play(writer)

    def _answer(self, method: str, url: str, headers: Mapping[str, str]) -> tuple[str, str]:
        if self.login is not None and not self._knows(method, headers.get("authorization", "")):
            return f'401 Unauthorized\r\nWWW-Authenticate: Digest realm="{REALM}", nonce="{NONCE}"', ""
        match method:
            case "OPTIONS":
                return "200 OK\r\nPublic: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN", ""
            case "DESCRIBE":
                return f"200 OK\r\nContent-Base: {url}/\r\nContent-Type: application/sdp", self.description()
            case "SETUP":
                return f"200 OK\r\nSession: 1;timeout=60\r\nTransport: {headers['transport']}", ""
            case _:
                return "200 OK\r\nSession: 1", ""

    def _knows(self, method: str, authorization: str) -> bool:
        """RFC 2617 digest without qop."""
        assert self.login is not None
        said = dict(re.findall(r'(\w+)="([^"]*)"', authorization))
        secret = _md5(f"{self.login[0]}:{REALM}:{self.login[1]}")
        asked = _md5(f"{method}:{said.get('uri', '')}")
        return said.get("response") == _md5(f"{secret}:{NONCE}:{asked}")

    def description(self) -> str:
        track, number = self.track, self.track.payload_type
        lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=camera", "t=0 0", f"m=video 0 RTP/AVP {number}"]
        lines += ["c=IN IP4 0.0.0.0", f"a=rtpmap:{number} {track.rtpmap}"]
        lines += [f"a=fmtp:{number} {track.fmtp}"] if track.fmtp else []
        return "\r\n".join([*lines, "a=control:track1", ""])

    async def _play(self, writer: asyncio.StreamWriter) -> None:
        sequence = 0
        for number, payloads in enumerate(self.track.pictures):
            for payload in payloads:
                marker = 0x80 if payload is payloads[-1] else 0
                head = struct.pack(
                    ">BBHII", 0x80, marker | self.track.payload_type, sequence & 0xFFFF, number * 3_600, 7
                )
                writer.write(b"$\x00" + (len(head) + len(payload)).to_bytes(2, "big") + head + payload)
                sequence += 1
            await writer.drain()


async def read_request(reader: asyncio.StreamReader) -> tuple[str, str, Mapping[str, str]] | None:
    """The next request, passing over what comes in channels; None when the client has gone."""
    while (first := await reader.read(1)) == b"$":
        size = int.from_bytes((await reader.readexactly(3))[1:], "big")
        await reader.readexactly(size)
    if not first:
        return None
    lines = (first + await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    method, url, _ = lines[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
    return method, url, headers


def reply(cseq: str, answer: str, body: str = "") -> bytes:
    status, *headers = answer.split("\r\n")
    lines = [f"RTSP/1.0 {status}", f"CSeq: {cseq}", *headers, f"Content-Length: {len(body)}", "", body]
    return "\r\n".join(lines).encode()


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def parameters(picture: bytes) -> str:
    """An fmtp line with the parameter sets of ``picture``, as most cameras have."""
    sets = [base64.b64encode(unit).decode() for unit in units(picture) if unit[0] & 0x1F in (7, 8)]
    return f"packetization-mode=1;sprop-parameter-sets={','.join(sets)}"


# ---- cameras that mean harm ----------------------------------------------------------------------


async def never_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(bytes(range(256)) * 512)
    await writer.drain()


async def endless_header(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"RTSP/1.0 200 OK\r\nX: ")
    while True:
        writer.write(b"a" * 65_536)
        await writer.drain()


async def too_much(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Packets of a channel nobody asked for, without end."""
    await reader.read(1)
    while True:
        writer.write((b"$\x09\xff\xff" + bytes(65_535)) * 4)
        await writer.drain()


def redirects(to: str) -> Conversation:
    """Says of everything but OPTIONS that it is elsewhere."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await read_request(reader):
            method, _, headers = request
            answer = "200 OK" if method == "OPTIONS" else f"302 Moved\r\nLocation: {to}"
            writer.write(reply(headers["cseq"], answer))

    return converse


def dies_after(camera: Camera, method: str) -> Conversation:
    """Behaves until it has answered ``method``, and cuts the connection."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await read_request(reader):
            said, url, headers = request
            writer.write(reply(headers["cseq"], *camera._answer(said, url, headers)))
            if said == method:
                await writer.drain()
                writer.transport.abort()
                return

    return converse


@asynccontextmanager
async def camera(converse: Conversation, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Run a camera on a free port of the loopback; gives the port."""
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        try:
            await converse(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            pass  # the stream's own callback would print it
        finally:
            writer.close()
            writers.discard(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


@contextmanager
def beside(device: Camera) -> Iterator[int]:
    """Run a camera in a thread of its own; gives its port."""
    ports: list[int] = []
    began, over = threading.Event(), threading.Event()

    async def stand() -> None:
        async with camera(device) as port:
            ports.append(port)
            began.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=asyncio.run, args=(stand(),))
    thread.start()
    try:
        assert began.wait(60)
        yield ports[0]
    finally:
        over.set()
        thread.join()
