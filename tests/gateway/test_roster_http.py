"""Duty rosters and groups over HTTP: what they give, and whom they refuse."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from signaling.ids import NodeCode
from signaling.records import Role
from tests.support.node import Node, running
from tests.support.places import CITY, COUNTY, SIBLING, TABLE, TOWNSHIP, VILLAGE

V1 = "/api/v1"
ROSTER = f"{V1}/roster"
HOUR = 3_600_000
DAY = 24 * HOUR
POSTS = ["带班领导", "值班长", "值班员", "值班员"]
"""1+1+2: two officers at a time."""
FAR = 4_000_000_000_000
"""A time nobody reaches while the tests run: the gateway's clock is the real one."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    tree = {"groups_file": str(TABLE.with_name("groups.toml"))}
    with running(tmp_path_factory.mktemp("roster"), tree=tree, duty={"posts": POSTS}) as started:
        yield started


@pytest.fixture(scope="module")
def commander(node: Node) -> str:
    return node.token(Role.COMMANDER)


def line(division: NodeCode = VILLAGE, **changes: Any) -> dict[str, Any]:
    said = {"division": division, "post": "值班员", "person": "周主任", "starts_at": FAR, "ends_at": FAR + HOUR}
    return said | changes


def of(node: Node, token: str, division: NodeCode) -> Any:
    return next(place for place in node.get(f"{ROSTER}/board", token).json["places"] if place["division"] == division)


def test_somebody_is_put_on_duty_overruled_and_taken_off(node: Node, commander: str) -> None:
    made = node.post(ROSTER, line(), commander)
    assert (made.status, made.json["division"]) == (201, VILLAGE)
    shift = {"post": "值班员", "person": "周主任", "starts_at": FAR, "ends_at": FAR + HOUR}
    assert made.json["shifts"] == [shift]
    half = FAR + HOUR // 2
    changed = node.post(ROSTER, line(person="吴书记", starts_at=half), commander).json
    assert changed["shifts"] == [shift | {"ends_at": half}, shift | {"person": "吴书记", "starts_at": half}]
    assert node.post(ROSTER, line(person=""), commander).json["shifts"] == []
    read = node.get(f"{ROSTER}?division={VILLAGE}", commander).json
    assert (read["division"], read["shifts"]) == (VILLAGE, [])
    assert [said["person"] for said in read["roster"]] == ["周主任", "", "吴书记"]
    assert {said["by"] for said in read["roster"]} == {"测试员"}


def test_two_are_on_duty_together_until_one_leaves(node: Node, commander: str) -> None:
    now = of(node, commander, COUNTY)["posts"][0]["gaps"][0]["starts_at"]
    shift = {"post": "值班员", "starts_at": now - HOUR, "ends_at": now + HOUR}
    for person, change in (("周主任", {}), ("吴书记", {"change": "joins"})):
        assert node.post(ROSTER, line(COUNTY, person=person, **shift, **change), commander).status == 201
    (post,) = (post for post in of(node, commander, COUNTY)["posts"] if post["post"] == "值班员")
    others = [(one["person"], one["ends_at"]) for one in post["others"]]
    assert (post["person"], post["until"], others) == ("周主任", now + HOUR, [("吴书记", now + HOUR)])
    assert (post["need"], [gap["starts_at"] for gap in post["gaps"]]) == (2, [now + HOUR])
    left = node.post(ROSTER, line(COUNTY, person="周主任", change="leaves", **shift), commander).json
    assert [one["person"] for one in left["shifts"] if one["post"] == "值班员"] == ["吴书记"]
    (post,) = (post for post in of(node, commander, COUNTY)["posts"] if post["post"] == "值班员")
    assert len(post["gaps"]) == 1
    assert post["gaps"][0]["starts_at"] < now + HOUR
    assert [(one["person"], one["change"], one["now"]) for one in left["roster"]] == [
        ("周主任", "", False), ("吴书记", "joins", True), ("周主任", "leaves", False),
    ]  # fmt: skip


def files_with(node: Node, text: str) -> list[str]:
    """Return the files of the gateway, its log among them, in which ``text`` stands."""
    found = []
    for file in node.log_file.parent.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # a passing file of the journal's or the bus's
            if file.is_file() and text.encode() in file.read_bytes():
                found.append(file.name)
    return found


def test_a_number_is_shown_to_those_who_may_change_the_roster_and_stands_in_no_record(
    node: Node, commander: str
) -> None:
    path, number = f"{ROSTER}/phone", "+8613800009999"
    kept = {"division": VILLAGE, "person": "周主任", "phone": number}
    assert node.post(path, kept, commander).json["phones"] == {"周主任": number}
    mayor = node.token(Role.COMMANDER, TOWNSHIP)
    assert node.get(f"{ROSTER}?division={VILLAGE}", mayor).json["phones"] == {"周主任": number}
    for who in (node.token(Role.TERMINAL, VILLAGE), node.token(Role.AUDITOR)):
        assert node.get(f"{ROSTER}?division={VILLAGE}", who).json["phones"] == {}
        assert node.post(path, kept, who).code == "not-permitted"
    for wrong in ({"phone": "12"}, {"phone": "1380000O000"}, {"phone": "+86 138"}, {"phone": "1" * 22}, {"person": ""}):
        answer = node.post(path, kept | wrong, commander)
        assert answer.status == 422
        assert number not in str(answer.json)
    assert node.post(path, kept | {"division": "999999999999"}, commander).status == 404
    assert files_with(node, number) == ["phones.sqlite"]
    assert node.post(path, kept | {"phone": ""}, commander).json["phones"] == {}
    assert files_with(node, number) == []


