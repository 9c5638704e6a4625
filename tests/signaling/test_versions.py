"""Which versions work together, and what is said when two do not."""

import pytest

from signaling.errors import Refused
from signaling.ids import NodeCode, Seq
from signaling.messages import OLDEST, OLDEST_TERMINAL, VERSION, Hello, LinkHello
from signaling.versions import check_neighbour, check_terminal, refused_there


def hello(version: int, oldest: int = 0) -> LinkHello:
    return LinkHello(version=version, oldest=oldest, node=NodeCode("n"), token="t", epoch=None, seq=Seq(0))


@pytest.mark.parametrize(
    ("version", "oldest"),
    [(VERSION, 0), (VERSION, VERSION), (VERSION + 1, VERSION), (VERSION + 9, 1), (OLDEST, 0)],
)
def test_gateways_that_understand_each_other_are_linked(version: int, oldest: int) -> None:
    check_neighbour(hello(version, oldest))


def test_what_understands_nothing_here_says_so_with_a_greater_oldest() -> None:
    with pytest.raises(Refused, match=f"版本 {VERSION} 的一端须升级到版本 {VERSION + 2}") as refused:
        check_neighbour(hello(VERSION + 3, VERSION + 2))
    assert refused.value.code == "version-mismatch"


@pytest.mark.parametrize("version", [OLDEST - 1, 0, -7])
def test_a_neighbour_that_is_too_old_is_told_what_to_install(version: int) -> None:
    with pytest.raises(Refused, match=f"版本 {version} 的一端须升级到版本 {VERSION}"):
        check_neighbour(hello(version))


def test_pages_of_every_version_that_is_understood_come_in() -> None:
    for version in range(OLDEST_TERMINAL, VERSION + 1):
        check_terminal(Hello(version=version, token="t"))
    for version in (OLDEST_TERMINAL - 1, VERSION + 1):
        with pytest.raises(Refused, match="请刷新页面"):
            check_terminal(Hello(version=version, token="t"))


def test_what_a_neighbour_says_of_us_is_quoted_and_cut() -> None:
    assert "x" * 200 in refused_there("x" * 5_000)
    assert len(refused_there("x" * 5_000)) < 300
