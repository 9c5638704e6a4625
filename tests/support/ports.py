"""Ports for gateways that a test starts.

They lie below the range from which the system takes the ports of outgoing connections: a child that dials its
stopped parent could else be given that very port, and hold it.
"""

from __future__ import annotations

import itertools
import os
import socket
from collections import deque

FIRST, COUNT, STRIDE = 21_000, 9_000, 10
MARKS = 64
"""So many of the last calls are still marked: longer ago than anybody takes to open what was found free."""
_steps = itertools.count(0, STRIDE)
_marks: deque[int] = deque()


def free_ports(count: int = 1) -> int:
    """Return the first of ``count`` (1..9) neighbouring ports that are free for TCP and UDP on 127.0.0.1.

    Each call looks further on than the one before, and two processes begin at different places.  The tenth port is
    held as a mark: what this call returns is not free to another process before it has been opened, either.
    """
    assert 1 <= count < STRIDE
    begin = STRIDE * (os.getpid() % (COUNT // STRIDE))
    for step in itertools.islice(_steps, COUNT // STRIDE):
        base = FIRST + (begin + step) % COUNT
        if not _mark(base + STRIDE - 1):
            continue
        if all(_is_free(base + i, kind) for i in range(count) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)):
            return base
    raise OSError("no free ports")


def _mark(port: int) -> bool:
    """Hold ``port`` until MARKS more are held; return whether nobody else does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mark:
        try:
            mark.bind(("127.0.0.1", port))
        except OSError:
            return False
        _marks.append(mark.detach())
    if len(_marks) > MARKS:
        os.close(_marks.popleft())
    return True


def _is_free(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
