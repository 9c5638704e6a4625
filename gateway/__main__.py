"""The ``wuji`` command.  Heavy modules are imported by the command that needs them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from gateway.clock import Clock
from gateway.config import Config, ConfigError, load
from gateway.demo import BASE_PORT, DemoError
from gateway.demo import main as run_demo
from gateway.keys import KeyFileError
from signaling.errors import SignalingError
from signaling.ids import NodeCode, UtcMs
from signaling.records import Actor, Role, Urgency

if TYPE_CHECKING:
    from gateway.asking import Target

MISTAKE = 2
"""Exit code for what the caller can put right: settings, arguments, key files."""

app = typer.Typer(
    help="A gateway for five tiers: conferences relayed undecoded, directives delivered once and signed for.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
config_app = typer.Typer(help="Look at settings.", no_args_is_help=True)
app.add_typer(config_app, name="config")
cap_app = typer.Typer(help="Common Alerting Protocol 1.2.", no_args_is_help=True)
app.add_typer(cap_app, name="cap")
sources_app = typer.Typer(
    help="The registry of collection points of the gateway on this machine.", no_args_is_help=True
)
app.add_typer(sources_app, name="sources")

ConfigFile = Annotated[Path, typer.Option("--config", help="TOML settings of the node.")]
AsJson = Annotated[bool, typer.Option("--json", help="End with one JSON object on the last line.")]
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@contextlib.contextmanager
def _blame_caller() -> Iterator[None]:
    """Turn mistakes in what we were given into sentences and exit code 2."""
    try:
        yield
    except ConfigError as error:
        _fail(*error.mistakes)
    except (KeyFileError, SignalingError) as error:
        _fail(str(error))


def _fail(*sentences: str) -> NoReturn:
    for sentence in sentences:
        typer.echo(sentence, err=True)
    raise typer.Exit(MISTAKE)


def _load(path: Path) -> Config:
    with _blame_caller():
        return load(path)


def seconds(text: str) -> float:
    """Return the seconds in ``90s``, ``30m``, ``1h`` or ``7d``."""
    match = re.fullmatch(r"(\d{1,7})([smhd])", text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r}: write 90s, 30m, 1h or 7d")
    return int(match[1]) * _UNITS[match[2]]


@app.command()
def node(config: ConfigFile) -> None:
    """Run one gateway until SIGTERM."""
    settings = _load(config)
    from gateway.telemetry import start_logging

    start_logging(settings.log.level, settings.log.format)
    from gateway.app import run

    with _blame_caller():
        run(settings)


@app.command()
def auditor(
    config: ConfigFile,
    once: Annotated[bool, typer.Option("--once", help="Look once and say what is wrong, instead of watching.")] = False,
    as_json: AsJson = False,
) -> None:
    """Recompute a node's timers from its journal; exit code 1 when something is wrong at the end."""
    settings = _load(config)
    from gateway import auditor as audits

    try:
        if not once:
            from gateway.telemetry import start_logging

            start_logging(settings.log.level, settings.log.format)
            raise typer.Exit(0 if asyncio.run(audits.run(settings, Clock())) else 1)
        looking = audits.make(settings, Clock())
        report = looking.look()
    except (OSError, ValueError) as error:
        _fail(f"{settings.tree.file}: {error}")
    looking.close()
    findings = [finding._asdict() for finding in (*report.faults, *report.missed)]
    lines = [report.unreadable] if report.unreadable else [" ".join(map(str, row.values())) for row in findings]
    summary = {"ok": report.clean, "seq": report.seq, "counts": report.counts, "findings": findings}
    _result(summary, "\n".join(lines) or f"{report.seq} rows, all timers as they should be", as_json)
    if not report.clean:
        raise typer.Exit(1)


