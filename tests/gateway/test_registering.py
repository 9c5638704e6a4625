"""The registry from the command line, and a camera of it asked by a running gateway."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.__main__ import app
from signaling.records import Role
from tests.support.camera import Camera, beside, coded, h264
from tests.support.node import Node, running
from tests.support.places import COUNTY, SIBLING, VILLAGE

SECRET = "hunter2"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    cameras = {"networks": ["127.0.0.0/8"], "local": True, "deadline_s": 60.0}
    with running(tmp_path_factory.mktemp("registry"), cameras=cameras) as started:
        yield started


def wuji(node: Node, *arguments: str) -> Any:
    file = node.log_file.with_name("node.toml")
    return CliRunner().invoke(app, ["sources", *arguments, "--config", str(file)])


def eventually(condition: Callable[[], Any]) -> Any:
    """Return what ``condition`` gives, once it gives something."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("not within 60 s")


def test_an_alarm_of_a_registered_source_gets_a_picture_of_its_camera(node: Node, tmp_path: Path) -> None:
    file, device = tmp_path / "sources.csv", Camera(h264(coded("libx264")), login=("admin", SECRET))
    with beside(device) as port:
        address = f"rtsp://admin:{SECRET}@127.0.0.1:{port}/{SECRET}"
        file.write_text(
            f"source,place,kind,longitude,latitude,camera\n粮库门,{VILLAGE},door,,,{address}\n泵站,{SIBLING},pump,,,\n"
        )
        done = wuji(node, "import", str(file), "--json")
        assert (done.exit_code, json.loads(done.output)) == (0, {"sources": 2, "changed": 2})
        alarm = {"kind": "intrusion", "text": "有人翻越", "urgency": "P1", "source": "粮库门", "place": VILLAGE}
        raised = node.post("/api/v1/alarms", alarm, node.token(Role.DEVICE))
        assert (raised.status, raised.json["picture"]) == (201, "")
        commander = node.token(Role.COMMANDER)
        sha256 = eventually(lambda: node.get(f"/api/v1/alarms/{raised.json['id']}", commander).json["picture"])
        picture = node.get(f"/api/v1/blobs/{sha256}", commander)
        assert picture.body.startswith(b"\xff\xd8\xff")
        form = {"place": VILLAGE, "source": "粮库门"}
        answers = iter(lambda: node.post("/api/v1/sources/picture", form, commander), None)
        now = eventually(lambda: (answer := next(answers)).status != 503 and answer)  # 503: not closed yet
        assert (now.status, now.headers["Content-Type"]) == (200, "image/jpeg")
        assert now.headers["Cache-Control"] == "no-store"
    rows = json.loads(wuji(node, "list", "--json").output)["sources"]
    assert {(row["source"], row["camera"], row["camera_outcome"]) for row in rows} == {
        ("粮库门", True, "taken"),
        ("泵站", False, ""),
    }
    silent = wuji(node, "list", "--silent", "1h")
    assert "泵站" in silent.output
    assert "粮库门" not in silent.output
    assert "1 sources" in wuji(node, "list", "--text", "粮库").output
    records = node.get("/api/v1/audit/records?reason=looking", node.token(Role.AUDITOR)).body
    assert b"source_looked" in records
    log = node.log_file.read_bytes()
    for said in (records, log, json.dumps(rows).encode(), node.get("/metrics").body):
        assert SECRET.encode() not in said


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (f"a,{VILLAGE},door,,,rtsp://admin:{SECRET}@10.0.0.1/", "bad-camera"),
        (f"a,{VILLAGE},door,,,http://admin:{SECRET}@127.0.0.1/", "bad-camera"),
        ("a,1,door,,,", "unknown-node"),
        (f"a,{VILLAGE},door,x,,", "bad-csv"),
    ],
)
def test_a_file_with_one_bad_line_registers_nothing_and_says_which(
    node: Node, tmp_path: Path, line: str, says: str
) -> None:
    file = tmp_path / "sources.csv"
    file.write_text(f"source,place,kind,longitude,latitude,camera\n好的,{COUNTY},door,,,\n{line}\n")
    done = wuji(node, "import", str(file))
    assert done.exit_code == 2
    assert says in done.output
    assert "line 3" in done.output
    assert SECRET not in done.output
    assert json.loads(wuji(node, "list", "--text", "好的", "--json").output)["count"] == 0


def test_what_cannot_be_read_or_reached_is_said(node: Node, tmp_path: Path) -> None:
    missing = wuji(node, "import", str(tmp_path / "none.csv"))
    assert (missing.exit_code, "none.csv" in missing.output) == (2, True)
    large = tmp_path / "large.csv"
    large.write_bytes(b"x" * (node.config.http.alarm_bytes + 1))
    assert "http.alarm_bytes" in wuji(node, "import", str(large)).output
