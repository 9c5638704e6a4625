"""What terminals and consoles hear of clocks, through a whole gateway: rings, lists, and an auditor that is silent."""

import time
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from gateway import heartbeat
from gateway.heartbeat import Beat
from signaling.ids import UtcMs
from signaling.messages import EscalationView, Hello, Ring, Silence
from signaling.records import DirectiveIssued, TimerFired, Urgency, signed_bytes
from tests.support.cluster import Running, Terminal, until
from tests.support.facts import order
from tests.support.loop import on_loop
from tests.support.places import COUNTY, SIBLING, TOWNSHIP, VILLAGE, commander, terminal

MINUTE = 60_000


def overdue(county: Running, minutes: int, urgency: Urgency) -> DirectiveIssued:
    """A directive the county issued so many minutes ago: its clocks run out now."""
    at = UtcMs(time.time_ns() // 1_000_000 - minutes * MINUTE)
    made = order(VILLAGE, SIBLING, urgency=urgency, at=at, expires_at=UtcMs(at + 600 * MINUTE))
    return msgspec.structs.replace(made, signature=county.node.auth.keys.sign(signed_bytes(made)))


async def page(client: aiohttp.ClientSession, running: Running, who: Any) -> Terminal:
    made = Terminal(await client.ws_connect(f"{running.url}/ws", autoping=True))
    await made.say(Hello(version=1, token=running.token(who)))
    return made


@on_loop
async def test_terminals_ring_again_and_consoles_see_who_was_not_reached(tmp_path: Path) -> None:
    county = await Running(tmp_path, COUNTY, None).start()
    try:
        async with aiohttp.ClientSession() as client:
            village = await page(client, county, terminal(VILLAGE))
            console = await page(client, county, commander())
            await until(lambda: len(list(county.node.dispatch.sessions)) == 2, "two sessions")
            made = overdue(county, 15, Urgency.P2)
            await county.node.journal.append(made)
            ring = await village.hear(Ring)
            assert (ring.directive, ring.n) == (made.directive, 3)
            card = await console.hear(EscalationView, lambda view: view.superior == TOWNSHIP)
            assert [row.node for row in card.rows] == [VILLAGE, SIBLING]
            headers = {"Authorization": f"Bearer {county.token(commander())}"}
            url = f"{county.url}/api/v1/escalations/{card.escalation}"
            async with client.post(f"{url}/acknowledge", json={"note": "派人上门"}, headers=headers) as answer:
                assert answer.status == 200
            await console.hear(EscalationView, lambda view: view.note == "派人上门")
            async with client.get(f"{county.url}/api/v1/escalations", headers=headers) as answer:
                (listed,) = (await answer.json())["escalations"]
            assert listed["acknowledged_by"]["name"] == commander().name
            late = await page(client, county, commander())
            assert (await late.hear(EscalationView)).escalation == card.escalation
            assert not [m for m in village.heard if isinstance(m, EscalationView)]
            rows = [row.record for row in county.node.journal.replay()]
            assert len({r.timer for r in rows if isinstance(r, TimerFired)}) == 6
            for one in (village, console, late):
                await one.close()
    finally:
        await county.stop()


@on_loop
async def test_consoles_hear_that_the_auditor_is_silent_and_that_it_is_back(tmp_path: Path) -> None:
    county = await Running(tmp_path, COUNTY, None, {"auditor": {"watched": True, "silent_s": 2.0}}).start()
    try:
        async with aiohttp.ClientSession() as client:
            console = await page(client, county, commander())
            assert (await console.hear(Silence, lambda said: said.seconds > 0)).of == "auditor"
            async with client.get(f"{county.url}/readyz") as answer:
                assert "silent" in (await answer.json())["checks"]["auditor"]
            told = len(console.heard)
            heartbeat.write(county.node.config.node.data_dir, Beat(run="w", number=1, at=UtcMs(0), seq=0))
            await until(lambda: [m for m in console.heard[told:] if isinstance(m, Silence) and m.seconds == 0], "heard")
            await console.close()
    finally:
        await county.stop()
