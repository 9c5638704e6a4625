"""One node as an administrator sets it up: ``wuji pki``, HTTPS, a sign-in link; the page gets the camera."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from gateway import places
from tests.e2e.browser import watch
from tests.e2e.running import COUNTY, call, until
from tests.support.ports import free_ports

if TYPE_CHECKING:
    from tests.e2e.browser import Browsers


def wuji(*arguments: str) -> Any:
    """Run a command with ``--json`` and return its last line."""
    command = [sys.executable, "-m", "gateway", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def write_config(folder: Path, port: int) -> Path:
    """Make keys and a certificate, and return a settings file that uses them."""
    wuji("pki", "--dir", str(folder), "--node", f"{COUNTY}=127.0.0.1")
    target = folder / "county.toml"
    target.write_text(
        f"""
        [node]
        code = "{COUNTY}"
        data_dir = "{folder / "data"}"
        [http]
        host = "127.0.0.1"
        port = {port}
        tls_cert = "{folder / COUNTY}.tls.pem"
        tls_key = "{folder / COUNTY}.tls.key"
        [media]
        hosts = ["127.0.0.1"]
        [tree]
        file = "{places.configs() / "demo" / "divisions.csv"}"
        [keys]
        private_key_file = "{folder / COUNTY}.key"
        public_keys_file = "{folder / "public_keys.toml"}"
        """
    )
    return target


def test_a_page_over_https_joins_a_meeting_with_its_camera(
    browsers: Browsers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_ports(1)
    config = write_config(tmp_path, port)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    base = f"https://127.0.0.1:{port}"
    with open(tmp_path / "node.log", "w") as log:
        node = subprocess.Popen(
            [sys.executable, "-m", "gateway", "node", "--config", str(config)], stdout=log, stderr=log
        )
    try:
        until(lambda: answers(base), what=f"no answer over https: {(tmp_path / 'node.log').read_text()}")
        token = wuji("token", "--config", str(config), "--role", "commander", "--name", "指挥")["token"]
        order = json.dumps({"title": "加密会议", "scope": [{"node": COUNTY, "mode": "self"}]}).encode()
        made = call(
            base + "/api/v1/conferences", method="POST", token=token, body=order, Content_Type="application/json"
        )
        assert made.status == 201, made.body
        link = wuji("link", "--config", str(config), "--role", "terminal", "--name", "县值班", "--url", base)
        page = browsers.open(link["url"], insecure=True)
        page.get_by_test_id("enter-duty").click()
        expect(page.get_by_test_id("connection")).to_have_attribute("data-status", "online")
        assert page.evaluate("isSecureContext")
        page.get_by_test_id("camera-toggle").click()
        page.wait_for_selector('video[data-testid="preview"], [data-testid="preview"] video')
        own = 'video[data-testid="preview"], [data-testid="preview"] video'
        assert len(watch(page, own, pictures=2)) == 2
        page.context.close()
    finally:
        node.send_signal(signal.SIGTERM)
        assert node.wait(timeout=60) == 0
    assert not os.path.exists(f"/proc/{node.pid}")


def answers(base: str) -> bool:
    try:
        return call(base + "/healthz").status == 200
    except OSError:
        return False
