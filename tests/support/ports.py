"""Ports for gateways that a test starts.

They lie below the range from which the system takes the ports of outgoing connections: a child that dials its
stopped parent could else be given that very port, and hold it.
"""

from __future__ import annotations

import itertools
import os
import socket

FIRST, COUNT, STRIDE = 21_000, 9_000, 10
_steps = itertools.count(0, STRIDE)


def free_ports(count: int = 1) -> int:
    """Return the first of ``count`` (1..10) neighbouring ports that are free for TCP and UDP on 127.0.0.1.

    Each call looks further on than the one before, and two processes begin at different places.
    """
    begin = STRIDE * (os.getpid() % (COUNT // STRIDE))
    for step in itertools.islice(_steps, COUNT // STRIDE):
        base = FIRST + (begin + step) % COUNT
        if all(_is_free(base + i, kind) for i in range(count) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)):
            return base
    raise OSError("no free ports")


def _is_free(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