@app.command()
def demo(
    directory: Annotated[Path, typer.Option("--dir", help="Where keys, journals and logs go.")] = Path(".demo"),
    base_port: Annotated[
        int, typer.Option(min=1024, max=65_000, help="Port of the province; the others follow.")
    ] = BASE_PORT,
    cameras: Annotated[bool, typer.Option("--cameras/--no-cameras", help="Two cameras at the township.")] = True,
    as_json: AsJson = False,
) -> None:
    """Run five tiers, a Redis, two cameras and a meeting; print sign-in links."""

    def say(line: str) -> None:
        typer.echo(line)
        sys.stdout.flush()

    try:
        with _blame_caller():
            raise typer.Exit(run_demo(directory, base_port, cameras=cameras, as_json=as_json, say=say))
    except DemoError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def _actor(settings: Config, role: Role, name: str, division: str | None) -> Actor:
    """Return who is meant, at a division the tree knows and this node is responsible for."""
    from signaling import division as divisions

    code = NodeCode(division or settings.node.code)
    try:
        tree = divisions.parse(settings.tree.file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        _fail(f"{settings.tree.file}: {error}")
    if not tree.is_within(code, NodeCode(settings.node.code)):
        _fail(f"division {code}: not {settings.node.code} or a division below it")
    return Actor(name, role, code)


@app.command()
def token(
    config: ConfigFile,
    role: Annotated[Role, typer.Option(help="What the bearer may do.")],
    name: Annotated[str, typer.Option(help="Who bears it; appears in signatures and audit.")],
    division: Annotated[str | None, typer.Option(help="12-digit code; default: the node's own.")] = None,
    ttl: Annotated[str, typer.Option(help="90s, 30m, 1h, 7d.")] = "1h",
    as_json: AsJson = False,
) -> None:
    """Make a token for one person or device at one node."""
    from gateway.auth import Auth

    settings = _load(config)
    with _blame_caller():
        who = _actor(settings, role, name, division)
        with contextlib.closing(Auth(settings, Clock())) as auth:
            made = auth.sign_in(who, seconds(ttl))
    _result({"token": made.token, "expires_at": made.expires_at, "node": settings.node.code}, made.token, as_json)


@app.command()
def link(
    config: ConfigFile,
    role: Annotated[Role, typer.Option(help="What the person may do.")],
    name: Annotated[str, typer.Option(help="Who it is for.")],
    division: Annotated[str | None, typer.Option(help="12-digit code; default: the node's own.")] = None,
    ttl: Annotated[str | None, typer.Option(help="How long it may wait to be used; default: auth.link_ttl_s.")] = None,
    url: Annotated[str | None, typer.Option(help="Address people reach the gateway at.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a sign-in link that works once."""
    from gateway.auth import Auth

    settings = _load(config)
    scheme = "https" if settings.http.tls_cert else "http"
    with _blame_caller():
        who = _actor(settings, role, name, division)
        with contextlib.closing(Auth(settings, Clock())) as auth:
            code = auth.create_link(who, None if ttl is None else round(seconds(ttl)))
    address = f"{(url or f'{scheme}://{settings.http.host}:{settings.http.port}').rstrip('/')}/#code={code}"
    _result({"url": address, "code": code}, address, as_json)


@app.command()
def password() -> None:
    """Ask for a password and print what belongs into the accounts file."""
    from gateway.login import hash_password

    typer.echo(
        hash_password(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True), Clock().secret(16))
    )


@app.command()
def publish(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Media file.")],
    to: Annotated[str, typer.Option(help="WHIP address: http(s)://gateway/whip/CONFERENCE")],
    token: Annotated[
        str, typer.Option(envvar="WUJI_TOKEN", help="Bearer token; better in WUJI_TOKEN, out of sight of ps.")
    ],
    loop: Annotated[bool, typer.Option("--loop", help="Begin again at the end.")] = False,
    name: Annotated[str, typer.Option(help="Name others see; default: the token's.")] = "",
) -> None:
    """Send a media file into a conference as a participant."""
    from gateway.publish import PublishError
    from gateway.publish import publish as send
    from gateway.telemetry import start_logging
    from media.ingest import UnusableFile

    start_logging("info", "console")
    try:
        asyncio.run(send(file, to, token, loop, name))
    except (PublishError, UnusableFile) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


@app.command()
def clip(directory: Annotated[Path, typer.Argument(help="Where the clips go.")]) -> None:
    """Make the demo cameras' clips, or find them made; print their paths."""
    from media.clips import demo_clips

    for path in demo_clips(directory):
        typer.echo(str(path))


@app.command()
def pki(
    directory: Annotated[Path, typer.Option("--dir", help="Where the files go.")],
    node: Annotated[list[str], typer.Option(help="CODE or CODE=HOST[,HOST...]; again for each node.")],
    as_json: AsJson = False,
) -> None:
    """Make a local authority, https certificates and node keys.  Existing files are kept."""
    from gateway.pki import make_certificates, make_node_keys

    hosts: dict[NodeCode, list[str]] = {}
    for item in node:
        code, _, names = item.partition("=")
        if not re.fullmatch(r"[0-9]{12}", code):
            _fail(f"--node {item}: the code is not 12 digits")
        hosts[NodeCode(code)] = names.split(",") if names else ["localhost", "127.0.0.1"]
    public = make_node_keys(directory, hosts)
    authority = make_certificates(directory, hosts, Clock().at())
    _result({"public_keys": str(public), "ca": str(authority), "nodes": len(hosts)}, f"{public}\n{authority}", as_json)


@config_app.command("check")
def config_check(file: Annotated[Path, typer.Argument(help="TOML settings.")]) -> None:
    """Say everything that is wrong with a file; exit code 2 if anything is."""
    _load(file)
    typer.echo(f"{file}: fine")


@config_app.command("show")
def config_show(file: Annotated[Path, typer.Argument(help="TOML settings.")], as_json: AsJson = False) -> None:
    """Print every setting as it will be used, and where it comes from.  Secrets are hidden."""
    from gateway.reference import effective

    rows = list(effective(_load(file), file))
    if as_json:
        typer.echo(
            json.dumps({key: {"value": value, "origin": origin} for key, value, origin in rows}, ensure_ascii=False)
        )
        return
    for key, value, origin in rows:
        typer.echo(f"{key} = {value}  # {origin}")


@config_app.command("reference")
def config_reference() -> None:
    """Print configs/reference.toml."""
    from gateway.reference import render

    typer.echo(render(), nl=False)


@app.command()
def drill(
    config: Annotated[Path | None, typer.Option("--config", help="Settings of the gateway on this machine.")] = None,
    to: Annotated[str, typer.Option(help="Or: a gateway's address, http(s)://HOST:PORT.")] = "",
    token: Annotated[str, typer.Option(envvar="WUJI_TOKEN", help="With --to: a commander's token.")] = "",
    ca: Annotated[Path | None, typer.Option(help="With --to: PEM certificates that vouch for it.")] = None,
    urgency: Annotated[Urgency, typer.Option(help="P0 needs a countersignature, as a real one does.")] = Urgency.P1,
    wait: Annotated[str, typer.Option(help="How long villages may take: 90s, 5m, 1h.")] = "5m",
    at: Annotated[str, typer.Option(help="Begin at HH:MM (Beijing) or at an ISO 8601 time with its offset.")] = "",
    every: Annotated[str, typer.Option(help="With --config: again and again so far apart, 1d, 7d; runs on.")] = "",
    kept: Annotated[bool, typer.Option("--list", help="With --config: the reports that --every has kept.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send an exercise to every village below and say who did not answer; exit code 1 if somebody did not."""
    import ssl

    from gateway import drill as drills
    from gateway.asking import AskError, Target, own_gateway
    from gateway.drill_report import lines, plain

    if (config is None) == (not to) or (to and not token):
        _fail("drill: give --config FILE, or --to URL with --token")
    if (every or kept) and config is None:
        _fail("drill: --every and --list need --config FILE")
    wait_s, clock = seconds(wait), Clock()
    settings = _load(config) if config else None
    try:
        begin = drills.moment(at, clock.at()) if at else None
        trust = ssl.create_default_context(cafile=ca) if ca else None
    except (ValueError, OSError) as error:
        _fail(str(error))

    def target() -> Target:
        if settings is None:
            return Target(to, token, trust)
        return own_gateway(settings, clock, wait_s + 600, "wuji drill", Role.COMMANDER)

    if settings is not None and (every or kept):
        _series(settings, target, every, urgency, wait_s, begin, as_json=as_json)
        return
    try:
        with _blame_caller():
            found = asyncio.run(drills.main(target, urgency, wait_s, begin, typer.echo))
    except AskError as error:
        _fail(str(error))
    for line in lines(found):
        typer.echo(line)
    if as_json:
        typer.echo(json.dumps(plain(found), ensure_ascii=False))
    if not found.complete:
        raise typer.Exit(1)


def _series(
    settings: Config,
    target: Callable[[], Target],
    every: str,
    urgency: Urgency,
    wait_s: float,
    begin: UtcMs | None,
    *,
    as_json: bool,
) -> None:
    """Hold exercises for ever, or list the reports they left when ``every`` is empty."""
    from gateway.drill_repeat import Repeat
    from gateway.drill_series import Kept, lines

    clock, found = Clock(), Kept(settings.node.data_dir / "drills")
    if not every:
        for report in found.reports():
            typer.echo(json.dumps(report, ensure_ascii=False) if as_json else "\n".join(lines(report)))
        return
    apart = seconds(every)
    if apart <= wait_s:
        _fail(f"drill: --every {every} is not longer than --wait")
    try:
        series = found.series(round(apart * 1_000), begin, clock.at())
    except OSError as error:
        _fail(str(error))
    with _blame_caller():
        asyncio.run(Repeat(target, found, series, clock, urgency, wait_s, typer.echo).run())


@cap_app.command("check")
def cap_check(
    file: Annotated[Path, typer.Argument(help="A CAP 1.2 message.")],
    as_json: AsJson = False,
) -> None:
    """Say every rule of CAP 1.2 a file breaks; exit code 2 if it breaks any."""
    from signaling import cap

    try:
        with file.open("rb") as source:
            data = source.read(cap.MAX_BYTES + 1)
    except OSError as error:
        _fail(str(error))
    found = cap.broken(data)
    for one in found:
        typer.echo(f"{file}: {one}", err=True)
    rows = [{"rule": one.rule, "where": one.where, "text": one.text} for one in found]
    _result({"ok": not found, "broken": rows}, f"{file}: {'fine' if not found else f'{len(found)} broken'}", as_json)
    if found:
        raise typer.Exit(MISTAKE)


@sources_app.command("import")
def sources_import(
    file: Annotated[Path, typer.Argument(help="CSV: source,place,kind,longitude,latitude and, if wanted, camera.")],
    config: ConfigFile,
    as_json: AsJson = False,
) -> None:
    """Register the points of a file, all or none; those of before stay.  The gateway must be running."""
    from gateway import registering

    try:
        found = asyncio.run(registering.load(_load(config), Clock(), file))
    except (OSError, registering.AskError) as error:
        _fail(str(error))
    _result(found, f"{found['sources']} sources, {found['changed']} new or changed", as_json)


@sources_app.command("list")
def sources_list(
    config: ConfigFile,
    text: Annotated[str, typer.Option(help="Only those with this in their name, kind or place.")] = "",
    silent: Annotated[str, typer.Option(help="Only those not heard of for so long, or ever: 30m, 1h, 7d.")] = "",
    as_json: AsJson = False,
) -> None:
    """Print the collection points, when each was last heard of and how its camera fared."""
    from gateway import registering

    silent_min = max(1, round(seconds(silent) / 60)) if silent else 0
    try:
        rows = asyncio.run(registering.listed(_load(config), Clock(), text, silent_min))
    except registering.AskError as error:
        _fail(str(error))
    for row in () if as_json else rows:
        typer.echo(registering.line(row))
    _result({"sources": rows, "count": len(rows)}, f"{len(rows)} sources", as_json)


@app.command()
def doctor(config: ConfigFile, as_json: AsJson = False) -> None:
    """Check this machine and a node's settings before it goes into service; exit code 1 if something is wrong."""
    from gateway.doctor import examine

    findings = examine(_load(config))
    for finding in findings:
        typer.echo(f"{finding.verdict:<5} {finding.check:<12} {finding.text}")
    wrong = [finding.check for finding in findings if finding.verdict == "fail"]
    if as_json:
        rows = [{"check": f.check, "verdict": f.verdict, "text": f.text} for f in findings]
        typer.echo(json.dumps({"ok": not wrong, "findings": rows}, ensure_ascii=False))
    if wrong:
        raise typer.Exit(1)


@app.command()
def openapi() -> None:
    """Print the description of the HTTP interface."""
    from gateway.openapi import document

    typer.echo(json.dumps(document(), ensure_ascii=False, indent=2))


def _result(value: dict[str, Any], text: str, as_json: bool) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False) if as_json else text)


def _with_bench() -> None:
    """Add ``wuji bench``: it opens the native module, which no other command needs."""
    from gateway import bench

    app.add_typer(bench.app, name="bench")


def main() -> None:
    """Entry point of the console script."""
    if sys.argv[1:2] in (["bench"], ["--help"], []):
        with contextlib.suppress(ImportError) if sys.argv[1:2] != ["bench"] else contextlib.nullcontext():
            _with_bench()
    app()


if __name__ == "__main__":
    main()
