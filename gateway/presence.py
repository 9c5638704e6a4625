"""Which places are online: sessions here, gateways below, and the line above.

Kept in memory and told along the links: a child tells everything below it, a parent the line above.
A copy lives in a Redis hash with an expiry, for other processes of the node; Redis gone disturbs nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from typing import Protocol

from redis.asyncio import Redis
from redis.exceptions import RedisError

from signaling.division import Tree
from signaling.errors import Refused
from signaling.ids import NodeCode
from signaling.messages import LinkMessage, LinkPresence, NodeView

from . import telemetry
from .ending import cancelled

log = logging.getLogger(__name__)

KEEP_S = 30
"""Expiry of the hash: a node that died is offline after this."""
REFRESH_S = 10.0
TELL_S = 0.5
"""Changes within this time are told together."""
MAX_TERMINALS = 1_000_000


class Port(Protocol):
    """A live link."""

    @property
    def peer(self) -> NodeCode: ...
    @property
    def dialled(self) -> bool: ...
    def say(self, message: LinkMessage, key: Hashable = None) -> None: ...


class Presence:
    """What this node knows of who is there.  Run ``run`` in a task group."""

    def __init__(self, node: NodeCode, tree: Tree, client: Redis | None = None) -> None:
        self.on_change: Callable[[NodeView], None] | None = None
        self.key = f"wuji:{node}:presence"
        self._node = node
        self._tree = tree
        self._client = client
        self._terminals: Counter[NodeCode] = Counter()
        self._ports: dict[NodeCode, Port] = {}
        self._said: dict[NodeCode, Mapping[NodeCode, int]] = {}
        self._shown: dict[NodeCode, int] = {}
        self._told: dict[NodeCode, Mapping[NodeCode, int]] = {}
        self._changed = asyncio.Event()
        self._changed.set()

    def online(self) -> dict[NodeCode, int]:
        """Return division to number of terminals (0: only a gateway); what is absent is offline."""
        found: Counter[NodeCode] = Counter({self._node: 0})
        found.update(self._terminals)
        for peer in self._ports:
            found.update({peer: 0})
            found.update(self._said.get(peer, {}))
        return dict(found)

    def opened(self, division: NodeCode) -> None:
        """A terminal of ``division`` opened a session here."""
        self._terminals[division] += 1
        self._changed.set()

    def closed(self, division: NodeCode) -> None:
        self._terminals[division] -= 1
        if self._terminals[division] <= 0:
            del self._terminals[division]
        self._changed.set()

    # ---- links ----------------------------------------------------------------------------------

    def link_up(self, port: Port) -> None:
        self._ports[port.peer] = port
        self._told.pop(port.peer, None)
        self._changed.set()

    def link_down(self, port: Port) -> None:
        if self._ports.get(port.peer) is port:
            del self._ports[port.peer]
            self._said.pop(port.peer, None)
            self._changed.set()

    def link_said(self, port: Port, said: LinkPresence) -> None:
        """A neighbour said who is online on its side; replaces what it said before.

        Raises:
            Refused: ``bad-presence``: it speaks of places that are not on its side.
        """
        for code, terminals in said.online.items():
            own = self._tree.is_within(self._node, code) if port.dialled else self._tree.is_within(code, port.peer)
            if not own or not 0 <= terminals <= MAX_TERMINALS:
                raise Refused("bad-presence", f"{port.peer} does not speak for {code[:20]}")
        self._said[port.peer] = said.online
        self._changed.set()

    # ---- telling --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Tell links, sessions and Redis what changed, until cancelled."""
        while not cancelled():
            try:
                async with asyncio.timeout(REFRESH_S):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()
            online = self.online()
            self._tell(online)
            self._show(online)
            await self._keep(online)
            await asyncio.sleep(TELL_S)

    def _tell(self, online: Mapping[NodeCode, int]) -> None:
        """Tell the parent of all below us, and every child of the line above it."""
        above = {code: online[code] for code in self._tree.path_up(self._node) if code in online}
        below = {code: n for code, n in online.items() if self._tree.is_within(code, self._node)}
        for peer, port in self._ports.items():
            told = below if port.dialled else above
            if self._told.get(peer) != told:
                self._told[peer] = told
                port.say(LinkPresence(online=told), "presence")

    def _show(self, online: dict[NodeCode, int]) -> None:
        before, self._shown = self._shown, online
        if self.on_change is None:
            return
        for code in before.keys() | online.keys():
            if before.get(code) != online.get(code):
                self.on_change(NodeView(node=code, online=code in online, terminals=online.get(code, 0)))

    async def _keep(self, online: Mapping[NodeCode, int]) -> None:
        if self._client is None:
            return
        try:
            async with self._client.pipeline(transaction=True) as pipe:
                pipe.delete(self.key)
                pipe.hset(self.key, mapping={str(code): n for code, n in online.items()})
                pipe.expire(self.key, KEEP_S)
                await pipe.execute()
        except (RedisError, OSError, TimeoutError):
            telemetry.count("bus_errors", operation="presence")
