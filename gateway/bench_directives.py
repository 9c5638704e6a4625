"""``wuji bench directives`` and ``wuji bench ring``: from the click to the terminal, over real gateways.

The clicks come when they are due, whether or not those before were answered (open loop), and a time is counted
from when its click was due.  Terminals are WebSockets that say ``delivered`` and ``shown`` as the page does, for as
many directives as a session may: one that talks faster is cut off.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated

import aiohttp
import typer
import uvloop

from signaling import codec
from signaling.ids import NodeCode
from signaling.messages import DirectiveView, Hello, Message, Receipt
from signaling.records import Actor, Role, Stage

from .bench_tiers import Tiers, demo_tree, running
from .clock import Clock

FIVE = tuple(NodeCode(str(code)) for code in (430000000000, 430400000000, 430423000000, 430423100000, 430423100227))
"""One line of the demo's tree: province, city, county, township, village."""
COUNTY = FIVE[2]
RATES = (1, 200, 2_000)
LATE_S = 60.0
"""What has not rung so long after the last click is counted as lost."""
POLL_S = 0.05
WARM_UP = 20
RECEIPTED_PER_S = 20.0
"""Directives a terminal says ``delivered`` and ``shown`` for; a session may say 50 messages a second."""
MARK = "mark"
"""Title of what is issued behind a load: once it is known to be shown, all before it has come through."""
ASKING = 50
"""Requests of the issuer's on the way at once; a gateway takes 64 connections of one address."""

Json = Annotated[bool, typer.Option("--json", help="End with one line of JSON.")]
Figures = dict[str, float]


class Board:
    """When which click was due, and how long after it which place rang."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.times_s: list[float] = []
        self.again = 0
        """Rings for what had rung at that place."""
        self._due: dict[str, float] = {}
        self._rang: set[tuple[str, NodeCode]] = set()
        self._missing = 0
        self._complete = asyncio.Event()

    def due(self, title: str, at: float, places: int) -> None:
        """A click for ``title`` is due ``at`` and must ring at so many places."""
        self._due[title] = at
        self._missing += places
        self._complete.clear()

    def rang(self, title: str, place: NodeCode) -> None:
        """``place`` was told of what it must ring for."""
        if (title, place) in self._rang:
            self.again += 1
            return
        self._rang.add((title, place))
        if title not in self._due:
            return
        self.times_s.append(self.clock.now() - self._due[title])
        self._missing -= 1
        if self._missing == 0:
            self._complete.set()

    async def finish(self) -> int:
        """Return, once all rang or LATE_S are over, how many did not."""
        try:
            async with asyncio.timeout(LATE_S):
                await self._complete.wait()
        except TimeoutError:
            pass
        return self._missing


class Terminal:
    """The screen of one place."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, place: NodeCode, board: Board) -> None:
        self.board = board
        self._socket = socket
        self._place = place
        self._said_at = -math.inf
        self._task = asyncio.create_task(self._listen())

    async def say(self, message: Message) -> None:
        await self._socket.send_str(codec.encode(message).decode())

    async def close(self) -> None:
        await self._socket.close()
        await self._task

    async def _listen(self) -> None:
        async for frame in self._socket:
            message = codec.decode_gateway(frame.data.encode())
            if not isinstance(message, DirectiveView) or message.mine is None:
                continue
            if message.mine.stage in (Stage.QUEUED, Stage.RELAYED):  # later ones come of our own receipts
                self.board.rang(message.title, self._place)
                await self._receipt(message)

    async def _receipt(self, view: DirectiveView) -> None:
        now = self.board.clock.now()
        if now - self._said_at < 1 / RECEIPTED_PER_S and view.title != MARK:
            return
        self._said_at = now
        for stage in (Stage.DELIVERED, Stage.SHOWN):
            await self.say(Receipt(directive=view.directive, stage=stage))


class Desk:
    """The issuer's: clicks, and looks at what came of it."""

    def __init__(self, http: aiohttp.ClientSession, tiers: Tiers, node: NodeCode, scope: Sequence[object]) -> None:
        who = Actor(name="压测指挥员", role=Role.COMMANDER, division=node)
        self._http = http
        self._url = f"{tiers.url(node)}/api/v1/directives"
        self._headers = {"Authorization": f"Bearer {tiers.token(node, who)}"}
        self._scope = scope
        self._clicks = itertools.count()
        self._asking = asyncio.Semaphore(ASKING)

    async def click(self, title: str) -> str:
        """Issue a directive and return its id."""
        order = {
            "click_id": str(next(self._clicks)),
            "urgency": "P1",
            "title": title,
            "text": "立即转移危险区群众。",
            "scope": self._scope,
            "exercise": True,
        }
        async with self._asking, self._http.post(self._url, json=order, headers=self._headers) as answer:
            return str((await answer.json())["id"])

    async def all_shown(self, directive: str, places: int) -> bool:
        """Return whether, before LATE_S are over, all ``places`` are known here to show it."""
        try:
            async with asyncio.timeout(LATE_S):
                while await self._shown(directive) < places:  # noqa: ASYNC110
                    await asyncio.sleep(POLL_S)  # another process: nothing here to wait on
        except TimeoutError:
            return False
        return True

    async def _shown(self, directive: str) -> int:
        async with self._http.get(f"{self._url}/{directive}", headers=self._headers) as answer:
            return int((await answer.json())["counts"].get(Stage.SHOWN, 0))


