"""Directives through real journals: issued, relayed, shown, signed, fed back, recalled; and what may not be."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway import matrix
from gateway.outgoing import Outgoing
from signaling import codec
from signaling.errors import Refused
from signaling.ids import DirectiveId, NodeCode, Seq
from signaling.messages import DirectiveView
from signaling.records import (
    EXPIRES_MS,
    DirectiveClosed,
    DirectiveExpired,
    DirectiveIssued,
    DirectiveRequest,
    DirectivesRelayed,
    Mode,
    RefusalRecorded,
    ScopeItem,
    Stage,
    Urgency,
    signed_bytes,
)
from tests.support.loop import on_loop
from tests.support.nodes import Node, keys_of, until_quiet
from tests.support.places import (
    CITY,
    COUNTY,
    OTHER_TOWNSHIP,
    OTHER_VILLAGE,
    PROVINCE,
    SIBLING,
    TOWNSHIP,
    VILLAGE,
    VILLAGES,
    auditor,
    commander,
    terminal,
)


def request(*nodes: NodeCode, **changes: Any) -> DirectiveRequest:
    scope = tuple(ScopeItem(node=n) for n in nodes or (VILLAGE, SIBLING))
    fields: dict[str, Any] = {
        "click_id": "click-1",
        "urgency": Urgency.P1,
        "title": "转移群众",
        "text": "立即转移",
        "scope": scope,
    }
    return DirectiveRequest(**(fields | changes))


def refusals(node: Node) -> list[RefusalRecorded]:
    return [row.record for row in node.journal.replay() if isinstance(row.record, RefusalRecorded)]


def stages(node: Node, directive: DirectiveId) -> dict[NodeCode, Stage]:
    return {row.node: row.stage for row in node.directives.view(directive, commander(COUNTY)).recipients}


@on_loop
async def test_issued_is_said_when_it_is_durable_and_a_second_click_is_the_same(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path)
    order, created = await county.directives.issue(commander(), request())
    assert created
    assert county.journal.head == 1
    assert (order.recipients, order.expires_at - order.at) == ((VILLAGE, SIBLING), EXPIRES_MS)
    assert await county.directives.issue(commander(), request(title="另一个")) == (order, False)
    county = await county.restart()
    assert await county.directives.issue(commander(), request()) == (order, False)
    other = msgspec.structs.replace(commander(), name="别人")
    assert (await county.directives.issue(other, request()))[1]
    assert county.journal.head == 2
    await county.close()


@on_loop
async def test_two_clicks_at_once_make_one_directive(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path)
    answers = await asyncio.gather(*(county.directives.issue(commander(), request()) for _ in range(5)))
    assert len({order.directive for order, _ in answers}) == 1
    assert [created for _, created in answers].count(True) == 1
    assert county.journal.head == 1
    await county.close()


@on_loop
async def test_from_the_county_to_a_village_and_back(tmp_path: Path) -> None:
    county, township, village = (Node(c, tmp_path) for c in (COUNTY, TOWNSHIP, VILLAGE))
    order, _ = await county.directives.issue(commander(), request())
    await until_quiet(county, township, village)
    assert [v.directive for v in village.directives.open_for(VILLAGE)] == [order.directive]
    for stage in (Stage.DELIVERED, Stage.SHOWN):
        await village.directives.receipt(terminal(VILLAGE), order.directive, stage)
        await township.directives.receipt(terminal(SIBLING), order.directive, stage)  # no gateway in that village
    await village.directives.sign(terminal(VILLAGE), order.directive, "周主任")
    await village.directives.feedback(terminal(VILLAGE), order.directive, {"应转": 40, "已转": 38}, "两人走亲戚")
    await township.directives.sign(terminal(SIBLING), order.directive)
    await township.directives.feedback(terminal(SIBLING), order.directive, {"应转": 2, "已转": 2})
    await until_quiet(county, township, village)
    seen = county.directives.view(order.directive, commander())
    assert {r.node: (r.stage, r.signed_by) for r in seen.recipients} == {
        VILLAGE: (Stage.FEEDBACK, "周主任"),
        SIBLING: (Stage.FEEDBACK, "赵网格"),
    }
    assert all(r.relayed_at and r.delivered_at and r.shown_at and r.signed_at for r in seen.recipients)
    assert seen.sums == {"应转": 42, "已转": 40}
    assert (seen.total, seen.counts) == (2, {Stage.FEEDBACK: 2})
    below = township.directives.view(order.directive, commander()).recipients
    assert [msgspec.structs.replace(r, relayed_at=None) for r in below] == [
        msgspec.structs.replace(r, relayed_at=None) for r in seen.recipients
    ]  # who relayed it is known above, not below
    assert [refusals(n) for n in (county, township, village)] == [[], [], []]
    for node in (county, township, village):
        await node.close()


@on_loop
async def test_a_skip_level_order_leaves_its_matrix_at_every_tier_between(tmp_path: Path) -> None:
    chain = [Node(c, tmp_path) for c in (PROVINCE, CITY, COUNTY, TOWNSHIP, VILLAGE)]
    order, _ = await chain[0].directives.issue(commander(PROVINCE), request(VILLAGE, urgency=Urgency.P0))
    await until_quiet(*chain)
    await chain[-1].directives.receipt(terminal(), order.directive, Stage.SHOWN)
    await chain[-1].directives.sign(terminal(), order.directive)
    await until_quiet(*chain)
    for node in chain:
        (row,) = node.directives.view(order.directive, commander(PROVINCE)).recipients
        assert (row.stage, row.signed_by) == (Stage.SIGNED, "赵网格")
    for node in chain:
        await node.close()


@on_loop
async def test_links_carry_an_order_only_where_a_recipient_is(tmp_path: Path) -> None:
    county, township, other = (Node(c, tmp_path) for c in (COUNTY, TOWNSHIP, OTHER_TOWNSHIP))
    await county.directives.issue(commander(), request(VILLAGE))
    assert await township.pull(county) == 1
    assert await other.pull(county) == 0
    for node in (county, township, other):
        await node.close()


@on_loop
async def test_relayed_says_which_hop_has_it_once(tmp_path: Path) -> None:
    county, township = Node(COUNTY, tmp_path), Node(TOWNSHIP, tmp_path)
    order, _ = await county.directives.issue(commander(), request(VILLAGE, SIBLING, OTHER_VILLAGE))
    await township.pull(county)
    for seq in (0, 1, 1, 9):
        county.directives.acknowledged(TOWNSHIP, Seq(seq))
    county.directives.say_relayed()
    await county.settle()
    assert stages(county, order.directive) == {
        VILLAGE: Stage.RELAYED,
        SIBLING: Stage.RELAYED,
        OTHER_VILLAGE: Stage.QUEUED,
    }
    assert county.journal.head == 2  # one record, of two recipients
    county = await county.restart()
    county.directives.acknowledged(TOWNSHIP, Seq(9))
    county.directives.say_relayed()
    await county.settle()
    assert county.journal.head == 2
    county.directives.acknowledged(OTHER_TOWNSHIP, Seq(1))
    county.directives.say_relayed()
    await county.settle()
    assert stages(county, order.directive)[OTHER_VILLAGE] is Stage.RELAYED
    await county.close()
    await township.close()


@on_loop
async def test_what_a_child_holds_is_said_in_few_records_one_for_each_issuer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.reports.MAX_TOGETHER", 2)
    city, county, township = (Node(c, tmp_path) for c in (CITY, COUNTY, TOWNSHIP))
    ours = [(await county.directives.issue(commander(), request(VILLAGE, click_id=f"c-{n}")))[0] for n in range(3)]
    theirs, _ = await city.directives.issue(commander(CITY), request(VILLAGE, urgency=Urgency.P0))
    await until_quiet(city, county, township)
    rows = [row for row in county.journal.replay() if isinstance(row.record, DirectivesRelayed)]
    said = [(row.record.node, row.record.directives) for row in rows if isinstance(row.record, DirectivesRelayed)]
    first, second, third = (order.directive for order in ours)
    assert sorted(said) == sorted([(COUNTY, (first, second)), (COUNTY, (third,)), (COUNTY, (theirs.directive,))])
    told = [row.record for row in city.journal.replay() if isinstance(row.record, DirectivesRelayed)]
    assert [(r.node, r.child, r.directives) for r in told] == [
        (CITY, COUNTY, (theirs.directive,)),
        (COUNTY, TOWNSHIP, (theirs.directive,)),
    ]  # of what the county issued the city hears nothing
    relayed = next(row for row in rows if row.record == told[1])
    assert [row.data for row in city.journal.replay() if row.record == told[1]] == [relayed.data]
    before = city.journal.head
    city.directives.receive(told[1], COUNTY)
    await city.settle()
    assert city.journal.head == before
    for node in (city, county, township):
        await node.close()


@on_loop
async def test_nobody_signs_for_what_was_not_shown_nor_for_another(tmp_path: Path) -> None:
    township = Node(TOWNSHIP, tmp_path)
    order, _ = await township.directives.issue(commander(TOWNSHIP), request(VILLAGE))
    cases = [
        (terminal(VILLAGE), order.directive, "not-shown"),
        (terminal(SIBLING), order.directive, "not-a-recipient"),
        (commander(VILLAGE), order.directive, "not-permitted"),
        (terminal(VILLAGE), DirectiveId("d-unknown"), "unknown-directive"),
    ]
    for actor, directive, code in cases:
        with pytest.raises(Refused) as refused:
            await township.directives.sign(actor, directive)
        assert refused.value.code == code
    await township.settle()
    assert [r.code for r in refusals(township)] == ["not-permitted"]
    assert stages(township, order.directive) == {VILLAGE: Stage.QUEUED}
    await township.close()


@on_loop
async def test_a_signature_right_behind_its_receipt_is_taken(tmp_path: Path) -> None:
    """The receipt is on its way to the disk: deciding looks at what was appended, not at what is durable."""
    township = Node(TOWNSHIP, tmp_path)
    order, _ = await township.directives.issue(commander(TOWNSHIP), request(VILLAGE))
    await asyncio.gather(
        township.directives.receipt(terminal(), order.directive, Stage.SHOWN),
        township.directives.sign(terminal(), order.directive),
        township.directives.sign(terminal(), order.directive, "后来者"),
    )
    (row,) = township.directives.view(order.directive, commander()).recipients
    assert (row.stage, row.signed_by) == (Stage.SIGNED, "赵网格")
    assert township.journal.head == 3
    await township.close()


@pytest.mark.parametrize(
    ("actor", "changes", "code"),
    [
        (commander(TOWNSHIP), {"scope": (ScopeItem(node=OTHER_VILLAGE),)}, "not-permitted"),
        (commander(TOWNSHIP), {"scope": (ScopeItem(node=COUNTY),)}, "not-permitted"),
        (commander(COUNTY), {}, "not-permitted"),
        (terminal(TOWNSHIP), {}, "not-permitted"),
        (auditor(TOWNSHIP), {}, "not-permitted"),
        (commander(TOWNSHIP), {"scope": ()}, "empty-scope"),
        (commander(TOWNSHIP), {"scope": (ScopeItem(node=NodeCode("1")),)}, "unknown-node"),
        (commander(TOWNSHIP), {"title": "转移\r\na=candidate"}, "bad-text"),
        (commander(TOWNSHIP), {"title": "转移\u202e"}, "bad-text"),
        (commander(TOWNSHIP), {"title": "转" * 121}, "bad-text"),
        (commander(TOWNSHIP), {"title": " "}, "bad-text"),
        (commander(TOWNSHIP), {"text": "转" * 4_001}, "bad-text"),
        (commander(TOWNSHIP), {"text": "转\x00移"}, "bad-text"),
        (commander(TOWNSHIP), {"click_id": ""}, "bad-text"),
        (commander(TOWNSHIP), {"expires_ms": 1}, "bad-record"),
        (commander(TOWNSHIP), {"expires_ms": 10**12}, "bad-record"),
    ],
)
@on_loop
async def test_an_order_that_may_not_be_is_refused(
    tmp_path: Path, actor: Any, changes: dict[str, Any], code: str
) -> None:
    township = Node(TOWNSHIP, tmp_path)
    with pytest.raises(Refused) as refused:
        await township.directives.issue(actor, request(**changes))
    assert refused.value.code == code
    await township.settle()
    assert [type(row.record) for row in township.journal.replay()] == (
        [RefusalRecorded] if code == "not-permitted" else []
    )
    assert township.telemetry.value("refused", code=code) == 1
    await township.close()


@on_loop
async def test_a_recall_reaches_the_village_and_stops_signing(tmp_path: Path) -> None:
    county, township, village = (Node(c, tmp_path) for c in (COUNTY, TOWNSHIP, VILLAGE))
    order, _ = await county.directives.issue(commander(), request(VILLAGE))
    await until_quiet(county, township, village)
    await village.directives.receipt(terminal(), order.directive, Stage.SHOWN)
    for _ in range(2):
        await county.directives.recall(commander(), order.directive, "雨停")
    await until_quiet(county, township, village)
    for node in (county, township, village):
        assert node.directives.view(order.directive, commander()).state == "recalled"
    assert list(village.directives.open_for(VILLAGE)) == []
    assert village.directives.mine(order.directive, VILLAGE).state == "recalled"
    with pytest.raises(Refused) as refused:
        await village.directives.sign(terminal(), order.directive)
    assert refused.value.code == "directive-recalled"
    with pytest.raises(Refused) as refused:
        await township.directives.recall(commander(TOWNSHIP), order.directive, "不归我管")
    assert refused.value.code == "not-permitted"
    for node in (county, township, village):
        await node.close()


@on_loop
async def test_time_running_out_is_a_record_made_once(tmp_path: Path) -> None:
    township = Node(TOWNSHIP, tmp_path)
    order, _ = await township.directives.issue(commander(TOWNSHIP), request(VILLAGE, expires_ms=60_000))
    await township.directives.receipt(terminal(), order.directive, Stage.SHOWN)
    township.clock.advance(59_999)
    await township.timers.fire()
    assert township.directives.view(order.directive, commander()).state == "issued"
    township.clock.advance(1)
    township = await township.restart()  # the timer is the record, not the process
    for _ in range(2):
        await township.timers.fire()
    assert sum(isinstance(row.record, DirectiveExpired) for row in township.journal.replay()) == 1
    assert township.directives.view(order.directive, commander()).state == "expired"
    with pytest.raises(Refused) as refused:
        await township.directives.sign(terminal(), order.directive)
    assert refused.value.code == "directive-expired"
    await township.close()


@on_loop
async def test_when_everybody_is_done_the_issuer_closes(tmp_path: Path) -> None:
    township, village = Node(TOWNSHIP, tmp_path), Node(VILLAGE, tmp_path)
    order, _ = await township.directives.issue(commander(TOWNSHIP), request(VILLAGE, SIBLING))
    await until_quiet(township, village)
    for node, actor in ((village, terminal(VILLAGE)), (township, terminal(SIBLING))):
        await node.directives.receipt(actor, order.directive, Stage.SHOWN)
        with pytest.raises(Refused) as refused:
            await node.directives.done(actor, order.directive)
        assert refused.value.code == "not-signed"
        await node.directives.sign(actor, order.directive)
        await node.directives.done(actor, order.directive, "办完了")
        for each in (township, village):
            each.directives.tick(each.clock.at())
            await each.settle()
    assert township.directives.view(order.directive, commander()).state == "issued"
    await until_quiet(township, village)
    township.directives.tick(township.clock.at())
    await until_quiet(township, village)
    for node in (township, village):
        assert node.directives.view(order.directive, commander()).state == "closed"
        assert sum(isinstance(row.record, DirectiveClosed) for row in node.journal.replay()) == 1
        await node.close()


def forged(order: DirectiveIssued, **changes: Any) -> DirectiveIssued:
    """Root on the township's gateway: everything may be changed, but only the township's key is there."""
    fake = msgspec.structs.replace(order, **changes)
    signature = changes.get("signature", keys_of(TOWNSHIP).sign(signed_bytes(fake)))
    return msgspec.structs.replace(fake, signature=signature)


@on_loop
async def test_root_on_the_township_cannot_change_what_the_county_said(tmp_path: Path) -> None:
    county, village = Node(COUNTY, tmp_path), Node(VILLAGE, tmp_path)
    order, _ = await county.directives.issue(commander(), request(VILLAGE))
    attempts = {
        "signature-invalid": [
            forged(order, text="不用转移"),
            forged(order, recipients=(VILLAGE, SIBLING)),
            forged(order, text="不用转移", signature=order.signature),
            forged(order, signature=""),
            forged(order, signature="AAAA"),
            forged(order, at=order.at + 1),
        ],
        "not-permitted": [
            forged(order, node=TOWNSHIP),
            forged(order, node=TOWNSHIP, issuer=commander(TOWNSHIP), recipients=(VILLAGE, OTHER_VILLAGE)),
        ],
        "wrong-direction": [forged(order, node=VILLAGE), forged(order, node=NodeCode("999999999999"))],
        "bad-text": [forged(order, title="a\nb")],
    }
    for code, fakes in attempts.items():
        for fake in fakes:
            before = len(refusals(village))
            village.clock.advance(1)
            village.directives.receive(fake, TOWNSHIP)
            await village.settle()
            assert [r.code for r in refusals(village)[before:]] == [code], fake
    assert village.directives.list(commander(PROVINCE)) == []
    village.directives.receive(order, TOWNSHIP)
    village.directives.receive(forged(order, node=COUNTY, text="后改的"), TOWNSHIP)
    await village.settle()
    assert village.directives.mine(order.directive, VILLAGE).text == "立即转移"
    for node in (county, village):
        await node.close()


@on_loop
async def test_orders_come_from_above_and_receipts_from_below(tmp_path: Path) -> None:
    county, township = Node(COUNTY, tmp_path), Node(TOWNSHIP, tmp_path)
    order, _ = await county.directives.issue(commander(), request(VILLAGE, OTHER_VILLAGE))
    township.directives.receive(order, VILLAGE)
    township.directives.receive(order, COUNTY)
    word = county.directives._word(order.directive, VILLAGE, Stage.SHOWN)
    cases = [
        (msgspec.structs.replace(word, node=VILLAGE), COUNTY, "wrong-direction"),
        (msgspec.structs.replace(word, node=SIBLING), VILLAGE, "wrong-direction"),
        (msgspec.structs.replace(word, node=SIBLING), SIBLING, "wrong-direction"),
        (msgspec.structs.replace(word, node=SIBLING, recipient=SIBLING), SIBLING, "not-a-recipient"),
        (msgspec.structs.replace(word, node=VILLAGE, stage=Stage.QUEUED), VILLAGE, "bad-record"),
        (msgspec.structs.replace(word, node=VILLAGE, stage=Stage.SIGNED), VILLAGE, "bad-record"),
        (
            msgspec.structs.replace(word, node=VILLAGE, stage=Stage.SIGNED, by=commander(VILLAGE)),
            VILLAGE,
            "not-permitted",
        ),
        (
            msgspec.structs.replace(word, node=VILLAGE, stage=Stage.SIGNED, by=terminal(SIBLING)),
            VILLAGE,
            "not-permitted",
        ),
        (msgspec.structs.replace(word, node=VILLAGE, values={"x": 10**10}), VILLAGE, "bad-record"),
        (msgspec.structs.replace(word, node=VILLAGE, directive=DirectiveId("d-x")), VILLAGE, "unknown-directive"),
    ]
    for record, via, _ in cases:
        township.clock.advance(1)
        township.directives.receive(record, via)
    await township.settle()
    assert [r.code for r in refusals(township)] == ["wrong-direction", *(code for _, _, code in cases)]
    assert stages(township, order.directive)[VILLAGE] is Stage.QUEUED
    township.directives.receive(msgspec.structs.replace(word, node=VILLAGE), VILLAGE)
    await township.settle()
    assert stages(township, order.directive)[VILLAGE] is Stage.SHOWN
    for node in (county, township):
        await node.close()


@on_loop
async def test_a_terminal_is_told_all_it_has_not_shown_the_urgent_first_and_few_of_the_rest(tmp_path: Path) -> None:
    township = Node(TOWNSHIP, tmp_path)
    orders = []
    for number in range(12):
        urgency = Urgency.P0 if number % 4 == 0 else Urgency.P2
        changes = {"click_id": f"{number}", "urgency": urgency}
        order, _ = await township.directives.issue(commander(TOWNSHIP), request(VILLAGE, **changes))
        orders.append(order.directive)
    for shown in (8, 1, 2, 3):
        await township.directives.receipt(terminal(), orders[shown], Stage.SHOWN)
    told = [view.directive for view in township.directives.open_for(VILLAGE, 2)]
    assert told == [orders[n] for n in (0, 4, 5, 6, 7, 9, 10, 11, 3, 8)]
    await township.close()


@on_loop
async def test_what_is_issued_while_a_terminal_is_told_of_the_rest_has_its_turn(tmp_path: Path) -> None:
    """A line that was cut is back, slow, with much to tell, and orders go on being issued and moved."""
    county, screen = Node(COUNTY, tmp_path), Outgoing()

    async def issued(number: int, urgency: Urgency) -> DirectiveId:
        order, _ = await county.directives.issue(
            commander(), request(VILLAGE, click_id=f"{number}", title=f"{number}", urgency=urgency)
        )
        return order.directive

    def told() -> str:
        data = screen.pop()
        assert data is not None
        view = codec.decode_gateway(data)
        assert isinstance(view, DirectiveView)
        return view.title

    def changed(directive: DirectiveId) -> None:
        county.directives.show(directive, VILLAGE, screen)

    first = [await issued(number, Urgency.P1 if number % 3 else Urgency.P2) for number in range(7)]
    county.directives.show_all(VILLAGE, screen)
    assert [told(), told()] == ["1", "2"]
    changed(first[5])
    changed(await issued(7, Urgency.P1))
    changed(await issued(8, Urgency.P0))
    await county.directives.recall(commander(), first[4], "撤回")
    changed(first[4])
    assert [told() for _ in range(7)] == ["8", "4", "5", "7", "0", "3", "6"]
    assert screen.pop() is None, "each once"
    await county.close()


@on_loop
async def test_a_terminal_is_shown_what_is_open_in_the_order_of_issue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix, "WIDE", 3)  # directives to more than three places are kept apart
    county = Node(COUNTY, tmp_path)
    everybody = (ScopeItem(node=TOWNSHIP, mode=Mode.SUBTREE),)
    orders = []
    for number in range(12):
        changes = {"scope": everybody} if number % 3 == 0 else {}
        order, _ = await county.directives.issue(commander(), request(VILLAGE, click_id=f"{number}", **changes))
        orders.append(order.directive)
    for ended in (orders.pop(9), orders.pop(4), orders.pop(0)):
        await county.directives.recall(commander(), ended, "撤回")
    assert [v.directive for v in county.directives.open_for(VILLAGE)] == orders
    assert [v.directive for v in county.directives.open_for(VILLAGE, 4)] == orders  # none of them is shown
    county = await county.restart()
    assert [v.directive for v in county.directives.open_for(VILLAGE)] == orders
    assert len(list(county.directives.open_for(SIBLING))) == 2
    assert list(county.directives.open_for(OTHER_VILLAGE)) == []
    await county.close()


@on_loop
async def test_refusals_are_bounded_and_counted(tmp_path: Path) -> None:
    township = Node(TOWNSHIP, tmp_path)
    for _ in range(500):
        township.directives.receive(township.directives._word(DirectiveId("d-x"), VILLAGE, Stage.SHOWN), VILLAGE)
        township.clock.advance(1)
    await township.settle()
    assert len(refusals(township)) == 60
    assert township.telemetry.value("refused", code="wrong-direction") == 500
    assert township.telemetry.value("refusals_not_journalled") == 440
    with pytest.raises(Refused):  # what one source spends, another still has
        await township.directives.issue(terminal(TOWNSHIP), request())
    township.clock.advance(60_000)
    township.directives.receive(township.directives._word(DirectiveId("d-y"), VILLAGE, Stage.SHOWN), VILLAGE)
    await township.settle()
    assert [r.target for r in refusals(township)[60:]] == ["click-1", "d-y"]
    await township.close()


@on_loop
async def test_everybody_sees_their_own_rows_and_no_others(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path)
    scope = (ScopeItem(node=COUNTY, mode=Mode.SUBTREE),)
    order, _ = await county.directives.issue(commander(), request(scope=scope))
    assert county.directives.view(order.directive, commander()).total == 166
    rows = county.directives.view(order.directive, commander(TOWNSHIP))
    assert {r.node for r in rows.recipients} == {TOWNSHIP, *VILLAGES}
    assert (rows.total, rows.counts) == (len(VILLAGES) + 1, {Stage.QUEUED: len(VILLAGES) + 1})
    mine = county.directives.view(order.directive, terminal(VILLAGE))
    assert [r.node for r in mine.recipients] == [VILLAGE]
    assert mine.mine == mine.recipients[0]
    only, _ = await county.directives.issue(commander(), request(VILLAGE, click_id="2"))
    for stranger in (terminal(SIBLING), commander(OTHER_TOWNSHIP), auditor(SIBLING)):
        assert not county.directives.may_read(only.directive, stranger)
        with pytest.raises(Refused) as refused:
            county.directives.view(only.directive, stranger)
        assert refused.value.code == "not-permitted"
    assert [v.directive for v in county.directives.list(commander())] == [only.directive, order.directive]
    assert [v.directive for v in county.directives.list(terminal(SIBLING))] == [order.directive]
    assert county.directives.list(commander(), 1)[0].recipients == ()
    assert len(county.directives.list(commander(), 1, rows=True)[0].recipients) == 1
    await county.close()
