"""A small peer for the packet engine's tests: ICE checks, SRTP both ways, on one UDP socket.

Written against the RFCs and libsrtp, not against the engine, so that both must be right to agree.
"""

import hmac
import os
import secrets
import select
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from pylibsrtp import Error as SrtpError
from pylibsrtp import Policy, Session

from media import _native

MAGIC = 0x2112A442
T = TypeVar("T")
Profile = Literal["AEAD_AES_128_GCM", "AES128_CM_HMAC_SHA1_80"]
GCM: Profile = "AEAD_AES_128_GCM"
CM: Profile = "AES128_CM_HMAC_SHA1_80"
SALT = {GCM: 12, CM: 14}
PATIENCE_S = 60.0
"""For what comes at once: the machine may be busy with something else."""


OPENED: list[socket.socket] = []


def open_udp(host: str = "127.0.0.1") -> socket.socket:
    """A bound socket with a large buffer, closed by ``close_all``."""
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    OPENED.append(found)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    found.bind((host, 0))
    return found


def close_all() -> None:
    while OPENED:
        OPENED.pop().close()


def wait_for(probe: Callable[[], T], what: str, patience_s: float = PATIENCE_S) -> T:
    """Poll ``probe`` until it answers something true."""
    until = time.monotonic() + patience_s
    while True:
        if found := probe():
            return found
        if time.monotonic() > until:
            raise AssertionError(f"waited {patience_s} s in vain for {what}")
        select.select([], [], [], 0.005)


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def binding_request(
    username: str, password: str, *, nominate: bool = True, role: int = 0x802A, cookie: int = MAGIC, extra: bytes = b""
) -> bytes:
    """Return an ICE check (RFC 8445 section 7.1) with MESSAGE-INTEGRITY and FINGERPRINT."""
    body = attribute(0x0006, username.encode()) + attribute(0x0024, struct.pack("!I", 1)) + extra
    body += attribute(role, secrets.token_bytes(8))
    if nominate:
        body += attribute(0x0025, b"")
    return seal_stun(0x0001, secrets.token_bytes(12), body, password, cookie)


def seal_stun(kind: int, transaction: bytes, body: bytes, password: str, cookie: int = MAGIC) -> bytes:
    head = struct.pack("!HHI", kind, len(body) + 24, cookie) + transaction
    body += attribute(0x0008, hmac.digest(password.encode(), head + body, "sha1"))
    head = struct.pack("!HHI", kind, len(body) + 8, cookie) + transaction
    return head + body + attribute(0x8028, struct.pack("!I", zlib.crc32(head + body) ^ 0x5354554E))


