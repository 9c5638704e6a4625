"""``wuji auditor``: reads a node's journal from outside, recomputes its clocks, and says when one was missed.

A process of its own, so that what stops the node does not stop it.  It opens the journal read-only, writes a
heartbeat the node watches, and watches the node's ``/readyz`` in turn: of two that watch each other one is left to
raise its voice.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from gateway import heartbeat
from gateway.adapters import Notice, Webhook, configured
from gateway.clock import Clock
from gateway.config import Config
from gateway.contacts import Contacts
from gateway.heartbeat import Beat, Watch
from gateway.outbound import CallFailed, Outbound
from gateway.recompute import PREFIXES, Finding, Ledger, places_of
from gateway.recompute_cards import Place
from signaling.ids import NodeCode
from signaling.records import Urgency

log = logging.getLogger(__name__)

POLL_S = 1.0
BATCH = 2_000
BUSY_S = 10.0
ASK_S = 5.0
"""For the node to answer."""
LOUD = 20
"""Findings said one by one; the rest is a number."""


@dataclass(slots=True)
class Report:
    """What one look found.  ``faults`` are new ones; ``missed`` are overdue now."""

    seq: int = 0
    missed: Sequence[Finding] = ()
    faults: Sequence[Finding] = ()
    counts: dict[str, int] = field(default_factory=dict)
    unreadable: str = ""

    @property
    def clean(self) -> bool:
        return not (self.missed or self.faults or self.unreadable)


class Auditor:
    """Looks at one journal.  ``look`` is one pass; what it has read it does not read again."""

    def __init__(self, path: Path, node: NodeCode, places: Mapping[str, Place], clock: Clock, grace_ms: int) -> None:
        self._path = path
        self._node = node
        self._places = places
        self._clock = clock
        self._grace_ms = grace_ms
        self._connection: sqlite3.Connection | None = None
        self._epoch = ""
        self._begin("")

    def look(self) -> Report:
        """Read what is new and say what is wrong."""
        try:
            self._read()
        except sqlite3.Error as error:
            self.close()
            return Report(self._seq, unreadable=f"{self._path}: {error}")
        missed = self._ledger.overdue(self._steady_ms())
        faults = list(self._ledger.faults)
        self._ledger.faults.clear()
        self._live = True
        return Report(self._seq, missed, faults, dict(self._ledger.counts))

    def close(self) -> None:
        """Let go of the journal; the next look opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _begin(self, epoch: str) -> None:
        """Start over: it is another journal than before."""
        self._epoch = epoch
        self._ledger = Ledger(self._node, self._places, self._grace_ms)
        self._seq = 0
        self._live = False

    def _read(self) -> None:
        if self._connection is None:
            self._connection = sqlite3.connect(
                f"file:{self._path}?mode=ro", uri=True, timeout=BUSY_S, check_same_thread=False
            )
        (epoch,) = self._connection.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone() or ("",)
        if epoch != self._epoch:
            self._begin(epoch)
        while True:
            found = self._connection.execute(
                "SELECT seq, key, data FROM records WHERE seq > ? ORDER BY seq LIMIT ?", (self._seq, BATCH)
            ).fetchall()
            for seq, key, data in found:
                self._seq = seq
                if key.startswith(PREFIXES):
                    self._ledger.take(data, wall_ms=self._clock.at(), steady_ms=self._steady_ms(), live=self._live)
            if len(found) < BATCH:
                return

    def _steady_ms(self) -> float:
        return self._clock.now() * 1_000


