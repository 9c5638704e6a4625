"""Circulars between townships over real journals: told beside, read, answered; nobody forges one."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.circulars import CircularRequest
from signaling.errors import Refused
from signaling.ids import NodeCode
from signaling.records import CircularSent, RefusalRecorded
from tests.support.loop import on_loop
from tests.support.nodes import Node, until_quiet
from tests.support.places import (
    COUNTY,
    OTHER_TOWNSHIP,
    TOWNSHIP,
    TREE,
    VILLAGE,
    auditor,
    commander,
    terminal,
)

THIRD = next(t for t in TREE.children(COUNTY) if t not in (TOWNSHIP, OTHER_TOWNSHIP))


def request(*to: NodeCode, **changes: Any) -> CircularRequest:
    fields: dict[str, Any] = {"click_id": "n-1", "to": to or (OTHER_TOWNSHIP,), "title": "上游泄洪", "text": "请留意"}
    return CircularRequest(**(fields | changes))


@on_loop
async def test_a_township_tells_another_through_the_county_and_hears_back(tmp_path: Path) -> None:
    county, teller, told, third = (Node(c, tmp_path) for c in (COUNTY, TOWNSHIP, OTHER_TOWNSHIP, THIRD))
    sent, made = await teller.circulars.send(commander(TOWNSHIP), request(asks=True))
    assert made
    await until_quiet(county, teller)
    await until_quiet(county, told)
    await until_quiet(county, third)
    (card,) = told.circulars.list(terminal(OTHER_TOWNSHIP))
    assert (card.title, card.by_name, card.unread, card.asks) == ("上游泄洪", TREE.name(TOWNSHIP), 1, True)
    assert third.journal.head == 0
    await told.circulars.answer(commander(OTHER_TOWNSHIP), sent.circular)
    await told.circulars.answer(commander(OTHER_TOWNSHIP), sent.circular, "已派人上堤")
    await told.circulars.answer(commander(OTHER_TOWNSHIP), sent.circular)
    await until_quiet(county, told)
    await until_quiet(county, teller)
    for node in (county, teller, told):
        view = node.circulars.view(sent.circular, commander(node.code))
        assert [(a.place, a.text) for a in view.answers] == [(OTHER_TOWNSHIP, ""), (OTHER_TOWNSHIP, "已派人上堤")]
        assert view.unread == 0
    for node in (county, teller, told, third):
        await node.close()


@on_loop
async def test_pressing_twice_tells_once_also_after_a_restart(tmp_path: Path) -> None:
    teller = Node(TOWNSHIP, tmp_path)
    first, made = await teller.circulars.send(commander(TOWNSHIP), request())
    again, remade = await teller.circulars.send(commander(TOWNSHIP), request())
    assert (made, remade) == (True, False)
    assert first == again
    teller = await teller.restart()
    assert await teller.circulars.send(commander(TOWNSHIP), request()) == (first, False)
    await teller.close()


@on_loop
async def test_a_circular_that_somebody_changed_on_the_way_is_refused_and_written_down(tmp_path: Path) -> None:
    county, told = Node(COUNTY, tmp_path), Node(OTHER_TOWNSHIP, tmp_path)
    teller = Node(TOWNSHIP, tmp_path)
    sent, _ = await teller.circulars.send(commander(TOWNSHIP), request())
    county.circulars.receive(msgspec.structs.replace(sent, text="撤离"), TOWNSHIP)
    await county.settle()
    assert county.circulars.list(commander()) == []
    (refused,) = [row.record for row in county.journal.replay() if isinstance(row.record, RefusalRecorded)]
    assert (refused.code, refused.via) == ("signature-invalid", TOWNSHIP)
    for node in (county, told, teller):
        await node.close()


@on_loop
async def test_who_may_tell_read_and_answer(tmp_path: Path) -> None:
    county, teller, told = (Node(c, tmp_path) for c in (COUNTY, TOWNSHIP, OTHER_TOWNSHIP))
    for actor, places in (
        (terminal(TOWNSHIP), (OTHER_TOWNSHIP,)),
        (commander(TOWNSHIP), (VILLAGE,)),
        (auditor(TOWNSHIP), (OTHER_TOWNSHIP,)),
    ):
        with pytest.raises(Refused) as refused:
            await teller.circulars.send(actor, request(*places))
        assert refused.value.code == "not-permitted"
    sent, _ = await teller.circulars.send(commander(TOWNSHIP), request())
    await until_quiet(county, teller)
    await until_quiet(county, told)
    with pytest.raises(Refused, match="not told"):
        await teller.circulars.answer(commander(TOWNSHIP), sent.circular)
    assert county.circulars.may_read(sent.circular, commander(COUNTY))
    assert county.circulars.may_read(sent.circular, auditor(COUNTY))
    assert not county.circulars.may_read(sent.circular, commander(THIRD))
    assert not told.circulars.may_read(sent.circular, terminal(VILLAGE))
    with pytest.raises(Refused, match="concerns nobody"):
        county.circulars.view(sent.circular, commander(THIRD))
    assert sum(isinstance(row.record, CircularSent) for row in county.journal.replay()) == 1
    for node in (county, teller, told):
        await node.close()


def test_those_beside_are_under_the_same_superior_and_not_oneself() -> None:
    assert TOWNSHIP not in TREE.beside(TOWNSHIP)
    assert {*TREE.beside(TOWNSHIP), TOWNSHIP} == set(TREE.children(COUNTY))
    assert TREE.beside(TREE.root) == ()
    assert TREE.beside(NodeCode("999999999999")) == ()
