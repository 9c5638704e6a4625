"""Two runs of the tests on one machine do not give their gateways the same ports."""

from __future__ import annotations

import itertools
import os

import pytest

from tests.support import ports


def test_ports_found_free_are_not_found_again_before_they_are_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    found = ports.free_ports(5)
    begin = ports.FIRST + ports.STRIDE * (os.getpid() % (ports.COUNT // ports.STRIDE))
    again = itertools.count((found - begin) % ports.COUNT, ports.STRIDE)  # as another process that looks there too
    monkeypatch.setattr(ports, "_steps", again)
    assert ports.free_ports(5) != found
