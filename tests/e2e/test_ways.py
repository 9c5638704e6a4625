"""Ways into the gateway other than a good UDP path: none at all, and one that carries small datagrams only."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Page, expect

from signaling.records import Role
from tests.e2e.browser import watch
from tests.e2e.desks import tile
from tests.e2e.running import until
from tests.faults.hops import Hops
from tests.support.node import running
from tests.support.places import COUNTY, VILLAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from signaling.ids import NodeCode
    from tests.e2e.browser import Browsers
    from tests.support.node import Node

pytestmark = pytest.mark.timeout(240)

WITHIN_S = 60.0
"""For what should take a second or five: these machines are busy."""
ANSWERS = """
{
  const take = RTCPeerConnection.prototype.setRemoteDescription;
  RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
    return take.call(this, { type, sdp: %s });
  };
}
"""
"""Reads an answer as the expression says."""
WITHOUT_UDP = ANSWERS % r"sdp.replace(/^a=candidate:\S+ \d+ udp .*\r\n/gm, '')"
BY_ANOTHER_PORT = ANSWERS % r"sdp.replace(/^(a=candidate:\S+ \d+ udp \d+ \S+) \d+ /gm, '$1 %d ')"

WAY = """async () => {
  const ways = [];
  for (const pc of window.__peers) {
    const report = await pc.getStats();
    for (const row of report.values()) {
      if (row.type !== 'transport' || !row.selectedCandidatePairId || pc.connectionState !== 'connected') continue;
      const pair = report.get(row.selectedCandidatePairId);
      ways.push(report.get(pair.localCandidateId).protocol);
    }
  }
  return ways;
}"""
HEARD = """async () => {
  let energy = 0;
  for (const pc of window.__peers)
    for (const row of (await pc.getStats()).values())
      if (row.type === 'inbound-rtp' && row.kind === 'audio') energy += row.totalAudioEnergy ?? 0;
  return energy;
}"""


@pytest.fixture(scope="module")
def county(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A gateway with one meeting."""
    with running(tmp_path_factory.mktemp("ways")) as node:
        order = {"title": "会商", "scope": [{"node": COUNTY, "mode": "subtree"}]}
        assert node.post("/api/v1/conferences", order, node.token(Role.COMMANDER)).status == 201
        yield node


@pytest.fixture
def commander(county: Node, browsers: Browsers) -> Iterator[Page]:
    """Somebody with a good way."""
    page = browsers.open(sign_in(county, Role.COMMANDER, COUNTY, "县指挥长"))
    page.set_default_timeout(1000 * WITHIN_S)
    speak(page)
    yield page
    page.context.close()


@contextmanager
def villager(county: Node, browsers: Browsers, script: str) -> Iterator[Page]:
    """A terminal with ``script`` in its page."""
    page = browsers.open(sign_in(county, Role.TERMINAL, VILLAGE, "赵大山"), script=script)
    page.set_default_timeout(1000 * WITHIN_S)
    page.get_by_test_id("enter-duty").click()
    speak(page)
    yield page
    page.context.close()


def sign_in(node: Node, role: Role, division: NodeCode, name: str) -> str:
    return node.url(f"/#code={node.link(role, division, name)}")


def speak(page: Page) -> None:
    expect(page.get_by_test_id("connection")).to_have_attribute("data-status", "online", timeout=1000 * WITHIN_S)
    for button in ("camera-toggle", "mic-toggle"):
        page.get_by_test_id(button).click()


def ways(page: Page) -> list[str]:
    """Return the protocol of each connected peer connection of the page."""
    found: list[str] = page.evaluate(WAY)
    return found


def hears(page: Page) -> Any:
    """Return the energy of all sound decoded so far."""
    return page.evaluate(HEARD)


def meet(commander: Page, village: Page) -> None:
    """Nobody else is in the meeting: each sees and hears the other."""
    for page, who in ((commander, "赵大山"), (village, "县指挥长")):
        page.wait_for_selector(tile(page, who), timeout=1000 * WITHIN_S)
        assert len(watch(page, f"{tile(page, who)} video", pictures=3, within_ms=int(1000 * WITHIN_S))) == 3
        until(lambda page=page: hears(page) > 0, within=WITHIN_S, what="no sound was heard")


def test_a_terminal_without_udp_is_seen_and_heard_and_sees_and_hears(
    county: Node, browsers: Browsers, commander: Page
) -> None:
    with villager(county, browsers, WITHOUT_UDP) as village:
        until(lambda: ways(village) == ["tcp"], within=WITHIN_S, what="the terminal never connected over TCP")
        meet(commander, village)


@pytest.mark.long
@pytest.mark.parametrize("profile", ["mtu-1200", "mtu-576"])
def test_a_terminal_whose_way_carries_small_datagrams_only_comes_in_by_tcp(
    county: Node, browsers: Browsers, commander: Page, profile: str
) -> None:
    with Hops({"way": county.port}, profile) as network:
        network.apply(profile, ["way"])
        datagrams = network.hops["way"].datagrams
        with villager(county, browsers, BY_ANOTHER_PORT % datagrams.port) as village:
            until(lambda: ways(village) == ["tcp"], within=WITHIN_S, what="the terminal never connected over TCP")
            meet(commander, village)
            counts = network.do(lambda: datagrams.up.counts)
            print(f"{profile}: {counts}")
            assert counts["big"] > 0, "the handshake was tried on that way first"
            assert counts["passed"] > 0, "and checks passed"
