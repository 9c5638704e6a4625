"""Redis as a bell: it tells every process of the node that the journal has grown, and forgets.

Nothing depends on a ring arriving.  Listeners are also called on every (re)connection, and whoever waits for
records sweeps the journal besides.  So a bus that is gone, stopped, restarted or flushed loses nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.embedded import EmbeddedServer, EmbeddedServerError
from gateway.ending import cancelled
from gateway.telemetry import Telemetry
from signaling.ids import NodeCode, Seq

log = logging.getLogger(__name__)

CALL_S = 2.0
"""Longest wait for any answer: a stopped server hangs redis-py's defaults for minutes."""
HEALTH_S = 5
PING_S = 1.0
"""A subscription silent this long is pinged; silent as long again, it is made anew."""
RETRY_S = 0.25
PAUSE_S = 0.05
"""Between two rings: under load the second says what many would have said."""

_FAULTS = (RedisError, OSError, TimeoutError)

Ring = Callable[[Seq], None]


class Bus:
    """Run ``run`` in a task group; everything else returns at once.

    Args:
        node: Whose channel and keys; they carry its code, so that nodes may share a server.
        url: A server's URL, or None for an embedded one in ``data_dir``.
    """

    def __init__(self, node: NodeCode, url: str | None, data_dir: Path, telemetry: Telemetry) -> None:
        self._server: EmbeddedServer | None = None
        if url is None:
            self._server = EmbeddedServer(data_dir)
            url = self._server.url
        self.url = url
        self.channel = f"wuji:{node}:ring"
        self.up = False
        self._telemetry = telemetry
        self._listeners: list[Ring] = []
        self._rung = Seq(0)
        self._to_ring = asyncio.Event()
        self.client: Redis = _client(self.url)

    def listen(self, callback: Ring) -> None:
        """Call ``callback`` with the sequence number of each ring, and with 0 on every (re)connection."""
        self._listeners.append(callback)

    def ring(self, seq: Seq) -> None:
        """Tell every process of this node that its journal now ends at ``seq``.  Bursts ring once."""
        self._rung = seq
        self._to_ring.set()

    async def run(self) -> None:
        """Keep the embedded server, the subscription and the bell going until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                if self._server is not None:
                    tasks.create_task(self._keep_server(self._server), name="bus server")
                tasks.create_task(self._keep_listening(), name="bus listen")
                tasks.create_task(self._keep_ringing(), name="bus ring")
        finally:
            self.up = False
            await self.client.aclose()

    # ---- the bell --------------------------------------------------------------------------------

    async def _keep_ringing(self) -> None:
        while not cancelled():
            await self._to_ring.wait()
            self._to_ring.clear()
            try:
                async with asyncio.timeout(CALL_S):
                    await self.client.publish(self.channel, str(self._rung))
            except _FAULTS as error:
                self._telemetry.count("bus_errors", operation="ring")
                log.debug("ring failed", extra={"error": repr(error)})
            await asyncio.sleep(PAUSE_S)

    # ---- the ear ---------------------------------------------------------------------------------

    async def _keep_listening(self) -> None:
        while not cancelled():
            try:
                async with self.client.pubsub() as pubsub:
                    await self._hear(pubsub)
            except _FAULTS as error:
                if self.up:
                    log.warning("bus down", extra={"error": repr(error)})
                self.up = False
                self._telemetry.count("bus_errors", operation="listen")
            await asyncio.sleep(RETRY_S)

    async def _hear(self, pubsub: PubSub) -> None:
        """Pass rings on until the connection fails.

        Raises:
            RedisError, OSError, TimeoutError: It did.
        """
        async with asyncio.timeout(CALL_S):
            await pubsub.subscribe(self.channel)
        pinged = False
        while not cancelled():
            message = await pubsub.get_message(timeout=PING_S)
            if message is not None:
                pinged = False
                self._heard(message["type"], message["data"])
            elif pinged:
                raise TimeoutError("no answer to a ping")
            else:
                pinged = True
                async with asyncio.timeout(CALL_S):
                    await pubsub.ping()

    def _heard(self, kind: str, data: object) -> None:
        if kind == "subscribe":
            if not self.up:
                log.info("bus up", extra={"channel": self.channel})
            self.up = True
            self._tell(Seq(0))
        elif kind == "message" and isinstance(data, bytes) and data.isdigit() and len(data) < 20:
            self._tell(Seq(int(data)))

    def _tell(self, seq: Seq) -> None:
        for listener in self._listeners:
            listener(seq)

    # ---- the server ------------------------------------------------------------------------------

    async def _keep_server(self, server: EmbeddedServer) -> None:
        try:
            while True:
                try:
                    await server.start()
                    status = await server.wait()
                    log.warning("embedded bus ended", extra={"status": status})
                except EmbeddedServerError as error:
                    log.error("embedded bus cannot start", extra={"error": str(error)})
                await asyncio.sleep(RETRY_S)
        finally:
            await server.stop()


def _client(url: str) -> Redis:
    return Redis.from_url(
        url,
        socket_timeout=CALL_S,
        socket_connect_timeout=CALL_S,
        health_check_interval=HEALTH_S,
        retry=Retry(NoBackoff(), 1),
        max_connections=16,
    )
