"""Every network of the report on the link between county and township, held against bars.

Stands of the picture are compared with the same run on a clean network: the machine's own share is in both.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from .profiles import PROFILES
from .report import DEFAULT, Row, measure
from .watch import Studio

pytestmark = pytest.mark.long
SECONDS = 20.0
LINK = "county-township"


@dataclass(frozen=True, slots=True)
class Bar:
    """The most a profile may cost.

    Attributes:
        concealed: Part of the sound made up.
        frozen: Part of the time the picture stands, beyond what it does on a clean network.
        first_s: Until the first picture; None: there need not be one.
        rings_s: For the slowest directive.
        seconds: For how long it is watched.
        later_per_min: Fewest pictures per minute of the later half, when the fall of the line is over.
        queue_ms: 95th percentile of the wait before the bottleneck once the line has been bad for a while.
    """

    concealed: float = 0.10
    frozen: float = 0.25
    first_s: float | None = 5.0
    rings_s: float = 10.0
    seconds: float = SECONDS
    later_per_min: float = 0.0
    queue_ms: float = 500.0


BARS = {name: Bar() for name in DEFAULT} | {
    "loss-30": Bar(concealed=0.25, frozen=1.0, rings_s=60.0),
    "rtt-600": Bar(frozen=0.55),
    "500k": Bar(concealed=0.12, frozen=0.55),
    "64k": Bar(concealed=0.25, first_s=None, seconds=60.0, later_per_min=10.0, queue_ms=300.0),
}
"""About half as much again as was measured, and more where a machine that is busy adds to it."""


@pytest.fixture(scope="module")
def clean(room: Studio) -> Row:
    return measure(room, "clean", (LINK,), SECONDS)[0]


@pytest.mark.parametrize("name", [name for name in DEFAULT if name != "clean"])
def test_a_bad_link_costs_no_more_than_its_bar(room: Studio, clean: Row, name: str) -> None:
    bar, impairment = BARS[name], PROFILES[name].down
    row, _ = measure(room, name, (LINK,), bar.seconds)
    print(f"clean {clean.markdown()}\n{row.markdown()}\n{row.seen.later_per_min:.0f} pictures/min of the later half")
    assert row.seen.again == 0, "nothing is shown twice"
    assert row.missing == 0, "every directive rings"
    assert max(row.rang_s) < bar.rings_s
    assert row.seen.concealed < bar.concealed
    assert row.queue_ms[1] < bar.queue_ms
    assert row.seen.later_per_min >= bar.later_per_min
    if bar.first_s is not None:
        assert row.seen.first_s is not None
        assert row.seen.first_s < bar.first_s
        assert row.seen.frozen_share < clean.seen.frozen_share + bar.frozen
    if impairment.loss > 0:
        lost = row.network[f"{LINK} down"]["lost"]
        assert lost > 0.5 * impairment.loss * row.network[f"{LINK} down"]["passed"], "the network was as bad as said"
