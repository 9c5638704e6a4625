"""What is shipped for operators fits the gateway: metric names, the Redis rules, the unit."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from gateway import drill as drills
from gateway.__main__ import app, seconds
from gateway.embedded import find_binary
from signaling.records import Role
from tests.support.clock import START
from tests.support.node import Node, running
from tests.support.places import VILLAGE

DEPLOY = Path(__file__).parents[2] / "configs" / "deploy"
SOURCES = Path(__file__).parents[2] / "gateway"
PASSWORD = "0f3b6e" * 8


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The shipped Redis settings and rules, on a socket of the test's own."""
    folder = tmp_path_factory.mktemp("redis")
    rules = (DEPLOY / "users.acl").read_text().replace("change-me-draw-one-with-openssl-rand-hex-32", PASSWORD)
    (folder / "users.acl").write_text(rules)
    path = folder / "r.sock"
    settings = shutil.copy(DEPLOY / "redis.conf", folder)
    command = [str(find_binary()), settings, "--unixsocket", str(path), "--aclfile", str(folder / "users.acl")]
    with subprocess.Popen([*command, "--logfile", str(folder / "log"), "--dir", str(folder)]) as server:
        deadline = time.monotonic() + 60
        while not _listens(path):
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield path
        server.terminate()


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, redis: Path) -> Iterator[Node]:
    url = f"unix://wuji:{PASSWORD}@{redis}"
    with running(tmp_path_factory.mktemp("deploy"), bus={"url": url}, log={"level": "debug"}) as started:
        yield started
    assert PASSWORD not in started.log_file.read_text()


def ask(path: Path, *commands: str) -> list[str]:
    """Send inline commands to Redis; return one line of each answer."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(str(path))
        with client.makefile("rw", newline="\r\n") as lines:
            answers = []
            for command in commands:
                lines.write(command + "\r\n")
                lines.flush()
                answers.append(lines.readline().strip())
    return answers


def test_a_gateway_lives_within_the_shipped_redis_rules(node: Node) -> None:
    ready = node.get("/readyz")
    assert (ready.status, ready.json["checks"]["bus"]) == (200, "ok")
    page = node.get("/metrics").body.decode()
    assert "wuji_bus_errors_total{" not in page


def test_the_rules_let_nobody_in_without_password_and_nothing_dangerous_with_it(node: Node, redis: Path) -> None:
    assert node.get("/healthz").status == 200
    assert ask(redis, "PING")[0].startswith("-")
    forbidden = (
        "FLUSHALL",
        "EVAL return 0",
        "CONFIG GET *",
        "KEYS *",
        "HSET other:key a 1",
        "PUBLISH other x",
        "SHUTDOWN",
    )
    answers = ask(redis, f"AUTH wuji {PASSWORD}", "PING", *forbidden)
    assert answers[:2] == ["+OK", "+PONG"]
    assert all(answer.startswith("-NOPERM") for answer in answers[2:]), answers


def metric_names(text: str) -> set[str]:
    return set(re.findall(r"\b(?:wuji|process)_[a-z0-9_]+", text))


def test_every_metric_of_alerts_and_dashboard_exists(node: Node) -> None:
    node.get("/api/v1/me")
    node.post("/api/v1/session", {"code": "none"})
    node.post("/api/v1/directives", {}, node.token(Role.TERMINAL, VILLAGE))
    exposed = metric_names(node.get("/metrics").body.decode())
    source = "".join(path.read_text() for path in SOURCES.glob("*.py"))
    alerts = (DEPLOY / "alerts.yml").read_text()
    panels = json.loads((DEPLOY / "grafana" / "wuji.json").read_text())["panels"]
    used = metric_names(alerts) | metric_names(" ".join(t["expr"] for p in panels for t in p["targets"]))
    assert len(used) > 15
    for name in used - exposed:
        short = re.sub(r"_(total|bucket)$", "", name.removeprefix("wuji_"))
        assert f'"{short}"' in source or f'"{short}_total"' in source, f"{name} is nobody's metric"


def test_alerts_say_what_to_do() -> None:
    text = (DEPLOY / "alerts.yml").read_text()
    assert text.count("- alert:") == text.count("action:") == text.count("summary:") >= 8


def unit(name: str) -> configparser.ConfigParser:
    """Return a shipped unit file; of a key that stands twice the last one."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    assert parser.read(DEPLOY / name)
    return parser


def drill_options(service: configparser.SectionProxy) -> dict[str, str]:
    """Return the options a unit starts ``wuji drill`` with; each is one the command has."""
    command, *words = service["ExecStart"].split()[1:]
    assert command == "drill"
    known = {option for parameter in get_command(app).commands["drill"].params for option in parameter.opts}  # type: ignore[attr-defined]
    assert {word for word in words if word.startswith("--")} <= known
    return {word: after for word, after in zip(words, [*words[1:], ""], strict=True) if word.startswith("--")}


def test_the_unit_starts_what_exists_and_stops_in_time() -> None:
    service = unit("wuji.service")["Service"]
    assert service["ExecStart"].split()[1:] == ["node", "--config", "/etc/wuji/node.toml"]
    assert int(service["TimeoutStopSec"]) >= 10
    assert service["NoNewPrivileges"] == "yes"
    assert int(service["LimitNOFILE"]) >= 4096


def test_the_drills_timer_starts_a_command_that_exists() -> None:
    assert unit("wuji-drill.timer")["Timer"]["Unit"] == "wuji-drill.service"
    service = unit("wuji-drill.service")["Service"]
    wait_s = seconds(drill_options(service)["--wait"])
    assert seconds(service["TimeoutStartSec"].replace("min", "m")) > wait_s


def test_exercises_that_repeat_by_themselves_are_started_again_and_keep_their_reports() -> None:
    shipped = unit("wuji-drill-every.service")
    service = shipped["Service"]
    options = drill_options(service)
    assert seconds(options["--every"]) == 7 * 86_400 > seconds(options["--wait"])
    assert START < drills.moment(options["--at"], START) <= START + 86_400_000
    assert service["Restart"] == "always"
    assert service["NoNewPrivileges"] == "yes"
    assert service["StateDirectory"] == unit("wuji.service")["Service"]["StateDirectory"] == "wuji"
    assert shipped["Unit"]["Conflicts"] == "wuji-drill.timer"


def test_the_auditors_unit_starts_what_exists_beside_the_gateway() -> None:
    shipped = unit("wuji-auditor.service")
    assert shipped["Service"]["ExecStart"].split()[1:] == ["auditor", "--config", "/etc/wuji/node.toml"]
    assert shipped["Service"]["Restart"] == "always"
    assert shipped["Service"]["NoNewPrivileges"] == "yes"
    assert shipped["Unit"]["After"] == "wuji.service"
