"""Conferences over three real tiers: who may, who is seen, and what crosses each link."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription, VideoStreamTrack
from aiortc.mediastreams import MediaStreamError

from signaling.errors import Refused
from signaling.ids import ConferenceId, NodeCode, ParticipantId, UtcMs
from signaling.messages import (
    ConferenceView,
    Done,
    Failure,
    Join,
    Joined,
    Leave,
    Publishing,
    Sizes,
    Slots,
    SlotSize,
    Watch,
    Welcome,
)
from signaling.records import Actor, ParticipantJoined, ParticipantLeft, Role
from tests.support.cluster import Cluster, Running, cluster, until
from tests.support.places import COUNTY, OTHER_TOWNSHIP, TOWNSHIP, VILLAGE, auditor, commander, device, terminal


def story(
    tmp_path: Path,
    tell: Callable[[Cluster], Awaitable[None]],
    township: dict[str, dict[str, Any]] | None = None,
) -> None:
    async def run() -> None:
        async with asyncio.timeout(300), cluster(tmp_path, township) as tiers:
            await tell(tiers)

    asyncio.run(run())


async def convene(tiers: Cluster, scope: NodeCode = COUNTY, mode: str = "subtree") -> ConferenceId:
    """Call a meeting at the county; return once the village knows it, if it concerns it."""
    body = {"title": "防汛会商", "scope": [{"node": scope, "mode": mode}]}
    status, meeting = await tiers.call(tiers.county, commander(COUNTY), "POST", "conferences", body)
    assert status == 201
    if mode == "subtree":
        village = tiers.village.node.conferences
        await until(lambda: village.may_join(terminal(VILLAGE), meeting["id"]), "the record in the village")
    return ConferenceId(meeting["id"])


@contextlib.asynccontextmanager
async def call(tiers: Cluster, running: Running, who: Actor, path: str, pc: RTCPeerConnection) -> AsyncIterator[None]:
    """Offer ``pc`` to a WHIP or WHEP address; hang up at the end."""
    await pc.setLocalDescription(await pc.createOffer())
    headers = {"Authorization": f"Bearer {running.token(who)}", "Content-Type": "application/sdp"}
    async with tiers.client.post(f"{running.url}{path}", data=pc.localDescription.sdp, headers=headers) as response:
        answer = await response.text()
        assert response.status == 201, answer
        location = response.headers["Location"]
    await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    try:
        yield
    finally:
        async with tiers.client.delete(f"{running.url}{location}", headers=headers):
            await pc.close()


def camera(tiers: Cluster, conference: ConferenceId) -> contextlib.AbstractAsyncContextManager[None]:
    """A camera in the village."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pc.addTransceiver(VideoStreamTrack(), direction="sendonly")
    return call(tiers, tiers.village, device(VILLAGE), f"/whip/{conference}", pc)