async def sign_in(http: aiohttp.ClientSession, tiers: Tiers, node: NodeCode, place: NodeCode, board: Board) -> Terminal:
    """Return a terminal of ``place``, on its way to being signed in at ``node``."""
    made = Terminal(await http.ws_connect(f"{tiers.url(node)}/ws"), place, board)
    who = Actor(name="压测终端", role=Role.TERMINAL, division=place)
    await made.say(Hello(version=1, token=tiers.token(node, who)))
    return made


def percentile_ms(times_s: Iterable[float], share: float) -> float:
    """Return the time that ``share`` (0..1) of ``times_s`` do not exceed, in milliseconds."""
    ordered = sorted(times_s)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] * 1_000


def spread(board: Board, lost: int) -> Figures:
    """Return what a page says of the times: what is lost counts as LATE_S late."""
    times_s = board.times_s + [LATE_S] * lost
    shares = {"p50_ms": 0.5, "p99_ms": 0.99, "max_ms": 1.0}
    figures = {name: percentile_ms(times_s, share) for name, share in shares.items()}
    return {**figures, "lost": lost, "shown_twice": board.again}


# ---- directives ----------------------------------------------------------------------------------


async def _five_tiers(rates: Sequence[float], seconds: float) -> list[Figures]:
    """Return the figures of each rate: province to village, five nodes, all journals on disk."""
    found = []
    async with running(FIVE) as tiers, _session() as http:
        desk = Desk(http, tiers, FIVE[0], [{"node": FIVE[-1], "mode": "self"}])
        terminal = await sign_in(http, tiers, FIVE[-1], FIVE[-1], Board(Clock()))
        await _load(desk, terminal, [f"warm {n}" for n in range(WARM_UP)], 20)
        for rate in rates:
            before = tiers.cpu_s()
            titles = [f"{rate:g}/s {n}" for n in range(max(2, round(rate * seconds)))]
            figures = await _load(desk, terminal, titles, rate)
            found.append({"rate_per_s": rate, "issued": len(titles), **figures, **_cpu(tiers, before, len(titles))})
        await terminal.close()
    return found


async def _load(desk: Desk, terminal: Terminal, titles: Sequence[str], rate: float) -> Figures:
    """Click for each of ``titles`` at ``rate`` a second and return the spread once all have rung and are shown."""
    terminal.board = board = Board(Clock())
    async with asyncio.TaskGroup() as tasks:
        begin = board.clock.now()
        clicks = []
        for n, title in enumerate(titles):
            board.due(title, begin + n / rate, 1)
            await asyncio.sleep(begin + n / rate - board.clock.now())
            clicks.append(tasks.create_task(desk.click(title)))
    lost = await board.finish()
    await desk.all_shown(await desk.click(MARK), 1)
    return spread(board, lost)


def _cpu(tiers: Tiers, before: Mapping[NodeCode, float], directives: int) -> Figures:
    """Return the milliseconds of processor per directive: of all nodes, and of each."""
    used = [(after - before[code]) * 1_000 / directives for code, after in tiers.cpu_s().items()]
    return {"cpu_ms": sum(used), **{f"cpu_ms_tier_{tier}": ms for tier, ms in enumerate(used, 1)}}


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None, sock_connect=LATE_S)
    )


def directives(
    rate: Annotated[list[float] | None, typer.Option(min=0.1, max=5_000, help="Clicks a second; 1, 200, 2000.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, max=600, help="How long each rate is kept.")] = 15.0,
    as_json: Json = False,
) -> None:
    """Click to ring from province to village, five gateways with journals on disk; processor time per directive."""
    found = uvloop.run(_five_tiers(rate or RATES, seconds))
    typer.echo(f"directives, five tiers, {seconds:g} s each")
    _table(found)
    if as_json:
        typer.echo(json.dumps(found))


def _table(rows: Sequence[Figures]) -> None:
    for row in rows:
        typer.echo("  " + "  ".join(f"{name} {value:.4g}" for name, value in row.items()))


# ---- ring ----------------------------------------------------------------------------------------


async def _one_county(clicks: int, townships: int) -> Figures:
    """Return how fast the terminals of all villages of ``townships`` townships ring, for each of ``clicks``."""
    _, tree = demo_tree()
    below = tree.children(COUNTY)[:townships]
    villages = [(village, township) for township in below for village in tree.children(township)]
    async with running((COUNTY, *below)) as tiers, _session() as http:
        desk = Desk(http, tiers, COUNTY, [{"node": township, "mode": "children"} for township in below])
        board = Board(Clock())
        terminals = [await sign_in(http, tiers, township, village, board) for village, township in villages]
        lost = 0
        for title in _titles(clicks):
            board.due(title, board.clock.now(), len(terminals))
            directive = await desk.click(title)
            lost += await board.finish()
            await desk.all_shown(directive, len(terminals))
        figures = spread(board, lost)
        for terminal in terminals:
            await terminal.close()
    return {"villages": len(villages), "gateways": 1 + len(below), "clicks": clicks, **figures}


def _titles(clicks: int) -> Iterator[str]:
    return (f"click {n}" for n in range(clicks))


def ring(
    clicks: Annotated[int, typer.Option(min=1, max=1_000, help="One after the other.")] = 10,
    townships: Annotated[int, typer.Option(min=1, max=12, help="So many of the county's, with their villages.")] = 12,
    as_json: Json = False,
) -> None:
    """Click to ring at 153 villages: a county and its 12 townships as gateways, a terminal for each village."""
    figures = uvloop.run(_one_county(clicks, townships))
    typer.echo(f"ring, {figures['villages']} villages below {townships} townships, {clicks} clicks")
    _table([figures])
    if as_json:
        typer.echo(json.dumps(figures))
