"""Issuing in order: numbered, countersigned, superseded, drafted and approved; through real journals."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.issuing import Rules
from signaling.directive import COUNTERSIGN_MS
from signaling.errors import Refused
from signaling.forms import FieldKind, FieldSpec
from signaling.ids import DirectiveId, NodeCode
from signaling.messages import DraftView
from signaling.records import (
    AnyRecord,
    DirectiveApproved,
    DirectiveIssued,
    DirectiveRequest,
    DirectiveSuperseded,
    RefusalRecorded,
    ScopeItem,
    Stage,
    Urgency,
)
from tests.support import facts
from tests.support.loop import on_loop
from tests.support.nodes import Node, until_quiet
from tests.support.places import (
    COUNTY,
    OTHER_TOWNSHIP,
    SIBLING,
    TOWNSHIP,
    VILLAGE,
    auditor,
    commander,
    leader,
    terminal,
)

APPROVAL = Rules("衡山应急令", frozenset({Urgency.P1, Urgency.P2}))


def request(click: str = "click-1", *places: NodeCode, **changes: Any) -> DirectiveRequest:
    scope = tuple(ScopeItem(node=n) for n in places or (VILLAGE,))
    return facts.request(click_id=click, scope=scope, **changes)


def written(node: Node, kind: type[AnyRecord]) -> list[Any]:
    return [row.record for row in node.journal.replay() if isinstance(row.record, kind)]


async def code_of(asked: Awaitable[object]) -> str:
    with pytest.raises(Refused) as refused:
        await asked
    return refused.value.code


@on_loop
async def test_numbers_have_no_gap_and_none_twice_over_restarts_and_refusals(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path)
    together = await asyncio.gather(*(county.directives.issue(commander(), request(f"a{n}")) for n in range(4)))
    assert await code_of(county.directives.issue(commander(), request("bad", title=""))) == "bad-text"
    county = await county.restart()
    again, _ = await county.directives.issue(commander(), request("a0"))
    drill, _ = await county.directives.issue(commander(), request("d", exercise=True))
    last, _ = await county.directives.issue(commander(), request("b"))
    numbers = [order.number for order, _ in together]
    assert numbers == [f"衡山应急令〔2025〕{n:04d}号" for n in (1, 2, 3, 4)]
    assert (again.number, last.number) == (numbers[0], "衡山应急令〔2025〕0005号")
    assert drill.number == "衡山应急令（演练）〔2025〕0001号"
    county.clock.advance(366 * 24 * 3_600_000)
    next_year, _ = await county.directives.issue(commander(), request("c"))
    assert next_year.number == "衡山应急令〔2026〕0001号"
    await county.close()


@on_loop
async def test_a_flash_goes_out_at_once_and_is_countersigned_by_somebody_else(tmp_path: Path) -> None:
    county, township = Node(COUNTY, tmp_path, rules=APPROVAL), Node(TOWNSHIP, tmp_path)
    order, _ = await county.directives.issue(commander(), request(urgency=Urgency.P0))
    assert order.countersign_by == order.at + COUNTERSIGN_MS
    await until_quiet(county, township)
    assert township.directives.view(order.directive, commander()).countersign_by == order.countersign_by
    countersign = county.directives.countersign
    assert await code_of(countersign(commander(), order.directive)) == "own-directive"
    assert await code_of(countersign(commander(TOWNSHIP), order.directive)) == "not-permitted"
    assert await code_of(countersign(auditor(COUNTY), order.directive)) == "not-permitted"
    county.clock.advance(COUNTERSIGN_MS + 1)  # late is better than never
    for _ in range(2):
        await countersign(leader(), order.directive)
    await until_quiet(county, township)
    for node in (county, await township.restart()):
        seen = node.directives.view(order.directive, commander())
        assert (seen.countersign_by, seen.countersigned_by, seen.state) == (None, "陈带班", "issued")
        await node.close()


@on_loop
async def test_what_needs_approval_is_not_issued_by_one_person(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path, rules=APPROVAL)
    for urgency in (Urgency.P1, Urgency.P2):
        assert await code_of(county.directives.issue(commander(), request(urgency=urgency))) == "approval-needed"
    order, _ = await county.directives.issue(commander(), request(urgency=Urgency.P3))
    assert (order.countersign_by, order.approved_by) == (None, None)
    await county.close()


@on_loop
async def test_a_draft_is_submitted_returned_changed_approved_and_issued_under_one_id(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path, rules=APPROVAL)
    desk = county.directives
    draft = await desk.draft(commander(), request())
    assert await desk.draft(commander(), request()) == draft
    assert await code_of(desk.issue_draft(commander(), draft.directive)) == "approval-needed"
    assert (await desk.submit(commander(), draft.directive, 1)).state == "pending"
    assert await code_of(desk.approve(commander(), draft.directive, 1)) == "own-directive"
    back = await desk.give_back(leader(), draft.directive, 1, "写明地点")
    assert (back.state, back.returned_by, back.returned_reason) == ("draft", "陈带班", "写明地点")
    edited = await desk.edit(commander(), draft.directive, request(text="转移到村部"), 1)
    assert edited.revision == 2
    await desk.submit(commander(), draft.directive, 2)
    county = await county.restart()
    desk = county.directives
    assert [view.state for view in desk.drafts(leader())] == ["pending"]
    assert await code_of(desk.approve(leader(), draft.directive, 1)) == "draft-changed"
    first, second = await asyncio.gather(
        desk.approve(leader(), draft.directive, 2), desk.approve(leader(), draft.directive, 2)
    )
    assert first == second
    assert (first.directive, first.issuer, first.approved_by) == (draft.directive, commander(), leader())
    assert (first.text, first.number) == ("转移到村部", "衡山应急令〔2025〕0001号")
    assert desk.drafts(leader()) == []
    assert (await desk.draft(commander(), request())).state == "issued"
    assert len(written(county, DirectiveApproved)) == len(written(county, DirectiveIssued)) == 1
    assert desk.view(first.directive, commander()).approved_by == "陈带班"
    await county.close()


@on_loop
async def test_a_draft_that_nobody_need_approve_is_issued_by_its_author(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path)
    draft = await county.directives.draft(commander(), request())
    assert await code_of(county.directives.issue_draft(leader(), draft.directive)) == "foreign-draft"
    issued = await county.directives.issue_draft(commander(), draft.directive)
    assert await county.directives.issue_draft(commander(), draft.directive) == issued
    assert await county.directives.issue(commander(), request()) == (issued, False)  # the same press
    await county.close()


@on_loop
async def test_drafts_are_seen_by_those_who_may_approve_and_stay_at_home(tmp_path: Path) -> None:
    county, township = Node(COUNTY, tmp_path), Node(TOWNSHIP, tmp_path)
    draft = await county.directives.draft(commander(), request())
    await until_quiet(county, township)
    assert township.directives.drafts(commander()) == []
    for stranger in (commander(TOWNSHIP), commander(OTHER_TOWNSHIP), terminal(), auditor(COUNTY)):
        assert county.directives.drafts(stranger) == []
        with pytest.raises(Refused):
            county.directives.draft_view(draft.directive, stranger)
    assert await code_of(county.directives.give_back(commander(TOWNSHIP), draft.directive, 1, "x")) == "not-permitted"
    assert await code_of(county.directives.draft(terminal(COUNTY), request())) == "not-permitted"
    assert await code_of(county.directives.draft(commander(), request("bad", text=""))) == "bad-text"
    assert await code_of(county.directives.submit(commander(), DirectiveId("d-0"), 1)) == "unknown-draft"
    assert len(county.directives.drafts(leader())) == 1
    for node in (county, township):
        await node.close()


@on_loop
async def test_one_record_ends_the_old_directive_and_names_its_successor(tmp_path: Path) -> None:
    county, township, village = (Node(c, tmp_path) for c in (COUNTY, TOWNSHIP, VILLAGE))
    old, _ = await county.directives.issue(commander(), request("old", VILLAGE, SIBLING))
    await until_quiet(county, township, village)
    await village.directives.receipt(terminal(), old.directive, Stage.SHOWN)
    replacement = request("new", VILLAGE, supersedes=old.directive, text="改到学校集合")
    new, made = await county.directives.issue(leader(), replacement)
    assert made
    assert await county.directives.issue(leader(), replacement) == (new, False)
    await until_quiet(county, township, village)
    ended = village.directives.mine(old.directive, VILLAGE)
    assert (ended.state, ended.successor, ended.successor_number) == ("superseded", new.directive, new.number)
    shown = village.directives.mine(new.directive, VILLAGE)
    assert (shown.supersedes, shown.supersedes_number) == (old.directive, old.number)
    assert [view.directive for view in village.directives.open_for(VILLAGE)] == [new.directive]
    assert await code_of(village.directives.sign(terminal(), old.directive)) == "directive-superseded"
    assert township.directives.mine(old.directive, SIBLING).state == "superseded"  # also where the new one does not go
    assert len(written(county, DirectiveSuperseded)) == 1
    for node in (county, township, village):
        assert written(node, RefusalRecorded) == []
        await node.close()


@on_loop
async def test_only_what_is_open_and_ours_is_superseded_and_then_only_once(tmp_path: Path) -> None:
    county, township = Node(COUNTY, tmp_path), Node(TOWNSHIP, tmp_path)
    old, _ = await county.directives.issue(commander(), request("old"))
    await until_quiet(county, township)
    issue: Callable[..., Awaitable[object]] = county.directives.issue
    changed = {"supersedes": old.directive}
    assert await code_of(township.directives.issue(commander(TOWNSHIP), request("t", **changed))) == "not-permitted"
    assert await code_of(issue(commander(), request("x", exercise=True, **changed))) == "bad-record"
    assert await code_of(issue(commander(), request("u", supersedes=DirectiveId("d-0")))) == "unknown-directive"
    both = await asyncio.gather(
        issue(commander(), request("n1", **changed)),
        issue(leader(), request("n2", **changed)),
        return_exceptions=True,
    )
    assert [getattr(outcome, "code", "") for outcome in both] == ["", "directive-superseded"]
    assert [order.number[-5:] for order in written(county, DirectiveIssued)] == ["0001号", "0002号"]
    for node in (county, township):
        await node.close()


FORM = (
    FieldSpec(name="应转", required=True),
    FieldSpec(name="雨量", sum=False),
    FieldSpec(name="道路", kind=FieldKind.CHOICE, choices=("通", "不通")),
)


@on_loop
async def test_a_form_is_checked_where_it_is_filled_in_and_added_up_at_every_tier(tmp_path: Path) -> None:
    county, township, village = (Node(c, tmp_path) for c in (COUNTY, TOWNSHIP, VILLAGE))
    order, _ = await county.directives.issue(commander(), request("f", VILLAGE, SIBLING, fields=FORM))
    await until_quiet(county, township, village)
    for node, who in ((village, terminal(VILLAGE)), (township, terminal(SIBLING))):
        await node.directives.receipt(who, order.directive, Stage.SHOWN)
        await node.directives.sign(who, order.directive)
        assert await code_of(node.directives.feedback(who, order.directive, {"雨量": 1})) == "bad-feedback"
        assert await code_of(node.directives.feedback(who, order.directive, {"别的": 1})) == "bad-feedback"
        await node.directives.feedback(who, order.directive, {"应转": 5, "雨量": 80}, "", {"道路": "通"})
        node.clock.advance(1)
    await village.directives.feedback(terminal(), order.directive, {"应转": 7}, "", {"道路": "不通"})
    await until_quiet(county, township, village)
    for node in (county, township):
        seen = node.directives.view(order.directive, commander())
        assert (seen.sums, seen.choices) == ({"应转": 12}, {"道路": {"通": 1, "不通": 1}})
    own = county.directives.view(order.directive, commander(VILLAGE))
    assert (own.sums, own.choices) == ({"应转": 7}, {"道路": {"不通": 1}})
    for node in (county, township, village):
        assert written(node, RefusalRecorded) == []
        await node.close()


@on_loop
async def test_a_report_that_the_form_does_not_take_is_refused_at_every_hop(tmp_path: Path) -> None:
    county, township = Node(COUNTY, tmp_path), Node(TOWNSHIP, tmp_path)
    order, _ = await county.directives.issue(commander(), request("f", SIBLING, fields=FORM))
    await until_quiet(county, township)
    word = facts.word(Stage.FEEDBACK, SIBLING, node=TOWNSHIP, directive=order.directive, values={"应转": 10**8})
    county.directives.receive(word, TOWNSHIP)
    await county.settle()
    assert [r.code for r in written(county, RefusalRecorded)] == ["bad-feedback"]
    for node in (county, township):
        await node.close()


def test_a_draft_view_says_who_how_many_and_why_it_came_back() -> None:
    assert {"by", "recipients", "returned_reason", "request", "revision"} <= set(DraftView.__struct_fields__)
