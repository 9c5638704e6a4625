"""Drafts over HTTP: written, changed, submitted, returned, approved and issued; and every refusal on the way."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from signaling.records import Role
from tests.support.node import Answer, Node, running
from tests.support.places import CITY, TOWNSHIP, VILLAGE

DRAFTS = "/api/v1/drafts"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running(tmp_path_factory.mktemp("drafts"), directives={"approval": ["P1"]}) as started:
        yield started


@pytest.fixture(scope="module")
def author(node: Node) -> str:
    return node.token(Role.COMMANDER, name="王值班")


@pytest.fixture(scope="module")
def chief(node: Node) -> str:
    return node.token(Role.COMMANDER, name="李县长")


def order(**changes: Any) -> dict[str, Any]:
    said = {"click_id": uuid.uuid4().hex, "urgency": "P1", "title": "转移群众", "text": "立即转移"}
    return said | {"scope": [{"node": TOWNSHIP, "mode": "subtree"}], "exercise": False} | changes


def draft(node: Node, token: str, **changes: Any) -> str:
    made = node.post(DRAFTS, order(**changes), token)
    assert (made.status, made.json["revision"], made.json["state"]) == (201, 1, "draft")
    return str(made.json["id"])


def step(node: Node, token: str, draft_id: str, name: str, **body: Any) -> Answer:
    return node.post(f"{DRAFTS}/{draft_id}/{name}", body, token)


def refused(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.code) == (status, code)


def test_a_draft_goes_to_and_fro_and_is_issued_as_it_was_approved(node: Node, author: str, chief: str) -> None:
    wanted = order(title="初稿")
    first, again = (node.post(DRAFTS, wanted, author) for _ in range(2))
    assert first.json["id"] == again.json["id"]  # the same press is the same draft
    draft_id = first.json["id"]
    assert step(node, author, draft_id, "submit", revision=1).json["state"] == "pending"
    back = step(node, chief, draft_id, "return", revision=1, reason="地点不清").json
    assert (back["state"], back["returned_by"], back["returned_reason"]) == ("draft", "李县长", "地点不清")
    assert back["before"] is None  # nothing has changed since
    edited = step(node, author, draft_id, "edit", revision=1, request=wanted | {"title": "二稿"}).json
    assert (edited["revision"], edited["request"]["title"], edited["before"]["title"]) == (2, "二稿", "初稿")
    lost = step(node, author, draft_id, "edit", revision=1, request=wanted | {"title": "二稿"})
    assert (lost.status, lost.json["revision"]) == (200, 2)  # a repeat after a lost answer
    step(node, author, draft_id, "submit", revision=2)
    assert draft_id in {one["id"] for one in node.get(DRAFTS, chief).json["drafts"]}
    seen = node.get(f"{DRAFTS}/{draft_id}", chief).json
    assert (seen["returned_by"], seen["before"]["title"]) == ("", "初稿")
    issued = step(node, chief, draft_id, "approve", revision=2).json
    assert step(node, chief, draft_id, "approve", revision=2).json["id"] == issued["id"] == draft_id
    view = node.get(f"/api/v1/directives/{draft_id}", author).json
    assert (view["title"], view["issuer"]["name"], view["approved_by"]) == ("二稿", "王值班", "李县长")
    assert draft_id not in {one["id"] for one in node.get(DRAFTS, chief).json["drafts"]}


def test_what_needs_no_approval_is_issued_by_its_author(node: Node, author: str, chief: str) -> None:
    draft_id = draft(node, author, urgency="P0")
    refused(step(node, chief, draft_id, "issue"), 403, "foreign-draft")
    issued = step(node, author, draft_id, "issue")
    assert (issued.status, issued.json["id"]) == (200, draft_id)
    assert step(node, author, draft_id, "issue").json["number"] == issued.json["number"]


def test_only_its_author_changes_or_submits_a_draft(node: Node, author: str, chief: str) -> None:
    draft_id = draft(node, author)
    refused(step(node, chief, draft_id, "edit", revision=1, request=order()), 403, "foreign-draft")
    refused(step(node, chief, draft_id, "submit", revision=1), 403, "foreign-draft")


def test_a_draft_that_moved_on_is_read_again_first(node: Node, author: str, chief: str) -> None:
    draft_id = draft(node, author)
    assert step(node, author, draft_id, "edit", revision=1, request=order(text="一")).status == 200
    refused(step(node, author, draft_id, "edit", revision=1, request=order(text="二")), 409, "draft-changed")
    refused(step(node, author, draft_id, "submit", revision=1), 409, "draft-changed")
    step(node, author, draft_id, "submit", revision=2)
    refused(step(node, chief, draft_id, "approve", revision=1), 409, "draft-changed")
    refused(step(node, chief, draft_id, "return", revision=1, reason="x"), 409, "draft-changed")


def test_what_does_not_fit_its_state_is_refused(node: Node, author: str, chief: str) -> None:
    draft_id = draft(node, author)
    refused(step(node, chief, draft_id, "approve", revision=1), 409, "draft-draft")
    refused(step(node, chief, draft_id, "return", revision=1, reason="x"), 409, "draft-draft")
    refused(step(node, author, draft_id, "issue"), 409, "approval-needed")
    step(node, author, draft_id, "submit", revision=1)
    refused(step(node, author, draft_id, "edit", revision=1, request=order(text="二")), 409, "draft-pending")
    refused(step(node, author, draft_id, "approve", revision=1), 403, "own-directive")
    assert step(node, author, draft_id, "return", revision=1, reason="收回").json["state"] == "draft"
    step(node, author, draft_id, "submit", revision=1)
    assert step(node, chief, draft_id, "approve", revision=1).status == 200
    for name, body in (("edit", {"revision": 1, "request": order()}), ("submit", {"revision": 1})):
        refused(step(node, author, draft_id, name, **body), 409, "draft-issued")
    refused(step(node, chief, draft_id, "return", revision=1, reason="x"), 409, "draft-issued")


def test_others_neither_read_nor_judge_a_draft(node: Node, author: str) -> None:
    draft_id = draft(node, author)
    step(node, author, draft_id, "submit", revision=1)
    below = node.token(Role.COMMANDER, TOWNSHIP)
    for token in (below, node.token(Role.TERMINAL, VILLAGE), node.token(Role.AUDITOR)):
        refused(node.get(f"{DRAFTS}/{draft_id}", token), 403, "not-permitted")
        refused(step(node, token, draft_id, "approve", revision=1), 403, "not-permitted")
        refused(step(node, token, draft_id, "return", revision=1, reason="x"), 403, "not-permitted")
        assert node.get(DRAFTS, token).json["drafts"] == []
    refused(node.post(DRAFTS, order(), node.token(Role.TERMINAL, VILLAGE)), 403, "not-permitted")
    refused(node.get(DRAFTS), 401, "token-missing")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"title": "a\nb"}, (422, "bad-text")),
        ({"scope": []}, (422, "empty-scope")),
        ({"scope": [{"node": CITY}]}, (403, "not-permitted")),
        ({"scope": [{"node": "999999999999"}]}, (404, "unknown-node")),
        ({"supersedes": "d-none"}, (404, "unknown-directive")),
        ({"expires_ms": 1}, (422, "bad-record")),
        ({"urgency": "P9"}, (422, "invalid-value")),
    ],
)
def test_a_draft_is_refused_now_rather_than_when_it_is_approved(
    node: Node, author: str, changes: dict[str, Any], expected: tuple[int, str]
) -> None:
    refused(node.post(DRAFTS, order(**changes), author), *expected)
    draft_id = draft(node, author)
    refused(step(node, author, draft_id, "edit", revision=1, request=order(**changes)), *expected)
    assert node.get(f"{DRAFTS}/{draft_id}", author).json["revision"] == 1


def test_unknown_drafts_and_forms_that_are_none(node: Node, author: str) -> None:
    none = "d-none"
    refused(node.get(f"{DRAFTS}/{none}", author), 404, "unknown-draft")
    bodies: dict[str, dict[str, Any]] = {
        "edit": {"revision": 1, "request": order()},
        "submit": {"revision": 1},
        "approve": {"revision": 1},
        "return": {"revision": 1, "reason": "x"},
        "issue": {},
    }
    for name, body in bodies.items():
        refused(step(node, author, none, name, **body), 404, "unknown-draft")
    draft_id = draft(node, author)
    for name, wrong in (("submit", {}), ("submit", {"revision": 0}), ("return", {"revision": 1, "reason": ""})):
        refused(step(node, author, draft_id, name, **wrong), 422, "invalid-value")
