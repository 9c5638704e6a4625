"""The network in front of real sockets does what the model decided, and obeys its commands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field

from gateway.proving.network import Impairment, Way
from gateway.proving.streams import Streams, vanished
from tests.support.loop import eventually, on_loop

from .datagrams import Address, Datagrams, Socket


class Echo:
    """A UDP server that remembers who said what and answers with the same, the network before it, and a client."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, Address]] = []
        self.answered: list[bytes] = []
        self.server = Socket(self._answer)
        self.network = Datagrams(("127.0.0.1", self.server.port))
        self.client = Socket(lambda datagram, _: self.answered.append(datagram))

    def say(self, datagram: bytes) -> None:
        self.client.send(datagram, ("127.0.0.1", self.network.port))

    def _answer(self, datagram: bytes, sender: Address) -> None:
        self.asked.append((datagram, sender))
        self.server.send(datagram, sender)


@contextmanager
def echo() -> Iterator[Echo]:
    made = Echo()
    try:
        yield made
    finally:
        for each in (made.client, made.network, made.server):
            each.close()


@on_loop
async def test_datagrams_pass_both_ways_in_order() -> None:
    with echo() as on:
        sent = [n.to_bytes(2, "big") for n in range(200)]
        for datagram in sent:
            on.say(datagram)
        await eventually(lambda: len(on.answered) == 200)
        assert on.answered == sent


@on_loop
async def test_what_arrives_is_what_the_seed_says() -> None:
    impairment = Impairment(loss=0.3, reorder=0.2, reorder_ms=5, duplicate=0.2)
    model = Way(impairment, "seed")
    fates = [len(model.decide(bytes([n]), 0.0)) for n in range(100)]
    with echo() as on:
        on.network.up = Way(impairment, "seed")
        for n in range(100):
            on.say(bytes([n]))
        await eventually(lambda: len(on.asked) == sum(fates))
        arrived = [datagram[0] for datagram, _ in on.asked]
        assert [arrived.count(n) for n in range(100)] == fates
        assert on.network.up.counts == model.counts


@on_loop
async def test_rebinding_shows_the_server_a_new_port_and_the_old_one_is_deaf() -> None:
    with echo() as on:
        on.say(b"before")
        await eventually(lambda: on.answered)
        on.network.rebind()
        on.server.send(b"to the old port", on.asked[0][1])
        on.say(b"after")
        await eventually(lambda: len(on.answered) == 2)
        assert on.answered == [b"before", b"after"]
        assert on.asked[1][1] != on.asked[0][1]
        assert on.network.sources == [on.asked[1][1][1]]


@on_loop
async def test_two_clients_are_two_ports_to_the_server() -> None:
    with echo() as on:
        other = Socket(lambda *_: None)
        on.say(b"hello")
        other.send(b"hello", ("127.0.0.1", on.network.port))
        await eventually(lambda: len(on.asked) == 2)
        assert len({sender for _, sender in on.asked}) == 2
        other.close()


@on_loop
async def test_who_moved_away_is_neither_heard_nor_reached_and_a_new_address_is() -> None:
    with echo() as on:
        on.say(b"before")
        await eventually(lambda: on.answered)
        on.network.strand()
        on.server.send(b"to the old address", on.asked[0][1])
        on.say(b"from the old address")
        new = list[bytes]()
        moved = Socket(lambda datagram, _: new.append(datagram))
        moved.send(b"after", ("127.0.0.1", on.network.port))
        await eventually(lambda: new)
        assert [datagram for datagram, _ in on.asked] == [b"before", b"after"]
        assert on.answered == [b"before"]
        moved.close()


@on_loop
async def test_a_cut_network_passes_nothing_and_heals() -> None:
    with echo() as on:
        on.network.cut = True
        on.say(b"lost")
        await eventually(lambda: on.network.sources)
        on.network.cut = False
        on.say(b"passes")
        await eventually(lambda: on.answered)
        assert [datagram for datagram, _ in on.asked] == [b"passes"]


@dataclass
class Mirror:
    """A TCP server that answers each piece with the same, the network before it, and its clients."""

    network: Streams
    heard: list[bytes]
    clients: list[asyncio.StreamWriter] = field(default_factory=list)

    async def dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.network.port)
        self.clients.append(writer)
        return reader, writer


@asynccontextmanager
async def mirror() -> AsyncIterator[Mirror]:
    heard: list[bytes] = []
    ends: list[asyncio.StreamWriter] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends.append(writer)
        with suppress(OSError):
            while piece := await reader.read(1_000):
                heard.append(piece)
                writer.write(piece)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    made = Mirror(await Streams.open(server.sockets[0].getsockname()), heard)
    try:
        yield made
    finally:
        await made.network.close()
        server.close()
        for end in (*made.clients, *ends):
            end.transport.abort()
            await vanished(end)


async def ended(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


@on_loop
async def test_a_stream_comes_through_whole_and_ends() -> None:
    async with mirror() as on:
        on.network.up, on.network.down = (Way(Impairment(loss=0.1, delay_ms=2), seed) for seed in ("u", "d"))
        reader, writer = await on.dial()
        writer.write(bytes(range(256)) * 40)
        writer.write_eof()
        assert await reader.read() == bytes(range(256)) * 40
        await eventually(lambda: on.network.connections == 0)


@on_loop
async def test_a_cut_stream_ends_for_both_and_new_ones_are_refused_until_mended() -> None:
    async with mirror() as on:
        reader, writer = await on.dial()
        writer.write(b"one")
        assert await reader.read(3) == b"one"
        on.network.cut()
        assert await ended(reader)
        assert await ended((await on.dial())[0])
        on.network.mend()
        last, third = await on.dial()
        third.write(b"two")
        assert await last.read(3) == b"two"
        assert on.heard == [b"one", b"two"]


@on_loop
async def test_what_a_black_hole_held_comes_when_it_is_mended() -> None:
    async with mirror() as on:
        reader, writer = await on.dial()
        await eventually(lambda: on.network.connections == 1)
        on.network.hold()
        writer.write(b"kept")
        await writer.drain()
        await on.dial()
        await eventually(lambda: on.network.connections == 2)
        assert on.heard == []
        on.network.mend()
        assert await reader.read(4) == b"kept"


@on_loop
async def test_a_stranded_stream_is_silent_for_ever_beside_a_new_one() -> None:
    async with mirror() as on:
        reader, writer = await on.dial()
        await eventually(lambda: on.network.connections == 1)
        on.network.strand()
        writer.write(b"never")
        new_reader, new = await on.dial()
        new.write(b"heard")
        assert await new_reader.read(5) == b"heard"
        assert on.heard == [b"heard"]
        assert not reader.at_eof()


@on_loop
async def test_a_dead_way_strands_the_stream_and_the_other_way_still_talks() -> None:
    async with mirror() as on:
        on.network.down = Way(Impairment(dead=True), "")
        reader, writer = await on.dial()
        writer.write(b"asked")
        await eventually(lambda: on.heard == [b"asked"])
        assert not reader.at_eof()
