"""What happens with alarms in a county while time passes: drawn at random, for proofs of the clocks.

Alarms are raised here or arrive from a township's own gateway; people take steps, send units and call departments,
some of whom answer.
"""

import contextlib
import random
from collections.abc import Awaitable
from typing import Protocol

from gateway.alarms import Alarms
from gateway.forms import AlarmRequest
from signaling.errors import Refused
from signaling.ids import AlarmId, Seq, UtcMs
from signaling.messages import AlarmView
from signaling.records import AlarmState, Unit, UnitState, Urgency

from .clock import FakeClock
from .facts import raised
from .places import CITY, COUNTY, TOWNSHIP, TREE, commander

MINUTE = 60_000
NEAR = (COUNTY, *tuple(TREE.subtree(COUNTY))[1:6], *TREE.children(TOWNSHIP)[:3])
DEEDS = ("raise", "arrive", "step", "step", "send", "report", "call", "answer", "group", "take back")


class Durable(Protocol):
    """A journal: an append of nothing returns when everything before it is durable."""

    def append(self) -> Awaitable[Seq]: ...


async def live_through(alarms: Alarms, journal: Durable, clock: FakeClock, draw: random.Random, number: int) -> None:
    """Something happens with an alarm: one is raised or another node's arrives, or people do something about one.

    Args:
        number: Tells sources apart.
    """
    open_ones = list(alarms.incidents.list(commander(), 30))
    what = draw.choice(DEEDS)
    if what == "raise" or not open_ones:
        await alarms.raise_alarm(commander(), alarm_request(draw, number))
    elif what == "arrive":
        arrive(alarms, clock, draw)
        await journal.append()
    else:
        with contextlib.suppress(Refused):  # it has come too far for that, or not far enough
            await _about(alarms, draw, what, draw.choice(open_ones))


def alarm_request(draw: random.Random, number: int) -> AlarmRequest:
    kind, exercise = draw.choice(("fire", "flood", "other")), draw.random() < 0.2
    urgency = draw.choice(list(Urgency))
    return AlarmRequest(
        kind=kind, place=draw.choice(NEAR), source=f"s-{number % 7}", urgency=urgency, exercise=exercise
    )


def arrive(alarms: Alarms, clock: FakeClock, draw: random.Random) -> None:
    """An alarm of a township's own gateway comes in, written a while ago."""
    at = UtcMs(clock.at() - draw.randrange(3 * MINUTE))
    alarm = AlarmId(clock.new_id("a"))
    place = draw.choice([place for place in NEAR if TREE.is_within(place, TOWNSHIP)])
    record = raised(
        node=TOWNSHIP, by=commander(TOWNSHIP), at=at, alarm=alarm, place=place, kind=draw.choice(("fire", "other"))
    )
    alarms.receive(record, TOWNSHIP)


async def _about(alarms: Alarms, draw: random.Random, what: str, view: AlarmView) -> None:
    """Somebody does something about the card ``view`` shows."""
    alarm = view.alarm
    known = [one for one in alarms.incidents.list(commander(), 30) if one.exercise == view.exercise]
    match what:
        case "step":
            await alarms.advance(commander(), alarm, draw.choice(list(AlarmState)[1:]), "已处理")
        case "take back":
            await alarms.advance(commander(), alarm, draw.choice((AlarmState.FALSE, AlarmState.MERGED)), alone=True)
        case "send":
            crew = Unit(unit=f"crew-{draw.randrange(3)}", name="民兵", place=COUNTY)
            await alarms.dispatch(commander(), alarm, crew, (), draw.randrange(1, 6) * MINUTE)
        case "report" if view.dispatches:
            unit, state = draw.choice(view.dispatches), draw.choice(list(UnitState))
            await alarms.report(commander(), alarm, unit.unit, unit.place, state)
        case "answer" if view.calls:
            await alarms.answer(commander(), draw.choice(view.calls).call, "已派人")
        case "group":
            await alarms.group(commander(), alarm, draw.choice(known).alarm)
        case _:
            above = CITY if view.place == COUNTY else COUNTY
            await alarms.call(commander(view.place), alarm, above, "水利局", "泵坏了")
