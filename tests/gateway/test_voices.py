"""Who is heard and who speaks over three real tiers: the levels come from the headers of real packets."""

from __future__ import annotations

import array
import asyncio
import contextlib
import math
from pathlib import Path

from aiortc import AudioStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from av.audio.frame import AudioFrame

from signaling.conference import OFFERED
from signaling.ids import ConferenceId, ParticipantId
from signaling.records import Actor, Role
from tests.support.cluster import Cluster, cluster, until
from tests.support.places import COUNTY, VILLAGE, commander, terminal

LOUD, QUIET = 0.2, 0.0005
"""Of full scale: -17 and -69 dBov."""
TONE_HZ = 400


class Tone(AudioStreamTrack):
    """A voice of one note."""

    loudness = QUIET

    async def recv(self) -> AudioFrame:
        frame = await super().recv()
        assert isinstance(frame, AudioFrame)
        step = 2 * math.pi * TONE_HZ / frame.sample_rate
        top = self.loudness * 32_767
        samples = array.array("h", (round(top * math.sin(step * number)) for number in range(frame.samples)))
        frame.planes[0].update(samples.tobytes())
        return frame


class Call:
    """A connection by WHIP or WHEP."""

    def __init__(self, tiers: Cluster) -> None:
        self.tone = Tone()
        self.participant = ParticipantId("")
        self._tiers = tiers
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))

    async def publish(self, conference: ConferenceId, name: str) -> None:
        """A voice in the village."""
        self._pc.addTransceiver(self.tone, direction="sendonly")
        who = Actor(name, Role.DEVICE, VILLAGE)
        location = await self._post(self._tiers.village.url, self._tiers.village.token(who), f"/whip/{conference}")
        self.participant = ParticipantId(location.rsplit("/", 1)[-1])

    async def listen(self, conference: ConferenceId) -> None:
        """Ears in the county: three voices at once."""
        for _ in range(3):
            self._pc.addTransceiver("audio", direction="recvonly")
        token = self._tiers.county.token(commander(COUNTY))
        await self._post(self._tiers.county.url, token, f"/whep/{conference}")

    async def _post(self, url: str, token: str, path: str) -> str:
        await self._pc.setLocalDescription(await self._pc.createOffer())
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/sdp"}
        body = self._pc.localDescription.sdp
        async with self._tiers.client.post(f"{url}{path}", data=body, headers=headers) as response:
            answer = await response.text()
            assert response.status == 201, answer
            location = response.headers["Location"]
        await self._pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        return location

    async def close(self) -> None:
        await self._pc.close()


async def convene(tiers: Cluster) -> ConferenceId:
    body = {"title": "防汛会商", "scope": [{"node": COUNTY, "mode": "subtree"}]}
    status, meeting = await tiers.call(tiers.county, commander(COUNTY), "POST", "conferences", body)
    assert status == 201
    village = tiers.village.node.conferences
    await until(lambda: village.may_join(terminal(VILLAGE), meeting["id"]), "the record in the village")
    return ConferenceId(meeting["id"])


async def tell(tiers: Cluster) -> None:
    conference = await convene(tiers)
    parts = [running.node.conferences for running in tiers.all]
    middle = tiers.township.node.conferences

    def speakers() -> set[ParticipantId | None]:
        return {part.view(commander(COUNTY), conference).speaker for part in parts}

    async with contextlib.AsyncExitStack() as stack:
        talkers = [Call(tiers) for _ in range(5)]
        ears = Call(tiers)
        for call in (*talkers, ears):
            stack.push_async_callback(call.close)
        for number, talker in enumerate(talkers):
            await talker.publish(conference, f"话筒{number}")
        await ears.listen(conference)
        await until(lambda: middle.carried == {"in": OFFERED, "out": OFFERED}, "three voices on each link")
        for talker in (talkers[4], talkers[1]):
            talker.tone.loudness = LOUD
            await until(lambda talker=talker: speakers() == {talker.participant}, "one speaker at all tiers")
            await until(
                lambda talker=talker: any(
                    track.startswith(talker.participant) and heard.level > -40
                    for track, heard in parts[0].heard(conference).items()
                ),
                "the voice, measured at the county from its packets",
            )
            assert middle.carried["in"] <= OFFERED
            assert middle.carried["out"] <= OFFERED
            talker.tone.loudness = QUIET


def test_the_loudest_of_five_voices_climb_two_tiers_and_all_tiers_name_the_one_who_speaks(tmp_path: Path) -> None:
    async def run() -> None:
        async with asyncio.timeout(300), cluster(tmp_path) as tiers:
            await tell(tiers)

    asyncio.run(run())
