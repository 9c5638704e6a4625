"""One node: every part built from the settings, run in one task group, and put away in order.

Order matters twice.  At start the router reads the journal before whoever asks it, and the port opens
last, when everything behind it stands.  At the end people and neighbours are told, then the port
closes, then the journal, which writes what was still appended.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import uvloop

from media.engine import Engine
from media.peer import Peers
from signaling.duty import Roster
from signaling.ids import NodeCode, Sha256
from signaling.records import Actor, Role
from signaling.routing import Router

from . import adapters, api, configured, groups, http, telemetry, units
from .adapters import Adapters
from .addresses import reachable
from .admittance import Admittance
from .alarms import Alarms
from .audit import Audit
from .auth import Auth
from .blobs import Blobs
from .bus import Bus
from .camera_book import CameraBook
from .cameras import Cameras
from .circulars import Circulars
from .clock import Clock
from .conferences import Conferences
from .config import Config, ConfigError
from .connection import Listener
from .directives import Directives
from .dispatch import Dispatch
from .ending import end_all, end_process_within
from .escalations import Escalations
from .filedrop import FileDrop
from .forms import AlarmRequest
from .gauges import Gauges
from .heartbeat import AuditorWatch
from .holding import Holding
from .intake import Intake
from .interchange import Interchange
from .journal import Journal, JournalError, Row
from .links import Links
from .load import Limits
from .loads import Loads
from .mqtt import Mqtt
from .outbound import Outbound
from .outbox import Outbox
from .overdue_lists import OverdueLists
from .overdue_timers import OverdueTimers
from .people import People
from .phone_book import PhoneBook
from .presence import Presence
from .redial import Redial
from .refusals import Refusals
from .releases import Releases
from .rosters import Rosters
from .skews import Skews
from .sources import Sources
from .space import Space
from .timers import Timers
from .transfers import Transfers
from .unguarded import UnguardedClocks

log = logging.getLogger(__name__)

ENDING_S = 0.5
"""For the parts that run, once they are told to end."""
PUT_AWAY_S = 0.5
"""For connections of media, to say goodbye."""
LATE_S = 6.0
"""So long after the time requests had, a process that was told to end is cut off.  The journal survives that.

