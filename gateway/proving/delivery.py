"""Directives down a line of gateways whose links are cut and whose processes are killed: is any lost, any doubled?

``wuji bench delivery``.  Two gateways (county and township, with a terminal of every village) or all five tiers (a
terminal at each below the province).  Orders go on being issued while a fault stands; the next fault comes at a
random order once everything issued before the last one has been shown everywhere.  A cut is, in rotation, a reset, a
connection left half open, and a black hole; a flap is many resets in a row.  A kill is SIGKILL, a stop SIGSTOP.
"""

from __future__ import annotations

import asyncio
import enum
import random
import signal
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway import logfile
from gateway.clock import Clock
from gateway.demo import TIERS
from signaling import division
from signaling.ids import NodeCode, Seq
from signaling.records import Actor, DeliveryAdvanced, DirectiveIssued, Role, Stage

from .chain import Chain, ChainError
from .history import Did, History, Verdict, check
from .people import Issuer, Screen, number_in
from .streams import Streams

ISSUERS = 16
"""Orders on their way to the issuing gateway at a time."""
SIGN_EVERY = 20
HEAL_S = 600.0
"""For everything issued before a fault to be shown; for what takes seconds, on a machine that is busy."""


class Cut(enum.StrEnum):
    RESET = "reset"
    HALF_OPEN = "half-open"
    BLACK_HOLE = "black-hole"


class Blow(enum.StrEnum):
    """What else happens: to the link above a gateway, or to its process."""

    FLAP = "flap"
    KILL = "kill"
    STOP = "stop"


