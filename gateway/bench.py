"""``wuji bench NAME``: figures about this machine, each beside its floor from the same run.

Loads go to loopback only, are bounded in time and stop by themselves.  Quote the ratios: absolute
times differ from machine to machine and from minute to minute.
"""

from __future__ import annotations

import enum
import itertools
import json
import resource
from typing import Annotated

import typer

from gateway.proving import commands, storm
from media.engine import bench_hops, bench_relay

from . import bench_directives

app = typer.Typer(help="Measure this machine.", no_args_is_help=True)
app.command()(bench_directives.directives)
app.command()(bench_directives.ring)
app.command()(storm.storm)
app.command()(commands.delivery)
app.command()(commands.tree)

SOCKETS = 8_192  # two thousand terminals in meetings, twice a socket each, and room


class Shape(enum.StrEnum):
    """How the load is shaped."""

    BROADCAST = "broadcast"  # one source, its pictures in frames of 12 packets, to every subscriber
    MEETING = "meeting"  # meetings of 20 terminals, each receiving 9 evenly paced sources


class Kind(enum.StrEnum):
    """What flows."""

    VIDEO = "video"  # 360 packets a second
    AUDIO = "audio"  # 50 packets a second, sent on at once


SUBSCRIBERS = {Shape.BROADCAST: 100, Shape.MEETING: 20}
PAYLOAD_BYTES = {Kind.VIDEO: 1_100, Kind.AUDIO: 130}
SOUND_BYTES = 200  # a payload at most so long is taken for sound unless one says what it is
ALL_SUBSCRIBERS = (100, 1_000)
COLUMNS = (
    "us_per_packet", "floor_us_per_packet", "ratio", "ratio_trains", "packets_per_send", "packets_per_s_per_core",
    "loss", "p50_ms", "p99_ms",
)  # fmt: skip

Json = Annotated[bool, typer.Option("--json", help="End with one JSON object on the last line.")]
Seconds = Annotated[float, typer.Option(min=1, max=120, help="How long the load runs.")]
Seed = Annotated[int, typer.Option(help="For addresses and payloads; printed with the figures.")]


def show(title: str, figures: dict[str, float], as_json: bool) -> None:
    """Print the figures for people, then, if asked, one JSON object on the last line."""
    typer.echo(title)
    for name, value in figures.items():
        typer.echo(f"  {name:<26}{value:>12.4g}")
    if as_json:
        typer.echo(json.dumps(figures))


def allow_sockets() -> None:
    """Let this process have as many sockets as the largest load needs, if the system does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = SOCKETS if hard == resource.RLIM_INFINITY else min(SOCKETS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@app.command()
def relay(
    subscribers: Annotated[int | None, typer.Option(min=2, max=2_000, help="100; in meetings 20.")] = None,
    shape: Annotated[Shape, typer.Option(help="One source to all, or meetings of 20 with 9 sources each.")] = (
        Shape.BROADCAST
    ),
    payload: Annotated[
        int | None, typer.Option("--payload", "--payload-bytes", min=32, max=1_200, help="Octets; 1100, of sound 130.")
    ] = None,
    kind: Annotated[Kind | None, typer.Option(help="Pictures, unless the payload is at most 200 octets.")] = None,
    seconds: Seconds = 5.0,
    seed: Seed = 1,
    uneven: Annotated[bool, typer.Option(help="Half of each frame's packets one octet longer.")] = False,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Threads that forward.")] = 1,
    packets_per_s: Annotated[
        float | None, typer.Option(min=1e3, max=1e7, help="For all receivers together; else what the shape has.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Both shapes and kinds, 100 and 1000 subscribers.")] = False,
    as_json: Json = False,
) -> None:
    """CPU of the engine per forwarded packet, and the floor "encrypt + one sendto" of the same run.

    Afterwards the rate is raised until the engine's thread is busy all the time or packets are lost.
    """
    allow_sockets()
    if every:
        relay_all(seconds, seed, as_json)
        return
    if kind is None:
        kind = Kind.AUDIO if payload is not None and payload <= SOUND_BYTES else Kind.VIDEO
    count = subscribers or SUBSCRIBERS[shape]
    size = payload or PAYLOAD_BYTES[kind]
    figures = bench_relay(
        subscribers=count, shape=shape.value, kind=kind.value, payload_bytes=size, seconds=seconds, seed=seed,
        uneven=uneven, workers=workers, packets_per_s=packets_per_s,
    )  # fmt: skip
    show(f"relay, {shape.value}, {count} subscribers, {kind.value}, {size} B, seed {seed}", figures, as_json)


def relay_all(seconds: float, seed: int, as_json: bool) -> None:
    """A table: both shapes, both kinds, 100 and 1000 subscribers."""
    width = max(map(len, COLUMNS)) + 2
    typer.echo(f"{'':<24}" + "".join(f"{name:>{width}}" for name in COLUMNS))
    found: dict[str, dict[str, float]] = {}
    for shape, kind, count in itertools.product(Shape, Kind, ALL_SUBSCRIBERS):
        figures = bench_relay(
            subscribers=count, shape=shape.value, kind=kind.value, payload_bytes=PAYLOAD_BYTES[kind],
            seconds=seconds, seed=seed,
        )  # fmt: skip
        name = f"{shape.value} {kind.value} {count}"
        found[name] = figures
        typer.echo(f"{name:<24}" + "".join(f"{figures[column]:>{width}.4g}" for column in COLUMNS))
    if as_json:
        typer.echo(json.dumps(found))


@app.command()
def hops(
    nodes: Annotated[int, typer.Option(min=2, max=8)] = 5,
    seconds: Seconds = 5.0,
    rate_per_s: Annotated[int, typer.Option(min=1, max=20_000)] = 360,
    half_load: Annotated[bool, typer.Option("--half-load", help="At half the rate that the chain carries.")] = False,
    seed: Seed = 1,
    as_json: Json = False,
) -> None:
    """Latency that each node by itself adds to a packet on its way through a chain of engines."""
    figures = bench_hops(nodes=nodes, seconds=seconds, rate_per_s=None if half_load else rate_per_s, seed=seed)
    show(f"hops, {nodes} nodes, {figures['rate_per_s']:.0f} packets/s, seed {seed}", figures, as_json)