@dataclass(slots=True)
class Rtp:
    """An RTP packet without padding; extensions as (id, value) in one-octet form."""

    payload_type: int
    seq: int
    timestamp: int
    ssrc: int
    payload: bytes = b""
    marker: bool = False
    extensions: tuple[tuple[int, bytes], ...] = ()

    def __bytes__(self) -> bytes:
        first = 0x90 if self.extensions else 0x80
        second = self.payload_type | (0x80 if self.marker else 0)
        head = struct.pack("!BBHII", first, second, self.seq & 0xFFFF, self.timestamp & 0xFFFFFFFF, self.ssrc)
        if self.extensions:
            block = b"".join(bytes([number << 4 | (len(value) - 1)]) + value for number, value in self.extensions)
            block += bytes(-len(block) % 4)
            head += struct.pack("!HH", 0xBEDE, len(block) // 4) + block
        return head + self.payload

    @classmethod
    def parse(cls, data: bytes) -> "Rtp":
        first, second, seq, timestamp, ssrc = struct.unpack("!BBHII", data[:12])
        at = 12 + 4 * (first & 15)
        extensions: list[tuple[int, bytes]] = []
        if first & 0x10:
            profile, words = struct.unpack("!HH", data[at : at + 4])
            assert profile == 0xBEDE
            extensions = list(one_octet(data[at + 4 : at + 4 + 4 * words]))
            at += 4 + 4 * words
        payload = data[at:]
        if first & 0x20:
            payload = payload[: -payload[-1]]
        return cls(second & 127, seq, timestamp, ssrc, payload, bool(second & 128), tuple(extensions))


def one_octet(block: bytes) -> Iterator[tuple[int, bytes]]:
    while block:
        if block[0] == 0:
            block = block[1:]
            continue
        size = (block[0] & 15) + 1
        yield block[0] >> 4, block[1 : 1 + size]
        block = block[1 + size :]


def vp8(picture: int, tl0: int, *, key: bool, start: bool = True, body: bytes = b"picture") -> bytes:
    """Return a VP8 payload with a 15-bit picture id and TL0PICIDX (RFC 7741)."""
    descriptor = struct.pack("!BBHBB", 0x90 if start else 0x80, 0xE0, 0x8000 | picture, tl0 & 255, 0)
    return descriptor + (b"\x00" if key else b"\x01") + body


def read_vp8(payload: bytes) -> tuple[int, int, bytes]:
    """Return (picture id, TL0PICIDX, frame octets)."""
    picture, tl0 = struct.unpack("!HB", payload[2:5])
    return picture & 0x7FFF, tl0, payload[6:]


@dataclass(slots=True)
class Keys:
    """Both directions, seen from the engine."""

    profile: Profile
    rx: bytes = field(default_factory=lambda: secrets.token_bytes(30))
    tx: bytes = field(default_factory=lambda: secrets.token_bytes(30))

    def master(self, blob: bytes) -> tuple[bytes, bytes]:
        return blob[:16], blob[16 : 16 + SALT[self.profile]]

    def session(self, blob: bytes, direction: int) -> Session:
        profiles = {GCM: Policy.SRTP_PROFILE_AEAD_AES_128_GCM, CM: Policy.SRTP_PROFILE_AES128_CM_SHA1_80}
        policy = Policy(key=b"".join(self.master(blob)), ssrc_type=direction, srtp_profile=profiles[self.profile])
        policy.allow_repeat_tx = True
        return Session(policy)


class Peer:
    """One transport of an engine under test and the peer at its other end."""

    def __init__(
        self,
        engine: _native.Engine,
        number: int,
        *,
        profile: Profile = GCM,
        extensions: tuple[tuple[_native.Extension, int], ...] = (),
        host: str = "127.0.0.1",
    ) -> None:
        self.engine = engine
        self.number = number
        self.keys = Keys(profile)
        self.local = (f"us{number}", "password-of-the-engine")
        self.remote = (f"them{number}", "password-of-the-peer")
        self.socket = open_udp(host)
        self.address = (host, engine.port)
        self.sender = self.keys.session(self.keys.rx, Policy.SSRC_ANY_OUTBOUND)
        self.receiver = self.keys.session(self.keys.tx, Policy.SSRC_ANY_INBOUND)
        self.rtcp: list[bytes] = []
        self.rejected = 0
        engine.add_transport(
            number,
            local_ufrag=self.local[0],
            local_pwd=self.local[1],
            remote_ufrag=self.remote[0],
            remote_pwd=self.remote[1],
            controlling=False,
            extensions=extensions,
        )

    @property
    def username(self) -> str:
        return f"{self.local[0]}:{self.remote[0]}"

    def check(self, **choices: object) -> bytes:
        return binding_request(self.username, self.local[1], **choices)  # type: ignore[arg-type]

    def connect(self) -> None:
        """Verify a path and install keys."""
        self.send(self.check())
        answer = self.receive()
        assert answer[:2] == b"\x01\x01", answer
        self.install()

    def install(self) -> None:
        rx_key, rx_salt = self.keys.master(self.keys.rx)
        tx_key, tx_salt = self.keys.master(self.keys.tx)
        self.engine.set_keys(
            self.number, self.keys.profile, rx_key=rx_key, rx_salt=rx_salt, tx_key=tx_key, tx_salt=tx_salt
        )

    def send(self, datagram: bytes) -> None:
        self.socket.sendto(datagram, self.address)

    def send_rtp(self, packet: Rtp) -> None:
        self.engine.stats()  # answered behind the calls made so far: a packet could overtake them
        self.send(self.sender.protect(bytes(packet)))

    def send_rtcp(self, packet: bytes) -> None:
        self.send(self.sender.protect_rtcp(packet))

    def readable(self, patience_s: float) -> bool:
        waiting = select.poll()  # select() knows the first 1024 descriptors only
        waiting.register(self.socket, select.POLLIN)
        return bool(waiting.poll(1_000 * patience_s))

    def receive(self, patience_s: float = PATIENCE_S) -> bytes:
        assert self.readable(patience_s), f"nothing came in {patience_s} s"
        return self.socket.recv(65536)

    def take(self) -> list[Rtp]:
        """Everything that has come so far; RTCP is put aside."""
        packets: list[Rtp] = []
        while self.readable(0):
            data = self.socket.recv(65536)
            if data[0] < 128:
                continue
            try:
                if 192 <= data[1] <= 223:
                    self.rtcp.append(self.receiver.unprotect_rtcp(data))
                else:
                    packets.append(Rtp.parse(self.receiver.unprotect(data)))
            except SrtpError:
                self.rejected += 1
        return packets

    def collect(self, count: int, what: str = "packets") -> list[Rtp]:
        """Wait for ``count`` RTP packets."""
        packets: list[Rtp] = []

        def enough() -> bool:
            packets.extend(self.take())
            return len(packets) >= count

        wait_for(enough, f"{count} {what} (have {len(packets)})")
        return packets

    def feedback(self, kind: int, form: int) -> list[bytes]:
        """The RTCP parts of one type and format seen so far, oldest first."""
        found = []
        for compound in self.rtcp:
            while compound:
                size = 4 * (struct.unpack("!H", compound[2:4])[0] + 1)
                if compound[1] == kind and compound[0] & 31 == form:
                    found.append(compound[:size])
                compound = compound[size:]
        return found


def counters(engine: _native.Engine) -> dict[str, int]:
    found: dict[str, int] = engine.stats()["engine"]
    return found


def pli(media: int, sender: int = 1) -> bytes:
    return receiver_report(sender) + struct.pack("!BBHII", 0x81, 206, 2, sender, media)


def nack(media: int, seq: int, mask: int = 0, sender: int = 1) -> bytes:
    return receiver_report(sender) + struct.pack("!BBHIIHH", 0x81, 205, 3, sender, media, seq, mask)


def receiver_report(sender: int = 1) -> bytes:
    return struct.pack("!BBHI", 0x80, 201, 1, sender)


def resident_octets() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