FLAPS = 5
FLAP_S = 0.4


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to the gateway of ``tier``, or to the link above it, once so many orders are issued."""

    at: int
    tier: str
    kind: Cut | Blow
    seconds: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do; everything drawn follows from ``seed``.

    Attributes:
        tiers: 2 or 5.
        cuts: In all, the links taking turns.
        kills, stops: In all, the gateways taking turns.
        flaps: In all, the links taking turns: up and down again, five times.
        hole_s: A black hole and a stop last up to so long, and a reset refuses new connections for up to a sixth of
            it.
    """

    directives: int
    tiers: int = 2
    cuts: int = 0
    kills: int = 0
    seed: int = 1
    stops: int = 0
    flaps: int = 0
    hole_s: float = 6.0

    @property
    def names(self) -> tuple[str, ...]:
        return TIERS if self.tiers == len(TIERS) else TIERS[2:4]

    def faults(self) -> tuple[Fault, ...]:
        """Return the faults in the order in which they come."""
        draw, cuts, below = random.Random(self.seed), list(Cut), self.names[1:]
        kinds: list[tuple[str, Cut | Blow]] = [
            (below[n % len(below)], cuts[n // len(below) % len(cuts)]) for n in range(self.cuts)
        ]
        kinds += [(below[n % len(below)], Blow.FLAP) for n in range(self.flaps)]
        for kind, count in ((Blow.KILL, self.kills), (Blow.STOP, self.stops)):
            kinds += [(self.names[n % len(self.names)], kind) for n in range(count)]
        draw.shuffle(kinds)
        span = self.directives / max(1, len(kinds))
        return tuple(
            Fault(int((n + draw.random()) * span), tier, kind, draw.uniform(0, self.hole_s))
            for n, (tier, kind) in enumerate(kinds)
        )


class Gate:
    """Lets orders out up to a number that rises with the faults, so that faults come while orders go."""

    def __init__(self) -> None:
        self.issued = 0
        """Orders that the issuing gateway has."""
        self._next = 0
        self._upto = 0
        self._moved = asyncio.Event()

    def open(self, upto: int) -> None:
        self._upto = upto
        self.move()

    def move(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    async def take(self) -> int:
        """Return the next number, once it may go."""
        while self._next >= self._upto:
            await self._moved.wait()
        self._next += 1
        return self._next - 1

    async def reach(self, count: int) -> None:
        """Return once ``count`` orders are issued."""
        while self.issued < count:
            await self._moved.wait()

    def done(self) -> None:
        self.issued += 1
        self.move()


async def cut(line: Streams, kind: Cut, seconds: float) -> None:
    """Cut ``line`` and mend it: a black hole lasts ``seconds``, a reset refuses for a sixth of it."""
    match kind:
        case Cut.RESET:
            line.cut()
            await asyncio.sleep(seconds / 6)
        case Cut.HALF_OPEN:
            line.strand()
        case Cut.BLACK_HOLE:
            line.hold()
            await asyncio.sleep(seconds)
    line.mend()


class Delivery:
    """One run over a running chain."""

    def __init__(self, plan: Plan, chain: Chain) -> None:
        self.plan = plan
        self.chain = chain
        self.history = History()
        self.gate = Gate()
        self.redelivered = 0.0
        self.unhealed = 0
        self.restarts_s: list[float] = []
        """From each kill until ``/readyz`` said that all was well again, the link to the parent too."""
        self.top = plan.names[0]
        self.issuer = Issuer(
            chain.http,
            chain.nodes[self.top].url,
            chain.token(self.top, Actor("证明", Role.COMMANDER, chain.nodes[self.top].code)),
            self.history,
        )
        self.screens = {place: self._screen(tier, place) for place, tier in self._places().items()}

    def _places(self) -> dict[NodeCode, str]:
        """Return where terminals are, and at whose gateway."""
        nodes = self.chain.nodes
        if self.plan.tiers == len(TIERS):
            return {nodes[tier].code: tier for tier in TIERS[1:]}
        lowest = nodes[self.plan.names[-1]]
        tree = division.parse(lowest.config.tree.file.read_text(encoding="utf-8"))
        return dict.fromkeys(tree.children(lowest.code), self.plan.names[-1])

    def _screen(self, tier: str, place: NodeCode) -> Screen:
        token = self.chain.token(tier, Actor("赵支书", Role.TERMINAL, place))
        url = self.chain.nodes[tier].url
        return Screen(self.chain.http, url, token, f"terminal {place}", self.history, SIGN_EVERY)

    def scope(self, number: int) -> Sequence[NodeCode]:
        """Return the recipients of order ``number``: all five tiers' terminals, or one village after the other."""
        places = list(self.screens)
        return places if self.plan.tiers == len(TIERS) else (places[number % len(places)],)

    def held_at(self, number: int) -> frozenset[str]:
        return frozenset({*self.plan.names, *(self.screens[place].name for place in self.scope(number))})

    # ---- while it runs ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Issue everything, do every fault, and wait until all of it has been shown, or a long time."""
        screens = [asyncio.create_task(screen.run()) for screen in self.screens.values()]
        issuers = [asyncio.create_task(self._issue()) for _ in range(ISSUERS)]
        try:
            await self._strike_all()
            await self.gate.reach(self.plan.directives)
            await self._healed(self.plan.directives)
            await self.chain.until(self._settled, "every receipt and signature is sent", HEAL_S)
            await self.chain.until(self._reported, "every signature is known above", HEAL_S)
        except ChainError:
            self.unhealed += 1  # what is missing is counted afterwards
        finally:
            self.redelivered += await self.chain.repeats() + sum(screen.again for screen in self.screens.values())
            for task in (*screens, *issuers):
                task.cancel()
            await asyncio.gather(*screens, *issuers, return_exceptions=True)

    async def _issue(self) -> None:
        while True:
            number = await self.gate.take()
            await self.issuer.issue(number, self.scope(number))
            self.gate.done()

    async def _strike_all(self) -> None:
        faults = self.plan.faults()
        ends = [*(fault.at for fault in faults[1:]), self.plan.directives]
        for fault, end in zip(faults, ends, strict=True):
            self.gate.open(min(self.plan.directives, end + self.plan.directives // (2 * len(faults)) + 1))
            await self.gate.reach(fault.at)
            await self._strike(fault)
            await self._healed(self.gate.issued)
        self.gate.open(self.plan.directives)

    async def _strike(self, fault: Fault) -> None:
        match fault.kind:
            case Blow.KILL:
                self.redelivered += await self.chain.repeats()
                killed = self.chain.pid(fault.tier)
                self.chain.signal(fault.tier, signal.SIGKILL)
                self.redelivered -= await self.chain.repeats()  # what the others go on counting
                await self._back(fault.tier, killed)
            case Blow.STOP:
                self.chain.signal(fault.tier, signal.SIGSTOP)
                await asyncio.sleep(fault.seconds)
                self.chain.signal(fault.tier, signal.SIGCONT)
            case Blow.FLAP:
                for _ in range(FLAPS):
                    await cut(self.chain.lines[fault.tier], Cut.RESET, FLAP_S)
                    await asyncio.sleep(FLAP_S)
            case kind:
                await cut(self.chain.lines[fault.tier], kind, fault.seconds)

    async def _back(self, tier: str, killed: int | None) -> None:
        """Return once another process than ``killed`` serves ``tier``."""
        began = asyncio.get_running_loop().time()

        async def ready() -> bool:
            return self.chain.pid(tier) not in (None, killed) and await self.chain.ready(tier)

        await self.chain.until(ready, f"{tier} is back", HEAL_S)
        self.restarts_s.append(asyncio.get_running_loop().time() - began)

    async def _healed(self, count: int) -> None:
        """Return once ``count`` orders have been shown wherever they go."""
        each = len(self.scope(0))

        async def shown() -> bool:
            return sum(len(screen.numbers) for screen in self.screens.values()) >= count * each

        await self.chain.until(shown, f"{count} orders are shown", HEAL_S)

    async def _settled(self) -> bool:
        return all(screen.settled for screen in self.screens.values())

    async def _reported(self) -> bool:
        """Return whether the issuing node's journal has every signature, which it says in its own time."""
        return await asyncio.to_thread(self._signatures) >= self._signed()

    def _signed(self) -> int:
        return len({e.what for e in self.history.events if e.did is Did.SIGN and e.outcome.value == "ok"})

    def _signatures(self) -> int:
        connection = logfile.connect(self._journal(self.top))
        try:
            row = connection.execute("SELECT count(*) FROM records WHERE key GLOB 'delivery:*:signed'").fetchone()
            return int(row[0])
        finally:
            connection.close()

    # ---- afterwards ------------------------------------------------------------------------------

    def _journal(self, tier: str) -> Path:
        return self.chain.nodes[tier].config.node.data_dir / "journal.sqlite"

    def read_journals(self) -> None:
        """Add to the history what every node holds, in its journal's order; the issuing node's first."""
        names = {code: screen.name for code, screen in self.screens.items()}
        orders: dict[str, str] = {}
        for tier in self.plan.names:
            connection = logfile.connect(self._journal(tier))
            head = connection.execute("SELECT max(seq) FROM records").fetchone()[0]
            for row in logfile.scan(connection, Seq(head or 0), ("directive:", "delivery:")):
                match row.record:
                    case DirectiveIssued(title=title) if number := number_in(title):
                        orders[row.record.directive] = number
                        self.history.add(tier, Did.HOLD, number, lane=row.record.urgency)
                    case DeliveryAdvanced(stage=Stage.SIGNED) if tier == self.top:
                        what = f"{names[row.record.recipient]} {orders[row.record.directive]}"
                        self.history.add(tier, Did.REPORT, what)
                    case _:
                        pass
            connection.close()

    def verdict(self) -> Verdict:
        places = {str(number): self.held_at(number) for number in range(self.plan.directives)}
        return check(self.history.events, self.top, places)


async def prove(plan: Plan, directory: Path, base_port: int) -> tuple[dict[str, Any], Verdict]:
    """Run ``plan`` on ``base_port`` and the four ports after it; return (figures, what does not add up)."""
    clock = Clock()
    chain = Chain(directory, plan.names, base_port)
    async with chain:
        delivery = Delivery(plan, chain)
        began = clock.now()
        await delivery.run()
        took_s = clock.now() - began
    delivery.read_journals()
    found = delivery.verdict()
    return figures(plan, delivery, found, took_s), found


def figures(plan: Plan, delivery: Delivery, found: Verdict, took_s: float) -> dict[str, Any]:
    """Return what ``--json`` ends with."""
    return {
        "issued": found.issued,
        "cuts": plan.cuts,
        "kills": plan.kills,
        "stops": plan.stops,
        "flaps": plan.flaps,
        "lost": len(found.lost),
        "shown_twice": len(found.twice),
        "reordered": len(found.reordered),
        "phantom": len(found.phantom),
        "redelivered": int(delivery.redelivered),
        "issuing": found.tally(Did.ISSUE),
        "shown": found.tally(Did.SHOW),
        "signing": found.tally(Did.SIGN),
        "tiers": plan.tiers,
        "restarts": len(delivery.chain.restarts),
        "ready_p50_s": round(statistics.median(delivery.restarts_s), 2) if delivery.restarts_s else 0.0,
        "ready_max_s": round(max(delivery.restarts_s, default=0.0), 2),
        "seed": plan.seed,
        "seconds": round(took_s, 1),
    }
