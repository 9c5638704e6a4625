"""The command line: results on the last line, mistakes as sentences with exit code 2, nothing left running."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import jwt
import pytest
from typer.testing import CliRunner

from gateway import demo
from gateway.__main__ import app, seconds
from gateway.config import load
from gateway.supervisor import Child, describe
from signaling.records import Role
from tests.support.places import COUNTY, TOWNSHIP, VILLAGE
from tests.support.ports import free_ports

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture
def cli() -> CliRunner:
    return CliRunner()


@pytest.fixture
def county(tmp_path: Path) -> Path:
    """Settings of a demo county in a folder of its own."""
    nodes = demo.prepare(tmp_path, free_ports(5))
    return next(node.file for node in nodes if node.tier == "county")


def test_a_token_is_for_one_person_at_one_node(cli: CliRunner, county: Path) -> None:
    arguments = ["token", "--config", str(county), "--role", "terminal", "--name", "赵", "--division", VILLAGE]
    result = cli.invoke(app, [*arguments, "--ttl", "30m", "--json"])
    assert result.exit_code == 0
    made = json.loads(result.stdout.splitlines()[-1])
    claims = jwt.decode(made["token"], options={"verify_signature": False})
    assert (claims["sub"], claims["role"], claims["division"]) == ("赵", "terminal", VILLAGE)
    assert claims["iss"] == claims["aud"] == COUNTY == made["node"]
    assert claims["exp"] - claims["iat"] == 1800
    assert "jti" in claims
    plain = cli.invoke(app, arguments)
    assert plain.stdout.count(".") == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--role", "terminal", "--name", "x", "--division", "430400000000"], "not 430423000000 or a division below"),
        (["--role", "terminal", "--name", "x", "--division", "nowhere"], "not 430423000000 or a division below"),
        (["--role", "emperor", "--name", "x"], "emperor"),
        (["--role", "terminal", "--name", "a\r\nb"], "printable"),
        (["--role", "terminal", "--name", ""], "printable"),
        (["--role", "terminal", "--name", "x", "--ttl", "soon"], "1h"),
    ],
)
def test_a_token_nobody_may_have_is_not_made(cli: CliRunner, county: Path, arguments: list[str], says: str) -> None:
    result = cli.invoke(app, ["token", "--config", str(county), *arguments])
    assert result.exit_code == 2
    assert says in result.output


def test_a_link_is_for_one_use(cli: CliRunner, county: Path) -> None:
    result = cli.invoke(
        app,
        [
            "link",
            "--config",
            str(county),
            "--role",
            "terminal",
            "--name",
            "赵",
            "--url",
            "https://c.example/",
            "--json",
        ],
    )
    made = json.loads(result.stdout.splitlines()[-1])
    assert made["url"] == f"https://c.example/#code={made['code']}"


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("30m", 1800), ("1h", 3600), ("7d", 604_800)])
def test_durations(text: str, expected: float) -> None:
    assert seconds(text) == expected


def test_config_check_says_everything_and_exits_2(cli: CliRunner, tmp_path: Path) -> None:
    bad = tmp_path / "x.toml"
    bad.write_text('[node]\ncode = "1"\n[media]\nport = 70000\n')
    result = cli.invoke(app, ["config", "check", str(bad)])
    assert result.exit_code == 2
    assert f"{bad}: media.port = 70000: not in 0..65535" in result.output
    assert "node.code" in result.output
    assert cli.invoke(app, ["config", "check", str(CONFIGS / "reference.toml")]).exit_code == 0


def test_a_node_with_bad_settings_or_keys_does_not_start(tmp_path: Path) -> None:
    settings = tmp_path / "node.toml"
    settings.write_text(f'[node]\ncode = "{COUNTY}"\n[tree]\nfile = "{CONFIGS}/demo/divisions.csv"\n')
    command = [sys.executable, "-m", "gateway", "node", "--config", str(settings)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "no private key" in done.stderr
    assert "Traceback" not in done.stderr


def test_config_show_reports_origins(cli: CliRunner, county: Path) -> None:
    shown = json.loads(cli.invoke(app, ["config", "show", str(county), "--json"]).stdout)
    assert shown["http.port"] == {"value": str(load(county).http.port), "origin": "file"}
    assert shown["http.idle_s"]["origin"] == "default"


def test_pki_makes_what_a_node_needs(cli: CliRunner, tmp_path: Path) -> None:
    arguments = [
        "pki",
        "--dir",
        str(tmp_path),
        "--node",
        COUNTY,
        "--node",
        f"{TOWNSHIP}=town.example,10.0.0.4",
        "--json",
    ]
    made = json.loads(cli.invoke(app, arguments).stdout.splitlines()[-1])
    assert made["nodes"] == 2
    assert Path(made["ca"]).exists()
    assert (tmp_path / f"{TOWNSHIP}.tls.pem").exists()
    assert cli.invoke(app, ["pki", "--dir", str(tmp_path), "--node", "12"]).exit_code == 2


def test_doctor_names_what_is_wrong(cli: CliRunner, tmp_path: Path) -> None:
    settings = tmp_path / "node.toml"
    port = free_ports()
    settings.write_text(
        f'[node]\ncode = "{COUNTY}"\n[http]\nport = {port}\n[tree]\nfile = "{CONFIGS}/demo/divisions.csv"\n'
    )
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        result = cli.invoke(app, ["doctor", "--config", str(settings), "--json"])
    assert result.exit_code == 1
    found = json.loads(result.stdout.splitlines()[-1])
    assert not found["ok"]
    verdicts = {(row["check"], row["verdict"]) for row in found["findings"]}
    assert {("keys", "fail"), ("ports", "fail"), ("tree", "ok"), ("disk", "ok")} <= verdicts


def test_doctor_approves_of_a_prepared_node(cli: CliRunner, county: Path) -> None:
    result = cli.invoke(app, ["doctor", "--config", str(county), "--json"])
    found = json.loads(result.stdout.splitlines()[-1])
    wrong = {row["check"] for row in found["findings"] if row["verdict"] == "fail"}
    assert wrong <= {"console"}  # the pages are built by another tool


def test_openapi_is_printed(cli: CliRunner) -> None:
    assert json.loads(cli.invoke(app, ["openapi"]).stdout)["openapi"] == "3.1.0"


# ---- the demo's folder and children --------------------------------------------------------------


def test_the_demo_makes_keys_once_and_settings_that_fit(tmp_path: Path) -> None:
    first = demo.prepare(tmp_path, 23_001)
    keys = {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()}
    second = demo.prepare(tmp_path, 23_001)
    assert {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()} == keys
    assert [node.tier for node in first] == list(demo.TIERS) == [node.tier for node in second]
    for index, node in enumerate(first):
        assert load(node.file).http.port == 23_001 + index
        assert node.config.loopback
    assert first[4].config.uplink.url == "ws://127.0.0.1:23004/link"


def test_the_shipped_settings_are_what_a_plain_demo_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for tier in demo.TIERS:
        config = load(CONFIGS / "demo" / f"{tier}.toml")
        assert config.http.port == demo.BASE_PORT + demo.TIERS.index(tier)
        assert config.node.data_dir == (CONFIGS / ".." / ".demo" / tier).resolve()


def test_ports_in_use_are_named(tmp_path: Path, cli: CliRunner) -> None:
    with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        port = free_ports()
        tcp.bind(("127.0.0.1", port))
        tcp.listen()
        udp.bind(("127.0.0.1", port))
        assert demo.taken_ports([port]) == [f"{port}/tcp", f"{port}/udp"]
        result = cli.invoke(app, ["demo", "--dir", str(tmp_path), "--base-port", str(port), "--no-cameras"])
        assert result.exit_code == 1
        assert f"{port}/tcp" in result.output
        assert "--base-port" in result.output


def test_each_person_of_the_demo_gets_a_link_to_their_own_tier(tmp_path: Path) -> None:
    from gateway.clock import Clock

    links = demo.sign_in_links(demo.prepare(tmp_path, 23_001), Clock())
    assert ("county", "commander") in {(link.tier, link.role) for link in links}
    assert {link.role for link in links} == {role.value for role in Role} - {"device"}
    for link in links:
        assert link.url.startswith(f"http://127.0.0.1:{23_001 + demo.TIERS.index(link.tier)}/#code=")


@pytest.fixture
def said() -> list[str]:
    return []


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def until(probe: object, *, within: float = 60.0) -> None:
    assert callable(probe)
    async with asyncio.timeout(within):
        while not probe():
            await asyncio.sleep(0.01)


GRANDPARENT = (
    "import subprocess,sys; c=subprocess.Popen(['sleep','1000']); open(sys.argv[1],'w').write(str(c.pid)); c.wait()"
)


def test_a_child_that_is_killed_is_started_again_and_told_of(tmp_path: Path, said: list[str]) -> None:
    async def story() -> None:
        child = Child("county", ["sleep", "1000"], tmp_path / "log", said.append)
        keeping = asyncio.ensure_future(child.keep())
        await until(lambda: child.pid is not None)
        first = child.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: child.pid not in (None, first))
        assert "county ended (killed by SIGKILL) and is started again" in said[0]
        await child.stop()
        await asyncio.wait_for(keeping, 60)
        assert child.pid is None

    asyncio.run(story())


def test_stopping_a_child_takes_its_own_children_along(tmp_path: Path, said: list[str]) -> None:
    pid_file = tmp_path / "pid"

    async def story() -> int:
        child = Child("node", [sys.executable, "-c", GRANDPARENT, str(pid_file)], tmp_path / "log", said.append)
        keeping = asyncio.ensure_future(child.keep())
        await until(lambda: pid_file.exists() and pid_file.read_text())
        await child.stop()
        await asyncio.wait_for(keeping, 60)
        grandchild = int(pid_file.read_text())
        await until(lambda: not alive(grandchild) or _is_zombie(grandchild))
        return grandchild

    asyncio.run(story())
    assert said == []


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_children_end_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    program = (
        "import asyncio,sys;from pathlib import Path;from gateway.supervisor import Child;"
        "c=Child('x',['sleep','1000'],Path(sys.argv[1]),print)\n"
        "async def main():\n"
        "    t=asyncio.ensure_future(c.keep())\n"
        "    while c.pid is None: await asyncio.sleep(0.01)\n"
        "    print(c.pid,flush=True)\n"
        "    await t\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True
    ) as it:
        assert it.stdout is not None
        pid = int(it.stdout.readline())
        assert alive(pid)
        it.kill()
        it.wait(timeout=60)
    asyncio.run(until(lambda: not alive(pid) or _is_zombie(pid)))


def test_exit_codes_are_put_in_words() -> None:
    assert describe(-9) == "killed by SIGKILL"
    assert describe(1) == "exit code 1"
