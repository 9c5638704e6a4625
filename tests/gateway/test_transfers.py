"""Pictures over a line of three nodes, by function call; and neighbours that send what was not promised."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Hashable
from pathlib import Path

import pytest

from gateway import transfers
from gateway.blobs import Blobs, Rank
from gateway.transfers import AT_ONCE, PIECE_BYTES, Transfers
from signaling.errors import Refused
from signaling.ids import NodeCode, Sha256
from signaling.messages import LinkBlobChunk, LinkBlobWant, LinkMessage
from tests.support.clock import FakeClock
from tests.support.loop import eventually

A, B, C = NodeCode("a"), NodeCode("b"), NodeCode("c")
PICTURE = bytes(range(256)) * 1_000
NAME = Sha256(hashlib.sha256(PICTURE).hexdigest())


class Line:
    """One direction of a link that delivers at once, unless it is cut."""

    def __init__(self, peer: NodeCode) -> None:
        self.peer = peer
        self.other: Line
        self.owner: Transfers
        self.up = True
        self.said: list[LinkMessage] = []

    def say(self, message: LinkMessage, key: Hashable = None) -> None:
        self.said.append(message)
        if self.up:
            with contextlib.suppress(Refused):  # a link counts it and goes on
                self.other.owner.link_said(self.other, message)  # type: ignore[arg-type]

    def wake(self) -> None:
        """Something waits: send it in a turn of its own, as a link does."""
        asyncio.get_running_loop().call_soon(self._drain)

    def _drain(self) -> None:
        while self.up and (piece := self.owner.idle(self)) is not None:
            self.say(piece)


def join(one: Transfers, name: NodeCode, other: Transfers, others_name: NodeCode) -> tuple[Line, Line]:
    """Link two nodes; returns the line of ``one``, then of ``other``."""
    near, far = Line(others_name), Line(name)
    near.other, near.owner, far.other, far.owner = far, one, near, other
    one.link_up(near)
    other.link_up(far)
    return near, far


def node(folder: Path, name: str, clock: FakeClock) -> tuple[Blobs, Transfers]:
    blobs = Blobs(folder / name)
    return blobs, Transfers(blobs, clock, lambda sha256, peer: sha256 == NAME)


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(120):
            await story()

    asyncio.run(limited())


def test_a_picture_comes_in_pieces_and_whole_over_two_links(tmp_path: Path) -> None:
    async def story() -> None:
        clock = FakeClock()
        (low, below), (middle, between), (high, above) = (node(tmp_path, n, clock) for n in "abc")
        await low.put(PICTURE)
        middle.know(NAME, len(PICTURE), A)
        high.know(NAME, len(PICTURE), B)
        lower, _ = join(below, A, between, B)
        join(between, B, above, C)
        assert high.want(NAME)
        await eventually(lambda: high.has(NAME))
        assert await high.get(NAME) == PICTURE
        assert middle.has(NAME)
        pieces = [m for m in lower.said if isinstance(m, LinkBlobChunk)]
        assert len(pieces) == -(-len(PICTURE) // PIECE_BYTES)
        assert all(len(piece.data) <= PIECE_BYTES for piece in pieces)

    run(story)


def test_what_was_wanted_while_the_link_was_down_is_asked_for_when_it_is_up(tmp_path: Path) -> None:
    async def story() -> None:
        clock = FakeClock()
        (low, below), (high, above) = (node(tmp_path, n, clock) for n in "ab")
        await low.put(PICTURE)
        high.know(NAME, len(PICTURE), A)
        assert high.want(NAME)
        join(below, A, above, B)
        await eventually(lambda: high.has(NAME))

    run(story)


def test_a_link_cut_in_the_middle_begins_anew_and_ends_whole(tmp_path: Path) -> None:
    async def story() -> None:
        clock = FakeClock()
        (low, below), (high, above) = (node(tmp_path, n, clock) for n in "ab")
        await low.put(PICTURE)
        high.know(NAME, len(PICTURE), A)
        near, far = join(below, A, above, B)
        high.want(NAME)
        await eventually(lambda: [m for m in near.said if isinstance(m, LinkBlobChunk)])
        near.up = far.up = False
        below.link_down(near)
        above.link_down(far)
        join(below, A, above, B)
        await eventually(lambda: high.has(NAME))
        assert await high.get(NAME) == PICTURE

    run(story)


def test_a_piece_that_does_not_fit_is_refused_and_a_false_picture_is_not_kept(tmp_path: Path) -> None:
    async def story() -> None:
        clock = FakeClock()
        _, below = node(tmp_path, "a", clock)
        high, above = node(tmp_path, "b", clock)
        high.know(NAME, 100, A)
        _, far = join(below, A, above, B)
        far.up = False
        high.want(NAME)

        def piece(data: bytes, offset: int = 0, total: int = 100) -> LinkBlobChunk:
            return LinkBlobChunk(sha256=NAME, offset=offset, total=total, data=data)

        for wrong in (piece(b"x", 5), piece(b"x", 0, 99), piece(b"x" * 101), piece(b"")):
            with pytest.raises(Refused):
                above.link_said(far, wrong)
            above.link_up(far)
        above.link_said(far, piece(b"x" * 100))
        await eventually(lambda: not high.wanted(A))
        assert not high.has(NAME)

    run(story)


def test_a_picture_that_does_not_come_gives_way_to_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "SWEEP_S", 0.01)
    monkeypatch.setattr(transfers, "AT_ONCE", 1)

    async def story() -> None:
        clock = FakeClock()
        low, below = node(tmp_path, "a", clock)
        high, above = node(tmp_path, "b", clock)
        await low.put(PICTURE)
        high.know(Sha256("0" * 64), 10, A)
        high.know(NAME, len(PICTURE), A)
        near, far = join(below, A, above, B)
        far.up = False  # the first wish is lost on the way
        high.want(Sha256("0" * 64))
        far.up = True
        clock.advance(1)
        high.want(NAME)
        assert [m.sha256 for m in far.said if isinstance(m, LinkBlobWant)] == ["0" * 64]
        sweep = asyncio.create_task(above.run())
        clock.advance(31_000)
        await eventually(lambda: high.has(NAME))
        sweep.cancel()
        assert near.up

    run(story)


def test_the_urgent_is_asked_for_first_and_a_wish_looks_at_no_other(tmp_path: Path) -> None:
    async def story() -> None:
        high, above = node(tmp_path, "b", FakeClock())
        line = Line(A)
        line.up = False
        above.link_up(line)
        high.wanted = None  # type: ignore[assignment,method-assign]  # looked through when the link comes up, not later

        def want(number: int, rank: Rank) -> Sha256:
            name = Sha256(f"{number:064x}")
            high.know(name, 5, A)
            high.want(name, rank)
            return name

        first = [want(n, Rank.ROUTINE) for n in range(AT_ONCE)]  # on the way before anything else is known
        routine = [want(n, Rank.ROUTINE) for n in range(10, 13)]
        asked = [want(n, Rank.ASKED) for n in range(20, 23)]
        urgent = [want(n, Rank.URGENT) for n in range(30, 33)]
        flash = [want(n, Rank.FLASH) for n in range(40, 43)]
        sooner = want(12, Rank.FLASH)  # somebody looks at it now
        expected = [*first, *flash, sooner, *urgent, *asked, *routine[:2]]
        for place, sha256 in enumerate(expected):
            said = [m.sha256 for m in line.said if isinstance(m, LinkBlobWant)]
            assert said == expected[: place + AT_ONCE]
            above.link_said(line, LinkBlobChunk(sha256=sha256, offset=0, total=5, data=b"wrong"))
            await eventually(lambda sha256=sha256: high.rank(sha256) is None)

    run(story)


def test_nobody_is_given_a_picture_that_is_not_for_him(tmp_path: Path) -> None:
    async def story() -> None:
        low, below = node(tmp_path, "a", FakeClock())
        other = await low.put(b"another picture")
        line = Line(B)
        below.link_up(line)
        for sha256, offset in ((other, 0), (Sha256("../../etc/passwd"), 0), (NAME, -1)):
            with pytest.raises(Refused):
                below.link_said(line, LinkBlobWant(sha256=sha256, offset=offset))

    run(story)
