"""S19: root on a township's gateway, with its key and nobody else's, makes no village believe anything.

Each attempt is refused where it arrives, with a stable code, and stands in the record one tier up; what a tier
did to those below it stands in the record of the tier over it as well.
"""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from signaling.admission import Facts, admit
from signaling.errors import Refused
from signaling.ids import NodeCode, UtcMs
from signaling.records import (
    DirectiveAnnotated,
    DirectiveClosed,
    DirectiveIssued,
    DirectiveRecalled,
    DirectiveRequest,
    RefusalRecorded,
    ScopeItem,
    SignedRecord,
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
    SIBLING,
    TOWNSHIP,
    TREE,
    VILLAGE,
    commander,
)

HOUR = 3_600_000


def by_the_township(record: Any, **changes: Any) -> Any:
    """Return ``record`` as the township would have it, signed with the only key it has."""
    fake = msgspec.structs.replace(record, **changes)
    return msgspec.structs.replace(fake, signature=keys_of(TOWNSHIP).sign(signed_bytes(fake)))


def attempts(order: DirectiveIssued) -> dict[str, SignedRecord]:
    at = UtcMs(order.at + 1)
    of_order: dict[str, Any] = {"node": COUNTY, "at": at, "directive": order.directive}
    mine: dict[str, Any] = {"node": TOWNSHIP, "at": at, "directive": order.directive}
    return {
        "another text": by_the_township(order, text="不用转移"),
        "another urgency": by_the_township(order, urgency=Urgency.P3),
        "an exercise made real": by_the_township(order, exercise=not order.exercise),
        "a longer life": by_the_township(order, expires_at=UtcMs(order.expires_at + HOUR)),
        "more recipients": by_the_township(order, recipients=(VILLAGE, SIBLING)),
        "the county's name under the township's order": by_the_township(order, directive="d-2", click_id="x"),
        "an order of its own to another township's village": by_the_township(
            order, directive="d-3", node=TOWNSHIP, issuer=commander(TOWNSHIP), recipients=(VILLAGE, OTHER_VILLAGE)
        ),
        "the county's commander speaking at the township": by_the_township(order, directive="d-4", node=TOWNSHIP),
        "a recall": by_the_township(DirectiveRecalled(**of_order, by=commander(), reason="雨停")),
        "a recall of what is not its own": by_the_township(
            DirectiveRecalled(**mine, by=commander(TOWNSHIP), reason="雨停")
        ),
        "an end": by_the_township(DirectiveClosed(**of_order)),
        "a word in the county's mouth": by_the_township(DirectiveAnnotated(**of_order, by=commander(), note="不用去")),
        "a word for a place it does not pass": by_the_township(
            DirectiveAnnotated(**mine, by=commander(OTHER_TOWNSHIP), note="不用去")
        ),
    }


async def known_to(*chain: Node) -> DirectiveIssued:
    request = DirectiveRequest(
        click_id="s19", urgency=Urgency.P0, title="转移群众", text="立即转移", scope=(ScopeItem(node=VILLAGE),)
    )
    order, _ = await chain[0].directives.issue(commander(chain[0].code), request)
    await until_quiet(*chain)
    return order


def refused_at(node: Node) -> list[RefusalRecorded]:
    rows = (row.record for row in node.journal.replay())
    return [record for record in rows if isinstance(record, RefusalRecorded)]


@on_loop
async def test_nothing_forged_is_believed_and_every_attempt_is_written_down_above(tmp_path: Path) -> None:
    chain = [Node(code, tmp_path) for code in (COUNTY, TOWNSHIP, VILLAGE)]
    county, township, village = chain
    order = await known_to(*chain)
    before = village.directives.mine(order.directive, VILLAGE)
    tried = attempts(order)
    for name, fake in tried.items():
        village.clock.advance(1)
        village.dispatch(fake, TOWNSHIP)
        await village.settle()
        assert len(refused_at(village)) == list(tried).index(name) + 1, name
    assert village.directives.mine(order.directive, VILLAGE) == before
    assert [view.directive for view in village.directives.open_for(VILLAGE)] == [order.directive]
    codes = {record.code for record in refused_at(village)}
    assert codes <= {"signature-invalid", "not-permitted", "wrong-direction"}, codes
    await until_quiet(*chain)
    for above in (township, county):
        assert [(r.node, r.via, r.code) for r in refused_at(above)] == [
            (r.node, r.via, r.code) for r in refused_at(village)
        ]
    for node in chain:
        await node.close()


@on_loop
async def test_an_order_played_again_changes_nothing_and_one_played_too_late_is_never_open(tmp_path: Path) -> None:
    chain = [Node(code, tmp_path) for code in (COUNTY, TOWNSHIP, VILLAGE)]
    village = chain[-1]
    order = await known_to(*chain)
    head = village.journal.head
    village.dispatch(order, TOWNSHIP)
    await village.settle()
    assert village.journal.head == head
    late = Node(VILLAGE, tmp_path / "new machine")
    late.clock.advance(order.expires_at - late.clock.at() + 1)
    late.dispatch(order, TOWNSHIP)
    await late.settle()
    assert list(late.directives.open_for(VILLAGE)) == []
    assert late.directives.mine(order.directive, VILLAGE).state == "expired"
    for node in (*chain, late):
        await node.close()


@on_loop
async def test_a_refusal_climbs_to_the_tier_over_the_one_that_tried_and_no_further(tmp_path: Path) -> None:
    chain = [Node(code, tmp_path) for code in (CITY, COUNTY, TOWNSHIP, VILLAGE)]
    order = await known_to(*chain)
    chain[-1].dispatch(by_the_township(order, text="不用转移"), TOWNSHIP)
    await until_quiet(*chain)
    assert [len(refused_at(node)) for node in chain] == [0, 1, 1, 1]
    for node in chain:
        await node.close()


def refusal(node: NodeCode, via: NodeCode) -> RefusalRecorded:
    return RefusalRecorded(node=node, at=UtcMs(1), by=None, action="directive_issued", target="", code="x", via=via)


@pytest.mark.parametrize(
    ("record", "here", "via"),
    [
        (refusal(VILLAGE, SIBLING), COUNTY, TOWNSHIP),
        (refusal(OTHER_VILLAGE, TOWNSHIP), COUNTY, TOWNSHIP),
        (refusal(COUNTY, TOWNSHIP), TOWNSHIP, COUNTY),
    ],
)
def test_nobody_is_accused_in_anothers_name(record: RefusalRecorded, here: NodeCode, via: NodeCode) -> None:
    with pytest.raises(Refused) as refused:
        admit(record, via, here, TREE, Facts())
    assert refused.value.code == "wrong-direction"
