"""Routes change from what is installed to what is desired in a safe order."""

from hypothesis import given
from hypothesis import strategies as st

from media.routes import Pause, Route, plan

ROUTES = st.dictionaries(st.integers(1, 12), st.integers(100, 105), max_size=12)


def test_nothing_changes_when_all_is_as_desired() -> None:
    assert plan({1: 100, 2: 101}, {2: 101, 1: 100}) == ()


def test_pauses_come_before_switches_and_switches_before_new_routes() -> None:
    assert plan({1: 100, 2: 101, 3: 102}, {2: 103, 1: 100, 9: 101}) == (Pause(3), Route(2, 103), Route(9, 101))


@given(ROUTES, ROUTES)
def test_carrying_out_the_plan_gives_what_is_desired(installed: dict[int, int], desired: dict[int, int]) -> None:
    now = dict(installed)
    changes = plan(installed, desired)
    for change in changes:
        match change:
            case Pause(sink):
                assert now.pop(sink) != desired.get(sink)
            case Route(sink, source):
                assert now.get(sink) != source
                now[sink] = source
    assert now == desired
    assert len({change.sink for change in changes}) == len(changes)


@given(ROUTES, ROUTES)
def test_a_path_is_never_fuller_on_the_way_than_before_or_after(
    installed: dict[int, int], desired: dict[int, int]
) -> None:
    now = dict(installed)
    for change in plan(installed, desired):
        match change:
            case Pause(sink):
                del now[sink]
            case Route(sink, source):
                now[sink] = source
        assert len(now) <= max(len(installed), len(desired))
