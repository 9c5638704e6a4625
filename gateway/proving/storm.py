"""``wuji bench storm``: thousands of sources and one that cannot stop, over real gateways.

The sources speak to a township, a console looks at the county above it, which issues directives meanwhile.  Alarms
come when they are due, whether or not those before were answered (open loop), and every time is counted from then.
"""

from __future__ import annotations

import asyncio
import enum
import io
import json
import random
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Annotated, Any

import aiohttp
import typer
import uvloop
from PIL import Image

from gateway.bench_directives import COUNTY, FIVE, LATE_S, POLL_S, Desk, Figures, Json, percentile_ms
from gateway.bench_tiers import Tiers, running
from gateway.clock import Clock
from signaling import codec
from signaling.messages import AlarmView, Hello
from signaling.records import Actor, Role

from .earthquake import ALARMS, SECONDS, STUCK_PER_S, prove_earthquake, stands

TOWNSHIP = FIVE[3]
SOURCES = 8_276
FLAPPING_PER_S = 100
CLICKS_PER_S = 2
AT_ONCE = 48
"""Requests on the way; a gateway takes 64 connections of one address."""
QUIET_S = 5.0
"""Directives are timed so long before the storm, to compare with."""


@dataclass(slots=True)
class Storm:
    """What was sent and what came of it.  Times are seconds since each alarm was due."""

    clock: Clock
    answers_s: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    calm_s: list[float] = field(default_factory=list)
    busy_s: list[float] = field(default_factory=list)
    urgent_due: float = 0.0
    urgent_at: float | None = None
    picture: str | None = None
    messages: int = 0


async def _measure(sources: int, seconds: float, flapping: int, seed: int) -> Figures:
    draw, clock = random.Random(seed), Clock()
    storm = Storm(clock)
    async with running((COUNTY, TOWNSHIP)) as tiers, aiohttp.ClientSession(connector=_connector()) as http:
        desk = Desk(http, tiers, COUNTY, [{"node": TOWNSHIP, "mode": "self"}])
        device = {"Authorization": f"Bearer {tiers.token(TOWNSHIP, Actor('压测采集', Role.DEVICE, TOWNSHIP))}"}
        console = asyncio.create_task(_console(http, tiers, storm))
        await _click(desk, storm, QUIET_S, storm.calm_s)
        before = tiers.cpu_s()
        plan = _plan(tiers, sources, seconds, flapping, draw)
        begin = clock.now()
        storm.urgent_due = begin + seconds / 2
        sending = asyncio.Semaphore(AT_ONCE)
        seen = asyncio.create_task(_picture(http, tiers, storm))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_click(desk, storm, seconds, storm.busy_s))
            tasks.create_task(_urgent(http, tiers, device, storm))
            for due, alarm in plan:
                await asyncio.sleep(begin + due - clock.now())
                tasks.create_task(_send(http, tiers, device, alarm, begin + due, storm, sending))
        sent_s = clock.now() - begin
        counted = await _counted(http, tiers, len(plan) + 1)
        drained_s = clock.now() - begin
        picture_s = await seen
        used = {code: after - before[code] for code, after in tiers.cpu_s().items()}
        console.cancel()
    accepted = storm.statuses.get(201, 0)
    return {
        "sources": sources,
        "alarms": len(plan) + 1,
        "accepted": accepted + 1,
        "refused": len(plan) - accepted,
        "at_county": counted,
        "lost": accepted + 1 - counted,
        "sent_s": sent_s,
        "drained_s": drained_s,
        "answer_p50_ms": percentile_ms(storm.answers_s, 0.5),
        "answer_p95_ms": percentile_ms(storm.answers_s, 0.95),
        "first_p1_card_s": (storm.urgent_at or begin + LATE_S) - storm.urgent_due,
        "first_p1_picture_s": picture_s,
        "card_messages": storm.messages,
        "cpu_ms_per_alarm": used[TOWNSHIP] * 1_000 / (len(plan) + 1),
        "cpu_ms_per_alarm_county": used[COUNTY] * 1_000 / (len(plan) + 1),
        "directive_calm_p50_ms": percentile_ms(storm.calm_s, 0.5),
        "directive_storm_p50_ms": percentile_ms(storm.busy_s, 0.5),
        "directive_storm_max_ms": percentile_ms(storm.busy_s, 1.0),
    }


