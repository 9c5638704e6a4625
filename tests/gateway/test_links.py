"""Links against strangers, impostors and bad neighbours; honest neighbours must not notice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from gateway import telemetry
from gateway.auth import Auth
from gateway.clock import Clock
from signaling import codec, records
from signaling.ids import DirectiveId, Epoch, NodeCode, ParticipantId, Seq, Sha256
from signaling.link import DEAD_S
from signaling.messages import (
    VERSION,
    LinkAck,
    LinkBlobWant,
    LinkFailure,
    LinkHello,
    LinkMessage,
    LinkPong,
    LinkPresence,
    LinkRecords,
    LinkRosters,
    ParticipantView,
)
from signaling.records import DeliveryAdvanced, RefusalRecorded, Stage
from signaling.session import CloseCode
from tests.support.cluster import Cluster, Running, cluster, until
from tests.support.edge import settings
from tests.support.places import CITY, COUNTY, OTHER_VILLAGE, PROVINCE, TOWNSHIP, VILLAGE, commander


class Impostor:
    """A child gateway made by hand."""

    def __init__(self, auth: Auth, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.auth = auth
        self.socket = socket

    @classmethod
    async def dial(cls, tiers: Cluster, folder: Path, parent: Running, node: NodeCode) -> Impostor:
        auth = Auth(settings(folder, node), Clock())
        auth.close()
        return cls(auth, await tiers.client.ws_connect(f"{parent.url}/link", max_msg_size=0))

    async def say(self, message: LinkMessage) -> None:
        await self.socket.send_str(codec.encode(message).decode())

    async def hear(self) -> LinkMessage | None:
        """Return the next message, None once closed."""
        async with asyncio.timeout(60):
            frame = await self.socket.receive()
        return codec.decode_link(frame.data.encode()) if frame.type is aiohttp.WSMsgType.TEXT else None

    async def until(self, kind: type[Any]) -> Any:
        while not isinstance(message := await self.hear(), kind):
            assert message is not None, f"closed with {self.socket.close_code} before {kind.__name__}"
        return message

    def hello(self, parent: NodeCode, node: NodeCode | None = None, token: str = "") -> LinkHello:
        token = token or self.auth.mint_link(parent)[0]
        return LinkHello(version=VERSION, node=node or self.auth.node, token=token, epoch=None, seq=Seq(0))

    async def greet(self, parent: NodeCode) -> None:
        await self.say(self.hello(parent))
        await self.until(LinkHello)


def story(tmp_path: Path, tell: Callable[[Cluster], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(300), cluster(tmp_path) as tiers:
            await tell(tiers)

    asyncio.run(run())


async def refused(impostor: Impostor, hello: LinkHello) -> str:
    """Return the code with which ``hello`` is refused."""
    await impostor.say(hello)
    code: str = (await impostor.until(LinkFailure)).code
    assert await impostor.hear() is None
    assert impostor.socket.close_code == CloseCode.REFUSED
    return code


def test_only_a_child_with_its_own_key_gets_in(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        async def dial(node: NodeCode) -> Impostor:
            return await Impostor.dial(tiers, tmp_path, tiers.county, node)

        parent_of_parent = await dial(PROVINCE)
        assert await refused(parent_of_parent, parent_of_parent.hello(COUNTY)) == "wrong-place"
        grandchild = await dial(VILLAGE)
        assert await refused(grandchild, grandchild.hello(COUNTY)) == "wrong-place"
        liar = await dial(VILLAGE)
        assert await refused(liar, liar.hello(COUNTY, node=TOWNSHIP)) == "token-signature"
        stranger = await dial(TOWNSHIP)
        assert await refused(stranger, stranger.hello(COUNTY, node=NodeCode("999999999999"))) == "unknown-node"
        elsewhere = await dial(TOWNSHIP)
        assert await refused(elsewhere, elsewhere.hello(CITY)) == "token-wrong-node"
        empty = await dial(TOWNSHIP)
        assert await refused(empty, empty.hello(COUNTY, token="x.y.z")) == "token-malformed"
        assert tiers.county.node.links.up == {TOWNSHIP}

    story(tmp_path, tell)


def test_an_overheard_hello_opens_nothing_a_second_time(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        await tiers.township.stop()
        first = await Impostor.dial(tiers, tmp_path, tiers.county, TOWNSHIP)
        hello = first.hello(COUNTY)
        await first.say(hello)
        await first.until(LinkHello)
        second = await Impostor.dial(tiers, tmp_path, tiers.county, TOWNSHIP)
        assert await refused(second, hello) == "token-used"
        assert tiers.county.node.links.up == {TOWNSHIP}
        await first.socket.close()

    story(tmp_path, tell)


def test_the_parent_proves_itself_by_answering_this_very_hello(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        await tiers.township.stop()
        child = await Impostor.dial(tiers, tmp_path, tiers.county, TOWNSHIP)
        token, jti = child.auth.mint_link(COUNTY)
        await child.say(child.hello(COUNTY, token=token))
        answer = await child.until(LinkHello)
        child.auth.verify_link(answer.token, COUNTY, jti)
        with pytest.raises(Exception, match="not the answer"):
            child.auth.verify_link(answer.token, COUNTY, "another")
        await child.socket.close()

    story(tmp_path, tell)


def test_a_child_that_goes_on_with_media_nobody_else_has_is_told_to_begin_anew(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        await tiers.township.stop()
        child = await Impostor.dial(tiers, tmp_path, tiers.county, TOWNSHIP)
        await child.say(msgspec.structs.replace(child.hello(COUNTY), media="somebody's"))
        assert (await child.until(LinkHello)).media == ""
        await child.socket.close()

    story(tmp_path, tell)


def test_a_newer_link_of_the_same_child_takes_over(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        await tiers.township.stop()
        older = await Impostor.dial(tiers, tmp_path, tiers.county, TOWNSHIP)
        await older.greet(COUNTY)
        newer = await Impostor.dial(tiers, tmp_path, tiers.county, TOWNSHIP)
        await newer.greet(COUNTY)
        while await older.hear() is not None:
            pass
        assert older.socket.close_code == CloseCode.REPLACED
        assert tiers.county.node.links.up == {TOWNSHIP}
        await newer.socket.close()

    story(tmp_path, tell)


def test_records_that_may_not_be_are_journalled_as_refused_and_the_queue_goes_on(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        await tiers.township.stop()
        order = {"click_id": "c", "urgency": "P2", "title": "t", "text": "x", "scope": [{"node": VILLAGE}]}
        _, issued = await tiers.call(tiers.county, commander(COUNTY), "POST", "directives", order)
        child = await Impostor.dial(tiers, tmp_path, tiers.county, TOWNSHIP)
        await child.greet(COUNTY)

        def word(recipient: NodeCode, node: NodeCode = TOWNSHIP) -> str:
            return records.encode(
                DeliveryAdvanced(
                    node=node,
                    at=Clock().at(),
                    directive=DirectiveId(issued["id"]),
                    recipient=recipient,
                    stage=Stage.DELIVERED,
                )
            ).decode()

        items = ("{}", "[" * 10_000, word(OTHER_VILLAGE), word(VILLAGE, node=CITY), "\ud800", word(VILLAGE))
        batch = json.dumps({"type": "link_records", "epoch": "e", "last": 6, "items": items})
        await child.socket.send_str(batch.replace("\\ud800", "?"))
        ack = await child.until(LinkAck)
        assert (ack.epoch, ack.seq) == (Epoch("e"), 6)
        rows = [row.record for row in tiers.county.node.journal.replay()]
        refusals = [row for row in rows if isinstance(row, RefusalRecorded) and row.via == TOWNSHIP]
        assert {row.code for row in refusals} >= {"malformed-message", "wrong-direction"}
        view = tiers.county.node.directives.view(DirectiveId(issued["id"]), commander(COUNTY))
        assert [row.stage for row in view.recipients] == [Stage.DELIVERED]
        await child.socket.close()

    story(tmp_path, tell)


def test_what_comes_while_a_link_rests_goes_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.links.REST_S", 3_600.0)

    async def tell(tiers: Cluster) -> None:
        await tiers.township.stop()
        child = await Impostor.dial(tiers, tmp_path, tiers.county, TOWNSHIP)
        await child.greet(COUNTY)
        order = {"urgency": "P2", "title": "t", "text": "x", "scope": [{"node": VILLAGE}]}
        for number, awaited in enumerate((1, 0, 0, 3)):
            body = {"click_id": f"c-{number}", **order}
            assert (await tiers.call(tiers.county, commander(COUNTY), "POST", "directives", body))[0] == 201
            if awaited == 3:
                tiers.county.node.links._wires[TOWNSHIP]._rested()
            if awaited:
                assert len((await child.until(LinkRecords)).items) == awaited
        await child.socket.close()

    story(tmp_path, tell)


def test_a_neighbour_speaks_only_for_its_own_side(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        await tiers.township.stop()
        body = {"title": "会商", "scope": [{"node": TOWNSHIP, "mode": "subtree"}]}
        status, meeting = await tiers.call(tiers.county, commander(COUNTY), "POST", "conferences", body)
        assert status == 201
        child = await Impostor.dial(tiers, tmp_path, tiers.county, TOWNSHIP)
        await child.greet(COUNTY)
        before = telemetry.value("link_refused", code="bad-roster")
        for node, division in ((CITY, CITY), (VILLAGE, COUNTY), (OTHER_VILLAGE, OTHER_VILLAGE)):
            forged = ParticipantView(participant=ParticipantId("p-x"), node=node, division=division, name="市长")
            await child.say(LinkRosters(conference=meeting["id"], participants=(forged,)))
        await child.say(LinkPresence(online={CITY: 1}))
        await child.say(LinkBlobWant(sha256=Sha256("0" * 64), offset=0))
        honest = ParticipantView(participant=ParticipantId("p-y"), node=VILLAGE, division=VILLAGE, name="赵支书")
        await child.say(LinkRosters(conference=meeting["id"], participants=(honest,)))
        conferences = tiers.county.node.conferences
        await until(lambda: conferences.view(commander(COUNTY), meeting["id"]).participants)
        assert [p.name for p in conferences.view(commander(COUNTY), meeting["id"]).participants] == ["赵支书"]
        assert telemetry.value("link_refused", code="bad-roster") == before + 3
        assert telemetry.value("link_refused", code="bad-presence") >= 1
        assert telemetry.value("link_refused", code="unknown-blob") >= 1
        await child.socket.close()
        await until(lambda: not conferences.view(commander(COUNTY), meeting["id"]).participants)

    story(tmp_path, tell)


@pytest.mark.parametrize("nonsense", ["{", "null", '{"type":"teleport"}', "[" * 10_000, '{"type":"link_ack"}'])
def test_nonsense_before_the_proof_ends_the_link_and_nothing_else(tmp_path: Path, nonsense: str) -> None:
    async def tell(tiers: Cluster) -> None:
        stranger = await Impostor.dial(tiers, tmp_path, tiers.county, TOWNSHIP)
        await stranger.socket.send_str(nonsense)
        assert isinstance(await stranger.hear(), LinkFailure)
        assert await stranger.hear() is None
        assert tiers.county.node.links.up == {TOWNSHIP}

    story(tmp_path, tell)


def test_a_link_that_is_one_byte_too_long_is_cut_and_counted_by_size(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        stranger = await Impostor.dial(tiers, tmp_path, tiers.county, TOWNSHIP)
        await stranger.socket.send_str("x" * (1_048_576 + 1))
        assert await stranger.hear() is None
        assert tiers.county.node.links.up == {TOWNSHIP}

    story(tmp_path, tell)


def test_a_child_that_stops_reading_delays_nobody_else(tmp_path: Path) -> None:
    """The county has two children: one reads, the other does not; 300 directives to both."""

    async def tell(tiers: Cluster) -> None:
        mute = await Impostor.dial(tiers, tmp_path, tiers.township, VILLAGE)
        await tiers.village.stop()
        await mute.greet(TOWNSHIP)
        mute.socket._response.connection.transport.pause_reading()  # type: ignore[union-attr]
        directives = tiers.county.node.directives
        for number in range(120):
            order = {
                "click_id": f"c{number}",
                "urgency": "P3",
                "title": "t",
                "text": "文" * 3_900,
                "scope": [{"node": TOWNSHIP, "mode": "subtree"}],
            }
            status, _ = await tiers.call(tiers.county, commander(COUNTY), "POST", "directives", order)
            assert status == 201
        await until(lambda: len(list(tiers.township.node.directives.open_for(TOWNSHIP))) == 120)
        view = directives.view(directives.list(commander(COUNTY), 1)[0].directive, commander(COUNTY))
        assert view.total > 1
        assert tiers.county.node.links.up == {TOWNSHIP}
        mute.socket._response.connection.transport.abort()  # type: ignore[union-attr]

    story(tmp_path, tell)


async def count(turns: list[int]) -> None:
    """Count tenths of a second as the loop lives them: one that stands still for long has seen one pass."""
    while True:
        await asyncio.sleep(0.1)
        turns[0] += 1


def test_a_frozen_neighbour_is_closed_within_five_seconds_though_its_kernel_takes_all(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        await tiers.township.stop()
        child = await Impostor.dial(tiers, tmp_path, tiers.county, TOWNSHIP)
        dialled, turns = asyncio.get_running_loop().time(), [0]
        await child.greet(COUNTY)
        counting = asyncio.create_task(count(turns))
        while await child.hear() is not None:
            pass
        counting.cancel()
        assert child.socket.close_code == CloseCode.DEAD
        assert asyncio.get_running_loop().time() - dialled > DEAD_S - 1
        assert turns[0] <= 10 * (DEAD_S + 1)
        assert TOWNSHIP not in tiers.county.node.links.up

    story(tmp_path, tell)


async def piecemeal(child: Impostor, text: str, pieces: int) -> None:
    """Write a frame's first bytes now, and one more each half second: a very slow line."""
    connection = child.socket._response.connection
    assert connection is not None
    assert connection.transport is not None
    mask = bytes(4)
    frame = b"\x81" + bytes([0x80 | len(text)]) + mask + text.encode()
    for index in range(pieces):
        connection.transport.write(frame[index : index + 1])
        await asyncio.sleep(0.5)
    connection.transport.write(frame[pieces:])


def test_half_a_message_that_goes_on_coming_is_life(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        await tiers.township.stop()
        child = await Impostor.dial(tiers, tmp_path, tiers.county, TOWNSHIP)
        await child.greet(COUNTY)
        await piecemeal(child, '{"type":"link_ping","number":7}', round(2 * (DEAD_S + 2)))
        assert (await child.until(LinkPong)).number == 7
        assert TOWNSHIP in tiers.county.node.links.up

    story(tmp_path, tell)
