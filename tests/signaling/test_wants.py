"""What several want of one picture."""

from hypothesis import given
from hypothesis import strategies as st

from signaling.ids import Monotonic, TrackId
from signaling.wants import KEPT_S, PINNED, REST, RUNGS, SMALL, SPEAKER, WHOLE, Want, keep, merge, rung, union

WANTS = st.builds(Want, st.integers(0, 4320) | st.integers(0, 2 * SMALL), st.integers(0, 255), st.booleans())


def test_the_greatest_height_and_the_most_urgent_priority_win() -> None:
    assert merge(Want(180, SPEAKER), Want(720, REST)) == Want(720, SPEAKER)


def test_whoever_wants_all_there_is_gets_it() -> None:
    assert merge(Want(WHOLE, REST), Want(4320, PINNED)) == Want(WHOLE, PINNED)


def test_each_track_is_wanted_once() -> None:
    a, b = TrackId("a"), TrackId("b")
    assert union([(a, Want(90)), (b, Want(180)), (a, Want(360))]) == {a: Want(360, small=True), b: Want(180)}


@given(WANTS, WANTS, WANTS)
def test_it_does_not_matter_in_which_order_they_are_asked(a: Want, b: Want, c: Want) -> None:
    assert merge(a, b) == merge(b, a)
    assert merge(merge(a, b), c) == merge(a, merge(b, c))
    assert merge(a, a) == a


@given(st.integers(1, 4320))
def test_a_rung_is_never_lower_than_what_is_asked(height: int) -> None:
    assert height <= rung(height)
    assert rung(rung(height)) == rung(height)
    assert rung(height) in RUNGS


def test_a_small_copy_is_wanted_where_one_has_enough_in_it_and_another_has_not() -> None:
    assert merge(Want(SMALL), Want(720)) == Want(720, small=True)
    assert merge(Want(SMALL), Want(WHOLE)).small
    assert not merge(Want(SMALL), Want(60)).small
    assert not merge(Want(360), Want(WHOLE)).small
    assert merge(Want(360, small=True), Want(720)).small


def test_a_small_copy_is_kept_for_a_while_after_the_last_need() -> None:
    a, b = TrackId("a"), TrackId("b")
    at = Monotonic
    kept = keep({}, {a, b}, at(0))
    kept = keep(kept, {a}, at(1_000))
    assert kept.keys() == {a, b}
    assert kept[b] == 1_000 + KEPT_S
    assert keep(kept, {a}, at(1_000 + KEPT_S / 2)) == kept
    assert keep(kept, {a}, at(1_000 + KEPT_S)).keys() == {a}
    again = keep(keep(kept, {a, b}, at(1_001)), {a}, at(1_002))
    assert again[b] == 1_002 + KEPT_S
