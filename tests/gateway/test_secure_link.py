"""Two tiers over TLS: the child trusts its own authority and no other."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from gateway import pki, telemetry
from gateway.clock import Clock
from tests.support.cluster import Running, until
from tests.support.places import COUNTY, TOWNSHIP


def secure(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the sections of a node with a certificate of an authority made in ``folder``."""
    pki.make_certificates(folder, {COUNTY: ["127.0.0.1"]}, Clock().at())
    files = pki.files_of(folder, COUNTY)
    return {"http": {"tls_cert": str(files.tls_cert), "tls_key": str(files.tls_key)}}


def test_a_link_over_tls_comes_up_under_the_configured_authority(tmp_path: Path) -> None:
    async def story() -> None:
        county = await Running(tmp_path, COUNTY, None, secure(tmp_path / "ca")).start()
        uplink = {"uplink": {"ca": str(tmp_path / "ca" / "ca.pem")}}
        township = await Running(tmp_path, TOWNSHIP, county.url, uplink).start()
        assert county.url.startswith("https://")
        await until(lambda: TOWNSHIP in county.node.links.up, "the link")
        await township.stop()
        await county.stop()

    asyncio.run(story())


def test_a_parent_with_a_certificate_of_another_authority_is_not_talked_to(tmp_path: Path) -> None:
    async def story() -> None:
        county = await Running(tmp_path, COUNTY, None, secure(tmp_path / "stranger")).start()
        secure(tmp_path / "own")
        uplink = {"uplink": {"ca": str(tmp_path / "own" / "ca.pem")}}
        township = await Running(tmp_path, TOWNSHIP, county.url, uplink).start()
        before = telemetry.value("link_dial_failed", peer=COUNTY)
        await until(lambda: telemetry.value("link_dial_failed", peer=COUNTY) >= before + 2, "two more failed dials")
        assert not county.node.links.up
        await township.stop()
        await county.stop()

    asyncio.run(story())
