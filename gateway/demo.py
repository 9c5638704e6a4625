"""``wuji demo``: five tiers, one Redis, two cameras, the county's auditor and a meeting on one machine.

A supervisor and nothing else: each node is a process of its own, started as anybody would start it
(``wuji node --config FILE``), and talked to over HTTP.  Keys are made at the first start; everything
it writes is under one directory.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import signal
import socket
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp

from signaling.ids import NodeCode
from signaling.records import Actor, Role

from . import places
from .auth import Auth
from .clock import Clock
from .config import Config, load
from .embedded import EmbeddedServer, EmbeddedServerError
from .pki import files_of, make_node_keys
from .reference import to_toml
from .supervisor import Child, end_with

TIERS = ("province", "city", "county", "township", "village")
BASE_PORT = 8801
AUDITED = "county"
WATCHED = {"WUJI__AUDITOR__WATCHED": "true", "WUJI__AUDITOR__SILENT_S": "30"}
"""The gateway beside which an auditor runs is told so by whoever starts both."""
MEETING = "防汛视频调度会"
READY_S = 300.0
POLL_S = 0.1
DEVICE = "八里村水位站"
CAMERAS = ("湘江水位摄像头", "镇政府广场摄像头")
PEOPLE: tuple[tuple[str, Role, str], ...] = (
    ("county", Role.COMMANDER, "县指挥长 刘建国"),
    ("village", Role.TERMINAL, "八里村 赵支书"),
    ("township", Role.TERMINAL, "开云镇 值班员"),
    ("province", Role.AUDITOR, "省厅 审计员"),
    ("city", Role.COMMANDER, "市指挥长 陈志远"),
    ("province", Role.COMMANDER, "省指挥长 周明"),
    ("township", Role.COMMANDER, "开云镇 镇长"),
    ("county", Role.AUDITOR, "县审计员"),
    ("county", Role.ADMIN, "县管理员"),
)
Say = Callable[[str], None]


class DemoError(Exception):
    """The demo cannot run; the text says what to do about it."""


@dataclass(frozen=True, slots=True)
class Link:
    """One sign-in link for the list at the end."""

    tier: str
    role: str
    name: str
    url: str


@dataclass(frozen=True, slots=True)
class Node:
    """One of the five."""

    tier: str
    file: Path
    config: Config

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.config.http.port}"

    @property
    def code(self) -> NodeCode:
        return NodeCode(self.config.node.code)


# ---- the directory -------------------------------------------------------------------------------


def prepare(directory: Path, base_port: int) -> tuple[Node, ...]:
    """Make what is missing under ``directory`` and return the five nodes.

    The files in ``configs/demo`` are used as they are when they mean this directory and these ports;
    otherwise copies that do are written to ``directory/config``.
    """
    directory.mkdir(parents=True, exist_ok=True)
    source = places.configs() / "demo"
    files = {tier: source / f"{tier}.toml" for tier in TIERS}
    if (source / "../../.demo").resolve() != directory or base_port != BASE_PORT:
        files = {tier: _adapted(file, tier, directory, base_port) for tier, file in files.items()}
    codes = [NodeCode(tomllib.loads(file.read_text(encoding="utf-8"))["node"]["code"]) for file in files.values()]
    make_node_keys(directory / "keys", codes)
    (directory / "log").mkdir(exist_ok=True)
    return tuple(Node(tier, file, load(file)) for tier, file in files.items())


def _adapted(file: Path, tier: str, directory: Path, base_port: int) -> Path:
    table: dict[str, dict[str, Any]] = tomllib.loads(file.read_text(encoding="utf-8"))
    keys = directory / "keys"
    table["node"]["data_dir"] = str(directory / tier)
    table["http"]["port"] = base_port + TIERS.index(tier)
    if "uplink" in table:
        table["uplink"]["url"] = f"ws://127.0.0.1:{base_port + TIERS.index(tier) - 1}/link"
    if "adapters" in table:
        table["adapters"]["filedrop_dir"] = str(directory / tier / "released")
    table["tree"] = {name: str((file.parent / value).resolve()) for name, value in table["tree"].items()}
    table["keys"] = {
        "private_key_file": str(files_of(keys, NodeCode(table["node"]["code"])).private_key),
        "public_keys_file": str(keys / "public_keys.toml"),
    }
    (directory / "config").mkdir(exist_ok=True)
    target = directory / "config" / file.name
    target.write_text(to_toml(table), encoding="utf-8")
    return target


def taken_ports(ports: Iterable[int]) -> list[str]:
    """Return ``port/tcp`` and ``port/udp`` of those that somebody else has on 127.0.0.1."""
    taken = []
    for port in ports:
        for kind, word in ((socket.SOCK_STREAM, "tcp"), (socket.SOCK_DGRAM, "udp")):
            with socket.socket(socket.AF_INET, kind) as probe:
                if kind == socket.SOCK_STREAM:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    taken.append(f"{port}/{word}")
    return taken


def sign_in_links(nodes: Sequence[Node], clock: Clock) -> list[Link]:
    """Make one link per person of ``PEOPLE``."""
    links = []
    for tier, role, name in PEOPLE:
        node = next(node for node in nodes if node.tier == tier)
        with contextlib.closing(Auth(node.config, clock)) as auth:
            code = auth.create_link(Actor(name, role, node.code), reusable=True)
        links.append(Link(tier, role.value, name, f"{node.url}/#code={code}"))
    return links


# ---- the processes -------------------------------------------------------------------------------


def wuji(*arguments: str) -> list[str]:
    """Return the command line of one of our own commands."""
    return [sys.executable, "-m", "gateway", *arguments]


class Demo:
    """The running demo."""

    def __init__(self, nodes: Sequence[Node], directory: Path, say: Say) -> None:
        self._nodes = {node.tier: node for node in nodes}
        self._directory = directory
        self._say = say
        self._clock = Clock()
        self._bus = EmbeddedServer(directory)
        self._bus_keeper: asyncio.Task[None] | None = None
        self._children: list[Child] = []

    async def run(self, *, cameras: bool, ready: Callable[[str], None]) -> None:
        """Run until cancelled; ``ready`` is told the meeting's id once people may come in."""
        async with asyncio.TaskGroup() as tasks:
            try:
                await self._start_bus(tasks)
                clips = tasks.create_task(self._clips()) if cameras else None
                bus = {"WUJI__BUS__URL": self._bus.url}
                for node in self._nodes.values():
                    watched = WATCHED if node.tier == AUDITED else {}
                    self._keep(tasks, node.tier, wuji("node", "--config", str(node.file)), bus | watched)
                    if watched:
                        self._keep(tasks, "auditor", wuji("auditor", "--config", str(node.file)), watched)
                async with aiohttp.ClientSession() as http:
                    await self._all_ready(http)
                    meeting = await self._convene(http)
                    if clips is not None:
                        await self._start_cameras(tasks, http, meeting, await clips)
                ready(meeting)
                await asyncio.Event().wait()
            finally:
                await asyncio.shield(self._stop())

    async def _start_bus(self, tasks: asyncio.TaskGroup) -> None:
        try:
            await self._bus.start()
        except EmbeddedServerError as error:
            raise DemoError(f"no Redis: {error}") from error
        self._bus_keeper = tasks.create_task(self._keep_bus())

    async def _keep_bus(self) -> None:
        while True:
            status = await self._bus.wait()
            self._say(f"Redis ended ({status}) and is started again")
            await self._bus.start()

    def _keep(self, tasks: asyncio.TaskGroup, name: str, arguments: list[str], environment: Mapping[str, str]) -> None:
        log_file = self._directory / "log" / f"{name}.log"
        log_file.write_bytes(b"")
        child = Child(name, arguments, log_file, self._say, environment)
        self._children.append(child)
        tasks.create_task(child.keep())

    async def _all_ready(self, http: aiohttp.ClientSession) -> None:
        for node in self._nodes.values():
            await self._until(node, lambda node=node: self._is_ready(http, node))  # type: ignore[misc]
            self._say(f"{node.tier:<9} {node.config.node.name}  {node.url}")

    async def _until(self, node: Node, probe: Callable[[], Any]) -> None:
        reason = ""
        try:
            async with asyncio.timeout(READY_S):
                while reason := await probe():  # noqa: ASYNC110
                    await asyncio.sleep(POLL_S)  # another process: nothing here to wait on
        except TimeoutError:
            log_file = self._directory / "log" / f"{node.tier}.log"
            raise DemoError(f"{node.tier} is not ready after {READY_S:.0f} s: {reason}; see {log_file}") from None

    async def _is_ready(self, http: aiohttp.ClientSession, node: Node) -> str:
        """Return what ``node`` still waits for, "" when nothing."""
        status, answer = await _get(http, f"{node.url}/readyz")
        return "" if status == 200 else json.dumps(answer, ensure_ascii=False)

    async def _knows(self, http: aiohttp.ClientSession, node: Node, token: str, meeting: str) -> str:
        status, answer = await _get(http, f"{node.url}/api/v1/conferences/{meeting}", token)
        return "" if status == 200 else f"the meeting has not arrived: {answer}"

    async def _convene(self, http: aiohttp.ClientSession) -> str:
        """Return the id of the demo's meeting: the one still running from last time, or a new one."""
        county = self._nodes["county"]
        token = self._token(county, Role.COMMANDER, "县指挥长 刘建国")
        _, known = await _get(http, f"{county.url}/api/v1/conferences", token)
        for conference in known.get("conferences", []):
            if conference.get("title") == MEETING and not conference.get("ended"):
                return str(conference["id"])
        scope = [{"node": county.code, "mode": "subtree"}]
        scope += [{"node": self._nodes[tier].code, "mode": "self"} for tier in ("city", "province")]
        order = {"title": MEETING, "scope": scope, "exercise": False}
        headers = {"Authorization": f"Bearer {token}"}
        async with http.post(f"{county.url}/api/v1/conferences", json=order, headers=headers) as answer:
            document = await answer.json(content_type=None)
            if answer.status != 201:
                raise DemoError(f"the county did not convene the meeting: {document}")
        return str(document["id"])

    async def _start_cameras(
        self, tasks: asyncio.TaskGroup, http: aiohttp.ClientSession, meeting: str, clips: Sequence[Path]
    ) -> None:
        """Start two cameras at the township, each with a clip of its own if there are two."""
        township = self._nodes["township"]
        watcher = self._token(township, Role.TERMINAL, "demo")
        await self._until(township, lambda: self._knows(http, township, watcher, meeting))
        for index, name in enumerate(CAMERAS):
            token = self._token(township, Role.DEVICE, name, ttl_s=30 * 86_400)
            url = f"{township.url}/whip/{meeting}"
            clip = str(clips[index % len(clips)])
            arguments = wuji("publish", clip, "--to", url, "--loop")
            self._keep(tasks, f"camera{index + 1}", arguments, {"WUJI_TOKEN": token})

    async def _clips(self) -> tuple[Path, ...]:
        """Make the cameras' clips, or find them made, in a process of its own: it decodes."""
        process = await asyncio.create_subprocess_exec(
            *wuji("clip", str(self._directory / "clips")),
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
            preexec_fn=end_with(os.getpid()),
        )
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode != 0:
            raise DemoError("the cameras' clips could not be made; try --no-cameras")
        return tuple(Path(line) for line in output.decode().splitlines())

    def _token(self, node: Node, role: Role, name: str, ttl_s: float = 3600) -> str:
        with contextlib.closing(Auth(node.config, self._clock)) as auth:
            return auth.mint(Actor(name, role, node.code), ttl_s)

    async def _stop(self) -> None:
        """End every child, the bus last: nodes say goodbye over it."""
        if self._bus_keeper is not None:
            self._bus_keeper.cancel()
        await asyncio.gather(*(child.stop() for child in self._children))
        await self._bus.stop()


