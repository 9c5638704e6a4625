"""Where cameras may be, and the way to one: an address is looked up once, judged, and that very address is dialled.

What stands in an address (a login, often a path that is one) stays at this node: no error, log line, record or
answer repeats it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from gateway.outbound import foreign
from media.camera import CameraError, View
from signaling.errors import Refused

PORTS = {"rtsp": 554, "rtsps": 322}
MAX_ADDRESS = 512
_ADDRESS = re.compile(r"[!-~]+")

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to the IP literals they stand for."""


@dataclass(frozen=True, slots=True)
class Camera:
    """One camera's address, taken apart."""

    host: str
    port: int
    view: View = field(repr=False)


def parse(address: str, ca: str = "") -> Camera:
    """Return ``address``, rtsp(s)://[user[:password]@]host[:port]/path, taken apart.

    Args:
        ca: PEM certificates that may vouch for it, "" for the system's.

    Raises:
        Refused: ``bad-camera``; the text does not repeat the address.
    """
    if len(address) > MAX_ADDRESS or not _ADDRESS.fullmatch(address):
        raise Refused("bad-camera", f"a camera's address has at most {MAX_ADDRESS} characters of ASCII, and no spaces")
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port or PORTS.get(parts.scheme, 0)
    except ValueError:
        raise Refused("bad-camera", "a camera's address has no such host or port") from None
    if parts.scheme not in PORTS or not host or parts.fragment:
        raise Refused("bad-camera", "a camera's address is rtsp(s)://[user:password@]host[:port]/path")
    path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    login = unquote(parts.username or ""), unquote(parts.password or "")
    return Camera(host, port, View(path, *login, host=host, tls=parts.scheme == "rtsps", ca=ca))


async def _lookup(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class Ways:
    """The networks this node's cameras stand in."""

    def __init__(self, networks: Sequence[str], *, local: bool, ca: str = "", lookup: Lookup = _lookup) -> None:
        """``networks`` are CIDRs; ``local``: loopback and link-local addresses within them may be dialled, too."""
        self._networks = [ipaddress.ip_network(network) for network in networks]
        self._local = local
        self._ca = ca
        self._lookup = lookup

    def check(self, address: str) -> None:
        """Return if there may be a camera at ``address``; whether a name leads there is seen when it is dialled.

        Raises:
            Refused: ``bad-camera``.
        """
        camera = parse(address)
        if not self._networks:
            raise Refused("bad-camera", "cameras.networks is empty: no camera is opened")
        if _is_literal(camera.host) and not self.allows(camera.host):
            raise Refused("bad-camera", "its address is not within cameras.networks, or is this machine's own")

    def allows(self, host: str) -> bool:
        """Return whether ``host``, an IP literal, may be dialled."""
        address = ipaddress.ip_address(host.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address):
            address = address.ipv4_mapped or address
        within = any(address.version == network.version and address in network for network in self._networks)
        return within and foreign(str(address), local=self._local)

    async def dial(self, address: str) -> tuple[socket.socket, View]:
        """Connect to ``address``; whoever asked closes the connection.

        Raises:
            CameraError: ``camera-address`` or ``camera-unreachable``.
            Refused: ``bad-camera``.
        """
        camera = parse(address, self._ca)
        try:
            found = await self._lookup(camera.host, camera.port)
        except OSError:
            raise CameraError("camera-unreachable", "the name is not known") from None
        allowed = [host for host in found if self.allows(host)]
        if not allowed:
            raise CameraError("camera-address", "not within cameras.networks, or this machine's own")
        for host in allowed:
            with contextlib.suppress(OSError):
                return await _connect(host, camera.port), camera.view
        raise CameraError("camera-unreachable", "nobody answers there")


async def _connect(host: str, port: int) -> socket.socket:
    connection = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, (host, port))
    except BaseException:
        connection.close()
        raise
    return connection


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
