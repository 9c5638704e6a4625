"""One gateway as a process of its own, on free ports, and what a program says to it over HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.auth import Auth
from gateway.clock import Clock
from gateway.config import Config
from gateway.reference import to_toml
from signaling.ids import NodeCode
from signaling.records import Actor, Role

from .edge import settings
from .places import COUNTY
from .ports import free_ports

START_S = 120.0


@dataclass
class Answer:
    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["code"])


class Node:
    """A running gateway; its log is in ``log_file``."""

    def __init__(
        self, folder: Path, config: Config, arguments: list[str], environment: Mapping[str, str] | None = None
    ) -> None:
        self.config = config
        self.port = config.http.port
        self.log_file = folder / "node.log"
        self._auth = Auth(config, Clock())
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(arguments, stdout=log, stderr=log, start_new_session=True, env=environment)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def token(self, role: Role, division: NodeCode = COUNTY, name: str = "测试员") -> str:
        return self._auth.mint(Actor(name, role, division))

    def link(self, role: Role, division: NodeCode = COUNTY, name: str = "测试员") -> str:
        return self._auth.create_link(Actor(name, role, division))

    def call(self, method: str, path: str, token: str = "", body: bytes | None = None, **headers: str) -> Answer:
        """Make one request; error statuses are answers too."""
        request = urllib.request.Request(self.url(path), data=body, method=method)
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return Answer(reply.status, reply.read(), dict(reply.headers))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read(), dict(error.headers))

    def get(self, path: str, token: str = "") -> Answer:
        return self.call("GET", path, token)

    def post(self, path: str, value: object, token: str = "") -> Answer:
        return self.call("POST", path, token, json.dumps(value).encode(), Content_Type="application/json")

    def wait_ready(self) -> None:
        deadline = time.monotonic() + START_S
        while self.process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if self.get("/readyz").status == 200:
                    return
            time.sleep(0.05)
        raise TimeoutError(self.log_file.read_text(errors="replace")[-4_000:])

    def stop(self) -> int:
        self._auth.close()
        self.process.terminate()
        try:
            return self.process.wait(timeout=60)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)


@contextlib.contextmanager
def running(
    folder: Path,
    code: NodeCode = COUNTY,
    *,
    files: int = 0,
    module: str = "gateway",
    environment: Mapping[str, str] | None = None,
    **sections: Mapping[str, Any],
) -> Iterator[Node]:
    """Run a gateway of ``code`` without uplink until the block ends; it may open so many ``files``, 0: the usual.

    Args:
        module: What stands for ``wuji``.
    """
    table = {name: dict(values) for name, values in sections.items()}
    table["http"] = {"port": free_ports(), **table.get("http", {})}
    config = settings(folder, code, **table)
    file = folder / "node.toml"
    given: dict[str, dict[str, Any]] = {
        "node": {"code": code, "data_dir": str(config.node.data_dir), "reserve_bytes": config.node.reserve_bytes},
        "tree": {
            "file": str(config.tree.file),
            "templates_file": str(config.tree.file.with_name("templates.toml")),
            "units_file": str(config.tree.file.with_name("units.toml")),
        },
        "keys": {
            "private_key_file": str(config.keys.private_key_file),
            "public_keys_file": str(config.keys.public_keys_file),
        },
    }
    table.pop("own", None)
    file.write_text(to_toml({**given, **{n: {**given.get(n, {}), **v} for n, v in table.items()}}), encoding="utf-8")
    line = [sys.executable, "-m", module, "node", "--config", str(file)]
    if files:
        line = ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh", *line]
    node = Node(folder, config, line, environment)
    try:
        node.wait_ready()
        yield node
    finally:
        status = node.stop()
    assert status == 0, node.log_file.read_text(errors="replace")[-4_000:]
