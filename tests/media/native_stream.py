"""The engine tests' peer, reached over TCP: RFC 4571 frames in place of datagrams."""

import select
import socket
import struct

from media import _native
from tests.media.native_peer import OPENED, PATIENCE_S, Peer


def framed(datagram: bytes) -> bytes:
    return struct.pack("!H", len(datagram)) + datagram


def connection(host: str = "127.0.0.1") -> tuple[socket.socket, socket.socket]:
    """A connected pair: the caller's end, and the one that was accepted."""
    with socket.create_server((host, 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    OPENED.extend((ours, theirs))
    return ours, theirs


def adopted(engine: _native.Engine) -> socket.socket:
    """A connection whose other end the engine serves."""
    ours, theirs = connection()
    engine.adopt_stream(theirs.fileno())
    theirs.close()
    return ours


def ended(stream: socket.socket, patience_s: float = PATIENCE_S) -> bool:
    """Whether the engine closes the connection, what it sends before that being thrown away."""
    while select.select([stream], [], [], patience_s)[0]:
        try:
            if not stream.recv(65_536):
                return True
        except ConnectionError:
            return True
    return False


class Cut:
    """A stream with a datagram socket's face, as far as ``Peer`` uses one."""

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        self._octets = b""
        self._whole: list[bytes] = []

    def fileno(self) -> int:
        """Readable when there is something to read; what was read already is counted by ``recv``."""
        return self.stream.fileno()

    def sendto(self, datagram: bytes, address: object) -> None:
        self.stream.sendall(framed(datagram))

    def waiting(self, patience_s: float) -> bool:
        """Whether a whole datagram is there, or comes in time."""
        while not self._whole and select.select([self.stream], [], [], patience_s)[0]:
            data = self.stream.recv(65_536)
            assert data, "the engine closed the stream"
            self._octets += data
            while len(self._octets) >= 2:
                (size,) = struct.unpack("!H", self._octets[:2])
                if len(self._octets) < 2 + size:
                    break
                self._whole.append(self._octets[2 : 2 + size])
                self._octets = self._octets[2 + size :]
        return bool(self._whole)

    def recv(self, size: int) -> bytes:
        assert self.waiting(PATIENCE_S)
        return self._whole.pop(0)


class StreamPeer(Peer):
    """A transport's peer on one TCP connection."""

    def __init__(self, engine: _native.Engine, number: int) -> None:
        super().__init__(engine, number)
        self.cut = Cut(adopted(engine))
        self.socket = self.cut  # type: ignore[assignment]  # it has what a peer uses of one

    def readable(self, patience_s: float) -> bool:
        return self.cut.waiting(patience_s)
