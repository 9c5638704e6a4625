"""The HTTP interface of one real gateway: what each endpoint gives, and whom it refuses."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from signaling.records import Role
from tests.support.node import Answer, Node, running
from tests.support.places import COUNTY, PROVINCE, TOWNSHIP, VILLAGE

V1 = "/api/v1"
BOUNDARY = "wuji-boundary"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running(tmp_path_factory.mktemp("api"), auth={"address_attempts": 1000}) as started:
        yield started


@pytest.fixture(scope="module")
def commander(node: Node) -> str:
    return node.token(Role.COMMANDER)


@pytest.fixture(scope="module")
def village(node: Node) -> str:
    return node.token(Role.TERMINAL, VILLAGE, "八里村 赵支书")


@pytest.fixture(scope="module")
def auditor(node: Node) -> str:
    return node.token(Role.AUDITOR)


def order(**changes: Any) -> dict[str, Any]:
    return {
        "click_id": uuid.uuid4().hex,
        "urgency": "P1",
        "title": "转移群众",
        "text": "立即转移低洼处群众",
        "scope": [{"node": TOWNSHIP, "mode": "subtree"}],
        "exercise": False,
    } | changes


def jpeg(size: tuple[int, int] = (800, 600)) -> bytes:
    out = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").resize(size).save(out, "JPEG")
    return out.getvalue()


def form(alarm: object, snapshot: bytes | None) -> bytes:
    parts = [("alarm", "application/json", json.dumps(alarm).encode())]
    if snapshot is not None:
        parts.append(("snapshot", "image/jpeg", snapshot))
    body = b""
    for name, kind, data in parts:
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\nContent-Type: {kind}\r\n\r\n'
        body += head.encode() + data + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


def raise_alarm(node: Node, token: str, alarm: object, snapshot: bytes | None) -> Answer:
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    return node.call("POST", f"{V1}/alarms", token, form(alarm, snapshot), Content_Type=kind)


# ---- signing in ----------------------------------------------------------------------------------


def test_a_link_code_gives_a_session_once(node: Node) -> None:
    code = node.link(Role.TERMINAL, VILLAGE, "八里村 赵支书")
    session = node.post(f"{V1}/session", {"code": code})
    assert session.status == 200
    said = session.json
    assert said["who"] == {"name": "八里村 赵支书", "role": "terminal", "division": VILLAGE}
    assert (said["node"], said["node_name"], said["division_name"]) == (COUNTY, "衡山县", "八里村委会")
    assert node.get(f"{V1}/me", said["token"]).json["who"] == said["who"]
    again = node.post(f"{V1}/session", {"code": code})
    assert (again.status, again.code) == (401, "link-invalid")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, (422, "invalid-value")),
        ({"code": "x", "name": "y", "password": "z"}, (422, "invalid-value")),
        ({"name": "y"}, (422, "invalid-value")),
        ({"code": "nobody-made-this"}, (401, "link-invalid")),
        ({"name": "nobody", "password": "x"}, (401, "sign-in-wrong")),
    ],
)
def test_what_proves_nothing_signs_nobody_in(node: Node, body: object, expected: tuple[int, str]) -> None:
    answer = node.post(f"{V1}/session", body)
    assert (answer.status, answer.code) == expected


def test_without_a_token_nothing_is_told(node: Node) -> None:
    for path in ("me", "nodes", "directives", "alarms", "conferences", "audit/records", "blobs/" + "0" * 64):
        answer = node.get(f"{V1}/{path}")
        assert (answer.status, answer.code) == (401, "token-missing")


# ---- places --------------------------------------------------------------------------------------


def test_nodes_are_the_line_above_and_everything_below(node: Node, commander: str) -> None:
    said = node.get(f"{V1}/nodes", commander).json
    assert said["self"] == COUNTY
    rows = {row["code"]: row for row in said["nodes"]}
    assert rows[COUNTY]["online"]
    assert rows[VILLAGE] | {"longitude": 0, "latitude": 0} == {
        "code": VILLAGE,
        "name": "八里村委会",
        "tier": 5,
        "parent": TOWNSHIP,
        "longitude": 0,
        "latitude": 0,
        "online": False,
        "terminals": 0,
    }
    assert PROVINCE in rows
    assert len(rows) == 168


def test_templates_come_with_urgency(node: Node, commander: str) -> None:
    templates = node.get(f"{V1}/templates", commander).json["templates"]
    assert {"id", "title", "text", "urgency", "plan", "level", "fields"} <= set(templates[0])
    assert {template["urgency"] for template in templates} >= {"P0", "P1"}


# ---- directives ----------------------------------------------------------------------------------


def test_a_directive_is_issued_once_per_click(node: Node, commander: str) -> None:
    wanted = order()
    first, second = (node.post(f"{V1}/directives", wanted, commander) for _ in range(2))
    assert (first.status, second.status) == (201, 200)
    assert first.json["id"] == second.json["id"]
    assert first.headers["Location"] == f"{V1}/directives/{first.json['id']}"
    view = node.get(f"{V1}/directives/{first.json['id']}", commander).json
    assert view["id"] == first.json["id"]
    assert len(view["recipients"]) == first.json["recipients"] > 10
    assert "type" not in view
    listed = node.get(f"{V1}/directives", commander).json["directives"]
    assert first.json["id"] in {row["id"] for row in listed}


def test_what_was_not_shown_cannot_be_signed(node: Node, commander: str, village: str) -> None:
    issued = node.post(f"{V1}/directives", order(scope=[{"node": VILLAGE, "mode": "self"}]), commander).json
    path = f"{V1}/directives/{issued['id']}"
    signed = node.post(f"{path}/sign", {"name": "赵"}, village)
    assert (signed.status, signed.code) == (409, "not-shown")
    refused = node.post(f"{path}/sign", {"name": "赵"}, commander)
    assert (refused.status, refused.code) == (403, "not-permitted")


def test_a_recalled_directive_says_so(node: Node, commander: str, village: str) -> None:
    issued = node.post(f"{V1}/directives", order(scope=[{"node": VILLAGE, "mode": "self"}]), commander).json
    path = f"{V1}/directives/{issued['id']}"
    assert node.post(f"{path}/recall", {"reason": "雨停"}, village).code == "not-permitted"
    assert node.post(f"{path}/recall", {}, commander).status == 422
    recalled = node.post(f"{path}/recall", {"reason": "雨停"}, commander)
    assert (recalled.status, recalled.json["state"]) == (200, "recalled")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"urgency": "P9"}, (422, "invalid-value")),
        ({"title": "a\r\nb"}, (422, "bad-text")),
        ({"title": "x" * 121}, (422, "bad-text")),
        ({"scope": []}, (422, "empty-scope")),
        ({"scope": [{"node": "999999999999"}]}, (404, "unknown-node")),
        ({"scope": [{"node": PROVINCE}]}, (403, "not-permitted")),
        ({"exercize": True}, (422, "invalid-value")),
    ],
)
def test_orders_that_may_not_be_are_refused(
    node: Node, commander: str, changes: dict[str, Any], expected: tuple[int, str]
) -> None:
    answer = node.post(f"{V1}/directives", order(**changes), commander)
    assert (answer.status, answer.code) == expected


def test_unknown_and_impossible_ids_are_not_found(node: Node, commander: str) -> None:
    for path in ("directives/d-none", "alarms/a-none", "conferences/c-none", "blobs/" + "0" * 64):
        answer = node.get(f"{V1}/{path}", commander)
        assert answer.status == 404
        assert answer.code.startswith("unknown-")
    for path in ("directives/..%2f..%2fetc", "directives/" + "x" * 300, "blobs/ABC", "directives/%00"):
        assert (node.get(f"{V1}/{path}", commander).status, node.get(f"{V1}/{path}", commander).code) == (
            404,
            "not-found",
        )


# ---- alarms --------------------------------------------------------------------------------------


def test_an_alarm_has_a_place_a_card_and_a_clean_picture(node: Node, commander: str) -> None:
    device = node.token(Role.DEVICE, VILLAGE, "水位站03")
    raised = raise_alarm(node, device, {"kind": "water_level", "text": "超警戒", "urgency": "P1"}, jpeg())
    assert raised.status == 201
    card = node.get(f"{V1}/alarms/{raised.json['id']}", commander).json
    assert (card["place"], card["place_name"], card["source"]) == (VILLAGE, "八里村委会", "水位站03")
    picture = node.get(f"{V1}/blobs/{card['picture']}", commander)
    assert picture.headers["Content-Type"] == "image/jpeg"
    assert picture.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in picture.headers["Content-Security-Policy"]
    assert Image.open(io.BytesIO(picture.body)).size == (800, 600)
    assert len(node.get(f"{V1}/blobs/{card['thumbnail']}", commander).body) <= 65_536
    confirmed = node.post(f"{V1}/alarms/{raised.json['id']}/advance", {"state": "confirmed"}, commander)
    assert confirmed.json["state"] == "confirmed"
    skipped = node.post(f"{V1}/alarms/{raised.json['id']}/advance", {"state": "closed"}, commander)
    assert (skipped.status, skipped.code) == (409, "alarm-state")


@pytest.mark.parametrize(
    "snapshot", [b"", b"GIF89a", b"\xff\xd8\xff" + b"\0" * 64, b"<svg xmlns='http://www.w3.org/2000/svg'/>"]
)
def test_a_picture_that_is_none_raises_nothing(node: Node, commander: str, snapshot: bytes) -> None:
    before = len(node.get(f"{V1}/alarms", commander).json["alarms"])
    device = node.token(Role.DEVICE, VILLAGE, "烟感")
    answer = raise_alarm(node, device, {"kind": "smoke", "text": "烟"}, snapshot)
    assert answer.status == 422
    assert answer.code.startswith("picture-")
    assert len(node.get(f"{V1}/alarms", commander).json["alarms"]) == before


def test_an_alarm_stands_whatever_becomes_of_its_picture(node: Node, commander: str) -> None:
    device = node.token(Role.DEVICE, VILLAGE, "烟感二")
    alarm = {"kind": "smoke", "text": "烟", "place": VILLAGE}
    broken = jpeg()[:2_000]
    raised = raise_alarm(node, device, alarm, broken)
    assert (raised.status, raised.json["picture"]) == (201, "picture-unreadable")
    assert node.get(f"{V1}/alarms/{raised.json['id']}", commander).json["picture"] is None
    named = {**alarm, "event": "evt-79"}
    answer = raise_alarm(node, device, named, broken)
    assert (answer.status, answer.code) == (422, "picture-unreadable")
    again = raise_alarm(node, device, named, jpeg())
    assert (again.status, again.json["picture"]) == (200, "kept")


def test_who_may_not_raise_costs_no_decoding(node: Node, auditor: str) -> None:
    answer = raise_alarm(node, auditor, {"kind": "smoke", "text": "烟"}, b"\xff\xd8\xff no picture")
    assert (answer.status, answer.code) == (403, "not-permitted")


def test_the_same_event_is_the_same_alarm(node: Node) -> None:
    device = node.token(Role.DEVICE, VILLAGE, "水位站04")
    alarm = {"kind": "water_level", "text": "超警戒", "event": "evt-77"}
    first, second = (node.post(f"{V1}/alarms", alarm, device) for _ in range(2))
    assert (first.status, second.status) == (201, 200)
    assert first.json["id"] == second.json["id"]


def test_a_repeat_brings_the_picture_that_did_not_come_and_no_second_one(node: Node, commander: str) -> None:
    device = node.token(Role.DEVICE, VILLAGE, "水位站05")
    alarm = {"kind": "water_level", "text": "超警戒", "event": "evt-78"}
    raised = node.post(f"{V1}/alarms", alarm, device).json["id"]
    assert raise_alarm(node, device, alarm, jpeg()).status == 200
    picture = node.get(f"{V1}/alarms/{raised}", commander).json["picture"]
    assert picture is not None
    assert raise_alarm(node, device, alarm, jpeg((640, 480))).json["id"] == raised
    assert node.get(f"{V1}/alarms/{raised}", commander).json["picture"] == picture


# ---- meetings ------------------------------------------------------------------------------------


def test_the_same_press_is_the_same_meeting_also_at_once(node: Node, commander: str) -> None:
    wanted = {"title": "防汛会商", "scope": [{"node": TOWNSHIP, "mode": "subtree"}], "click_id": uuid.uuid4().hex}
    with ThreadPoolExecutor(4) as people:
        answers = list(people.map(lambda _: node.post(f"{V1}/conferences", wanted, commander), range(4)))
    again = node.post(f"{V1}/conferences", wanted, commander)
    assert sorted(answer.status for answer in answers) == [200, 200, 200, 201]
    assert {answer.json["id"] for answer in (*answers, again)} == {again.json["id"]}
    assert again.status == 200
    other = node.post(f"{V1}/conferences", wanted, node.token(Role.COMMANDER, name="另一位"))
    assert other.json["id"] != again.json["id"]
    too_long = node.post(f"{V1}/conferences", wanted | {"click_id": "x" * 65}, commander)
    assert (too_long.status, too_long.code) == (422, "invalid-value")


def test_a_meeting_is_convened_listed_and_ended(node: Node, commander: str, village: str) -> None:
    wanted = {"title": "防汛会商", "scope": [{"node": TOWNSHIP, "mode": "subtree"}]}
    assert node.post(f"{V1}/conferences", wanted, village).code == "not-permitted"
    made = node.post(f"{V1}/conferences", wanted, commander)
    assert made.status == 201
    path = f"{V1}/conferences/{made.json['id']}"
    assert node.get(path, village).json["title"] == "防汛会商"
    assert node.get(f"{V1}/participants?conference={made.json['id']}", village).json["participants"] == []
    assert made.json["id"] in {row["id"] for row in node.get(f"{V1}/conferences", village).json["conferences"]}
    nobody = node.post(f"{path}/participants/p-none/snapshot", {"text": "x"}, commander)
    assert (nobody.status, nobody.code) == (404, "unknown-participant")
    assert node.post(f"{path}/end", {}, commander).json["ended"]
    assert node.get(path, commander).json["ended"]


@pytest.mark.parametrize(
    ("offer", "kind", "expected"),
    [
        (b"v=0\r\n", "application/sdp", (400, "sdp-malformed")),
        (b"nonsense", "application/sdp", (400, "sdp-malformed")),
        (b"v=0\r\n" * 20_000, "application/sdp", (413, "too-large")),
        (b"{}", "application/json", (415, "unsupported-media-type")),
    ],
)
def test_offers_that_are_none_are_refused(
    node: Node, commander: str, offer: bytes, kind: str, expected: tuple[int, str]
) -> None:
    wanted = {"title": "x", "scope": [{"node": COUNTY, "mode": "self"}]}
    meeting = node.post(f"{V1}/conferences", wanted, commander).json["id"]
    for path in (f"/whip/{meeting}", f"/whep/{meeting}"):
        answer = node.call("POST", path, commander, offer, Content_Type=kind)
        assert (answer.status, answer.code) == expected
    gone = node.call("DELETE", "/whip/resource/p-none", commander)
    assert (gone.status, gone.code) == (404, "unknown-resource")


# ---- audit ---------------------------------------------------------------------------------------


def test_an_auditor_says_why_and_is_seen(node: Node, auditor: str, commander: str) -> None:
    assert node.get(f"{V1}/audit/records", auditor).code == "reason-needed"
    assert node.get(f"{V1}/audit/records?reason=review", commander).code == "not-permitted"
    assert node.get(f"{V1}/audit/records?reason=review&limit=9999", auditor).status == 422
    assert node.get(f"{V1}/audit/records?reason=review&after=-1", auditor).status == 422
    first = node.get(f"{V1}/audit/records?reason=%E6%9F%A5%E9%98%85&limit=500", auditor).json
    assert first["records"]
    second = node.get(f"{V1}/audit/records?reason=again&after={first['next']}", auditor).json
    assert "audit_read" in json.dumps(second)
    chain = node.get(f"{V1}/audit/chain?reason=review", auditor).json
    assert chain["whole"], chain
    assert isinstance(node.get(f"{V1}/audit/sessions?reason=review", auditor).json["sessions"], list)
    assert node.get(f"{V1}/recordings", auditor).json == {"recordings": []}


def test_the_node_ends_cleanly_and_its_log_has_no_secret(tmp_path: Path) -> None:
    """S23 over a whole small life: token, link code and password are nowhere in the log at debug level."""
    with running(tmp_path, log={"level": "debug"}) as started:
        token, code = started.token(Role.COMMANDER), started.link(Role.TERMINAL, VILLAGE)
        session = started.post(f"{V1}/session", {"code": code}).json["token"]
        started.post(f"{V1}/session", {"name": "刘", "password": "hunter2-hunter2"})
        for bearer in (token, session, token + "x"):
            started.get(f"{V1}/me", bearer)
            started.get(f"{V1}/directives", bearer)
        started.call(
            "POST", "/whip/c-none", token, b"v=0\r\na=ice-pwd:verysecretpwd\r\n", Content_Type="application/sdp"
        )
    log = started.log_file.read_text(encoding="utf-8")
    assert log.count("\n") > 5
    assert "Traceback" not in log
    for secret in (token, token.split(".")[2], session, code, "hunter2", "verysecretpwd"):
        assert secret not in log
