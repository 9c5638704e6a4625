"""What a datagram of media is for, by its first octets: those are never encrypted (RFC 7983, RFC 3550, RFC 4585)."""

from __future__ import annotations

from collections.abc import Mapping

RTCP: Mapping[int, str] = {
    200: "sender report", 201: "receiver report", 202: "sources", 203: "goodbye", 205: "feedback", 206: "picture ask"
}  # fmt: skip
PAYLOADS: Mapping[int, str] = {63: "sound with earlier sound", 111: "sound"}
"""Of links: see ``LINK_CODECS``."""
VIDEO = range(96, 104)


def kind(datagram: bytes) -> str:
    """Return one word or two for ``datagram``; "other" for what is none of ours."""
    if len(datagram) < 2:
        return "other"
    first, second = datagram[0], datagram[1]
    if first < 4:
        return "checks"
    if 20 <= first < 64:
        return "handshake"
    if not 128 <= first < 192:
        return "other"
    if 192 <= second <= 223:
        return RTCP.get(second, "other control")
    payload = second & 0x7F
    if payload in VIDEO:
        return "repeats" if payload % 2 else "pictures"
    return PAYLOADS.get(payload, "other media")
