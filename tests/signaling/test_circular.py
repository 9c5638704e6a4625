"""A circular beside: told once, read once, answered a few times, and never an order."""

from typing import Any

import pytest

from signaling import circular
from signaling.admission import Facts, admit, check_answer, check_circular
from signaling.circular import Append, Circular, decide, evolve
from signaling.effects import Deny, Repeat
from signaling.errors import LocalError, Refused
from signaling.ids import CircularId, NodeCode, UtcMs
from signaling.records import CircularAnswered, CircularSent
from signaling.routing import Router
from tests.support.places import (
    COUNTY,
    OTHER_TOWNSHIP,
    OTHER_VILLAGE,
    TOWNSHIP,
    TREE,
    VILLAGE,
    commander,
    terminal,
)

THIRD = next(t for t in TREE.children(COUNTY) if t not in (TOWNSHIP, OTHER_TOWNSHIP))


def sent(*to: NodeCode, **changes: Any) -> CircularSent:
    fields: dict[str, Any] = {
        "node": TOWNSHIP,
        "at": UtcMs(1_000),
        "circular": CircularId("n-1"),
        "click_id": "n1",
        "by": commander(TOWNSHIP),
        "to": to or (OTHER_TOWNSHIP,),
        "title": "上游泄洪",
        "text": "请留意水位",
        "asks": True,
        "exercise": False,
    }
    return CircularSent(**(fields | changes))


def answered(place: NodeCode = OTHER_TOWNSHIP, text: str = "", at: int = 2_000, **changes: Any) -> CircularAnswered:
    fields: dict[str, Any] = {
        "node": place,
        "at": UtcMs(at),
        "circular": CircularId("n-1"),
        "place": place,
        "by": commander(place),
        "text": text,
    }
    return CircularAnswered(**(fields | changes))


def test_a_circular_is_told_once_and_another_content_under_its_name_is_refused() -> None:
    assert decide(None, sent()) == (Append(sent()),)
    state = evolve(None, sent())
    assert decide(state, sent()) == (Repeat(),)
    assert decide(state, sent(text="别的")) == (Deny("circular-conflict", "n-1 is known with another content"),)
    with pytest.raises(LocalError):
        evolve(state, sent())


def test_a_place_reads_once_and_answers_until_it_is_enough() -> None:
    state = evolve(evolve(None, sent()), answered())
    assert decide(state, answered(at=3_000)) == (Repeat(),)
    for turn in range(circular.MAX_ANSWERS - 1):
        said = answered(text=f"水位 {turn}", at=4_000 + turn)
        assert decide(state, said) == (Append(said),)
        state = evolve(state, said)
        assert decide(state, said) == (Repeat(),)
    (denied,) = decide(state, answered(text="还有", at=9_000))
    assert isinstance(denied, Deny)
    assert denied.code == "too-many-answers"


def test_answers_to_nothing_are_refused() -> None:
    assert decide(None, answered()) == (Deny("unknown-circular", "no circular n-1"),)
    with pytest.raises(LocalError):
        evolve(None, answered())


@pytest.mark.parametrize(
    ("record", "code"),
    [
        (sent(VILLAGE), "not-permitted"),
        (sent(COUNTY), "not-permitted"),
        (sent(TOWNSHIP), "not-permitted"),
        (sent(OTHER_VILLAGE), "not-permitted"),
        (sent(by=terminal(TOWNSHIP)), "not-permitted"),
        (sent(by=commander(COUNTY)), "not-permitted"),
        (sent(OTHER_TOWNSHIP, OTHER_TOWNSHIP), "bad-record"),
        (sent(to=()), "bad-record"),
        (sent(*TREE, to=tuple(TREE)[:51]), "scope-too-large"),
        (sent(title="a\nb"), "bad-text"),
        (sent(text="x" * 2_001), "bad-text"),
        (sent(circular=CircularId("../n")), "bad-record"),
    ],
)
def test_only_a_commander_tells_and_only_places_beside(record: CircularSent, code: str) -> None:
    with pytest.raises(Refused) as refused:
        check_circular(record, TREE)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("record", "code"),
    [
        (answered(THIRD), "not-a-recipient"),
        (answered(by=commander(THIRD)), "not-permitted"),
        (answered(text="x" * 501), "bad-text"),
    ],
)
def test_only_a_told_place_answers_for_itself(record: CircularAnswered, code: str) -> None:
    with pytest.raises(Refused) as refused:
        check_answer(record, sent(), TREE)
    assert refused.value.code == code


class Known(Facts):
    def circulated(self, circular: CircularId) -> CircularSent | None:
        return sent() if circular == "n-1" else None


def test_a_neighbour_speaks_only_for_its_own_side() -> None:
    admit(sent(), TOWNSHIP, COUNTY, TREE, Known())
    admit(sent(), COUNTY, OTHER_TOWNSHIP, TREE, Known())
    admit(answered(), OTHER_TOWNSHIP, COUNTY, TREE, Known())
    wrong: list[tuple[CircularSent | CircularAnswered, NodeCode, NodeCode]] = [
        (sent(), OTHER_TOWNSHIP, COUNTY),  # not from where it was sent
        (sent(), COUNTY, THIRD),  # passes here by mistake: nobody told is at or beyond
        (answered(), TOWNSHIP, COUNTY),
    ]
    for record, via, here in wrong:
        with pytest.raises(Refused):
            admit(record, via, here, TREE, Known())
    with pytest.raises(Refused, match="no circular"):
        admit(answered(circular=CircularId("n-2")), OTHER_TOWNSHIP, COUNTY, TREE, Known())


def test_a_circular_goes_to_the_told_and_answers_go_back_to_the_teller_only() -> None:
    county, teller, told = (Router(code, TREE) for code in (COUNTY, TOWNSHIP, OTHER_TOWNSHIP))
    for router in (county, teller, told):
        assert not router.concerns(answered(), COUNTY)  # before it is known
        router.note(sent())
    assert teller.concerns(sent(), COUNTY)
    assert [t for t in TREE.children(COUNTY) if county.concerns(sent(), t)] == [OTHER_TOWNSHIP]
    assert not county.concerns(sent(), NodeCode("430400000000"))
    assert told.concerns(answered(), COUNTY)
    assert [t for t in TREE.children(COUNTY) if county.concerns(answered(), t)] == [TOWNSHIP]
    assert not told.concerns(answered(), OTHER_VILLAGE)


def test_an_unread_circular_has_no_answers() -> None:
    assert Circular(sent()).answers == {}