class Watchman:
    """The running auditor: looks once a second, beats, asks whether the node is there, and raises its voice."""

    def __init__(self, config: Config, clock: Clock, auditor: Auditor, voice: Webhook | None, ask: str) -> None:
        """``ask``: address of the node's ``/readyz``; ``voice``: where alarms go besides the log."""
        self._config = config
        self._clock = clock
        self._auditor = auditor
        self._voice = voice
        self._ask = ask
        self._watch = Watch(clock, config.auditor.silent_s)
        self._run = clock.new_id("w")
        self._number = 0
        self._answers = 0
        self._faults = 0
        self._alarm = ""
        self.report = Report()

    @property
    def wrong(self) -> bool:
        """Whether something is wrong now."""
        return bool(self._alarm) or not self.report.clean

    async def run(self, stop: asyncio.Event) -> None:
        """Audit until ``stop`` is set."""
        timeout = aiohttp.ClientTimeout(total=ASK_S)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            while not stop.is_set():
                await asyncio.gather(self.step(), self._listen(http))
                try:
                    async with asyncio.timeout(POLL_S):
                        await stop.wait()
                except TimeoutError:
                    continue

    async def step(self) -> None:
        """Look once, beat once, and say what is new."""
        self.report = report = await asyncio.to_thread(self._auditor.look)
        self._faults += len(report.faults)
        self._number += 1
        beat = Beat(
            run=self._run,
            number=self._number,
            at=self._clock.at(),
            seq=report.seq,
            missed=len(report.missed),
            faults=self._faults,
        )
        await asyncio.to_thread(heartbeat.write, self._config.node.data_dir, beat)
        for finding in [*report.faults, *report.missed][:LOUD]:
            log.error("timer", extra=finding._asdict())
        silent = self._watch.silent_for(self._answers or None)
        await self._say(_alarm(report, silent))

    async def _say(self, alarm: str) -> None:
        """Say an alarm when it begins, changes its kind, and when it is over."""
        if alarm == self._alarm:
            return
        self._alarm = alarm
        (log.error if alarm else log.info)("auditor", extra={"alarm": alarm or "none"})
        if self._voice is None or not alarm:
            return
        code = self._config.node.code
        notice = Notice(
            id=f"{self._run}:{self._number}",
            kind="auditor",
            subject=code,
            urgency=Urgency.P1,
            title=alarm,
            text=f"{self.report.seq} rows read",
            places=(NodeCode(code),),
        )
        try:
            await self._voice.send(notice)
        except CallFailed as error:
            log.error("alarm not sent", extra={"code": error.code})

    async def _listen(self, http: aiohttp.ClientSession) -> None:
        """Ask the node; any answer is life, whether it is ready is its own business."""
        try:
            async with http.get(self._ask, ssl=False, allow_redirects=False) as answer:
                await answer.read()
                self._answers += 1
        except (aiohttp.ClientError, OSError, TimeoutError):
            return


def _alarm(report: Report, silent_s: float) -> str:
    """Return what is wrong in a few stable words, "" if nothing is."""
    if report.unreadable:
        return "the journal cannot be read"
    if silent_s:
        return "the node is silent"
    if report.missed:
        return "timers are missed"
    return "timers fired wrongly" if report.faults else ""


def ready_url(config: Config) -> str:
    """Return where this machine asks the node how it is."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(config.http.host, config.http.host)  # noqa: S104
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"{'https' if config.http.tls_cert else 'http'}://{host}:{config.http.port}/readyz"


def make(config: Config, clock: Clock) -> Auditor:
    """Return the auditor of the configured node.

    Raises:
        OSError, ValueError: The table of divisions cannot be read.
    """
    places = places_of(config.tree.file.read_text(encoding="utf-8"))
    journal = config.node.data_dir / "journal.sqlite"
    return Auditor(journal, NodeCode(config.node.code), places, clock, round(config.auditor.grace_s * 1_000))


async def run(config: Config, clock: Clock) -> bool:
    """Audit until SIGTERM or SIGINT; return whether all is well then."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    outside = config.adapters
    outbound = Outbound(timeout_s=outside.timeout_s, attempts=outside.attempts, local=outside.local)
    ways = configured(outside, outbound, Contacts(), clock) if config.auditor.notify else []
    voice = next((way for way in ways if isinstance(way, Webhook)), None)
    auditor = make(config, clock)
    watchman = Watchman(config, clock, auditor, voice, ready_url(config))
    log.info("auditor up", extra={"node": config.node.code})
    try:
        await watchman.run(stop)
    finally:
        auditor.close()
        await outbound.close()
    return not watchman.wrong
