"""As much of an MQTT 3.1.1 broker as a subscriber needs: it hands out messages at QoS 1 and waits for each to be
acknowledged; what was not is handed out again on the next connection (OASIS MQTT 3.1.1, sections 3.3 and 4.4)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

CONNECT, PUBLISH, PUBACK, SUBSCRIBE, PINGREQ = 1, 3, 4, 8, 12


class Broker:
    def __init__(self) -> None:
        self.port = 0
        self.acknowledged: list[int] = []
        self.topics: list[str] = []
        self._unacknowledged: dict[int, tuple[str, bytes]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._last = 0

    def publish(self, topic: str, payload: bytes) -> int:
        """Hand out a message, now or when somebody subscribes; return its number."""
        self._last += 1
        self._unacknowledged[self._last] = topic, payload
        if self._writer is not None:
            self._hand_out(self._writer, self._last, again=False)
        return self._last

    def drop(self) -> None:
        """Cut the connection."""
        assert self._writer is not None
        self._writer.transport.abort()
        self._writer = None

    def _hand_out(self, writer: asyncio.StreamWriter, number: int, *, again: bool) -> None:
        topic, payload = self._unacknowledged[number]
        name = topic.encode()
        body = len(name).to_bytes(2) + name + number.to_bytes(2) + payload
        writer.write(bytes([PUBLISH << 4 | (8 if again else 0) | 2]) + _length(len(body)) + body)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                kind, body = await _packet(reader)
                match kind:
                    case 1:
                        writer.write(bytes([0x20, 2, 0, 0]))
                    case 8:
                        self.topics.append(body[4 : 4 + int.from_bytes(body[2:4])].decode())
                        writer.write(bytes([0x90, 3]) + body[:2] + b"\x01")
                        self._writer = writer
                        for number in list(self._unacknowledged):
                            self._hand_out(writer, number, again=True)
                    case 4:
                        number = int.from_bytes(body[:2])
                        self.acknowledged.append(number)
                        self._unacknowledged.pop(number, None)
                    case 12:
                        writer.write(bytes([0xD0, 0]))
                    case _:
                        pass
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def _length(size: int) -> bytes:
    out = bytearray()
    while True:
        size, digit = divmod(size, 128)
        out.append(digit | (128 if size else 0))
        if not size:
            return bytes(out)


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    (head,) = await reader.readexactly(1)
    size, shift = 0, 0
    while True:
        (digit,) = await reader.readexactly(1)
        size |= (digit & 127) << shift
        shift += 7
        if digit < 128:
            return head >> 4, await reader.readexactly(size)


@asynccontextmanager
async def broker() -> AsyncIterator[Broker]:
    """Run a broker on a free port of the loopback."""
    made = Broker()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        if made._writer is not None:
            made._writer.transport.abort()
