"""Redis that fails over, a link that comes and goes: small versions of ``tests.faults.failover`` and ``flapping``."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.ports import free_ports

from . import failover, flapping


def test_orders_are_shown_once_while_redis_fails_over(tmp_path: Path) -> None:
    phases, found = asyncio.run(failover.prove(tmp_path, free_ports(8), clicks=10, every_s=0.05))
    assert found.clean, found
    assert [phase.issued for phase in phases] == [10] * 3


def test_a_flapping_link_loses_nothing_and_is_not_dialled_in_a_storm(tmp_path: Path) -> None:
    run = flapping.measure(tmp_path, free_ports(5), up_s=1.0, down_s=1.5, cuts=3, every_s=0.1)
    flaps, found = asyncio.run(run)
    assert found.clean, found
    assert 0 < flaps.attempts_per_minute <= 60 / 0.5
