"""At which addresses this node takes media."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from .config import Config

ELSEWHERE = {4: "192.0.2.1", 6: "2001:db8::1"}
"""Documentation addresses (RFC 5737, RFC 3849): asking for the way there sends nothing."""


def reachable(config: Config) -> tuple[str, ...]:
    """Return the IP literals to put into answers, IPv4 first: some clients read only one.

    They are ``media.advertise``, else ``media.hosts``, where an "any" address stands for the one this
    machine uses towards its parent, or towards anywhere.
    """
    if config.media.advertise:
        return config.media.advertise
    found: dict[str, None] = {}
    for host in config.media.hosts:
        address = ipaddress.ip_address(host)
        own = _own(address.version, config.uplink.url) if address.is_unspecified else host
        if own is not None:
            found[own] = None
    return tuple(sorted(found, key=lambda host: ipaddress.ip_address(host).version))


def _own(version: int, uplink: str | None) -> str | None:
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    goals = [ELSEWHERE[version]]
    if uplink is not None and (parent := urlsplit(uplink).hostname):
        goals.insert(0, parent)
    for goal in goals:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((goal, 9))
                return str(probe.getsockname()[0])
        except OSError:
            continue
    return None
