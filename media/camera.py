"""One still picture of a camera that speaks RTSP (RFC 2326), coded anew as every other picture is.

Two processes take it: ``media/lens.py`` speaks with the camera over a connection made here and decodes nothing for
keeps, ``media/picture.py`` decodes and has no connection at all.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from pathlib import Path

from . import worker
from .snapshot import Pictures, jpeg_from_keyframe, sanitise_jpeg

_PROGRAM = Path(__file__).with_name("lens.py")


class CameraError(Exception):
    """A camera gives no picture.  ``code`` is stable.

    One of: camera-timeout, camera-tls, camera-login, camera-refused, camera-codec, camera-unusable,
    picture-too-large; ``gateway/cameras.py`` adds its own.
    """

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(f"{code}: {text}" if text else code)
        self.code = code


@dataclass(frozen=True, slots=True)
class View:
    """What to ask a camera for: a path with its query, and as whom.

    ``host`` is the name its certificate must bear when the connection is TLS; ``ca`` are PEM certificates that may
    vouch for it, "" for the system's.
    """

    path: str = field(repr=False)
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    host: str = ""
    tls: bool = False
    ca: str = field(default="", repr=False)


async def still(connection: socket.socket, view: View, deadline_s: float) -> Pictures:
    """Take one picture over ``connection``, which is not used again; the caller closes it.

    Raises:
        CameraError: The camera gives none within ``deadline_s``.
        PictureError: What it gives cannot be decoded.
    """
    codec, data = await keyframe(connection, view, deadline_s)
    return await (sanitise_jpeg(data) if codec == "jpeg" else jpeg_from_keyframe(codec, data))


async def keyframe(connection: socket.socket, view: View, deadline_s: float) -> tuple[str, bytes]:
    """Return ("h264" or "hevc", an access unit in Annex B) or ("jpeg", a picture); see ``still``."""
    question = {
        "connection": connection.fileno(),
        "path": view.path,
        "user": view.user,
        "password": view.password,
        "host": view.host,
        "tls": view.tls,
        "ca": view.ca or None,
    }
    connection.setblocking(True)
    try:
        answer, picture = await worker.ask(_PROGRAM, question, b"", deadline_s=deadline_s, files=(connection.fileno(),))
    except TimeoutError:
        raise CameraError("camera-timeout", f"no picture in {deadline_s:g} s") from None
    except worker.WorkerError as error:
        raise CameraError("camera-unusable", str(error)) from None
    if "code" in answer:
        raise CameraError(str(answer["code"]), str(answer.get("text", "")))
    return str(answer.get("codec")), picture
