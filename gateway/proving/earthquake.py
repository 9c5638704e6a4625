"""``wuji bench storm --shape earthquake``: every source of a township within a minute, from village to province.

Five gateways, each a process with its own disk.  Half of the alarms are raised at a village's own gateway, half at the
township's, which serves the villages without one.  They come fast at first, whether or not those before were answered
(open loop), and every time is counted from when an alarm was due: waiting for an answer and saying again what was
refused (429) included.  One more source cannot stop.  Arrival is when an alarm stands in the province's journal, and a
thumbnail in its directory of pictures: read from outside, as the processes are.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import random
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from PIL import Image

from gateway.bench_directives import FIVE
from gateway.bench_tiers import Tiers, running
from gateway.clock import Clock
from signaling import records
from signaling.ids import NodeCode
from signaling.records import Actor, AlarmPictured, Role, Urgency

PROVINCE, TOWNSHIP, VILLAGE = FIVE[0], FIVE[3], FIVE[4]
ALARMS, SECONDS, STUCK_PER_S = 10_000, 60.0, 20
MIX: Mapping[Urgency, float] = {Urgency.P0: 2, Urgency.P1: 8, Urgency.P2: 40, Urgency.P3: 50}
PICTURED = 0.02
"""Share of the alarms that come with a picture."""
URGENT = frozenset({Urgency.P0, Urgency.P1})
AT_ONCE = {True: 12, False: 48}
"""Requests on the way to one gateway, urgent or not: sources have lines of their own, this address has 64."""
AGAIN_S = 1.0
"""A source that was refused says it again so much later."""
LOOK_S = 0.02
END_S = 600.0
"""What has not arrived so long after the last was answered is lost."""

STUCK = "一直报警"


@dataclass(frozen=True, slots=True)
class Planned:
    """One alarm: seconds after the beginning, where it is said, what, and its picture."""

    due_s: float
    at: NodeCode
    alarm: Mapping[str, str]
    picture: bytes | None = None

    @property
    def urgency(self) -> Urgency:
        return Urgency(self.alarm["urgency"])

    @property
    def stuck(self) -> bool:
        return self.alarm["source"] == STUCK


def plan(villages: Sequence[NodeCode], alarms: int, seconds: float, stuck_per_s: int, seed: int) -> list[Planned]:
    """Return the alarms in order: a quarter of the time brings half of them."""
    draw = random.Random(seed)
    others = [village for village in villages if village != VILLAGE]
    urgencies = draw.choices(list(MIX), list(MIX.values()), k=alarms)
    found = []
    for n, urgency in enumerate(urgencies):
        at, place = draw.choice(((VILLAGE, VILLAGE), (TOWNSHIP, draw.choice(others))))
        said = {"kind": "quake", "text": f"房屋受损 {n}", "source": f"震感-{n}", "event": f"{seed}-{n}"}
        alarm = {**said, "urgency": str(urgency), "place": place}
        picture = photograph(n) if draw.random() < PICTURED else None
        found.append(Planned(seconds * draw.random() ** 2, at, alarm, picture))
    for n in range(int(stuck_per_s * seconds)):
        alarm = {"kind": "power", "text": f"电流越限 {n}", "urgency": "P3", "source": STUCK, "place": VILLAGE}
        found.append(Planned(n / stuck_per_s, VILLAGE, alarm))
    return sorted(found, key=lambda one: one.due_s)


def photograph(number: int) -> bytes:
    """Return a JPEG of ordinary size; no other number's is the same picture."""
    image = Image.radial_gradient("L").convert("RGB").resize((1280, 720))
    image.paste((255, 255, 255), (number % 40 * 32, number // 40 % 22 * 32, number % 40 * 32 + 32, 720))
    picture = io.BytesIO()
    image.save(picture, "JPEG", quality=85)
    return picture.getvalue()


@dataclass(slots=True)
class Arrivals:
    """When what reached a node, seen from outside."""

    directory: Path
    clock: Clock
    raised: dict[str, float] = field(default_factory=dict)
    """Alarm to when it stood in the journal."""
    pictured: dict[str, float] = field(default_factory=dict)
    """Alarm to when its thumbnail was there."""
    _read: int = 0
    _missing: dict[str, str] = field(default_factory=dict)

    async def run(self) -> None:
        """Look until cancelled."""
        uri = f"file:{self.directory / 'journal.sqlite'}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=END_S)) as journal:
            while True:
                self._look(journal)
                await asyncio.sleep(LOOK_S)  # another process: nothing here to wait on

    def _look(self, journal: sqlite3.Connection) -> None:
        for seq, key, data in journal.execute("SELECT seq, key, data FROM records WHERE seq > ?", (self._read,)):
            self._read = seq
            kind, alarm, *more = key.split(":")
            if kind == "alarm" and more == ["raised"]:
                self.raised[alarm] = self.clock.now()
            elif kind == "alarm" and more[0] == "pictured":
                record = records.decode(data)
                assert isinstance(record, AlarmPictured)
                self._missing[alarm] = record.thumbnail
        for alarm, sha256 in list(self._missing.items()):
            if (self.directory / "blobs" / sha256[:2] / sha256).is_file():
                self.pictured[alarm] = self.clock.now()
                del self._missing[alarm]


class Sources:
    """Everybody who has something to say."""

    def __init__(self, http: aiohttp.ClientSession, tiers: Tiers, clock: Clock, began: float) -> None:
        self.answered_s: dict[str, float] = {}
        """Alarm to how long after it was due it was answered."""
        self.said: dict[str, Planned] = {}
        self.refused: Counter[tuple[Urgency, bool]] = Counter()
        """By urgency, and whether it was the source that cannot stop."""
        self.delayed: Counter[tuple[Urgency, bool]] = Counter()
        """Pictures that could not be had yet, said again; their alarms stood."""
        self.failed: Counter[Urgency] = Counter()
        """Not taken and not to be said again: dropped."""
        self._http = http
        self._clock = clock
        self._began = began
        self._urls = {code: f"{tiers.url(code)}/api/v1/alarms" for code in (TOWNSHIP, VILLAGE)}
        self._tokens = {
            code: {"Authorization": f"Bearer {tiers.token(code, Actor('震感', Role.DEVICE, code))}"}
            for code in self._urls
        }
        self._lines = {
            (code, urgent): asyncio.Semaphore(most) for code in self._urls for urgent, most in AT_ONCE.items()
        }

    async def run(self, planned: Sequence[Planned]) -> None:
        """Say everything; return when all was answered."""
        async with asyncio.TaskGroup() as tasks:
            for one in planned:
                await asyncio.sleep(self._began + one.due_s - self._clock.now())
                tasks.create_task(self._say(one))

    async def _say(self, one: Planned) -> None:
        while True:
            async with self._lines[one.at, one.urgency in URGENT]:
                status, alarm = await self._ask(one)
            if status in (429, 503):  # the alarm was not taken; or it was, and its picture not yet
                counted = self.refused if status == 429 else self.delayed
                counted[one.urgency, one.stuck] += 1
                await asyncio.sleep(AGAIN_S)
                continue
            if status in (200, 201):
                self.answered_s[alarm] = self._clock.now() - self._began - one.due_s
                self.said[alarm] = one
            else:
                self.failed[one.urgency] += 1
            return

    async def _ask(self, one: Planned) -> tuple[int, str]:
        try:
            async with self._http.post(self._urls[one.at], headers=self._tokens[one.at], **self._body(one)) as answer:
                body = await answer.json()
                return answer.status, str(body.get("id", ""))
        except (aiohttp.ClientError, TimeoutError):
            return 0, ""

    def _body(self, one: Planned) -> dict[str, Any]:
        if one.picture is None:
            return {"json": one.alarm}
        form = aiohttp.FormData()
        form.add_field("alarm", json.dumps(one.alarm), content_type="application/json", filename="alarm.json")
        form.add_field("snapshot", one.picture, content_type="image/jpeg", filename="snapshot.jpg")
        return {"data": form}


def times(values: Sequence[float]) -> dict[str, float]:
    """Return how many, the median, the 95th percentile and the longest, seconds."""
    ordered = sorted(values)
    if not ordered:
        return {"count": 0}
    at = {"p50_s": 0.5, "p95_s": 0.95, "max_s": 1.0}
    return {"count": len(ordered)} | {
        name: round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3) for name, share in at.items()
    }


def figures(sources: Sources, arrivals: Arrivals, began: float) -> dict[str, Any]:
    """Return the figures of each urgency; the source that cannot stop is told of by itself."""
    return {
        "urgencies": {str(urgency): dict(_of(urgency, sources, arrivals, began)) for urgency in MIX},
        "stuck_source": {
            "taken": sum(one.stuck for one in sources.said.values()),
            "refused": sum(count for (_, stuck), count in sources.refused.items() if stuck),
        },
        "lost": sum(alarm not in arrivals.raised for alarm in sources.said),
        "dropped": sum(sources.failed.values()),
    }


def _of(urgency: Urgency, sources: Sources, arrivals: Arrivals, began: float) -> Iterator[tuple[str, Any]]:
    mine = {alarm: one for alarm, one in sources.said.items() if one.urgency is urgency and not one.stuck}
    due = {alarm: began + one.due_s for alarm, one in mine.items()}
    yield "answered", times([sources.answered_s[alarm] for alarm in mine])
    yield "province", times([arrivals.raised[alarm] - due[alarm] for alarm in mine if alarm in arrivals.raised])
    yield "thumbnails", times([at - due[alarm] for alarm, at in arrivals.pictured.items() if alarm in due])
    yield "refused", sources.refused[urgency, False]
    yield "pictures_delayed", sources.delayed[urgency, False]
    yield "dropped", sources.failed[urgency]


async def prove_earthquake(alarms: int, seconds: float, stuck_per_s: int, seed: int) -> dict[str, Any]:
    """Run it; return the figures."""
    clock = Clock()
    connector = aiohttp.TCPConnector(limit=0)
    async with running(FIVE) as tiers, aiohttp.ClientSession(connector=connector) as http:
        planned = plan(tiers.tree.children(TOWNSHIP), alarms, seconds, stuck_per_s, seed)
        arrivals = Arrivals(tiers.directory / PROVINCE, clock)
        looking = asyncio.create_task(arrivals.run())
        before, began = tiers.cpu_s(), clock.now()
        sources = Sources(http, tiers, clock, began)
        await sources.run(planned)
        answered_s = clock.now() - began
        await _arrived(sources, arrivals)
        used = {code: after - before[code] for code, after in tiers.cpu_s().items()}
        looking.cancel()
        return {
            "alarms": len(planned),
            "seconds": seconds,
            "seed": seed,
            **figures(sources, arrivals, began),
            "answered_s": round(answered_s, 1),
            "arrived_s": round(clock.now() - began, 1),
            "cpu_ms_per_alarm": {code: round(1_000 * cpu / len(planned), 2) for code, cpu in used.items()},
        }


async def _arrived(sources: Sources, arrivals: Arrivals) -> None:
    """Return once all alarms and thumbnails are in the province, or END_S are over."""
    pictured = {alarm for alarm, one in sources.said.items() if one.picture is not None}
    try:
        async with asyncio.timeout(END_S):
            while sources.said.keys() - arrivals.raised.keys() or pictured - arrivals.pictured.keys():  # noqa: ASYNC110
                await asyncio.sleep(LOOK_S)  # as above
    except TimeoutError:
        pass


def stands(found: Mapping[str, Any]) -> bool:
    """Return whether nothing was lost or dropped, no urgent alarm was refused, and every picture came."""
    refused = any(found["urgencies"][urgency]["refused"] for urgency in URGENT)
    return not (found["lost"] or found["dropped"] or refused)
