"""A seat outlives a lost socket, and only that; its connection may find a new way."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway import resuming
from signaling.ids import ConferenceId, ParticipantId
from signaling.messages import Failure, Hello, Join, Joined, Restart, Restarted, Slots, Welcome
from signaling.records import Actor, ParticipantJoined, ParticipantLeft
from signaling.session import CloseCode
from tests.media.offers import offer
from tests.support.cluster import Cluster, Terminal, cluster, until
from tests.support.places import VILLAGE, commander, terminal

OFFER = offer("chromium-terminal")


def story(tmp_path: Path, tell: Callable[[Cluster, Terminal, Joined], Awaitable[None]]) -> None:
    """Tell what becomes of somebody who sits in a meeting at the village."""

    async def run() -> None:
        async with asyncio.timeout(300), cluster(tmp_path) as tiers:
            body = {"title": "会商", "scope": [{"node": VILLAGE, "mode": "self"}]}
            _, meeting = await tiers.call(tiers.village, commander(VILLAGE), "POST", "conferences", body)
            page = await tiers.sign_in(tiers.village, terminal(VILLAGE))
            await page.say(Join(request=1, conference=ConferenceId(meeting["id"]), sdp=OFFER))
            await tell(tiers, page, await page.hear(Joined))

    asyncio.run(run())


def seats(tiers: Cluster) -> set[ParticipantId]:
    return set(tiers.village.node.conferences._switching.guests)


def notices(tiers: Cluster) -> list[type]:
    """Return what the village's journal has of people coming and going."""
    kinds = (ParticipantJoined, ParticipantLeft)
    return [type(row.record) for row in tiers.village.node.journal.replay() if isinstance(row.record, kinds)]


def cut(page: Terminal) -> None:
    """The network is gone: no closing handshake."""
    connection = page.socket._response.connection
    assert connection is not None
    assert connection.transport is not None
    connection.transport.abort()


async def dial(tiers: Cluster, resume: str, who: Actor = terminal(VILLAGE)) -> tuple[Terminal, Welcome]:  # noqa: B008
    page = await tiers.connect(tiers.village)
    await page.say(Hello(version=1, token=tiers.village.token(who), resume=resume))
    return page, await page.hear(Welcome)


def test_a_lost_socket_keeps_its_seat_for_the_session_that_names_it(tmp_path: Path) -> None:
    async def tell(tiers: Cluster, page: Terminal, joined: Joined) -> None:
        resume = (await page.hear(Welcome)).resume
        cut(page)
        again, welcome = await dial(tiers, resume)
        assert welcome.participant == joined.participant
        assert welcome.resume not in ("", resume)
        assert (await again.hear(Slots)).conference == joined.conference
        assert seats(tiers) == {joined.participant}
        await until(lambda: notices(tiers) == [ParticipantJoined], "one notice, and none of leaving")
        _, third = await dial(tiers, resume)
        assert third.participant is None, "a name is good once"

    story(tmp_path, tell)


def test_a_socket_that_looks_open_yet_is_replaced(tmp_path: Path) -> None:
    async def tell(tiers: Cluster, page: Terminal, joined: Joined) -> None:
        _, welcome = await dial(tiers, (await page.hear(Welcome)).resume)
        assert welcome.participant == joined.participant
        assert await page.closed() == CloseCode.REPLACED
        assert seats(tiers) == {joined.participant}

    story(tmp_path, tell)


def test_whoever_closes_on_purpose_leaves_at_once(tmp_path: Path) -> None:
    async def tell(tiers: Cluster, page: Terminal, joined: Joined) -> None:
        resume = (await page.hear(Welcome)).resume
        await page.close()
        await until(lambda: not seats(tiers), "the seat to be free")
        _, welcome = await dial(tiers, resume)
        assert welcome.participant is None

    story(tmp_path, tell)


def test_somebody_else_cannot_have_the_seat(tmp_path: Path) -> None:
    async def tell(tiers: Cluster, page: Terminal, joined: Joined) -> None:
        _, welcome = await dial(tiers, (await page.hear(Welcome)).resume, commander(VILLAGE))
        assert welcome.participant is None
        assert not page.socket.closed
        assert seats(tiers) == {joined.participant}

    story(tmp_path, tell)


def test_a_seat_nobody_comes_for_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resuming, "KEPT_S", 0.2)

    async def tell(tiers: Cluster, page: Terminal, joined: Joined) -> None:
        cut(page)
        await until(lambda: not seats(tiers), "the seat to be free")

    story(tmp_path, tell)


def test_a_restart_is_answered_with_new_credentials_and_the_same_streams(tmp_path: Path) -> None:
    async def tell(tiers: Cluster, page: Terminal, joined: Joined) -> None:
        fresh = re.sub(r"a=ice-ufrag:\S+", "a=ice-ufrag:anew", OFFER)
        await page.say(Restart(request=2, sdp=fresh))
        answer = (await page.hear(Restarted)).sdp
        changes = r"a=ice-(ufrag|pwd):\S+|o=- \d+ \d+ "
        assert re.sub(changes, "", answer) == re.sub(changes, "", joined.sdp)
        assert set(re.findall(r"a=ice-ufrag:\S+", answer)).isdisjoint(re.findall(r"a=ice-ufrag:\S+", joined.sdp))
        for number, sdp in ((3, fresh), (4, "v=0"), (5, offer("aiortc-sendrecv"))):
            await page.say(Restart(request=number, sdp=sdp))
            refused = await page.hear(Failure, lambda m, number=number: m.request == number)
            assert refused.code.startswith("sdp-")
        assert seats(tiers) == {joined.participant}

    story(tmp_path, tell)
