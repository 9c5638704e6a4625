"""HTTP calls this node makes of its own accord: to the addresses an operator configured, and nowhere else.

A name is resolved once, what it resolves to is checked, and the connection goes to that very address: so neither a
changed DNS answer nor a redirect (none is followed) leads a call to this machine or to its neighbours' metadata.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

import aiohttp
import stamina
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

SCHEMES = frozenset({"http", "https"})
MAX_ANSWER_BYTES = 65_536
WAIT_INITIAL_S = 0.5
WAIT_MAX_S = 8.0
CONNECTIONS = 8
SHARED = ipaddress.ip_network("100.64.0.0/10")
"""Carriers' own addresses (RFC 6598); clouds keep metadata there."""


class CallFailed(Exception):
    """A call did not come through.  ``code`` is stable: for the record and the counters."""

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(text or code)
        self.code = code


class TryAgain(CallFailed):
    """Perhaps another attempt comes through: nobody answered, or the far side says it is its own trouble."""


def foreign(host: str, *, local: bool) -> bool:
    """Return whether ``host``, an IP literal, may be called; ``local``: loopback and link-local may be, too.

    Addresses of private networks may: gateways of short messages stand in them.
    """
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address.teredo or address.sixtofour:
            return False
        address = address.ipv4_mapped or address
    if address.is_loopback or address.is_link_local:
        return local
    shared = address.version == 4 and address in SHARED
    return not (shared or address.is_multicast or address.is_unspecified or address.is_reserved)


class _Guarded(AbstractResolver):
    """Resolves names to addresses that may be called."""

    def __init__(self, local: bool, inner: AbstractResolver) -> None:
        self._local = local
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        good = [one for one in found if foreign(one["host"], local=self._local)]
        if not good:
            raise CallFailed("address-refused", f"{host} is no address that may be called")
        return good

    async def close(self) -> None:
        await self._inner.close()


class Outbound:
    """One pool of connections; ``post`` retries a few times.  Make it on a running loop."""

    def __init__(
        self, *, timeout_s: float, attempts: int, local: bool = False, resolver: AbstractResolver | None = None
    ) -> None:
        """``timeout_s`` is of one attempt; ``local``: loopback and link-local addresses may be called."""
        self._attempts = attempts
        self._local = local
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=_Guarded(local, resolver or ThreadedResolver()), use_dns_cache=False, limit=CONNECTIONS
            ),
            timeout=aiohttp.ClientTimeout(total=timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        """POST ``body`` until an answer of 2xx comes, at most ``attempts`` times; return the answer's body.

        Raises:
            CallFailed: ``address-refused``, ``http-<status>``, ``unreachable``, ``timeout`` or ``answer-too-long``.
        """
        check_url(url, local=self._local)
        async for attempt in stamina.retry_context(
            on=TryAgain, attempts=self._attempts, timeout=None, wait_initial=WAIT_INITIAL_S, wait_max=WAIT_MAX_S
        ):
            with attempt:
                return await self._once(url, body, headers)
        raise AssertionError("a retry ends with an answer or an error")

    async def _once(self, url: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        try:
            async with self._http.post(url, data=body, headers=dict(headers), allow_redirects=False) as answer:
                if not 200 <= answer.status < 300:
                    kind = TryAgain if answer.status >= 500 or answer.status in (408, 429) else CallFailed
                    raise kind(f"http-{answer.status}")
                return await _body(answer)
        except TimeoutError:
            raise TryAgain("timeout") from None
        except (aiohttp.ClientError, OSError) as error:
            raise TryAgain("unreachable", str(error)) from None

    async def close(self) -> None:
        await self._http.close()


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    body = b""
    async for piece in answer.content.iter_chunked(8_192):
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            raise CallFailed("answer-too-long", f"more than {MAX_ANSWER_BYTES} bytes")
    return body


def check_url(url: str, *, local: bool) -> None:
    """Return if ``url`` has a scheme that may be called and, where its host is an IP literal, such an address.

    Raises:
        CallFailed: ``address-refused``.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        literal = False
    else:
        literal = True
    if parts.scheme not in SCHEMES or not host or (literal and not foreign(host, local=local)):
        raise CallFailed("address-refused", f"{parts.scheme}://{host}: may not be called")
