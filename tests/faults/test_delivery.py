"""Directives over lines that are cut and gateways that are killed: none lost, none shown twice.

The same proof says of publish/subscribe that it loses, so it can say it.  Full size: ``wuji bench delivery
--directives 100000 --cuts 100`` and ``--tiers 5 --directives 10000 --cuts 40 --kills 40``.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.proving.delivery import Cut, Plan, prove
from gateway.proving.pubsub import prove_pubsub
from tests.support.ports import free_ports


def test_a_plan_draws_every_kind_of_fault_again_from_its_seed() -> None:
    plan = Plan(directives=1_000, tiers=5, cuts=24, kills=10, seed=7)
    faults = plan.faults()
    assert faults == plan.faults() != Plan(directives=1_000, tiers=5, cuts=24, kills=10, seed=8).faults()
    assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)
    assert {(fault.tier, fault.cut) for fault in faults if fault.cut} == {
        (tier, cut) for tier in plan.names[1:] for cut in Cut
    }
    assert {fault.tier for fault in faults if fault.cut is None} == set(plan.names)


def test_nothing_is_lost_or_shown_twice_when_a_line_is_cut_and_a_gateway_killed(tmp_path: Path) -> None:
    plan = Plan(directives=100, cuts=3, kills=1, seed=11, hole_s=1)
    figures, found = asyncio.run(prove(plan, tmp_path, free_ports(5)))
    assert found.clean, (figures, found)
    assert found.issued == 100
    assert figures["restarts"] == 1


def test_the_same_cuts_lose_what_publish_subscribe_carries(tmp_path: Path) -> None:
    plan = Plan(directives=300, cuts=2, seed=11, hole_s=1)
    figures, found = asyncio.run(prove_pubsub(plan, tmp_path, free_ports()))
    assert figures["issued"] == 300
    assert figures["lost"] > 0
    assert not found.clean


@pytest.mark.long
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize(
    "plan",
    [
        Plan(directives=100_000, cuts=100, seed=1),
        Plan(directives=10_000, tiers=5, cuts=40, kills=40, seed=2),
    ],
    ids=["one-link", "five-tiers"],
)
def test_full_size(tmp_path: Path, plan: Plan) -> None:
    figures, found = asyncio.run(prove(plan, tmp_path, free_ports(5)))
    assert found.clean, (figures, found)
    assert found.issued == plan.directives
