"""The header of one directive."""

import itertools

import msgspec
import pytest

from signaling.directive import (
    COUNTERSIGN_MS,
    SIGN_LIMIT_MS,
    TRANSITIONS,
    Append,
    Directive,
    Ending,
    Header,
    Issue,
    Say,
    Tick,
    decide,
    evolve,
)
from signaling.effects import Deny, Repeat
from signaling.errors import LocalError
from signaling.ids import DirectiveId, UtcMs
from signaling.records import (
    Actor,
    DirectiveClosed,
    DirectiveExpired,
    DirectiveIssued,
    DirectiveRecalled,
    DirectiveSuperseded,
    Role,
    Urgency,
)
from tests.support.facts import HOUR, countersigned, order, recall, superseded
from tests.support.places import CITY, COUNTY, VILLAGE, commander, leader

ORDER = order()
CLOSED = DirectiveClosed(node=COUNTY, at=UtcMs(6_000), directive=ORDER.directive)
EXPIRED = DirectiveExpired(node=VILLAGE, at=ORDER.expires_at, directive=ORDER.directive)
ENDINGS: dict[Header, Ending] = {
    Header.RECALLED: recall(),
    Header.SUPERSEDED: superseded(),
    Header.EXPIRED: EXPIRED,
    Header.CLOSED: CLOSED,
}
BEGUN = (Header.ISSUED, *ENDINGS)
NOW = UtcMs(2_000)


def state(header: Header) -> Directive:
    begun = evolve(None, ORDER)
    return begun if header is Header.ISSUED else evolve(begun, ENDINGS[header])


def test_issuing_is_journalled() -> None:
    assert decide(None, Issue(ORDER), NOW) == (Append(ORDER),)
    assert evolve(None, ORDER).state is Header.ISSUED


@pytest.mark.parametrize("header", BEGUN)
def test_the_same_order_again_changes_nothing_in_any_state(header: Header) -> None:
    assert decide(state(header), Issue(ORDER), NOW) == (Repeat(),)


def test_a_changed_order_under_a_known_id_is_denied() -> None:
    (effect,) = decide(state(Header.ISSUED), Issue(order(text="不用转移")), NOW)
    assert isinstance(effect, Deny)
    assert effect.code == "directive-conflict"


def test_a_signature_does_not_make_it_another_order() -> None:
    assert decide(state(Header.ISSUED), Issue(msgspec.structs.replace(ORDER, signature="x")), NOW) == (Repeat(),)


@pytest.mark.parametrize(("header", "record"), list(itertools.product(BEGUN, [recall(), superseded(), CLOSED])))
def test_an_ending_is_taken_exactly_where_the_table_says(header: Header, record: object) -> None:
    assert isinstance(record, DirectiveRecalled | DirectiveSuperseded | DirectiveClosed)
    (effect,) = decide(state(header), Say(record), NOW)
    if type(record) in TRANSITIONS[header]:
        assert effect == Append(record)
        assert evolve(state(header), record).state is TRANSITIONS[header][type(record)]
    elif ENDINGS[header] == record:
        assert effect == Repeat()
    else:
        assert isinstance(effect, Deny)
        assert effect.code == f"directive-{header}"


def test_recalled_superseded_expired_and_closed_are_four_states() -> None:
    assert [state(h).state for h in BEGUN] == list(BEGUN)
    assert {Header.DRAFT, Header.PENDING, *BEGUN} == set(Header)


def test_time_runs_out_once() -> None:
    issued = state(Header.ISSUED)
    assert issued.deadline() == 1_000 + HOUR
    assert decide(issued, Tick(EXPIRED), UtcMs(1_000 + HOUR - 1)) == ()
    assert decide(issued, Tick(EXPIRED), UtcMs(1_000 + HOUR)) == (Append(EXPIRED),)
    for header in ENDINGS:
        assert state(header).deadline() is None
        assert decide(state(header), Tick(EXPIRED), UtcMs(10 * HOUR)) == ()


def test_a_recall_heard_after_our_own_clock_ran_out_still_counts() -> None:
    assert evolve(state(Header.EXPIRED), recall()).state is Header.RECALLED


def test_endings_of_the_unknown_are_denied_and_never_folded() -> None:
    (effect,) = decide(None, Say(recall()), NOW)
    assert isinstance(effect, Deny)
    assert effect.code == "unknown-directive"
    with pytest.raises(LocalError):
        evolve(None, recall())
    with pytest.raises(LocalError):
        evolve(state(Header.CLOSED), recall())
    with pytest.raises(LocalError):
        evolve(state(Header.ISSUED), ORDER)


@pytest.mark.parametrize("urgency", Urgency)
def test_urgency_sets_the_limit_for_signing_but_never_past_expiry(urgency: Urgency) -> None:
    long = Directive(order(urgency=urgency, expires_at=UtcMs(1_000 + 100 * HOUR)))
    assert long.sign_by == 1_000 + SIGN_LIMIT_MS[urgency]
    assert Directive(order(urgency=urgency, expires_at=UtcMs(2_000))).sign_by == 2_000


def test_the_superseded_names_its_successor_and_has_only_one() -> None:
    ended = state(Header.SUPERSEDED)
    assert (ended.successor, ended.ended_at) == ("d-2", 5_000)
    (effect,) = decide(ended, Say(superseded(successor=DirectiveId("d-9"))), NOW)
    assert isinstance(effect, Deny)
    assert effect.code == "directive-superseded"


FIRST = order(urgency=Urgency.P0, countersign_by=UtcMs(1_000 + COUNTERSIGN_MS))


def test_what_is_issued_first_is_owed_a_second_name_until_it_has_one() -> None:
    begun = evolve(None, FIRST)
    assert begun.countersign_by == 1_000 + 30 * 60_000
    record = countersigned()
    assert decide(begun, Say(record), NOW) == (Append(record),)
    signed = evolve(begun, record)
    assert (signed.state, signed.countersign_by, signed.countersigned) == (Header.ISSUED, None, record)
    again = countersigned(by=leader(CITY), at=UtcMs(6_000))
    assert decide(signed, Say(again), NOW) == (Repeat(),)


@pytest.mark.parametrize(
    ("issued", "ending", "by", "code"),
    [
        (FIRST, None, commander(), "own-directive"),
        (FIRST, None, Actor(commander().name, Role.ADMIN, COUNTY), "own-directive"),
        (ORDER, None, leader(), "not-issued-first"),
        (FIRST, recall(), leader(), "directive-recalled"),
        (FIRST, superseded(), leader(), "directive-superseded"),
    ],
)
def test_nobody_countersigns_their_own_nor_what_needs_or_takes_no_name(
    issued: DirectiveIssued, ending: Ending | None, by: Actor, code: str
) -> None:
    begun = evolve(None, issued)
    (effect,) = decide(evolve(begun, ending) if ending else begun, Say(countersigned(by=by)), NOW)
    assert isinstance(effect, Deny)
    assert effect.code == code


def test_a_closed_directive_is_still_owed_its_second_name_and_a_recalled_one_is_not() -> None:
    closed = evolve(evolve(None, FIRST), CLOSED)
    assert closed.countersign_by is not None
    assert evolve(closed, countersigned()).state is Header.CLOSED
    assert evolve(evolve(None, FIRST), recall()).countersign_by is None


def test_the_limits_are_three_five_fifteen_minutes_and_two_hours() -> None:
    assert [SIGN_LIMIT_MS[u] // 60_000 for u in Urgency] == [3, 5, 15, 120]
