"""Directives over lines that are cut and gateways that are killed: none lost, none shown twice.

The same proof says of publish/subscribe that it loses, so it can say it.  Full size: ``wuji bench delivery
--directives 100000 --cuts 100`` and ``--tiers 5 --directives 10000 --cuts 40 --kills 40``.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.proving.delivery import Blow, Cut, Plan, prove
from gateway.proving.pubsub import prove_pubsub
from tests.support.ports import free_ports


def test_a_plan_draws_every_kind_of_fault_again_from_its_seed() -> None:
    plan = Plan(directives=1_000, tiers=5, cuts=24, kills=10, seed=7, stops=5, flaps=4)
    faults = plan.faults()
    other = Plan(directives=1_000, tiers=5, cuts=24, kills=10, seed=8, stops=5, flaps=4)
    assert faults == plan.faults() != other.faults()
    assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)
    links = {(tier, kind) for tier in plan.names[1:] for kind in (*Cut, Blow.FLAP)}
    gateways = {(tier, kind) for tier in plan.names for kind in (Blow.KILL, Blow.STOP)}
    assert {(fault.tier, fault.kind) for fault in faults} == links | gateways


def test_nothing_is_lost_or_shown_twice_when_a_line_is_cut_and_a_gateway_killed_and_stopped(tmp_path: Path) -> None:
    plan = Plan(directives=100, cuts=3, kills=1, stops=1, seed=11, hole_s=1)
    figures, found = asyncio.run(prove(plan, tmp_path, free_ports(5)))
    assert found.clean, (figures, found)
    assert found.issued == 100
    assert figures["restarts"] == 1
    assert 0 < figures["ready_p50_s"] == figures["ready_max_s"]


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
        Plan(directives=2_000, tiers=5, cuts=0, seed=3, stops=5, flaps=12, hole_s=30),
    ],
    ids=["one-link", "five-tiers", "stopped-and-flapping"],
)
def test_full_size(tmp_path: Path, plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    figures, found = asyncio.run(prove(plan, tmp_path, free_ports(5)))
    assert found.clean, (figures, found)
    assert found.issued == plan.directives
    with capsys.disabled():
        print(f"\n{figures}")