class Viewer:
    """Decodes what comes."""

    def __init__(self) -> None:
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.frames = 0
        self._task: asyncio.Task[None]
        self.pc.addTransceiver("video", direction="recvonly")
        self.pc.on("track", lambda track: setattr(self, "_task", asyncio.create_task(self._watch(track))))

    async def _watch(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                await track.recv()
                self.frames += 1

    async def done(self) -> None:
        await self._task

    async def more(self, count: int = 10) -> None:
        goal = self.frames + count
        await until(lambda: self.frames >= goal, f"{count} more pictures")


@contextlib.asynccontextmanager
async def viewing(tiers: Cluster, running: Running, who: Actor, conference: ConferenceId) -> AsyncIterator[Viewer]:
    viewer = Viewer()
    async with call(tiers, running, who, f"/whep/{conference}", viewer.pc):
        yield viewer
    await viewer.done()


def seen(running: Running, who: Actor, conference: ConferenceId) -> list[Any]:
    """Return the participants with a flowing picture."""
    people = running.node.conferences.view(who, conference).participants
    return [p for p in people if any(track.codec for track in p.tracks)]


def test_a_picture_climbs_two_tiers_once_per_link_and_only_while_somebody_watches(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        conference = await convene(tiers)
        middle = tiers.township.node.conferences
        async with camera(tiers, conference):
            await until(lambda: seen(tiers.county, commander(COUNTY), conference), "the camera in the county's roster")
            assert middle.carried == {"in": 0, "out": 0}
            async with viewing(tiers, tiers.county, commander(COUNTY), conference) as first:
                await first.more()
                async with viewing(tiers, tiers.county, auditor(COUNTY), conference) as second:
                    await second.more()
                    assert middle.carried == {"in": 1, "out": 1}
                await first.more()
            await until(lambda: middle.carried == {"in": 0, "out": 0}, "nothing carried")
        await until(lambda: not tiers.county.node.conferences.view(commander(COUNTY), conference).participants)

    story(tmp_path, tell)


def test_a_picture_crosses_a_link_whose_datagrams_all_vanish(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        conference = await convene(tiers)
        async with camera(tiers, conference), viewing(tiers, tiers.county, commander(COUNTY), conference) as viewer:
            await viewer.more()
            for running in (tiers.township, tiers.village):
                assert running.node.engine.stats().engine["streams_now"] > 0, "nothing but a stream gets through"

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hole:
        hole.bind(("127.0.0.1", 0))
        story(tmp_path, tell, {"media": {"advertise_port": hole.getsockname()[1]}})


def test_a_restarted_middle_node_heals_without_touching_either_end(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        conference = await convene(tiers)
        async with camera(tiers, conference):
            await until(lambda: seen(tiers.county, commander(COUNTY), conference))
            (before,) = seen(tiers.county, commander(COUNTY), conference)
            async with viewing(tiers, tiers.county, commander(COUNTY), conference) as viewer:
                await viewer.more()
                await tiers.township.stop()
                await until(lambda: not seen(tiers.county, commander(COUNTY), conference), "gone from above")
                await tiers.township.start()
                await until(lambda: seen(tiers.county, commander(COUNTY), conference), "back above")
                await viewer.more()
                (after,) = seen(tiers.county, commander(COUNTY), conference)
                assert after.participant == before.participant

    story(tmp_path, tell)


def test_a_snapshot_is_taken_two_tiers_away_and_its_picture_reaches_every_tier(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        conference = await convene(tiers)
        async with camera(tiers, conference):
            await until(lambda: seen(tiers.county, commander(COUNTY), conference))
            (person,) = seen(tiers.county, commander(COUNTY), conference)
            path = f"conferences/{conference}/participants/{person.participant}/snapshot"
            status, raised = await tiers.call(tiers.county, commander(COUNTY), "POST", path, {"text": "水位过高"})
            assert status == 201, raised
            assert tiers.township.node.conferences.carried["out"] <= 1
        alarm = raised["alarm"]
        for running in tiers.all:
            alarms = running.node.alarms
            await until(
                lambda alarms=alarms: alarms.raised(alarm) and alarms.incidents.view(alarm, commander(COUNTY)).thumbnail
            )
            await until(lambda alarms=alarms: not alarms.missing_blobs(), "the thumbnail")

    story(tmp_path, tell)


def test_a_meeting_is_for_those_invited_and_nobody_else(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        page = await tiers.sign_in(tiers.village, terminal(VILLAGE))
        await page.hear(Welcome)
        elsewhere = await convene(tiers, OTHER_TOWNSHIP, "self")
        ours = await convene(tiers)
        await page.hear(ConferenceView, lambda view: view.conference == ours)
        assert not [m for m in page.heard if isinstance(m, ConferenceView) and m.conference == elsewhere]
        await page.say(Join(request=1, conference=elsewhere, sdp="v=0"))
        assert (await page.hear(Failure)).code == "unknown-conference"
        status, problem = await tiers.call(
            tiers.township,
            terminal(TOWNSHIP),
            "POST",
            "conferences",
            {"title": "越权", "scope": [{"node": COUNTY, "mode": "self"}]},
        )
        assert (status, problem["code"]) == (403, "not-permitted")

    story(tmp_path, tell)


def offer(pictures: int = 2) -> RTCPeerConnection:
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pc.addTransceiver(VideoStreamTrack(), direction="sendonly")
    for _ in range(pictures):
        pc.addTransceiver("video", direction="recvonly")
    return pc


def test_a_terminal_joins_pins_switches_off_and_leaves(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        conference = await convene(tiers)
        page = await tiers.sign_in(tiers.township, terminal(TOWNSHIP))
        pc = offer()
        await pc.setLocalDescription(await pc.createOffer())
        await page.say(Join(request=1, conference=conference, sdp=pc.localDescription.sdp, name="值班室"))
        joined = await page.hear(Joined)
        await pc.setRemoteDescription(RTCSessionDescription(joined.sdp, "answer"))
        assert [(slot.kind, slot.participant) for slot in joined.slots] == [("video", None), ("video", None)]
        async with camera(tiers, conference):
            shown = await page.hear(Slots, lambda m: any(slot.participant for slot in m.slots))
            assert shown.slots[0].participant != joined.participant
            await page.say(Watch(request=2, slot=1, participant=shown.slots[0].participant))
            await page.hear(Slots, lambda m: m.slots[1].participant and not m.slots[0].participant)
            await until(lambda: len(seen(tiers.county, commander(COUNTY), conference)) == 2)
            await page.say(Publishing(audio=False, video=False, content=False))
            await until(
                lambda: all(
                    track.muted
                    for person in tiers.county.node.conferences.view(commander(COUNTY), conference).participants
                    for track in person.tracks
                    if person.participant == joined.participant
                ),
                "muted, seen from above",
            )
            await page.say(Leave(request=3))
            await page.hear(Done, lambda m: m.request == 3)
            await until(lambda: len(seen(tiers.county, commander(COUNTY), conference)) == 1)
        await pc.close()
        rows = [row.record for row in tiers.township.node.journal.replay()]
        assert [type(row) for row in rows if isinstance(row, ParticipantJoined | ParticipantLeft)] == [
            ParticipantJoined,
            ParticipantLeft,
        ]

    story(tmp_path, tell)


def test_a_page_that_sees_no_picture_costs_the_link_nothing(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        conference = await convene(tiers)
        page = await tiers.sign_in(tiers.township, terminal(TOWNSHIP))
        await page.say(Sizes(slots=()))
        assert (await page.hear(Failure)).code == "not-joined"
        pc = offer()
        await pc.setLocalDescription(await pc.createOffer())
        await page.say(Join(request=1, conference=conference, sdp=pc.localDescription.sdp))
        await page.hear(Joined)
        carried = tiers.township.node.conferences
        async with camera(tiers, conference):
            await until(lambda: carried.carried["in"] == 1, "the camera on the link")
            await page.say(Sizes(slots=(SlotSize(slot=0, height=0), SlotSize(slot=1, height=0))))
            await until(lambda: carried.carried["in"] == 0, "nothing on the link")
            await page.say(Sizes(slots=(SlotSize(slot=0, height=180), SlotSize(slot=1, height=0))))
            await until(lambda: carried.carried["in"] == 1, "the camera on the link again")
            await page.say(Sizes(slots=(SlotSize(slot=2, height=180),)))
            await page.hear(Failure, lambda m: m.code == "unknown-slot")
            assert carried.carried["in"] == 1
        await pc.close()

    story(tmp_path, tell)


def test_a_closed_page_leaves_and_an_ended_meeting_sends_everybody_home(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        conference = await convene(tiers)
        conferences = tiers.county.node.conferences
        page = await tiers.sign_in(tiers.township, terminal(TOWNSHIP))
        pc = offer()
        await pc.setLocalDescription(await pc.createOffer())
        await page.say(Join(request=1, conference=conference, sdp=pc.localDescription.sdp))
        await until(lambda: conferences.view(commander(COUNTY), conference).participants)
        await page.close()
        await until(lambda: not conferences.view(commander(COUNTY), conference).participants)
        again = await tiers.sign_in(tiers.township, terminal(TOWNSHIP))
        await again.say(Join(request=2, conference=conference, sdp=pc.localDescription.sdp))
        await again.hear(Joined)
        status, _ = await tiers.call(tiers.county, commander(COUNTY), "POST", f"conferences/{conference}/end")
        assert status in (200, 204)
        await again.hear(ConferenceView, lambda view: view.ended)
        await until(lambda: tiers.township.node.conferences.participants == 0)
        await again.say(Join(request=3, conference=conference, sdp=pc.localDescription.sdp))
        assert (await again.hear(Failure, lambda m: m.request == 3)).code == "conference-ended"
        await pc.close()

    story(tmp_path, tell)


def test_an_auditor_may_watch_but_what_he_sends_is_nobodys_picture(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        conference = await convene(tiers)
        page = await tiers.sign_in(tiers.county, Actor("审计员", Role.AUDITOR, COUNTY))
        pc = offer()
        await pc.setLocalDescription(await pc.createOffer())
        await page.say(Join(request=1, conference=conference, sdp=pc.localDescription.sdp))
        await page.hear(Joined)
        (person,) = tiers.county.node.conferences.view(commander(COUNTY), conference).participants
        assert person.tracks == ()
        await pc.close()

    story(tmp_path, tell)


def test_who_was_there_when_a_node_died_is_recorded_as_gone_when_it_is_back(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        conference = await convene(tiers)
        left = ParticipantJoined(
            node=VILLAGE, at=UtcMs(1), conference=conference, participant=ParticipantId("p-1"), who=terminal(VILLAGE)
        )
        await tiers.village.node.journal.append(left)
        await tiers.village.stop()
        await tiers.village.start()
        await until(lambda: [r for r in tiers.village.node.journal.replay() if isinstance(r.record, ParticipantLeft)])
        gone = [r.record for r in tiers.village.node.journal.replay() if isinstance(r.record, ParticipantLeft)]
        assert [(record.participant, record.reason) for record in gone] == [("p-1", "node restarted")]

    story(tmp_path, tell)


def test_one_person_cannot_fill_the_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.seats.MAX_SEATS_OF_ONE", 2)

    async def tell(tiers: Cluster) -> None:
        conference = await convene(tiers)
        pc = offer()
        await pc.setLocalDescription(await pc.createOffer())
        conferences = tiers.village.node.conferences
        for _ in range(2):
            conferences.whip(device(VILLAGE), conference, pc.localDescription.sdp)
        with pytest.raises(Refused, match="one person"):
            conferences.whip(device(VILLAGE), conference, pc.localDescription.sdp)
        conferences.whip(terminal(VILLAGE), conference, pc.localDescription.sdp)
        await pc.close()

    story(tmp_path, tell)