It ends in a fraction of it; a machine that is busy with something else may need the rest."""


def run(config: Config) -> None:
    """Run the node until SIGTERM or SIGINT.

    Raises:
        ConfigError: It cannot start as configured.
        SystemExit: The journal failed; status 1.
    """
    try:
        uvloop.run(serve(config))
    except* JournalError as group:
        log.critical("journal failed; the node ends", extra={"error": str(group.exceptions[0])})
        raise SystemExit(1) from None


async def serve(config: Config, started: asyncio.Future[Node] | None = None) -> None:
    """Run the node until a signal, or until ``Node.stop`` is set."""
    node = await Node.build(config)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        node.stop.set()
        end_process_within(config.http.shutdown_s + LATE_S)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    await node.run(started)


@dataclass(slots=True, kw_only=True)
class Node:
    """All parts of one running gateway."""

    config: Config
    stop: asyncio.Event
    journal: Journal
    auth: Auth
    bus: Bus
    outbox: Outbox
    directives: Directives
    alarms: Alarms
    sources: Sources
    cameras: Cameras
    conferences: Conferences
    presence: Presence
    space: Space
    transfers: Transfers
    timers: Timers
    overdue_timers: OverdueTimers
    redial: Redial
    auditor: AuditorWatch | None
    outbound: Outbound
    dispatch: Dispatch
    links: Links
    unguarded: UnguardedClocks
    mqtt: Mqtt
    engine: Engine
    peers: Peers
    loads: Loads
    services: api.Services
    gauges: Gauges
    listener: Listener | None = None

    @classmethod
    async def build(cls, config: Config) -> Self:
        """Open files and ports and wire the parts; nothing runs yet.

        Raises:
            ConfigError: A file or a port cannot be used.
        """
        code, clock = NodeCode(config.node.code), Clock()
        tree = configured.tree(config)
        uplink = configured.uplink(config, tree)
        config.node.data_dir.mkdir(parents=True, exist_ok=True)
        auth = Auth(config, clock)
        reserve = configured.reserve(config)
        try:
            journal = Journal.open(config.node.data_dir / "journal.sqlite", code, clock, reserve)
        except JournalError as error:
            raise ConfigError((str(error),)) from None
        router = Router(code, tree)
        journal.follow(lambda rows: _note(router, rows), ("directive:", "conference:", "circular:"))
        engine = configured.engine(config)
        peers = Peers(
            engine, reachable(config), port=config.media.advertise_port, max_peers=config.media.max_transports
        )
        refusals = Refusals(code, journal, clock, telemetry.default)
        holding = Holding(code, journal, clock, telemetry.default)
        space = Space(
            config.node.data_dir, reserve, telemetry.default, lambda left: _tell_short(alarms, code, clock, left)
        )
        blobs = Blobs(config.node.data_dir / "blobs", admits=space.admits)
        bus = Bus(code, config.bus.url, config.node.data_dir, telemetry.default)
        outbox = Outbox(journal, bus)
        roster = Roster()
        posts = config.duty.posts, config.duty.village_posts
        rosters = Rosters(code, tree, journal, clock, refusals, roster, *posts)
        rules = configured.rules(config, tree)
        directives = Directives(
            code, tree, auth.keys, journal, clock, telemetry.default, refusals, rules, roster, blobs
        )
        timers = Timers(code, tree, auth.keys, journal, clock, telemetry.default, directives)
        escalations = Escalations(code, tree, auth.keys, journal, clock, refusals, directives)
        ways = configured.camera_ways(config)
        sources = Sources(
            code,
            tree,
            journal,
            clock,
            config.node.data_dir / "sources.sqlite",
            config.alarms.pictures_per_min,
            config.alarms.pictures_burst,
            refusals,
            CameraBook(config.node.data_dir / "cameras.sqlite"),
            ways.check,
        )
        alarms = Alarms(code, tree, journal, blobs, clock, telemetry.default, refusals, sources)
        cameras = Cameras(
            code,
            tree,
            journal,
            clock,
            telemetry.default,
            refusals,
            sources,
            alarms.picture,
            ways,
            config.cameras,
        )
        alarms.on_unpictured(cameras.look)
        cameras.resume(alarms.unpictured)
        overdue_timers = OverdueTimers(code, tree, auth.keys, journal, clock, telemetry.default, alarms)
        overdue = OverdueLists(code, tree, auth.keys, journal, clock, refusals, alarms)
        circulars = Circulars(code, tree, auth.keys, journal, clock, telemetry.default, refusals)
        exchange = Interchange(code, tree, directives, alarms, journal, clock, telemetry.default, refusals)
        audit = Audit(code, tree, journal, clock, refusals, directives)
        loads = Loads(clock, engine, Limits(config.load.worker_share, config.load.lag_ms / 1_000))
        conferences = Conferences(code, tree, journal, router, refusals, clock, engine, peers, loads)
        presence = Presence(code, tree, bus.client)
        transfers = Transfers(blobs, clock, lambda sha256, peer: _may_have(alarms, directives, router, sha256, peer))
        outside = config.adapters
        outbound = Outbound(timeout_s=outside.timeout_s, attempts=outside.attempts, local=outside.local)
        ways_out = Adapters(code, journal, clock, telemetry.default)
        book = PhoneBook(config.node.data_dir / "phones.sqlite")
        people = People(tree, clock, refusals, configured.contacts_file(config), rosters, book)
        for adapter in adapters.configured(outside, outbound, people, clock):
            ways_out.add(adapter)
        redial = Redial(journal, clock, telemetry.default, ways_out, people, directives, code, alarms.incidents)
        releases = Releases(code, tree, directives, alarms, ways_out, journal, clock, telemetry.default, refusals)
        if outside.filedrop_dir is not None:
            drop = FileDrop(outside.filedrop_dir, releases.compose, outside.attempts)
            ways_out.add(drop)
            releases.drop(drop)
        dispatch = Dispatch(
            node=code,
            name=config.node.name or tree.name(code),
            tree=tree,
            clock=clock,
            auth=auth,
            refusals=refusals,
            directives=directives,
            escalations=escalations,
            alarms=alarms,
            overdue=overdue,
            circulars=circulars,
            rosters=rosters,
            audit=audit,
            conferences=conferences,
            presence=presence,
            transfers=transfers,
        )
        skews = Skews(holding)
        dispatch.showing.compare(skews)
        intake = Intake(dispatch, refusals, holding)
        admittance = Admittance(code, tree, journal, refusals, skews, clock)
        links = Links(code, tree, journal, router, auth, dispatch, intake, admittance, skews, clock, uplink)
        unguarded = UnguardedClocks(code, tree, journal, clock, alarms.incidents, lambda: links.up)
        dispatch.showing.guard(unguarded)
        outbox.on_record(dispatch.showing.on_record)
        watch = configured.auditor_watch(config, clock)
        if watch is not None:
            dispatch.showing.watch(watch)
        blobs.on_blob(dispatch.showing.on_blob)
        gauges = Gauges(engine, journal, dispatch.sessions, links, conferences, loads)
        telemetry.on_scrape(gauges.read)
        services = api.Services(
            config=config,
            clock=clock,
            auth=auth,
            tree=tree,
            directives=directives,
            escalations=escalations,
            alarms=alarms,
            overdue=overdue,
            sources=sources,
            cameras=cameras,
            circulars=circulars,
            rosters=rosters,
            people=people,
            groups=groups.read(config.tree.groups_file, tree),
            interchange=exchange,
            releases=releases,
            audit=audit,
            conferences=conferences,
            presence=presence,
            templates=configured.texts(config),
            units=units.read(config.tree.units_file, tree),
        )
        return cls(
            config=config,
            stop=asyncio.Event(),
            journal=journal,
            auth=auth,
            bus=bus,
            outbox=outbox,
            directives=directives,
            alarms=alarms,
            sources=sources,
            cameras=cameras,
            conferences=conferences,
            presence=presence,
            space=space,
            transfers=transfers,
            timers=timers,
            overdue_timers=overdue_timers,
            redial=redial,
            auditor=watch,
            outbound=outbound,
            dispatch=dispatch,
            links=links,
            unguarded=unguarded,
            mqtt=Mqtt(code, alarms, config.mqtt, clock),
            engine=engine,
            peers=peers,
            loads=loads,
            services=services,
            gauges=gauges,
        )

    async def run(self, started: asyncio.Future[Node] | None = None) -> None:
        """Serve until ``stop`` is set.

        Raises:
            ConfigError: The port cannot be bound.
            ExceptionGroup[JournalError]: The journal failed.
        """
        try:
            self.engine.start()
            self.links.intake.take_up()
            await self._listen()
            async with asyncio.TaskGroup() as tasks:
                running = [
                    tasks.create_task(work, name=name)
                    for name, work in (
                        ("journal", self.journal.failure()),
                        ("bus", self.bus.run()),
                        ("outbox", self.outbox.run()),
                        ("directives", self.directives.run()),
                        ("turns", self.dispatch.showing.turns.run()),
                        ("timers", self.timers.run()),
                        ("overdue timers", self.overdue_timers.run()),
                        ("redial", self.redial.run()),
                        ("releases", self.services.releases.run()),
                        ("conferences", self.conferences.run()),
                        ("qualities", self.conferences.qualities.run()),
                        ("loads", self.loads.run()),
                        ("presence", self.presence.run()),
                        ("space", self.space.run()),
                        ("transfers", self.transfers.run()),
                        ("links", self.links.run()),
                        ("unguarded", self.unguarded.run()),
                        ("mqtt", self.mqtt.run()),
                        ("sources", self.sources.run()),
                        ("cameras", self.cameras.run()),
                    )
                ]
                if self.auditor is not None:
                    running.append(tasks.create_task(self.auditor.run(), name="auditor"))
                if started is not None:
                    started.set_result(self)
                await self.stop.wait()
                await self._goodbye()
                await end_all(running, ENDING_S)
        finally:
            await self._put_away()

    async def _listen(self) -> None:
        http_config = self.config.http
        application = http.application(
            self.config,
            api=api.routes(self.services),
            ws=self.dispatch.sessions.accept,
            link=self.links.accept,
            readiness=self.readiness,
        )
        try:
            media = self.engine.native.adopt_stream if self.config.media.tcp else None
            self.listener = await Listener.start(application, http_config, media)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError((f"http {http_config.host}:{http_config.port}: {error}",)) from None
        log.info(
            "node up",
            extra={"node": self.config.node.code, "port": self.listener.port, "media_port": self.engine.port},
        )
        if self.config.media.tcp:
            self.peers.over_tcp(self.config.media.advertise_port or self.listener.port)

    def readiness(self) -> Mapping[str, str]:
        """Return check to what is wrong, "" when it is well."""
        checks = {
            "journal": "a write has failed" if self.journal.failed else "",
            "bus": "" if self.bus.up else "Redis does not answer",
            "disk": self.space.problem,
        }
        if self.links.uplink_up is not None:
            checks["uplink"] = "" if self.links.uplink_up else self.links.complaint
        if self.auditor is not None:
            checks["auditor"] = self.auditor.complaint
        return checks

    async def _goodbye(self) -> None:
        """Tell people and neighbours, and let requests end."""
        log.info("node stopping", extra={"node": self.config.node.code})
        self.dispatch.sessions.close()
        self.links.close()
        if self.listener is not None:
            await self.listener.stop()
            self.listener = None

    async def _put_away(self) -> None:
        if self.listener is not None:
            await self.listener.stop()
        self.gauges.close()
        try:
            async with asyncio.timeout(PUT_AWAY_S):
                await self.conferences.close()
                await self.peers.close()
        except TimeoutError:
            log.warning("media connections cut off")
        await self.outbound.close()
        self.engine.close()
        self.auth.close()
        self.sources.close()
        self.services.people.close()
        if not self.journal.failed:
            await self.journal.close()
        self.space.close()


def _note(router: Router, rows: Sequence[Row]) -> None:
    for row in rows:
        router.note(row.record)


async def _tell_short(alarms: Alarms, code: NodeCode, clock: Clock, left: int) -> None:
    """Raise an alarm that goes up to the root: this node's disk is full."""
    text = f"网关磁盘将满，剩余 {left // 1024} KB；图片已停存，指令和告警继续保存。"
    who = Actor("网关", Role.DEVICE, code)
    await alarms.raise_alarm(who, AlarmRequest(kind="disk-full", text=text, event=f"disk:{clock.at()}"))


def _may_have(alarms: Alarms, directives: Directives, router: Router, sha256: Sha256, peer: NodeCode) -> bool:
    """Return whether ``peer`` is concerned by the alarm a picture belongs to, or the directive a file does."""
    if any(router.concerns(order, peer) for order in directives.attached(sha256)):
        return True
    alarm = alarms.alarm_of(sha256)
    raised = None if alarm is None else alarms.raised(alarm)
    return raised is not None and router.concerns(raised, peer)
