"""Sockets of terminals and of those who would harm them; the others must not notice."""

from __future__ import annotations

import asyncio
import contextlib
import socket as sockets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway import sessions, telemetry
from signaling.ids import ConferenceId
from signaling.messages import DirectiveView, Done, Failure, Hello, Join, Leave, Publishing, Receipt, Watch, Welcome
from signaling.records import Stage
from signaling.session import CloseCode
from tests.support.cluster import Cluster, Terminal, cluster, until
from tests.support.places import COUNTY, SIBLING, VILLAGE, commander, terminal


def story(tmp_path: Path, tell: Callable[[Cluster], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(300), cluster(tmp_path) as tiers:
            await tell(tiers)

    asyncio.run(run())


def order(number: int, size: int = 10) -> dict[str, object]:
    return {
        "click_id": f"c{number}",
        "urgency": "P3",
        "title": f"第{number}号",
        "text": "文" * size,
        "scope": [{"node": COUNTY, "mode": "subtree"}],
    }


def test_a_bad_token_is_told_why_and_closed(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        for token, code in (("", "token-missing"), ("x.y.z", "token-malformed"), ("x" * 4_096, "token-malformed")):
            page = await tiers.connect(tiers.village)
            await page.say(Hello(version=1, token=token))
            assert await page.closed() == CloseCode.REFUSED
            assert [m.code for m in page.heard if isinstance(m, Failure)] == [code]
        page = await tiers.connect(tiers.village)
        await page.say(Hello(version=1, token=tiers.county.token(commander(COUNTY))))
        assert await page.closed() == CloseCode.REFUSED

    story(tmp_path, tell)


def test_a_socket_that_says_nothing_is_closed_at_its_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signaling.session.HELLO_S", 0.2)

    async def tell(tiers: Cluster) -> None:
        page = await tiers.connect(tiers.village)
        assert await page.closed() == CloseCode.HELLO_TIMEOUT

    story(tmp_path, tell)


def test_a_session_is_over_when_its_token_is(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        page = await tiers.connect(tiers.village)
        await page.say(Hello(version=1, token=tiers.village.node.auth.mint(terminal(VILLAGE), 1)))
        await page.hear(Welcome)
        assert await page.closed() == CloseCode.REFUSED
        assert [m.code for m in page.heard if isinstance(m, Failure)] == ["token-expired"]

    story(tmp_path, tell)


@pytest.mark.parametrize(
    "nonsense", ["{", "null", '"' + "x" * 60_000 + '"', '{"type":"teleport"}', "[" * 10_000, '{"a":' * 10_000]
)
def test_three_malformed_messages_are_answered_and_counted_then_the_socket_is_closed(
    tmp_path: Path, nonsense: str
) -> None:
    async def tell(tiers: Cluster) -> None:
        honest = await tiers.sign_in(tiers.village, terminal(VILLAGE))
        page = await tiers.sign_in(tiers.village, terminal(VILLAGE))
        await page.hear(Welcome)
        before = sum(telemetry.value("session_refused", code=c) for c in ("malformed-message", "unknown-message"))
        for _ in range(3):
            await page.raw(nonsense)
        assert await page.closed() == CloseCode.MALFORMED
        assert len([m for m in page.heard if isinstance(m, Failure)]) == 3
        after = sum(telemetry.value("session_refused", code=c) for c in ("malformed-message", "unknown-message"))
        assert after == before + 3
        await honest.say(Leave(request=7))
        await honest.hear(Done, lambda m: m.request == 7)

    story(tmp_path, tell)


def test_a_message_over_64_kib_closes_the_socket(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        page = await tiers.sign_in(tiers.village, terminal(VILLAGE))
        await page.hear(Welcome)
        await page.raw('"' + "x" * 65_536 + '"')
        assert await page.closed() == 1009

    story(tmp_path, tell)


def test_a_flood_is_closed_and_a_neighbouring_session_is_served(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        honest = await tiers.sign_in(tiers.village, terminal(VILLAGE))
        flood = await tiers.sign_in(tiers.village, terminal(VILLAGE))
        await flood.hear(Welcome)
        with contextlib.suppress(ConnectionError):
            while not flood.socket.closed:
                for _ in range(100):
                    await flood.raw('{"type":"leave","request":1}')
                await asyncio.sleep(0)
        assert await flood.closed() == CloseCode.TOO_FAST
        await tiers.call(tiers.county, commander(COUNTY), "POST", "directives", order(1))
        await honest.hear(DirectiveView)

    story(tmp_path, tell)


def narrow_socket(info: tuple[Any, ...]) -> sockets.socket:
    """Return a socket with a small window, so that the network holds little."""
    family, kind, protocol, _, _ = info
    made = sockets.socket(family, kind, protocol)
    made.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4_096)
    made.setblocking(False)
    return made


def test_whoever_reads_too_slowly_is_cut_off_and_learns_all_again_when_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "SEND_S", 0.5)

    async def tell(tiers: Cluster) -> None:
        honest = await tiers.sign_in(tiers.village, terminal(VILLAGE))
        assert tiers.village.node.listener is not None
        for listening in tiers.village.node.listener._porch._sockets:
            listening.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, 4_096)  # as those it accepts have from now on
        narrow = aiohttp.ClientSession(connector=aiohttp.TCPConnector(socket_factory=narrow_socket))
        slow = Terminal(await narrow.ws_connect(f"{tiers.village.url}/ws"))
        await slow.say(Hello(version=1, token=tiers.village.token(terminal(VILLAGE))))
        await slow.hear(Welcome)
        connection = slow.socket._response.connection
        assert connection is not None
        assert connection.transport is not None
        transport = connection.transport
        transport.pause_reading()
        before = telemetry.value("session_refused", code="close-4009")
        number = 0
        while telemetry.value("session_refused", code="close-4009") == before:
            number += 1
            assert number < 1_000
            await tiers.call(tiers.county, commander(COUNTY), "POST", "directives", order(number, 3_900))
            await honest.hear(DirectiveView, lambda m, number=number: m.title == f"第{number}号")
        transport.resume_reading()
        await slow.closed()
        await narrow.close()
        again = await tiers.sign_in(tiers.village, terminal(VILLAGE))
        await again.hear(DirectiveView, lambda m: m.title == f"第{number}号")

    story(tmp_path, tell)


def test_a_session_is_told_of_its_own_directives_only(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        mine = await tiers.sign_in(tiers.township, terminal(VILLAGE))
        other = await tiers.sign_in(tiers.township, terminal(SIBLING))
        body = {**order(1), "scope": [{"node": SIBLING, "mode": "self"}]}
        await tiers.call(tiers.county, commander(COUNTY), "POST", "directives", body)
        view = await other.hear(DirectiveView)
        await tiers.call(tiers.county, commander(COUNTY), "POST", "directives", order(2))
        await mine.hear(DirectiveView, lambda m: m.title == "第2号")
        assert [m.title for m in mine.heard if isinstance(m, DirectiveView)] == ["第2号"]
        await mine.say(Receipt(directive=view.directive, stage=Stage.DELIVERED))
        assert (await mine.hear(Failure)).code == "not-a-recipient"

    story(tmp_path, tell)


def test_commands_that_cannot_be_are_answered_with_their_request_and_a_code(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        page = await tiers.sign_in(tiers.village, terminal(VILLAGE))
        await page.say(Watch(request=11, slot=0, participant=None))
        assert (await page.hear(Failure, lambda m: m.request == 11)).code == "not-joined"
        await page.say(Join(request=12, conference=ConferenceId("nowhere"), sdp="v=0"))
        assert (await page.hear(Failure, lambda m: m.request == 12)).code == "unknown-conference"
        body = {"title": "会商", "scope": [{"node": COUNTY, "mode": "subtree"}]}
        _, meeting = await tiers.call(tiers.county, commander(COUNTY), "POST", "conferences", body)
        await until(lambda: tiers.village.node.conferences.list(terminal(VILLAGE)))
        await page.say(Join(request=13, conference=meeting["id"], sdp="not sdp"))
        assert (await page.hear(Failure, lambda m: m.request == 13)).code.startswith("sdp-")
        await page.say(Publishing(audio=True, video=True, content=False))
        await page.hear(Failure, lambda m: m.request is None and m.code == "not-joined")

    story(tmp_path, tell)