def _connector() -> aiohttp.TCPConnector:
    return aiohttp.TCPConnector(limit=AT_ONCE + 12)


def _plan(
    tiers: Tiers, sources: int, seconds: float, flapping: int, draw: random.Random
) -> list[tuple[float, dict[str, Any]]]:
    """Return (seconds after the beginning, alarm) of each alarm, in order."""
    villages = tiers.tree.children(TOWNSHIP)
    plan: list[tuple[float, dict[str, Any]]] = []
    for n in range(sources):
        alarm = {"kind": "smoke", "text": "烟雾浓度超限", "urgency": "P2", "source": f"烟感-{n}"}
        plan.append((draw.uniform(0, seconds), {**alarm, "place": draw.choice(villages)}))
    for n in range(int(flapping * seconds)):
        alarm = {"kind": "power", "text": f"电流越限 {n}", "urgency": "P3", "source": "智慧用电-1"}
        plan.append((n / flapping, {**alarm, "place": villages[0]}))
    return sorted(plan, key=lambda one: one[0])


async def _send(
    http: aiohttp.ClientSession,
    tiers: Tiers,
    headers: dict[str, str],
    alarm: dict[str, Any],
    due: float,
    storm: Storm,
    sending: asyncio.Semaphore,
) -> None:
    async with sending, http.post(f"{tiers.url(TOWNSHIP)}/api/v1/alarms", json=alarm, headers=headers) as answer:
        storm.statuses[answer.status] = storm.statuses.get(answer.status, 0) + 1
    storm.answers_s.append(storm.clock.now() - due)


async def _urgent(http: aiohttp.ClientSession, tiers: Tiers, headers: dict[str, str], storm: Storm) -> None:
    """One urgent alarm with a picture, in the middle of it."""
    picture = io.BytesIO()
    Image.radial_gradient("L").convert("RGB").resize((1280, 720)).save(picture, "JPEG", quality=85)
    alarm = {"kind": "smoke", "text": "明火", "urgency": "P1", "source": "烟感-明火", "place": FIVE[4]}
    await asyncio.sleep(storm.urgent_due - storm.clock.now())
    form = aiohttp.FormData()
    form.add_field("alarm", json.dumps(alarm), content_type="application/json", filename="alarm.json")
    form.add_field("snapshot", picture.getvalue(), content_type="image/jpeg", filename="snapshot.jpg")
    async with http.post(f"{tiers.url(TOWNSHIP)}/api/v1/alarms", data=form, headers=headers) as answer:
        answer.raise_for_status()


async def _click(desk: Desk, storm: Storm, seconds: float, times_s: list[float]) -> None:
    """Issue directives at CLICKS_PER_S and note how long each took to be durable."""
    begin = storm.clock.now()
    for n in range(int(seconds * CLICKS_PER_S)):
        due = begin + n / CLICKS_PER_S
        await asyncio.sleep(due - storm.clock.now())
        await desk.click(f"storm {begin:.3f} {n}")
        times_s.append(storm.clock.now() - due)


async def _console(http: aiohttp.ClientSession, tiers: Tiers, storm: Storm) -> None:
    who = Actor(name="压测值班", role=Role.COMMANDER, division=COUNTY)
    socket = await http.ws_connect(f"{tiers.url(COUNTY)}/ws")
    await socket.send_str(codec.encode(Hello(version=1, token=tiers.token(COUNTY, who))).decode())
    async for frame in socket:
        message = codec.decode_gateway(frame.data.encode())
        if not isinstance(message, AlarmView):
            continue
        storm.messages += 1
        if message.urgency == "P1" and storm.urgent_at is None:
            storm.urgent_at = storm.clock.now()
        storm.picture = message.thumbnail or storm.picture


