"""Directives do not wait for Redis.  Full size: ``python -m tests.faults.bus``, 60 s of each fault."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.ports import free_ports

from . import bus


def test_orders_are_shown_once_while_redis_is_gone_flushed_or_cuts_its_subscribers_off(tmp_path: Path) -> None:
    phases, found = asyncio.run(bus.prove(tmp_path, free_ports(5), clicks=5, every_s=0.05))
    assert found.clean, found
    assert [phase.issued for phase in phases] == [5] * 5
