"""More who watch than a gateway's processor carries: ``python -m tests.faults.overload --viewers 100``.

One gateway, whole, in this process; the crowd is another.  Printed, as one line of JSON every second: the load,
the strain, the layer that viewers get on average (3: the largest), whether newcomers are refused, and at the end how
much of the voice reached those inside.  All traffic is on loopback and bounded in time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import aiohttp
from aiortc import RTCConfiguration, RTCPeerConnection, VideoStreamTrack

from gateway.app import Node
from media import _native
from signaling.ids import ConferenceId
from signaling.records import Actor
from tests.support.cluster import Running
from tests.support.places import COUNTY, commander, device

from .crowd import MAX_S, crowd
from .far import Loads

LOOK_S = 0.25


@dataclass(frozen=True, slots=True)
class Look:
    """The gateway at one moment: share of a core, strain 0..3, mean layer 0..3 of all pictures, part paused 0..1."""

    at_s: float
    worker_share: float
    level: float
    strain: int
    refusing: bool
    layer: float
    paused: float


@dataclass
class Full:
    """A gateway with a conference, and a crowd in it."""

    running: Running
    conference: ConferenceId
    client: aiohttp.ClientSession

    @property
    def node(self) -> Node:
        return self.running.node

    async def publish(self, who: Actor) -> tuple[int, str]:
        """Try to come in with a picture: (status, stable code of the refusal)."""
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        pc.addTransceiver(VideoStreamTrack(), direction="sendonly")
        await pc.setLocalDescription(await pc.createOffer())
        headers = {"Authorization": f"Bearer {self.running.token(who)}", "Content-Type": "application/sdp"}
        url = f"{self.running.url}/whip/{self.conference}"
        async with self.client.post(url, data=pc.localDescription.sdp, headers=headers) as response:
            answer = await response.text()
            code = "" if response.status == 201 else str(json.loads(answer)["code"])
        await pc.close()
        return response.status, code

    def look(self, began: float) -> Look:
        load = self.node.loads.load
        sinks = [sink for number, sink in self.node.engine.stats().sinks.items() if number >= 10_000]
        count = max(1, len(sinks))
        return Look(
            time.monotonic() - began,
            load.worker_share,
            load.level,
            load.strain,
            load.refusing,
            sum(sink["layer_now"] for sink in sinks) / count,
            sum(sink["paused_now"] for sink in sinks) / count,
        )

    async def crowd(self, sources: int, viewers: int, enough: Callable[[list[Look]], bool]) -> tuple[list[Look], float]:
        """Return what was seen until ``enough``, and the part of the voice that reached who listens, 0..1."""
        loads = Loads(cast(_native.Engine, self.node.engine.native))
        given = {"sources": sources, "viewers": viewers}
        task = asyncio.create_task(loads.run((crowd, given), limit_s=2 * MAX_S))
        began, looks = time.monotonic(), list[Look]()
        while not task.done():
            await asyncio.sleep(LOOK_S)
            looks.append(self.look(began))
            loads.over = loads.over or enough(looks)
        (heard,) = await task
        return looks, heard["came"] / heard["sent"]


@asynccontextmanager
async def full(folder: Path, worker_share: float, workers: int = 0) -> AsyncIterator[Full]:
    settings: dict[str, dict[str, Any]] = {"load": {"worker_share": worker_share}, "media": {"workers": workers}}
    running = await Running(folder, COUNTY, None, settings).start()
    try:
        async with aiohttp.ClientSession() as client:
            body = {"title": "防汛会商", "scope": [{"node": COUNTY, "mode": "subtree"}]}
            headers = {"Authorization": f"Bearer {running.token(commander(COUNTY))}"}
            url = f"{running.url}/api/v1/conferences"
            async with client.post(url, json=body, headers=headers) as answer:
                conference = ConferenceId((await answer.json())["id"])
            yield Full(running, conference, client)
    finally:
        await running.stop()


async def report(sources: int, viewers: int, worker_share: float, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with full(Path(folder), worker_share) as on:
            shown: list[Look] = []
            refused: list[asyncio.Task[tuple[int, str]]] = []

            def enough(looks: list[Look]) -> bool:
                if not shown or looks[-1].at_s - shown[-1].at_s >= 1:
                    shown.append(looks[-1])
                    print(json.dumps({name: round(value, 3) for name, value in asdict(looks[-1]).items()}), flush=True)
                if looks[-1].refusing and not refused:
                    refused.append(asyncio.create_task(on.publish(device(COUNTY))))
                return looks[-1].at_s > seconds

            _, heard = await on.crowd(sources, viewers, enough)
            print(json.dumps({"voice_heard": heard, "newcomers": [await task for task in refused]}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, default=100)
    parser.add_argument("--sources", type=int, default=9)
    parser.add_argument("--worker-share", type=float, default=0.85, help="share of a core from which pictures shrink")
    parser.add_argument("--seconds", type=float, default=30.0)
    given = parser.parse_args()
    asyncio.run(report(min(given.sources, 16), min(given.viewers, 500), given.worker_share, min(given.seconds, MAX_S)))


if __name__ == "__main__":
    main()
