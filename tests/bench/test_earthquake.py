"""The earthquake, small: what it counts adds up, and what it must find it finds."""

import json

import pytest
from typer.testing import CliRunner

from gateway.bench import app
from gateway.proving.earthquake import MIX, PICTURED, STUCK, URGENT, plan, stands
from tests.support.places import TOWNSHIP, TREE, VILLAGE

VILLAGES = TREE.children(TOWNSHIP)


def test_a_plan_is_the_seeds_and_half_of_it_comes_in_the_first_quarter() -> None:
    planned = plan(VILLAGES, 2_000, 60.0, 5, 7)
    assert planned == plan(VILLAGES, 2_000, 60.0, 5, 7)
    assert planned != plan(VILLAGES, 2_000, 60.0, 5, 8)
    shaken = [one for one in planned if not one.stuck]
    assert (len(shaken), len(planned) - len(shaken)) == (2_000, 300)
    assert 0.45 < sum(one.due_s < 15 for one in shaken) / 2_000 < 0.55
    assert {one.urgency for one in shaken} == set(MIX)
    assert all((one.at == VILLAGE) == (one.alarm["place"] == VILLAGE) for one in planned)
    assert 0 < sum(one.picture is not None for one in shaken) < 3 * PICTURED * 2_000
    assert [one.due_s for one in planned] == sorted(one.due_s for one in planned)
    assert {one.alarm["source"] for one in planned if one.stuck} == {STUCK}


def test_an_urgent_refusal_a_loss_or_a_drop_fails_it_and_a_routine_refusal_does_not() -> None:
    fine = {"lost": 0, "dropped": 0, "urgencies": {str(urgency): {"refused": 0} for urgency in MIX}}
    assert stands(fine)
    for urgency in MIX:
        refused = {**fine["urgencies"], str(urgency): {"refused": 1}}  # type: ignore[dict-item]
        assert stands({**fine, "urgencies": refused}) == (urgency not in URGENT)
    assert not stands({**fine, "lost": 1})
    assert not stands({**fine, "dropped": 1})


@pytest.mark.long
def test_a_small_earthquake_is_known_in_the_province_to_the_last_alarm() -> None:
    arguments = ["storm", "--shape", "earthquake", "--sources", "120", "--seconds", "2", "--flapping", "10",
                 "--seed", "7", "--json"]  # fmt: skip
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    found = json.loads(result.output.splitlines()[-1])
    urgencies = found["urgencies"]
    assert (found["alarms"], found["lost"], found["dropped"]) == (140, 0, 0)
    assert sum(of["province"]["count"] for of in urgencies.values()) == 120
    assert sum(of["thumbnails"]["count"] for of in urgencies.values()) > 0
    assert found["stuck_source"]["taken"] == 20