def _commander(tiers: Tiers) -> dict[str, str]:
    who = Actor(name="压测值班", role=Role.COMMANDER, division=COUNTY)
    return {"Authorization": f"Bearer {tiers.token(COUNTY, who)}"}


async def _counted(http: aiohttp.ClientSession, tiers: Tiers, expected: int) -> int:
    """Return the alarms on the county's cards, once all are there or LATE_S are over."""
    headers, counted = _commander(tiers), 0

    async def look() -> None:
        nonlocal counted
        while counted < expected:
            async with http.get(f"{tiers.url(COUNTY)}/api/v1/alarms", headers=headers) as answer:
                counted = sum(card["count"] for card in (await answer.json())["alarms"])
            await asyncio.sleep(POLL_S)  # another process: nothing here to wait on

    await _within(look())
    return counted


async def _picture(http: aiohttp.ClientSession, tiers: Tiers, storm: Storm) -> float:
    """Return when the picture of the urgent alarm could be looked at in the county; LATE_S when it could not."""
    headers, taken = _commander(tiers), LATE_S

    async def look() -> None:
        nonlocal taken
        while taken == LATE_S:
            if storm.picture is not None:
                async with http.get(f"{tiers.url(COUNTY)}/api/v1/blobs/{storm.picture}", headers=headers) as answer:
                    if answer.status == 200:
                        taken = storm.clock.now() - storm.urgent_due
            await asyncio.sleep(POLL_S)  # as above

    await _within(look(), 2 * LATE_S)
    return taken


async def _within(work: Coroutine[Any, Any, None], seconds: float = LATE_S) -> None:
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        pass


class Shape(enum.StrEnum):
    """Who is struck."""

    SOURCES = "sources"  # smoke detectors below one county; people at work there
    EARTHQUAKE = "earthquake"  # everybody; alarms of every urgency, from village to province


def storm(
    shape: Annotated[Shape, typer.Option(help="Below one county, or everywhere.")] = Shape.SOURCES,
    sources: Annotated[
        int | None, typer.Option(min=1, max=20_000, help=f"Each raises one alarm; {SOURCES}, or {ALARMS}.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=0.5, max=600, help=f"Within this; 10, or {SECONDS:g}.")] = None,
    flapping: Annotated[
        int | None,
        typer.Option(min=0, max=1_000, help=f"Alarms a second of one more source; {FLAPPING_PER_S}, or {STUCK_PER_S}."),
    ] = None,
    seed: Annotated[int, typer.Option(help="For times and places; printed with the figures.")] = 1,
    as_json: Json = False,
) -> None:
    """Thousands of sources and one flapping: when the first urgent card, its picture and the rest are in the county.

    An earthquake ends with 1 when an alarm was lost, or an urgent one refused.
    """
    if shape is Shape.SOURCES:
        flapping = FLAPPING_PER_S if flapping is None else flapping
        _sources(sources or SOURCES, seconds or 10.0, flapping, seed, as_json)
    else:
        flapping = STUCK_PER_S if flapping is None else flapping
        _earthquake(sources or ALARMS, seconds or SECONDS, flapping, seed, as_json)


def _earthquake(alarms: int, seconds: float, stuck_per_s: int, seed: int, as_json: bool) -> None:
    typer.echo(f"earthquake, {alarms} alarms in {seconds:g} s, one source at {stuck_per_s}/s, seed {seed}")
    found = uvloop.run(prove_earthquake(alarms, seconds, stuck_per_s, seed))
    for name, value in {**found["urgencies"], **found}.items():
        if name != "urgencies":
            typer.echo(f"  {name:<18}{value}")
    if as_json:
        typer.echo(json.dumps(found))
    if not stands(found):
        raise typer.Exit(1)


def _sources(sources: int, seconds: float, flapping: int, seed: int, as_json: bool) -> None:
    figures = uvloop.run(_measure(sources, seconds, flapping, seed))
    typer.echo(f"storm, {sources} sources in {seconds:g} s, one more at {flapping}/s, seed {seed}")
    for name, value in figures.items():
        typer.echo(f"  {name:<26}{value:>12.4g}")
    if as_json:
        typer.echo(json.dumps(figures))