async def _get(http: aiohttp.ClientSession, url: str, token: str = "") -> tuple[int, Mapping[str, Any]]:
    """Return (status, JSON) of a GET; status 0 while nobody listens."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        async with http.get(url, headers=headers, timeout=aiohttp.ClientTimeout(5)) as answer:
            return answer.status, await answer.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        return 0, {"error": str(error)}


# ---- the command ---------------------------------------------------------------------------------


def main(directory: Path, base_port: int, *, cameras: bool, as_json: bool, say: Say) -> int:
    """Run the demo until Ctrl-C or SIGTERM; return the exit code.

    Raises:
        DemoError: It cannot run.
    """
    directory = directory.resolve()
    if taken := taken_ports(range(base_port, base_port + len(TIERS))):
        raise DemoError(
            f"ports in use: {', '.join(taken)}. Stop what listens there (another demo?) "
            "or choose others: --base-port 9801"
        )
    nodes = prepare(directory, base_port)
    links = sign_in_links(nodes, Clock())

    def ready(meeting: str) -> None:
        _announce(links, nodes[-1], say)
        if as_json:
            urls = {node.tier: node.url for node in nodes}
            people = [asdict(link) for link in links]
            say(json.dumps({"ready": True, "conference": meeting, "nodes": urls, "links": people}, ensure_ascii=False))

    demo = Demo(nodes, directory, say)
    return asyncio.run(_until_signal(demo.run(cameras=cameras, ready=ready), say))


async def _until_signal(running: Any, say: Say) -> int:
    """Run until done, or until SIGINT or SIGTERM."""
    task = asyncio.ensure_future(running)
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    waiter = asyncio.ensure_future(asked.wait())
    await asyncio.wait((task, waiter), return_when=asyncio.FIRST_COMPLETED)
    if asked.is_set():
        say("stopping")
    waiter.cancel()
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return 0
    except BaseExceptionGroup as group:
        ours = group.subgroup(DemoError)
        if ours is None:
            raise
        raise DemoError(str(ours.exceptions[0])) from None
    return 0


def _alarm_command(node: Node) -> str:
    """Return what a shell needs to raise an alarm as a device does; the token is made when it runs."""
    token = f"$({shlex.join(wuji('token', '--config', str(node.file), '--role', Role.DEVICE, '--name', DEVICE))})"
    alarm = '{"kind": "water_level", "urgency": "P1", "text": "水位超警戒"}'
    return f"curl -H \"Authorization: Bearer {token}\" -F 'alarm={alarm}' {node.url}/api/v1/alarms"


def _announce(links: Sequence[Link], village: Node, say: Say) -> None:
    say("")
    for link in links:
        say(f"{link.tier:<9} {link.role:<10} {link.name}\n    {link.url}")
    say(f"{village.tier:<9} {Role.DEVICE:<10} {DEVICE}: raises an alarm by command\n    {_alarm_command(village)}")
    say("\nOpen a link in a browser; each person in a window of its own.  Ctrl-C stops everything.")
    say("demo ready")
