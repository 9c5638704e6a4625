"""What a command of this program asks a gateway over HTTP: the one on this machine, or another with a token."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
import msgspec

from gateway.auth import Auth
from gateway.clock import Clock
from gateway.config import Config
from signaling.ids import NodeCode
from signaling.records import Actor, Role

T = TypeVar("T")

AGAIN_S = 1.0
REQUEST_S = 30.0
ATTEMPTS = 5
MAX_ANSWER_BYTES = 64 << 20
"""A matrix of 40,000 rows has about 15 MB."""


class AskError(Exception):
    """The gateway cannot be asked, or will not; the text says why."""


class _AgainError(Exception):
    """Nobody answered, or the gateway is busy: perhaps the next attempt comes through."""


@dataclass(frozen=True, slots=True)
class Target:
    """A gateway, and the token of whoever asks."""

    url: str
    token: str
    trust: ssl.SSLContext | None = None


class Client:
    """Asks one gateway; a passing failure is tried again."""

    def __init__(self, http: aiohttp.ClientSession, target: Target) -> None:
        self._http = http
        self._target = target

    async def ask(
        self, kind: type[T], method: str, path: str, body: Mapping[str, Any] | None = None, csv: bytes | None = None
    ) -> T:
        """Return the answer to ``body``, as JSON, or to ``csv``.

        Raises:
            AskError: The gateway refuses, or did not answer ATTEMPTS times.
        """
        reason = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(AGAIN_S)
            try:
                return await self._once(kind, method, path, body, csv)
            except (_AgainError, aiohttp.ClientError, TimeoutError, OSError) as error:
                reason = str(error) or type(error).__name__
        raise AskError(f"{self._target.url}: {reason}")

    async def _once(
        self, kind: type[T], method: str, path: str, body: Mapping[str, Any] | None, csv: bytes | None
    ) -> T:
        headers = {"Authorization": f"Bearer {self._target.token}"}
        headers |= {} if csv is None else {"Content-Type": "text/csv"}
        url = f"{self._target.url.rstrip('/')}/api/v1/{path}"
        trust = self._target.trust or True
        async with self._http.request(method, url, json=body, data=csv, headers=headers, ssl=trust) as answer:
            data = bytearray()
            async for piece in answer.content.iter_chunked(65_536):
                data += piece
                if len(data) > MAX_ANSWER_BYTES:
                    raise AskError(f"{url}: answers more than {MAX_ANSWER_BYTES} bytes")
        if answer.status in (429, 500, 502, 503, 504):
            raise _AgainError(f"status {answer.status}")
        if answer.status >= 400:
            raise AskError(f"{url} answers {answer.status}: {bytes(data[:300]).decode(errors='replace')}")
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise AskError(f"{url}: not the answer of a gateway: {error}") from None


@contextlib.asynccontextmanager
async def asking(target: Target) -> AsyncIterator[Client]:
    """Open connections to ``target`` for as long as the block runs."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_S)) as http:
        yield Client(http, target)


def own_gateway(config: Config, clock: Clock, ttl_s: float, name: str, role: Role) -> Target:
    """Return the gateway of ``config``, which runs on this machine, and ``name`` of its own place in ``role``."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.http.host, config.http.host)  # noqa: S104
    place = f"[{host}]" if ":" in host else host
    who = Actor(name, role, NodeCode(config.node.code))
    with contextlib.closing(Auth(config, clock)) as auth:
        token = auth.mint(who, ttl_s)
    if config.http.tls_cert is None:
        return Target(f"http://{place}:{config.http.port}", token)
    trust = ssl.create_default_context(cafile=config.http.tls_cert)
    trust.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    trust.check_hostname = False  # it is this file's certificate that is trusted, and nobody else's
    return Target(f"https://{place}:{config.http.port}", token, trust)
