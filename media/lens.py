"""A process of its own that looks through one camera until it has one whole picture, then exits.

Run by ``media/camera.py`` as a script.  In: a line of JSON, and a connection to the camera that somebody else
made.  Out: a line of JSON, then the picture as the camera coded it: nothing is decoded for keeps here.

FFmpeg (through PyAV) speaks RTSP, and FFmpeg connects by itself: to a door on this machine that this very process
holds.  The moment it has come through, before it is given one byte of the camera's, the process gives up opening
anything: a redirect, or whatever a camera makes of FFmpeg, leads nowhere (S16, S17).
"""

import io
import json
import os
import resource
import select
import socket
import ssl
import sys
import threading
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import quote

MEMORY_BYTES = 1_024 << 20
CPU_S = 10
MAX_STREAM_BYTES = 32 << 20
"""Read of one camera: 30 s of 8 Mbit/s."""
MAX_PICTURE_BYTES = 4 << 20
PIECE_BYTES = 65_536
CODECS = {"h264": "h264", "hevc": "hevc", "mjpeg": "jpeg"}
"""What is taken, by FFmpeg's name, and what ``media/snapshot.py`` calls it."""
OPTIONS = {
    "rtsp_transport": "tcp",
    "protocol_whitelist": "tcp,rtp,rtsp",
    "codec_whitelist": ",".join(CODECS),
    "allowed_media_types": "video",
    "analyzeduration": "1000000",
    "probesize": "2000000",
    "fpsprobesize": "0",
}


class Unusable(Exception):
    """No picture can be had; ``args[0]`` is a stable code."""


class Door:
    """A door on the loopback for one visitor, FFmpeg, and behind it the way to the camera."""

    def __init__(self, outer: socket.socket) -> None:
        self._outer = outer
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1)
        self.port = int(self._listener.getsockname()[1])

    def serve(self) -> None:
        """Let the visitor in, shut the door and everything else, and carry what both say until one is done."""
        from media.confined import open_nothing

        inner, _ = self._listener.accept()
        self._listener.close()
        open_nothing()
        try:
            carry(inner, self._outer)
        except OSError:
            pass
        finally:
            inner.close()


def carry(inner: socket.socket, outer: socket.socket) -> None:
    """Give each what the other says, until one has no more to say or there was too much.  Blocking."""
    left = MAX_STREAM_BYTES
    while left > 0:
        pending = isinstance(outer, ssl.SSLSocket) and outer.pending()
        ready = [outer] if pending else select.select([inner, outer], [], [])[0]
        for side, other in ((inner, outer), (outer, inner)):
            piece = _heard(side, min(PIECE_BYTES, left)) if side in ready else None
            if piece == b"":
                return
            if piece:
                other.sendall(piece)
                left -= len(piece)


def _heard(side: socket.socket, most: int) -> bytes | None:
    """Return what it has said, b"" at its end, None for nothing yet.

    A connection that can be read need not have anything for us: TLS speaks of itself, of new session tickets right
    after the handshake (RFC 8446 section 4.6.1), and a record may be there in part.
    """
    side.setblocking(False)
    try:
        return side.recv(most)
    except (BlockingIOError, ssl.SSLWantReadError):
        return None
    finally:
        side.setblocking(True)


def rehearse() -> None:
    """Go once through PyAV with a picture of ours, so that it has loaded all it needs before files are forbidden."""
    import encodings.idna  # noqa: F401  of host names, by TLS

    import av

    encoder: Any = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 16, 16, "yuvj420p", Fraction(1, 25)
    picture = b"".join(map(bytes, encoder.encode(av.VideoFrame(16, 16, "yuvj420p"))))
    with av.open(io.BytesIO(picture), "r", format="mjpeg") as container:
        for packet in container.demux(container.streams.video[0]):
            bytes(packet)


def main() -> None:
    import av

    from media.confined import confine

    av.logging.set_level(av.logging.PANIC)
    rehearse()
    asked = json.loads(sys.stdin.buffer.readline(65_536))
    connection = socket.socket(fileno=asked["connection"])
    trust = ssl.create_default_context(cadata=asked["ca"]) if asked["tls"] else None
    confine(MEMORY_BYTES, CPU_S)
    try:
        answer, picture = _look(asked, connection, trust)
    except Unusable as verdict:
        answer, picture = {"code": verdict.args[0]}, b""
    except Exception as error:  # whatever FFmpeg throws, the camera is what is wrong
        answer, picture = {"code": "camera-unusable", "text": type(error).__name__}, b""
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + picture)
    sys.stdout.buffer.flush()
    os._exit(0)  # the carrying thread may wait for a camera that says nothing more


def _look(
    asked: Mapping[str, Any], connection: socket.socket, trust: ssl.SSLContext | None
) -> tuple[Mapping[str, Any], bytes]:
    if trust is not None:
        try:
            connection = trust.wrap_socket(connection, server_hostname=asked["host"])
        except (OSError, ValueError) as error:
            raise Unusable("camera-tls") from error
    door = Door(connection)
    threading.Thread(target=door.serve, daemon=True).start()
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    login = f"{quote(asked['user'], '')}:{quote(asked['password'], '')}@" if asked["user"] else ""
    return _first(f"rtsp://{login}127.0.0.1:{door.port}{asked['path']}")


def _first(url: str) -> tuple[Mapping[str, Any], bytes]:
    """Return the first picture that needs no other, with its parameter sets."""
    import av

    try:
        with av.open(url, "r", format="rtsp", options=OPTIONS) as container:
            stream = next(iter(container.streams.video), None)
            codec = CODECS.get(stream.codec_context.name if stream is not None else "")
            if stream is None or codec is None:
                raise Unusable("camera-codec")
            sets = bytes(stream.codec_context.extradata or b"")
            for packet in container.demux(stream):
                if packet.is_keyframe and packet.size:
                    picture = bytes(packet) if codec == "jpeg" else sets + bytes(packet)
                    if len(picture) > MAX_PICTURE_BYTES:
                        raise Unusable("picture-too-large")
                    return {"codec": codec}, picture
    except av.error.HTTPUnauthorizedError:
        raise Unusable("camera-login") from None
    except av.error.HTTPError:
        raise Unusable("camera-refused") from None
    raise Unusable("camera-unusable")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main()
