"""Alarms that wait for the disk are bounded: the urgent last, and no source at the others' cost."""

import asyncio
from pathlib import Path

import pytest

from gateway import problems
from gateway.waiting import OF_ONE, Waiting
from signaling.errors import Refused
from signaling.ids import Seq
from signaling.records import AlarmRaised, Urgency
from tests.gateway.test_alarms import request
from tests.support.loop import on_loop
from tests.support.nodes import Node
from tests.support.places import SIBLING, VILLAGE, device


@on_loop
async def test_the_urgent_are_taken_when_the_routine_are_not() -> None:
    waiting = Waiting(most=2, of_one=10)
    durable = [asyncio.get_running_loop().create_future() for _ in range(4)]
    for n in range(2):
        waiting.admit((VILLAGE, f"s{n}"), Urgency.P3)
        waiting.hold((VILLAGE, f"s{n}"), durable[n])
    with pytest.raises(Refused) as refused:
        waiting.admit((VILLAGE, "s9"), Urgency.P2)
    assert refused.value.code == "too-many-alarms"
    for n in (2, 3):
        waiting.admit((VILLAGE, f"s{n}"), Urgency.P1)
        waiting.hold((VILLAGE, f"s{n}"), durable[n])
    with pytest.raises(Refused):
        waiting.admit((VILLAGE, "s9"), Urgency.P0)
    for one in durable[:3]:
        one.set_result(Seq(1))
    await asyncio.sleep(0)
    waiting.admit((VILLAGE, "s9"), Urgency.P3)


@on_loop
async def test_one_source_that_cannot_stop_leaves_the_others_their_place() -> None:
    waiting = Waiting(most=100, of_one=2)
    durable = asyncio.get_running_loop().create_future()
    for _ in range(2):
        waiting.admit((VILLAGE, "a"), Urgency.P2)
        waiting.hold((VILLAGE, "a"), durable)
    with pytest.raises(Refused):
        waiting.admit((VILLAGE, "a"), Urgency.P2)
    waiting.admit((VILLAGE, "b"), Urgency.P2)
    waiting.admit((SIBLING, "a"), Urgency.P2)


@on_loop
async def test_what_is_refused_is_not_in_the_ledger_and_everything_else_is(tmp_path: Path) -> None:
    node = Node(VILLAGE, tmp_path)
    asked = [node.alarms.raise_alarm(device(), request(urgency=Urgency.P2)) for _ in range(OF_ONE + 10)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    refused = [one for one in answers if isinstance(one, Refused)]
    kept = [row.record for row in node.journal.replay() if isinstance(row.record, AlarmRaised)]
    assert (len(kept), len(refused)) == (OF_ONE, 10)
    assert {one.code for one in refused} == {"too-many-alarms"}
    assert (await node.alarms.raise_alarm(device(), request(urgency=Urgency.P2)))[1]
    await node.close()


def test_a_source_that_is_refused_is_told_when_to_say_it_again() -> None:
    answer = problems.response(problems.of_remote(Refused("too-many-alarms", "later")))
    assert answer.status == 429
    assert int(answer.headers["Retry-After"]) > 0
