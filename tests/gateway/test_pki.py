"""Keys and certificates: made once, kept, usable by TLS, and unreadable to others."""

from __future__ import annotations

import asyncio
import ssl
import stat
from pathlib import Path

import aiohttp
from cryptography import x509

from gateway import pki
from gateway.keys import NodeKeys
from tests.support.clock import FakeClock
from tests.support.edge import serving, settings
from tests.support.places import COUNTY, TOWNSHIP, VILLAGE

YEAR_MS = 365 * 86_400_000


def test_node_keys_are_made_once_and_the_list_grows(tmp_path: Path) -> None:
    public = pki.make_node_keys(tmp_path, [COUNTY, TOWNSHIP])
    first = pki.files_of(tmp_path, COUNTY).private_key.read_bytes()
    assert pki.make_node_keys(tmp_path, [COUNTY, VILLAGE]) == public
    assert pki.files_of(tmp_path, COUNTY).private_key.read_bytes() == first
    keys = NodeKeys.load(COUNTY, pki.files_of(tmp_path, COUNTY).private_key, public)
    assert set(keys.public) == {COUNTY, TOWNSHIP, VILLAGE}


def test_private_files_are_private(tmp_path: Path) -> None:
    pki.make_node_keys(tmp_path, [COUNTY])
    pki.make_certificates(tmp_path, {COUNTY: ["127.0.0.1"]}, FakeClock().at())
    for name in (f"{COUNTY}.key", f"{COUNTY}.tls.key", "ca.key"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert not list(tmp_path.glob("*.part"))


def test_certificates_name_their_hosts_and_end_in_time(tmp_path: Path) -> None:
    at = FakeClock().at()
    pki.make_certificates(tmp_path, {COUNTY: ["county.example", "10.0.0.3", "::1"]}, at)
    certificate = x509.load_pem_x509_certificate(pki.files_of(tmp_path, COUNTY).tls_cert.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["county.example"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.3", "::1"]
    assert certificate.not_valid_after_utc.timestamp() * 1000 - at < 1.1 * YEAR_MS


def test_a_browser_that_trusts_the_authority_gets_https_and_others_do_not(tmp_path: Path) -> None:
    from gateway.clock import Clock

    authority = pki.make_certificates(tmp_path, {COUNTY: ["localhost", "127.0.0.1"]}, Clock().at())
    files = pki.files_of(tmp_path, COUNTY)
    config = settings(tmp_path, http={"tls_cert": str(files.tls_cert), "tls_key": str(files.tls_key)})

    async def story() -> None:
        trusting = ssl.create_default_context(cafile=authority)
        async with serving(config) as port, aiohttp.ClientSession() as client:
            url = f"https://127.0.0.1:{port}/healthz"
            async with client.get(url, ssl=trusting) as answer:
                assert answer.status == 200
                assert "max-age=" in answer.headers["Strict-Transport-Security"]
            try:
                async with client.get(url):
                    raise AssertionError("an unknown authority was trusted")
            except aiohttp.ClientConnectorCertificateError:
                pass
            old = ssl.create_default_context(cafile=authority)
            old.maximum_version = ssl.TLSVersion.TLSv1_2
            old.set_ciphers("AES128-GCM-SHA256")  # no forward secrecy
            try:
                async with client.get(url, ssl=old):
                    raise AssertionError("a cipher without forward secrecy was taken")
            except aiohttp.ClientConnectorError:
                pass

    asyncio.run(story())