def test_the_board_says_who_is_on_duty_and_who_is_missing_in_the_coming_day(node: Node, commander: str) -> None:
    before = of(node, commander, TOWNSHIP)
    assert [post["post"] for post in before["posts"]] == ["带班领导", "值班长", "值班员"]
    assert all(len(post["gaps"]) == 1 and post["person"] == "" for post in before["posts"])
    assert [post["post"] for post in of(node, commander, SIBLING)["posts"]] == ["值班员"]
    now = before["posts"][0]["gaps"][0]["starts_at"]
    for post, person, ends_at in (("值班长", "李镇长", now + 3 * DAY), ("司机", "老王", now + HOUR)):
        shift = line(TOWNSHIP, post=post, person=person, starts_at=now - HOUR, ends_at=ends_at)
        assert node.post(ROSTER, shift, commander).status == 201
    posts = {post["post"]: post for post in of(node, commander, TOWNSHIP)["posts"]}
    assert list(posts) == ["带班领导", "值班长", "值班员", "司机"]
    assert (posts["值班长"]["person"], posts["值班长"]["gaps"]) == ("李镇长", [])
    assert (posts["司机"]["person"], posts["司机"]["until"], posts["司机"]["gaps"]) == ("老王", now + HOUR, [])
    assert len(posts["值班员"]["gaps"]) == 1


def test_the_board_is_of_the_places_one_may_read_and_says_where_one_may_write(node: Node, commander: str) -> None:
    def seen(token: str) -> dict[str, bool]:
        return {place["division"]: place["may_set"] for place in node.get(f"{ROSTER}/board", token).json["places"]}

    everywhere = seen(commander)
    assert (len(everywhere), set(everywhere.values())) == (166, {True})
    assert CITY not in everywhere
    assert seen(node.token(Role.TERMINAL, VILLAGE)) == {VILLAGE: False}
    auditor = seen(node.token(Role.AUDITOR))
    assert (len(auditor), set(auditor.values())) == (166, {False})
    township = seen(node.token(Role.COMMANDER, TOWNSHIP))
    assert (COUNTY in township, township[TOWNSHIP], township[VILLAGE]) == (False, True, True)
    assert seen(node.token(Role.DEVICE, VILLAGE)) == {}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"division": CITY}, (403, "not-permitted")),
        ({"division": "999999999999"}, (404, "unknown-node")),
        ({"post": "a\nb"}, (422, "bad-text")),
        ({"person": "a\u202eb"}, (422, "bad-text")),
        ({"post": ""}, (422, "invalid-value")),
        ({"person": "x" * 61}, (422, "invalid-value")),
        ({"ends_at": FAR}, (422, "bad-record")),
        ({"ends_at": FAR + 400 * DAY}, (422, "bad-record")),
        ({"persom": "x"}, (422, "invalid-value")),
        ({"change": "relieves"}, (422, "invalid-value")),
        ({"change": "joins", "person": ""}, (422, "bad-record")),
        ({"change": "leaves", "person": ""}, (422, "bad-record")),
        ({"starts_at": "soon"}, (422, "invalid-value")),
    ],
)
def test_lines_that_may_not_be_are_refused(
    node: Node, commander: str, changes: dict[str, Any], expected: tuple[int, str]
) -> None:
    answer = node.post(ROSTER, line() | changes, commander)
    assert (answer.status, answer.code) == expected


def test_another_places_roster_is_neither_read_nor_written(node: Node) -> None:
    village, township = node.token(Role.TERMINAL, VILLAGE), node.token(Role.COMMANDER, TOWNSHIP)
    for token, place in ((village, SIBLING), (village, TOWNSHIP), (township, COUNTY)):
        answer = node.get(f"{ROSTER}?division={place}", token)
        assert (answer.status, answer.code) == (403, "not-permitted")
    assert node.get(ROSTER, village).json["division"] == VILLAGE
    for token, place in ((village, VILLAGE), (township, COUNTY), (node.token(Role.AUDITOR), VILLAGE)):
        answer = node.post(ROSTER, line(place), token)
        assert (answer.status, answer.code) == (403, "not-permitted")
    for path in (ROSTER, f"{ROSTER}/board", f"{V1}/groups"):
        assert node.get(path).code == "token-missing"


def test_groups_are_told_as_a_directive_takes_them(node: Node, commander: str) -> None:
    groups = node.get(f"{V1}/groups", commander).json["groups"]
    assert {"id", "name", "scope"} == set(groups[0])
    order = {"click_id": "g1", "urgency": "P1", "title": "点名", "text": "请报到", "scope": groups[0]["scope"]}
    issued = node.post(f"{V1}/directives", order, commander).json
    view = node.get(f"{V1}/directives/{issued['id']}", commander).json
    assert {row["post"] for row in view["recipients"]} == {groups[0]["scope"][0]["post"]}
    foreign = node.post(f"{V1}/directives", order | {"click_id": "g2"}, node.token(Role.COMMANDER, TOWNSHIP))
    assert (foreign.status, foreign.code) == (403, "not-permitted")


def test_without_a_file_there_are_no_groups(tmp_path: Path) -> None:
    with running(tmp_path) as started:
        assert started.get(f"{V1}/groups", started.token(Role.COMMANDER)).json == {"groups": []}
