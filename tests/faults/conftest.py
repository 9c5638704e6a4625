"""The five tiers with Chromium at both ends, once per file of tests: its driver holds this thread's event loop."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .tree import tree
from .watch import Studio, studio


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with tree(tmp_path_factory.mktemp("five"), "five tiers") as on, studio(on) as made:
        made.publish()
        yield made
