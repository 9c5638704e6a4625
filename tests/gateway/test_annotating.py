"""What a tier adds to an order on its way, and the copies of the tiers between, over real journals."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.annotating import MAX_ANNOTATIONS
from signaling.errors import Refused
from signaling.ids import NodeCode
from signaling.records import DirectiveAnnotated, DirectiveIssued, DirectiveRequest, RefusalRecorded, ScopeItem, Urgency
from tests.support.loop import on_loop
from tests.support.nodes import Node, until_quiet
from tests.support.places import (
    CITY,
    COUNTY,
    OTHER_TOWNSHIP,
    OTHER_VILLAGE,
    PROVINCE,
    SIBLING,
    TOWNSHIP,
    VILLAGE,
    commander,
    terminal,
)


def request(*places: NodeCode, **changes: Any) -> DirectiveRequest:
    fields: dict[str, Any] = {
        "click_id": "a-1",
        "urgency": Urgency.P1,
        "title": "转移群众",
        "text": "立即转移低洼处群众",
        "scope": tuple(ScopeItem(node=place) for place in places),
    }
    return DirectiveRequest(**(fields | changes))


async def issued_to(village: NodeCode, *chain: Node) -> DirectiveIssued:
    order, _ = await chain[0].directives.issue(commander(chain[0].code), request(village))
    await until_quiet(*chain)
    return order


def refusals(node: Node) -> list[str]:
    return [row.record.code for row in node.journal.replay() if isinstance(row.record, RefusalRecorded)]


@on_loop
async def test_a_township_adds_its_word_for_its_villages_and_the_issuer_sees_it(tmp_path: Path) -> None:
    chain = [Node(code, tmp_path) for code in (CITY, COUNTY, TOWNSHIP, VILLAGE)]
    city, county, township, village = chain
    order = await issued_to(VILLAGE, *chain)
    await township.directives.annotate(commander(TOWNSHIP), order.directive, "由包村干部带队")
    await until_quiet(*chain)
    for node, viewer in ((city, commander(CITY)), (county, commander(COUNTY)), (township, commander(TOWNSHIP))):
        (word,) = node.directives.view(order.directive, viewer).annotations
        assert (word.division, word.by, word.note) == (TOWNSHIP, "王值班", "由包村干部带队")
    (word,) = village.directives.mine(order.directive, VILLAGE).annotations
    assert word.note == "由包村干部带队"
    village = await village.restart()
    assert village.directives.mine(order.directive, VILLAGE).annotations == (word,)
    for node in (*chain[:3], village):
        assert refusals(node) == []
        await node.close()


@on_loop
async def test_a_word_reaches_only_the_places_below_it(tmp_path: Path) -> None:
    county, township, other, beside = (Node(c, tmp_path) for c in (COUNTY, TOWNSHIP, OTHER_TOWNSHIP, OTHER_VILLAGE))
    order, _ = await county.directives.issue(commander(), request(VILLAGE, OTHER_VILLAGE))
    await until_quiet(county, township)
    await until_quiet(county, other, beside)
    await township.directives.annotate(commander(TOWNSHIP), order.directive, "由包村干部带队")
    await until_quiet(county, township)
    assert await other.pull(county) == 0
    assert beside.directives.mine(order.directive, OTHER_VILLAGE).annotations == ()
    assert county.directives.view(order.directive, commander(OTHER_TOWNSHIP)).annotations == ()
    for node in (county, township, other, beside):
        await node.close()


@on_loop
async def test_only_a_tier_between_may_add_and_only_while_the_order_stands(tmp_path: Path) -> None:
    chain = [Node(code, tmp_path) for code in (COUNTY, TOWNSHIP, VILLAGE)]
    county, township, _ = chain
    order = await issued_to(VILLAGE, *chain)
    for node, actor in (
        (county, commander(COUNTY)),  # the issuer itself: that would be another order
        (township, terminal(TOWNSHIP)),
        (township, commander(SIBLING)),  # the order does not pass there
    ):
        with pytest.raises(Refused) as refused:
            await node.directives.annotate(actor, order.directive, "加一句")
        assert refused.value.code == "not-permitted"
    with pytest.raises(Refused) as refused:
        await township.directives.annotate(commander(TOWNSHIP), order.directive, "")
    assert refused.value.code == "bad-text"
    await county.directives.recall(commander(), order.directive, "雨停")
    await until_quiet(*chain)
    with pytest.raises(Refused) as refused:
        await township.directives.annotate(commander(TOWNSHIP), order.directive, "加一句")
    assert refused.value.code == "directive-recalled"
    for node in chain:
        await node.close()


@on_loop
async def test_a_forged_word_is_refused_on_both_sides(tmp_path: Path) -> None:
    chain = [Node(code, tmp_path) for code in (COUNTY, TOWNSHIP, VILLAGE)]
    county, township, village = chain
    order = await issued_to(VILLAGE, *chain)
    await township.directives.annotate(commander(TOWNSHIP), order.directive, "由包村干部带队")
    word = next(row.record for row in township.journal.replay() if isinstance(row.record, DirectiveAnnotated))
    forged = msgspec.structs.replace(word, note="不用转移")
    village.directives.receive(forged, TOWNSHIP)
    county.directives.receive(forged, TOWNSHIP)
    await village.settle()
    await county.settle()
    assert (refusals(village), refusals(county)) == (["signature-invalid"], ["signature-invalid"])
    for node in chain:
        await node.close()


@on_loop
async def test_a_tier_says_so_much_and_no_more_and_two_words_of_one_moment_are_two(tmp_path: Path) -> None:
    chain = [Node(code, tmp_path) for code in (COUNTY, TOWNSHIP, VILLAGE)]
    county, township, village = chain
    order = await issued_to(VILLAGE, *chain)
    for turn in range(MAX_ANNOTATIONS):
        await township.directives.annotate(commander(TOWNSHIP), order.directive, f"第 {turn} 句")
    with pytest.raises(Refused) as refused:
        await township.directives.annotate(commander(TOWNSHIP), order.directive, "还有")
    assert refused.value.code == "too-many-annotations"
    await until_quiet(*chain)
    assert len(village.directives.mine(order.directive, VILLAGE).annotations) == MAX_ANNOTATIONS
    assert len(county.directives.view(order.directive, commander()).annotations) == MAX_ANNOTATIONS
    said = [row.record for row in township.journal.replay() if isinstance(row.record, DirectiveAnnotated)]
    for word in said:
        county.directives.receive(word, TOWNSHIP)
    await county.settle()
    assert refusals(county) == []  # what is told again is no word too many
    for node in chain:
        await node.close()


@on_loop
async def test_the_tiers_between_have_a_copy_that_is_not_signed_for(tmp_path: Path) -> None:
    chain = [Node(code, tmp_path) for code in (PROVINCE, CITY, COUNTY, TOWNSHIP, VILLAGE)]
    order = await issued_to(VILLAGE, *chain)
    for node in chain[1:4]:
        (copy,) = node.directives.copies_for(node.code)
        assert (copy.directive, copy.copied, copy.mine, copy.total) == (order.directive, True, None, 1)
        assert node.directives.view(order.directive, commander(node.code)).copied
        with pytest.raises(Refused) as refused:
            await node.directives.sign(terminal(node.code), order.directive)
        assert refused.value.code == "not-a-recipient"
    assert chain[0].directives.copies_for(PROVINCE) == []
    assert chain[4].directives.copies_for(VILLAGE) == []
    assert not chain[4].directives.mine(order.directive, VILLAGE).copied
    assert chain[3].directives.copy(order.directive, OTHER_TOWNSHIP) is None
    await chain[0].directives.recall(commander(PROVINCE), order.directive, "雨停")
    await until_quiet(*chain)
    assert chain[2].directives.copies_for(COUNTY) == []
    for node in chain:
        await node.close()
