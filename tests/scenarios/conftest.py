"""``pytest tests/scenarios --update`` rewrites the stories; review the diff."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="Rewrite what the stories say happens.")
