"""Gateways as processes of their own on loopback, for benches: started as anybody would start them.

Their journals are on the disk of the directory given: on a file system in memory nothing would be durable.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from signaling import division
from signaling.division import Tree
from signaling.ids import NodeCode
from signaling.records import Actor

from . import places
from .auth import Auth
from .clock import Clock
from .config import Config, load
from .demo import taken_ports, wuji
from .embedded import EmbeddedServer
from .pki import files_of, make_node_keys
from .reference import to_toml
from .supervisor import Child

FIRST_PORT = 10_000
PORTS = 10_000
READY_S = 300.0
POLL_S = 0.1
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """The load could not be made; the text says why."""


@dataclass(slots=True)
class Gateway:
    """One node of the bench."""

    config: Config
    child: Child

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.config.http.port}"


@dataclass(slots=True)
class Tiers:
    """Linked gateways, parents first."""

    tree: Tree
    directory: Path
    gateways: dict[NodeCode, Gateway] = field(default_factory=dict)

    def url(self, code: NodeCode) -> str:
        return self.gateways[code].url

    def token(self, code: NodeCode, who: Actor) -> str:
        """Return a token for ``who`` at the node ``code``."""
        with contextlib.closing(Auth(self.gateways[code].config, Clock())) as auth:
            return auth.mint(who)

    def cpu_s(self) -> dict[NodeCode, float]:
        """Return the seconds of processor each node has used."""
        return {code: cpu_s(gateway.child.pid) for code, gateway in self.gateways.items()}


def cpu_s(pid: int | None) -> float:
    """Return the seconds of processor a process has used.  Source: proc(5), fields 14 and 15 of ``stat``."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def peak_bytes(pid: int | None) -> int:
    """Return the most memory a process has used.  Source: proc(5), VmHWM."""
    rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(row.split()[1]) * 1024 for row in rows if row.startswith("VmHWM"))


def demo_tree() -> tuple[Path, Tree]:
    """Return the demo's table of divisions, and the tree in it."""
    table = places.configs() / "demo" / "divisions.csv"
    return table, division.parse(table.read_text(encoding="utf-8"))


@contextlib.asynccontextmanager
async def running(codes: Sequence[NodeCode]) -> AsyncIterator[Tiers]:
    """Run a gateway for each of ``codes`` (parents first), linked, with one bus; their data goes when they end.

    Raises:
        BenchError: One did not come up.
    """
    table, tree = demo_tree()
    with _directory() as directory:
        tiers = Tiers(tree, directory)
        bus = EmbeddedServer(directory)
        await bus.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                for config_file in _write(directory, codes, table, tree):
                    gateway = _gateway(config_file, bus.url)
                    tiers.gateways[NodeCode(gateway.config.node.code)] = gateway
                    tasks.create_task(gateway.child.keep())
                try:
                    await _all_ready(tiers)
                    yield tiers
                finally:
                    await asyncio.gather(*(gateway.child.stop() for gateway in tiers.gateways.values()))
        finally:
            await bus.stop()


@contextlib.contextmanager
def _directory() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix=".bench-", dir=Path.cwd()))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _write(directory: Path, codes: Sequence[NodeCode], table: Path, tree: Tree) -> list[Path]:
    make_node_keys(directory / "keys", codes)
    base = _free_ports(len(codes))
    ports = {code: base + index for index, code in enumerate(codes)}
    return [_write_one(directory, code, ports, table, tree) for code in codes]


def _write_one(directory: Path, code: NodeCode, ports: dict[NodeCode, int], table: Path, tree: Tree) -> Path:
    settings: dict[str, dict[str, Any]] = {
        "node": {"code": code, "data_dir": str(directory / code)},
        "http": {"host": "127.0.0.1", "port": ports[code]},
        "media": {"hosts": ["127.0.0.1"]},
        "tree": {"file": str(table), "templates_file": str(table.with_name("templates.toml"))},
        "keys": {
            "private_key_file": str(files_of(directory / "keys", code).private_key),
            "public_keys_file": str(directory / "keys" / "public_keys.toml"),
        },
    }
    parent = tree.parent(code)
    if parent in ports:
        settings["uplink"] = {"url": f"ws://127.0.0.1:{ports[parent]}/link"}
    file = directory / f"{code}.toml"
    file.write_text(to_toml(settings), encoding="utf-8")
    return file


def _free_ports(count: int) -> int:
    """Return the first of ``count`` neighbouring free ports; two processes begin to look at different places."""
    begin = os.getpid() * count % PORTS
    for step in range(0, PORTS, count):
        base = FIRST_PORT + (begin + step) % PORTS
        if not taken_ports(range(base, base + count)):
            return base
    raise BenchError("no free ports")


def _gateway(file: Path, bus: str) -> Gateway:
    log_file = file.with_suffix(".log")
    child = Child(file.stem, wuji("node", "--config", str(file)), log_file, print, {"WUJI__BUS__URL": bus})
    return Gateway(load(file), child)


async def _all_ready(tiers: Tiers) -> None:
    """Return once every node serves and its uplink is up."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as http:
        for code, gateway in tiers.gateways.items():
            try:
                async with asyncio.timeout(READY_S):
                    while not await _is_ready(http, gateway):  # noqa: ASYNC110
                        await asyncio.sleep(POLL_S)  # another process: nothing here to wait on
            except TimeoutError:
                text = gateway.child.log_file.read_text(errors="replace")[-2_000:]
                raise BenchError(f"{code} is not ready after {READY_S:.0f} s: {text}") from None


async def _is_ready(http: aiohttp.ClientSession, gateway: Gateway) -> bool:
    try:
        async with http.get(f"{gateway.url}/readyz") as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False
