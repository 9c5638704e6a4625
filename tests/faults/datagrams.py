"""A bad network for UDP in front of one server: it loses, delays, reorders, and changes its ports on command."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial

from gateway.proving.network import CLEAN, Way

from .scheduler import Scheduler

Address = tuple[str, int]
Take = Callable[[bytes, Address], None]
MAX_FLOWS = 1_000
BUFFER_BYTES = 4 << 20
DATAGRAM_BYTES = 65_536
DATAGRAMS_PER_TURN = 64


class Socket:
    """A UDP socket of 127.0.0.1 on the running loop; ``take`` is given each datagram and its sender."""

    def __init__(self, take: Take, port: int = 0) -> None:
        self.unsent = 0
        """Datagrams that the kernel had no room for, or whose receiver is gone."""
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self._socket.bind(("127.0.0.1", port))
        self._loop.add_reader(self._socket, self._read)

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def send(self, datagram: bytes, to: Address) -> None:
        try:
            self._socket.sendto(datagram, to)
        except OSError:
            self.unsent += 1

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        for _ in range(DATAGRAMS_PER_TURN):
            try:
                datagram, sender = self._socket.recvfrom(DATAGRAM_BYTES)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP "port unreachable" of a server that is down: the next one may pass
            self._take(datagram, sender)


class Datagrams:
    """Stands at ``port`` of 127.0.0.1 (0: any free one) for ``server``.

    ``up`` is the way towards the server, ``down`` the way back; both may be replaced while it runs.  Each client
    address has a socket of its own towards the server, as behind a NAT.
    """

    def __init__(self, server: Address, port: int = 0) -> None:
        self.up = Way(CLEAN, "")
        self.down = Way(CLEAN, "")
        self.cut = False
        """While set, nothing passes either way."""
        self._stranded: set[Address] = set()
        self._server = server
        self._flows: dict[Address, Socket] = {}
        self._loop = asyncio.get_running_loop()
        self._scheduler = Scheduler()
        self._door = Socket(self._from_client, port)

    @property
    def port(self) -> int:
        return self._door.port

    @property
    def sources(self) -> list[int]:
        """The ports at which the server sees the clients, in the order in which these came."""
        return [flow.port for flow in self._flows.values()]

    @property
    def unsent(self) -> int:
        """Datagrams this machine lost, against its orders."""
        return self._door.unsent + sum(flow.unsent for flow in self._flows.values())

    def rebind(self) -> None:
        """Forget every mapping, as a NAT that restarts: clients are seen at new ports, old ports lead nowhere."""
        for client, flow in self._flows.items():
            self._flows[client] = Socket(partial(self._from_server, client))
            flow.close()

    def strand(self) -> None:
        """Today's clients have moved away: nothing reaches or leaves their addresses any more; new ones are good."""
        self._stranded.update(self._flows)

    def close(self) -> None:
        self._scheduler.clear()
        for each in (self._door, *self._flows.values()):
            each.close()

    def _from_client(self, datagram: bytes, client: Address) -> None:
        if client not in self._flows:
            if len(self._flows) >= MAX_FLOWS:
                return
            self._flows[client] = Socket(partial(self._from_server, client))
        if client in self._stranded:
            return
        self._pass(self.up, datagram, lambda packet: self._flows[client].send(packet, self._server))

    def _from_server(self, client: Address, datagram: bytes, sender: Address) -> None:
        if sender[1] == self._server[1] and client not in self._stranded:
            self._pass(self.down, datagram, lambda packet: self._door.send(packet, client))

    def _pass(self, way: Way, datagram: bytes, send: Callable[[bytes], None]) -> None:
        if self.cut:
            return
        for at, packet in way.decide(datagram, self._loop.time()):
            self._scheduler.at(at, partial(send, packet))
