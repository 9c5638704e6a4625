"""What the kernel knows of the connection below a WebSocket."""

from __future__ import annotations

import socket as sockets
import struct
from typing import Any, Protocol

from signaling.link import Line

TCP_INFO_BYTES = 148
FEW_SEGMENTS = 4
"""On the way to the peer's host: what a quiet link says in the 40 ms in which a host may delay its answer."""


class Socket(Protocol):
    """A WebSocket of either side."""

    def get_extra_info(self, name: str, default: Any = None) -> Any: ...


def line_of(socket: Socket) -> Line:
    """Return how the connection is doing; nothing is known of one that is closed."""
    transport = socket.get_extra_info("socket")
    if transport is None:
        return Line()
    try:
        return read(transport.getsockopt(sockets.IPPROTO_TCP, sockets.TCP_INFO, TCP_INFO_BYTES))
    except (OSError, ValueError):  # closed meanwhile; uvloop then has -1 for a descriptor
        return Line()


def read(info: bytes) -> Line:
    """Return what a ``struct tcp_info`` says.  Source: linux/tcp.h, Linux 4.6 and later.

    What waits in this process is not asked for: it waits because the kernel has its fill.
    """
    (in_flight,) = struct.unpack_from("=I", info, 24)
    (silent_ms,) = struct.unpack_from("=I", info, 52)
    (taken,) = struct.unpack_from("=Q", info, 120)
    (unsent,) = struct.unpack_from("=I", info, 144)
    return Line(silent_ms / 1000, taken, waiting=unsent > 0 or in_flight > FEW_SEGMENTS)
