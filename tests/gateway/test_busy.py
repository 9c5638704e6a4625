"""A gateway with too much to do refuses newcomers with a reason, and those inside go on; pages hear how it works."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription, VideoStreamTrack

from gateway import telemetry
from gateway.app import Node
from gateway.loads import NANOSECONDS
from media.engine import Engine
from media.stats import Stats
from signaling.messages import Failure, Frozen, Join, Joined, Leave, Quality
from signaling.records import Actor
from tests.support.cluster import Cluster, Running, until
from tests.support.places import COUNTY, TOWNSHIP, VILLAGE, commander, device, terminal

from .test_conferences import camera, convene, offer, seen, story, viewing


class Reading:
    """The engine of a node whose worker clocks say what a test wants."""

    def __init__(self, node: Node) -> None:
        self.share = 0.0
        self._used_ns = 0.0
        self._at: float | None = None
        self._engine: Engine = node.engine
        self._node = node
        node.loads._engine = self  # type: ignore[assignment]

    def strain(self, level: int) -> None:
        self._engine.strain(level)

    def worker_cpu_ns(self) -> list[int]:
        now = self._node.conferences._switching._clock.now()
        self._used_ns += self.share * NANOSECONDS * (now - (self._at or now))
        self._at = now
        return [int(self._used_ns)]


class Lossy:
    """An engine to whose node an eighth of everything seems lost on its way in."""

    def __init__(self, node: Node) -> None:
        self._engine = node.engine
        node.conferences.qualities._engine = self  # type: ignore[assignment]

    def stats(self) -> Stats:
        now = self._engine.stats()
        sources = {
            number: {**counters, "missed": counters["expected"] // 8} for number, counters in now.sources.items()
        }
        return replace(now, sources=sources)


async def publish(tiers: Cluster, running: Running, who: Actor, conference: str) -> tuple[int, dict[str, str], str]:
    """Try to publish over WHIP: (status, headers, body)."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pc.addTransceiver(VideoStreamTrack(), direction="sendonly")
    await pc.setLocalDescription(await pc.createOffer())
    headers = {"Authorization": f"Bearer {running.token(who)}", "Content-Type": "application/sdp"}
    url = f"{running.url}/whip/{conference}"
    async with tiers.client.post(url, data=pc.localDescription.sdp, headers=headers) as response:
        answer = response.status, dict(response.headers), await response.text()
    await pc.close()
    return answer


def test_a_busy_gateway_refuses_newcomers_and_those_inside_go_on(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        conference = await convene(tiers)
        county = tiers.county
        loads = county.node.loads
        reading = Reading(county.node)
        page = await tiers.sign_in(county, terminal(COUNTY))
        pc = offer()
        await pc.setLocalDescription(await pc.createOffer())
        join = Join(request=1, conference=conference, sdp=pc.localDescription.sdp)
        await page.say(join)
        await page.hear(Joined)
        async with camera(tiers, conference), viewing(tiers, county, commander(COUNTY), conference) as viewer:
            await viewer.more()
            reading.share = 1.0
            await until(lambda: loads.load.refusing, "too much to do")
            reading.share = 0.8  # less than makes pictures smaller, more than lets newcomers in
            status, headers, problem = await publish(tiers, county, device(COUNTY), conference)
            assert (status, headers["Retry-After"]) == (503, "5")
            assert '"node-busy"' in problem
            other = await tiers.sign_in(county, terminal(TOWNSHIP))
            await other.say(Join(request=2, conference=conference, sdp=pc.localDescription.sdp))
            assert (await other.hear(Failure)).code == "node-busy"
            await viewer.more()
            await page.say(Leave(request=3))
            await page.say(Join(request=4, conference=conference, sdp=pc.localDescription.sdp))
            await page.hear(Joined, lambda joined: joined.request == 4)
            reading.share = 0.1
            await until(lambda: not loads.load.refusing, "room again")
            await other.say(Join(request=5, conference=conference, sdp=pc.localDescription.sdp))
            await other.hear(Joined)
        await pc.close()

    story(tmp_path, tell)


def test_after_a_restart_a_busy_gateway_lets_back_in_who_was_inside(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        conference = await convene(tiers)
        inside, other = terminal(VILLAGE), commander(VILLAGE)
        pc = offer()
        await pc.setLocalDescription(await pc.createOffer())

        async def join(who: Actor) -> Joined | Failure:
            page = await tiers.sign_in(tiers.village, who)
            await page.say(Join(request=1, conference=conference, sdp=pc.localDescription.sdp))
            answer: Joined | Failure = await page.hear((Joined, Failure))
            return answer

        assert isinstance(await join(inside), Joined)
        await tiers.village.stop()
        await tiers.village.start()
        Reading(tiers.village.node).share = 1.0
        await until(lambda: tiers.village.node.loads.load.refusing, "too much to do")
        refused = await join(other)
        assert isinstance(refused, Failure)
        assert refused.code == "node-busy"
        assert isinstance(await join(inside), Joined)
        await pc.close()

    story(tmp_path, tell)


def test_a_page_hears_how_well_both_its_ways_work(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        conference = await convene(tiers)
        page = await tiers.sign_in(tiers.village, terminal(VILLAGE))
        pc = offer()
        await pc.setLocalDescription(await pc.createOffer())
        await page.say(Join(request=1, conference=conference, sdp=pc.localDescription.sdp))
        joined = await page.hear(Joined)
        await pc.setRemoteDescription(RTCSessionDescription(joined.sdp, "answer"))
        async with camera(tiers, conference):
            told = await page.hear(Quality, lambda quality: quality.uplink and quality.downlink)
            assert told.conference == conference
            assert told.uplink.level <= 4
            await page.hear(Quality, lambda quality: quality.uplink and quality.uplink.level >= 1)
            counts = tiers.village.node.conferences.qualities.counts
            await until(
                lambda: sum(count for (way, _), count in counts().items() if way == "up") == 2, "both ways up judged"
            )
            before = telemetry.value("media_frozen_seconds")
            async with asyncio.timeout(20):
                while telemetry.value("media_frozen_seconds") == before:
                    await page.say(Frozen(ms=700))
                    await asyncio.sleep(0.2)
        await pc.close()

    story(tmp_path, tell)


def test_two_tiers_up_a_page_hears_who_loses_on_the_way_to_their_own_gateway(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        conference = await convene(tiers)
        page = await tiers.sign_in(tiers.county, terminal(COUNTY))
        pc = offer()
        await pc.setLocalDescription(await pc.createOffer())
        await page.say(Join(request=1, conference=conference, sdp=pc.localDescription.sdp))
        await page.hear(Joined)
        Lossy(tiers.village.node)
        async with camera(tiers, conference):
            told = await page.hear(Quality, lambda quality: any(each.condition.level == 1 for each in quality.others))
            (other,) = told.others
            (person,) = seen(tiers.county, commander(COUNTY), conference)
            assert other.participant == person.participant
            assert other.condition.reason == "loss"
            assert other.condition.value >= 10
        await pc.close()

    story(tmp_path, tell)
