"""CAP over HTTP and on the command line."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.__main__ import app
from signaling import cap
from signaling.cap import MsgType
from signaling.records import Role
from tests.signaling.test_interchange import alert
from tests.support.node import Answer, Node, running
from tests.support.places import TOWNSHIP, VILLAGE

V1 = "/api/v1"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running(tmp_path_factory.mktemp("cap")) as started:
        yield started


def give(node: Node, data: bytes, role: Role = Role.DEVICE, kind: str = "application/cap+xml") -> Answer:
    return node.call("POST", f"{V1}/cap", node.token(role), data, Content_Type=kind)


def test_a_message_comes_in_and_its_alarm_goes_out(node: Node) -> None:
    data = cap.render(alert(places=(VILLAGE,)))
    answer = give(node, data)
    assert (answer.status, answer.json["effect"], answer.json["exercise"]) == (201, "raised", False)
    again = give(node, data, kind="text/xml")
    assert (again.status, again.json) == (200, answer.json)
    out = node.get(f"{V1}/alarms/{answer.json['alarm']}/cap", node.token(Role.COMMANDER))
    assert (out.status, out.headers["Content-Type"]) == (200, "application/cap+xml; charset=utf-8")
    assert cap.parse(out.body).info[0].event == "暴雨红色预警"


def test_a_directive_goes_out(node: Node) -> None:
    order = {"click_id": "c", "urgency": "P0", "title": "转移", "text": "立即转移", "exercise": True}
    order |= {"scope": [{"node": TOWNSHIP, "mode": "subtree"}]}
    issued = node.post(f"{V1}/directives", order, node.token(Role.COMMANDER)).json["id"]
    message = cap.parse(node.get(f"{V1}/directives/{issued}/cap", node.token(Role.COMMANDER)).body)
    assert (message.status, message.msg_type) == (cap.Status.EXERCISE, MsgType.ALERT)
    refused = node.get(f"{V1}/directives/{issued}/cap", node.token(Role.DEVICE))
    assert (refused.status, refused.code) == (403, "not-permitted")


def test_what_is_wrong_is_answered_by_its_code(node: Node) -> None:
    good = cap.render(alert(identifier="W-1"))
    for data, expected in (
        (b"<alert", (400, "cap-xml")),
        (b"<!DOCTYPE a>" + good.partition(b"\n")[2], (422, "cap-dtd")),
        (good.replace(b"Actual", b"Real"), (422, "cap-value")),
        (good + b" " * cap.MAX_BYTES, (413, "too-large")),
    ):
        answer = give(node, data)
        assert (answer.status, answer.code) == expected
    for answer, expected in (
        (give(node, good, kind="application/json"), (415, "unsupported-media-type")),
        (give(node, good, Role.TERMINAL), (403, "not-permitted")),
    ):
        assert (answer.status, answer.code) == expected


def test_the_command_line_says_every_broken_rule(tmp_path: Path) -> None:
    file = tmp_path / "message.xml"
    file.write_bytes(cap.render(alert()))
    fine = CliRunner().invoke(app, ["cap", "check", str(file)])
    assert (fine.exit_code, fine.stdout) == (0, f"{file}: fine\n")
    file.write_bytes(file.read_bytes().replace(b"Actual", b"Real").replace(b"Public", b"Private"))
    wrong = CliRunner().invoke(app, ["cap", "check", str(file), "--json"])
    assert wrong.exit_code == 2
    for said in ("alert/status: cap-value", "alert/addresses: cap-addresses"):
        assert said in wrong.stderr
    assert '"ok": false' in wrong.stdout.splitlines()[-1]
    assert CliRunner().invoke(app, ["cap", "check", str(tmp_path / "none.xml")]).exit_code == 2
