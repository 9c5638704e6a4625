"""``wuji drill``: an exercise directive to every village below, over HTTP, and who did not answer it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

import aiohttp
import msgspec

from gateway.auth import Auth
from gateway.clock import Clock
from gateway.config import Config
from gateway.drill_report import Matrix, Place, Report, report
from signaling.ids import NodeCode, UtcMs
from signaling.records import Actor, Mode, Role, Urgency

T = TypeVar("T")

VILLAGE_TIER = 5
POLL_S = 1.0
REQUEST_S = 30.0
ATTEMPTS = 5
MAX_ANSWER_BYTES = 64 << 20
"""A matrix of 40,000 rows has about 15 MB."""
AFTER_S = 60
"""The order lapses so long after the wait, should nobody be left to close it."""
BEIJING = timezone(timedelta(hours=8))
TITLE = "演练：村级终端应答检查"
TEXT = "这是演练，不是实情。请收到后签收，无需采取其他行动。"


class DrillError(Exception):
    """The exercise cannot be held; the text says why."""


class _AgainError(Exception):
    """Nobody answered, or the gateway is busy: perhaps the next attempt comes through."""


@dataclass(frozen=True, slots=True)
class Target:
    """The gateway that issues, and the commander in whose name."""

    url: str
    token: str
    trust: ssl.SSLContext | None = None


class _Nodes(msgspec.Struct, frozen=True):
    nodes: tuple[Place, ...]


class _Who(msgspec.Struct, frozen=True):
    division: str


class _Me(msgspec.Struct, frozen=True):
    who: _Who


class _Issued(msgspec.Struct, frozen=True):
    id: str


class Client:
    """Asks one gateway; a passing failure is tried again."""

    def __init__(self, http: aiohttp.ClientSession, target: Target) -> None:
        self._http = http
        self._target = target

    async def ask(self, kind: type[T], method: str, path: str, body: Mapping[str, Any] | None = None) -> T:
        """Return the answer.

        Raises:
            DrillError: The gateway refuses, or did not answer ATTEMPTS times.
        """
        reason = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(POLL_S)
            try:
                return await self._once(kind, method, path, body)
            except (_AgainError, aiohttp.ClientError, TimeoutError, OSError) as error:
                reason = str(error) or type(error).__name__
        raise DrillError(f"{self._target.url}: {reason}")

    async def _once(self, kind: type[T], method: str, path: str, body: Mapping[str, Any] | None) -> T:
        headers = {"Authorization": f"Bearer {self._target.token}"}
        url = f"{self._target.url.rstrip('/')}/api/v1/{path}"
        trust = self._target.trust or True
        async with self._http.request(method, url, json=body, headers=headers, ssl=trust) as answer:
            data = bytearray()
            async for piece in answer.content.iter_chunked(65_536):
                data += piece
                if len(data) > MAX_ANSWER_BYTES:
                    raise DrillError(f"{url}: answers more than {MAX_ANSWER_BYTES} bytes")
        if answer.status in (429, 500, 502, 503, 504):
            raise _AgainError(f"status {answer.status}")
        if answer.status >= 400:
            raise DrillError(f"{url} answers {answer.status}: {bytes(data[:300]).decode(errors='replace')}")
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DrillError(f"{url}: not the answer of a gateway: {error}") from None


async def hold(client: Client, clock: Clock, urgency: Urgency, wait_s: float, over: asyncio.Event) -> Report:
    """Issue the exercise, wait until everybody has signed or ``over`` is set, close it and say who did not answer.

    Raises:
        DrillError: It could not be issued, or the gateway has gone.
    """
    root = (await client.ask(_Me, "GET", "me")).who.division
    places = (await client.ask(_Nodes, "GET", "nodes")).nodes
    order = {
        "click_id": clock.new_id("drill"),
        "urgency": urgency,
        "title": TITLE,
        "text": TEXT,
        "scope": [{"node": root, "mode": Mode.TIER, "tier": VILLAGE_TIER}],
        "exercise": True,
        "expires_ms": round((wait_s + AFTER_S) * 1000),
    }
    directive = (await client.ask(_Issued, "POST", "directives", order)).id
    try:
        return await _watch(client, directive, places, over)
    finally:
        with contextlib.suppress(DrillError):  # then it lapses by itself
            await client.ask(dict, "POST", f"directives/{directive}/close", {})


async def _watch(client: Client, directive: str, places: tuple[Place, ...], over: asyncio.Event) -> Report:
    while True:
        last = over.is_set()
        found = report(directive, await client.ask(Matrix, "GET", f"directives/{directive}"), places)
        if found.complete or last:
            return found
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_S):
                await over.wait()


# ---- the command ---------------------------------------------------------------------------------


def moment(text: str, now: UtcMs) -> UtcMs:
    """Return when ``text`` is: HH:MM, the next one in Beijing, or ISO 8601 with its offset.

    Raises:
        ValueError: It is neither, or has gone by.
    """
    here = datetime.fromtimestamp(now / 1000, BEIJING)
    if match := re.fullmatch(r"(\d\d):(\d\d)", text, re.ASCII):
        when = here.replace(hour=int(match[1]), minute=int(match[2]), second=0, microsecond=0)
        when += timedelta(days=1 if when <= here else 0)
    else:
        when = datetime.fromisoformat(text)
        if when.tzinfo is None:
            raise ValueError(f"{text}: without an offset, as in +08:00")
        if when < here:
            raise ValueError(f"{text}: has gone by")
    return UtcMs(round(when.timestamp() * 1000))


def own_gateway(config: Config, clock: Clock, ttl_s: float) -> Target:
    """Return the gateway of ``config``, which runs on this machine, and a commander of its own place."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.http.host, config.http.host)  # noqa: S104
    place = f"[{host}]" if ":" in host else host
    who = Actor("wuji drill", Role.COMMANDER, NodeCode(config.node.code))
    with contextlib.closing(Auth(config, clock)) as auth:
        token = auth.mint(who, ttl_s)
    if config.http.tls_cert is None:
        return Target(f"http://{place}:{config.http.port}", token)
    trust = ssl.create_default_context(cafile=config.http.tls_cert)
    trust.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    trust.check_hostname = False  # it is this file's certificate that is trusted, and nobody else's
    return Target(f"https://{place}:{config.http.port}", token, trust)


async def main(
    target: Callable[[], Target], urgency: Urgency, wait_s: float, at: UtcMs | None, say: Callable[[str], None]
) -> Report:
    """Hold one exercise, at ``at`` if given; SIGINT and SIGTERM end the waiting, not the report.

    Raises:
        DrillError: As ``hold``; or it was ended before it began.
    """
    clock, over = Clock(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, over.set)
    if at is not None:
        say(f"waiting until {datetime.fromtimestamp(at / 1000, BEIJING).isoformat()}")
        await _until(at, clock, over)
    loop.call_later(wait_s, over.set)
    timeout = aiohttp.ClientTimeout(total=REQUEST_S)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        return await hold(Client(http, target()), clock, urgency, wait_s, over)


async def _until(at: UtcMs, clock: Clock, over: asyncio.Event) -> None:
    while (left_s := (at - clock.at()) / 1000) > 0:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(left_s, 60.0)):  # the wall clock may be put right meanwhile
                await over.wait()
        if over.is_set():
            raise DrillError("ended before it began")
