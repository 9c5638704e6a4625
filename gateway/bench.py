"""``wuji bench NAME``: figures about this machine, each beside its floor from the same run.

Loads go to loopback only, are bounded in time and stop by themselves.  Quote the ratios: absolute
times differ from machine to machine and from minute to minute.
"""

from __future__ import annotations

import enum
import json
from typing import Annotated

import typer

from media.engine import bench_hops, bench_relay

app = typer.Typer(help="Measure this machine.", no_args_is_help=True)


class Shape(enum.StrEnum):
    """How the load is shaped."""

    BROADCAST = "broadcast"  # one source in frames of 12 packets, 30 frames a second, to every subscriber
    MEETING = "meeting"  # 20 terminals, each receiving 9 evenly paced sources


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


@app.command()
def relay(
    subscribers: Annotated[int, typer.Option(min=1, max=2_000)] = 100,
    shape: Shape = Shape.BROADCAST,
    payload_bytes: Annotated[int, typer.Option(min=20, max=1_200)] = 1_100,
    seconds: Seconds = 10.0,
    seed: Seed = 1,
    as_json: Json = False,
) -> None:
    """CPU of the engine per forwarded packet, and the floor "encrypt + one sendto" of the same run."""
    figures = bench_relay(
        subscribers=subscribers, shape=shape.value, payload_bytes=payload_bytes, seconds=seconds, seed=seed
    )
    show(f"relay, {shape.value}, {subscribers} subscribers, {payload_bytes} B, seed {seed}", figures, as_json)


@app.command()
def hops(
    nodes: Annotated[int, typer.Option(min=2, max=8)] = 5,
    seconds: Seconds = 10.0,
    rate_per_s: Annotated[int, typer.Option(min=1, max=20_000)] = 360,
    seed: Seed = 1,
    as_json: Json = False,
) -> None:
    """Latency that each node adds to a packet on its way through a chain of engines."""
    figures = bench_hops(nodes=nodes, seconds=seconds, rate_per_s=rate_per_s, seed=seed)
    show(f"hops, {nodes} nodes, {rate_per_s} packets/s, seed {seed}", figures, as_json)
