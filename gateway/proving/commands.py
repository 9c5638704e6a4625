"""``wuji bench delivery``: the proofs as commands.  Exit code 1: something did not add up."""

from __future__ import annotations

import asyncio
import enum
import json
import resource
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from .delivery import Plan, prove
from .folded import COUNTY, Fold, prove_tree, whole
from .history import Verdict
from .pubsub import prove_pubsub
from .shape import PROVINCE, Shape

BASE_PORT = 19_801
SHOWN = 20
"""Findings that are listed; the figures count them all."""


class Over(enum.StrEnum):
    """What carries the orders."""

    LINKS = "links"  # gateways: journal, cursor, acknowledgement
    PUBSUB = "pubsub"  # Redis publish/subscribe, which keeps nothing


Json = Annotated[bool, typer.Option("--json", help="End with one JSON object on the last line.")]
Directory = Annotated[Path | None, typer.Option("--dir", help="Keep journals and logs here; else they are removed.")]
BasePort = Annotated[int, typer.Option(min=1024, max=65_000, help="This port and the four after it.")]


def delivery(
    directives: Annotated[int, typer.Option(min=1, max=1_000_000)] = 2_000,
    cuts: Annotated[int, typer.Option(min=0, max=10_000, help="Resets, half-open, black holes in rotation.")] = 6,
    kills: Annotated[int, typer.Option(min=0, max=1_000, help="Of gateways in turn, with SIGKILL.")] = 0,
    stops: Annotated[int, typer.Option(min=0, max=1_000, help="Of gateways in turn, with SIGSTOP for a while.")] = 0,
    flaps: Annotated[int, typer.Option(min=0, max=1_000, help="Of links in turn: five short cuts in a row.")] = 0,
    tiers: Annotated[int, typer.Option(help="2: county and township; 5: province to village.")] = 2,
    over: Over = Over.LINKS,
    seed: int = 1,
    directory: Directory = None,
    base_port: BasePort = BASE_PORT,
    as_json: Json = False,
) -> None:
    """Issue directives while links are cut and gateways killed; count what is lost and what is shown twice."""
    if tiers not in (2, 5) or (over is Over.PUBSUB and (tiers != 2 or kills or stops or flaps)):
        raise typer.BadParameter("tiers: 2 or 5; publish/subscribe has one line and nobody to kill")
    plan = Plan(directives, tiers, cuts, kills, seed, stops=stops, flaps=flaps)
    typer.echo(f"delivery over {over}: {plan}")
    with tempfile.TemporaryDirectory(prefix="wuji-") as spare:
        work = prove if over is Over.LINKS else prove_pubsub
        figures, found = asyncio.run(work(plan, directory or Path(spare), base_port))
    report(figures, found, as_json)


def tree(
    towns: Annotated[
        int | None, typer.Option(min=1, max=5_000, help="One county with so many; 2006 are all of a province.")
    ] = None,
    shape: Annotated[str, typer.Option(help="Province, cities, counties, townships, villages.")] = str(PROVINCE),
    seed: int = 1,
    directory: Directory = None,
    base_port: BasePort = BASE_PORT,
    as_json: Json = False,
) -> None:
    """Fold a province onto this machine: join, an order to every village, a reconnect storm, an order in it.

    A line of three real gateways, province, city and county, or with --towns one real county, and all of their other
    children simulated with everything below them.
    """
    try:
        fold = Fold(Shape.parse(shape), seed=seed) if towns is None else Fold(Shape.of_county(towns), COUNTY, seed)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    allow_files(2 * len(fold.parents) + 500)
    typer.echo(f"tree {fold.shape}: {', '.join(fold.tiers)} and {len(fold.parents)} simulated gateways, seed {seed}")
    with tempfile.TemporaryDirectory(prefix="wuji-") as spare:
        figures = asyncio.run(prove_tree(fold, directory or Path(spare), base_port))
    for name, value in figures.items():
        typer.echo(f"  {name:<16}{value}")
    if as_json:
        typer.echo(json.dumps(figures))
    if not whole(figures):
        raise typer.Exit(1)


def allow_files(wanted: int) -> None:
    """Let this process and its children open so many files, if the system does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def report(figures: dict[str, Any], found: Verdict, as_json: bool) -> None:
    """Print figures and the first findings.

    Raises:
        typer.Exit: With 1, when there are any.
    """
    for name, value in figures.items():
        typer.echo(f"  {name:<14}{value}")
    for kind in ("lost", "twice", "reordered", "phantom"):
        for where, what in getattr(found, kind)[:SHOWN]:
            typer.echo(f"  {kind}: {what} at {where}")
    if as_json:
        typer.echo(json.dumps(figures))
    if not found.clean:
        raise typer.Exit(1)
