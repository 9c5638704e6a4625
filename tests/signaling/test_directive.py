"""The header of one directive."""

import itertools

import msgspec
import pytest

from signaling.directive import (
    SIGN_LIMIT_MS,
    TRANSITIONS,
    Append,
    Directive,
    End,
    Ending,
    Header,
    Issue,
    Tick,
    decide,
    evolve,
)
from signaling.effects import Deny, Repeat
from signaling.errors import LocalError
from signaling.ids import UtcMs
from signaling.records import DirectiveClosed, DirectiveExpired, Urgency
from tests.support.facts import HOUR, order, recall
from tests.support.places import COUNTY, VILLAGE

ORDER = order()
CLOSED = DirectiveClosed(node=COUNTY, at=UtcMs(6_000), directive=ORDER.directive)
EXPIRED = DirectiveExpired(node=VILLAGE, at=ORDER.expires_at, directive=ORDER.directive)
ENDINGS: dict[Header, Ending] = {Header.RECALLED: recall(), Header.EXPIRED: EXPIRED, Header.CLOSED: CLOSED}
NOW = UtcMs(2_000)


def state(header: Header) -> Directive:
    begun = evolve(None, ORDER)
    return begun if header is Header.ISSUED else evolve(begun, ENDINGS[header])


def test_issuing_is_journalled() -> None:
    assert decide(None, Issue(ORDER), NOW) == (Append(ORDER),)
    assert evolve(None, ORDER).state is Header.ISSUED


@pytest.mark.parametrize("header", Header)
def test_the_same_order_again_changes_nothing_in_any_state(header: Header) -> None:
    assert decide(state(header), Issue(ORDER), NOW) == (Repeat(),)


def test_a_changed_order_under_a_known_id_is_denied() -> None:
    (effect,) = decide(state(Header.ISSUED), Issue(order(text="不用转移")), NOW)
    assert isinstance(effect, Deny)
    assert effect.code == "directive-conflict"


def test_a_signature_does_not_make_it_another_order() -> None:
    assert decide(state(Header.ISSUED), Issue(msgspec.structs.replace(ORDER, signature="x")), NOW) == (Repeat(),)


@pytest.mark.parametrize(("header", "record"), list(itertools.product(Header, [recall(), CLOSED])))
def test_an_ending_is_taken_exactly_where_the_table_says(header: Header, record: object) -> None:
    assert isinstance(record, type(recall()) | DirectiveClosed)
    (effect,) = decide(state(header), End(record), NOW)
    if type(record) in TRANSITIONS[header]:
        assert effect == Append(record)
        assert evolve(state(header), record).state is TRANSITIONS[header][type(record)]
    elif ENDINGS[header] == record:
        assert effect == Repeat()
    else:
        assert isinstance(effect, Deny)
        assert effect.code == f"directive-{header}"


def test_recalled_expired_and_closed_are_three_states() -> None:
    assert {state(h).state for h in Header} == set(Header)


def test_time_runs_out_once() -> None:
    issued = state(Header.ISSUED)
    assert issued.deadline() == 1_000 + HOUR
    assert decide(issued, Tick(EXPIRED), UtcMs(1_000 + HOUR - 1)) == ()
    assert decide(issued, Tick(EXPIRED), UtcMs(1_000 + HOUR)) == (Append(EXPIRED),)
    for header in (Header.RECALLED, Header.EXPIRED, Header.CLOSED):
        assert state(header).deadline() is None
        assert decide(state(header), Tick(EXPIRED), UtcMs(10 * HOUR)) == ()


def test_a_recall_heard_after_our_own_clock_ran_out_still_counts() -> None:
    assert evolve(state(Header.EXPIRED), recall()).state is Header.RECALLED


def test_endings_of_the_unknown_are_denied_and_never_folded() -> None:
    (effect,) = decide(None, End(recall()), NOW)
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


def test_the_limits_are_three_five_fifteen_minutes_and_two_hours() -> None:
    assert [SIGN_LIMIT_MS[u] // 60_000 for u in Urgency] == [3, 5, 15, 120]
