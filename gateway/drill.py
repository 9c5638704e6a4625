"""``wuji drill``: an exercise directive to every village below, over HTTP, and who did not answer it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import msgspec

from gateway.asking import AskError, Client, Target, asking
from gateway.clock import Clock
from gateway.drill_report import Matrix, Place, Report, report
from signaling.ids import UtcMs
from signaling.records import Mode, Urgency

VILLAGE_TIER = 5
POLL_S = 1.0
AFTER_S = 60
"""The order lapses so long after the wait, should nobody be left to close it."""
BEIJING = timezone(timedelta(hours=8))
TITLE = "演练：村级终端应答检查"
TEXT = "这是演练，不是实情。请收到后签收，无需采取其他行动。"


class _Nodes(msgspec.Struct, frozen=True):
    nodes: tuple[Place, ...]


class _Who(msgspec.Struct, frozen=True):
    division: str


class _Me(msgspec.Struct, frozen=True):
    who: _Who


class _Issued(msgspec.Struct, frozen=True):
    id: str


async def hold(
    client: Client, clock: Clock, urgency: Urgency, wait_s: float, over: asyncio.Event, name: str = ""
) -> Report:
    """Issue the exercise, wait until everybody has signed or ``over`` is set, close it and say who did not answer.

    Args:
        name: Of the exercise: the same one again goes on, and is not sent again.

    Raises:
        AskError: It could not be issued, or the gateway has gone.
    """
    root = (await client.ask(_Me, "GET", "me")).who.division
    places = (await client.ask(_Nodes, "GET", "nodes")).nodes
    order = {
        "click_id": name or clock.new_id("drill"),
        "urgency": urgency,
        "title": TITLE,
        "text": TEXT,
        "scope": [{"node": root, "mode": Mode.TIER, "tier": VILLAGE_TIER}],
        "exercise": True,
        "expires_ms": round((wait_s + AFTER_S) * 1000),
    }
    directive = (await client.ask(_Issued, "POST", "directives", order)).id
    found = await _watch(client, directive, places, over)
    with contextlib.suppress(AskError):  # then it lapses by itself
        await client.ask(dict, "POST", f"directives/{directive}/close", {})
    return found


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


async def main(
    target: Callable[[], Target], urgency: Urgency, wait_s: float, at: UtcMs | None, say: Callable[[str], None]
) -> Report:
    """Hold one exercise, at ``at`` if given; SIGINT and SIGTERM end the waiting, not the report.

    Raises:
        AskError: As ``hold``; or it was ended before it began.
    """
    clock, over = Clock(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, over.set)
    if at is not None:
        say(f"waiting until {datetime.fromtimestamp(at / 1000, BEIJING).isoformat()}")
        await _until(at, clock, over)
    loop.call_later(wait_s, over.set)
    async with asking(target()) as client:
        return await hold(client, clock, urgency, wait_s, over)


async def _until(at: UtcMs, clock: Clock, over: asyncio.Event) -> None:
    while (left_s := (at - clock.at()) / 1000) > 0:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(left_s, 60.0)):  # the wall clock may be put right meanwhile
                await over.wait()
        if over.is_set():
            raise AskError("ended before it began")
