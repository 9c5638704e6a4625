"""Percentages of clocks kept."""

import pytest

from signaling.handling import Handling, handling
from signaling.ids import UtcMs
from signaling.records import AlarmAdvanced, AlarmState
from signaling.scorecard import scorecard
from tests.support.facts import raised, step

M = 60_000


def card(*steps: tuple[AlarmState, int]) -> tuple[Handling, int]:
    first = raised(at=UtcMs(0))
    said: list[AlarmAdvanced] = [step(state, at=UtcMs(at)) for state, at in steps]
    return handling(first, lambda: [first], said), 3


CARDS = [
    card(),
    card((AlarmState.FALSE, 30_000)),
    card((AlarmState.CONFIRMED, 61_000)),
    card((AlarmState.CONFIRMED, 1), (AlarmState.ON_SITE, 2 * M), (AlarmState.HANDLED, 9 * M)),
    card(
        (AlarmState.CONFIRMED, 1), (AlarmState.ON_SITE, 2 * M), (AlarmState.HANDLED, 4 * M), (AlarmState.CLOSED, 5 * M)
    ),
]


@pytest.mark.parametrize(
    ("now", "response", "on_site", "handled", "golden"),
    [
        (M // 2, (3, 1, 1), (2, 0, 2), (1, 1, 2), (2, 0, 2)),
        (3 * M, (3, 2, 0), (2, 0, 2), (1, 1, 2), (2, 0, 2)),
        (60 * M, (3, 2, 0), (2, 2, 0), (1, 3, 0), (2, 2, 0)),
    ],
)
def test_clocks_are_met_missed_or_running(
    now: int, response: object, on_site: object, handled: object, golden: object
) -> None:
    figures = scorecard(CARDS, UtcMs(now))
    found = {name: (s.met, s.missed, s.running) for name, s in figures.clocks.items()}
    assert found == {"response": response, "on_site": on_site, "handled": handled}
    assert (figures.golden.met, figures.golden.missed, figures.golden.running) == golden


def test_percentages_are_of_what_is_decided() -> None:
    figures = scorecard(CARDS, UtcMs(60 * M))
    assert figures.clocks["response"].percent == 60.0
    assert (figures.alarms, figures.cards, figures.open) == (15, 5, 3)
    assert figures.states[AlarmState.TRIGGERED] == 1
    assert scorecard([], UtcMs(0)).golden.percent is None
