"""``wuji demo`` as a child process, and the few HTTP calls a test makes against it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from tests.support.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

T = TypeVar("T")

PATIENCE_S = 90.0
"""For what should take a second or five: two cores run everything, and others use them too."""

TIERS = ("province", "city", "county", "township", "village")
COUNTY, TOWNSHIP, VILLAGE = "430423000000", "430423100000", "430423100227"
SIBLING = "430423100224"
"""A village of the same township whose terminal signs in at the township's own gateway."""


def until(probe: Callable[[], T | None], *, what: str, within: float = PATIENCE_S) -> T:
    """Return the first truthy value of ``probe``, asked every 50 ms for ``within`` seconds.

    Raises:
        TimeoutError: It never came; ``what`` says what did not happen.
    """
    deadline = time.monotonic() + within
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.05)


def run_async(scenario: Coroutine[Any, Any, T]) -> T:
    """Run ``scenario`` on a loop of its own: a synchronous browser driver may hold this thread's."""
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, scenario).result()


@dataclass
class Answer:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def call(url: str, *, method: str = "GET", token: str = "", body: bytes | None = None, **headers: str) -> Answer:
    """Make one HTTP request; error statuses are answers too."""
    request = urllib.request.Request(url, data=body, method=method)
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


def send_json(url: str, value: object, *, token: str = "", method: str = "POST") -> Answer:
    return call(url, method=method, token=token, body=json.dumps(value).encode(), Content_Type="application/json")


def multipart(parts: dict[str, tuple[str, bytes]]) -> tuple[bytes, str]:
    """Return a multipart/form-data body and its content type; parts: name to (content type, bytes)."""
    boundary = uuid.uuid4().hex
    out = b""
    for name, (kind, data) in parts.items():
        out += (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n'
            f"Content-Type: {kind}\r\n\r\n"
        ).encode()
        out += data + b"\r\n"
    return out + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


class Demo:
    """The five nodes, the Redis and the cameras of ``wuji demo``, on free ports, in a folder of their own."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        command: tuple[str, ...] = ("-m", "gateway", "demo", "--json"),
        base: int = 0,
    ) -> None:
        """``command`` of Python starts it; ``base`` is the province's port, 0: any free one."""
        self.folder = folder
        self.base = base or free_ports(5)
        self.lines: list[str] = []
        self._found: queue.Queue[dict[str, Any]] = queue.Queue()
        line = [sys.executable, *command, "--base-port", str(self.base), "--dir", str(folder), *arguments]
        self.process = subprocess.Popen(
            line,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**os.environ, "WUJI__LOAD__LAG_MS": "60000"},  # however late it is, everybody may join
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if line.startswith("{"):
                value = json.loads(line)
                if value.get("ready"):
                    self._found.put(value)

    def wait_ready(self, within: float) -> dict[str, Any]:
        """Return the JSON object that the demo prints when it is ready."""
        try:
            self.ready = self._found.get(timeout=within)
        except queue.Empty:
            raise TimeoutError("demo not ready:\n" + "\n".join(self.lines[-60:])) from None
        return self.ready

    def url(self, tier: str, path: str = "") -> str:
        return f"http://127.0.0.1:{self.base + TIERS.index(tier)}{path}"

    def link(self, tier: str, role: str) -> str:
        """Return the sign-in link of ``role`` at ``tier``."""
        for entry in self.ready["links"]:
            if entry["tier"] == tier and entry["role"] == role:
                return str(entry["url"])
        raise LookupError(f"no link for {role} at {tier}: {self.ready['links']}")

    def token(self, tier: str, role: str, *, name: str = "测试员", division: str = "") -> str:
        """Mint a token at a node, as an administrator does."""
        command = [
            sys.executable, "-m", "gateway", "token", "--json", "--config", str(self.config(tier)),
            "--role", role, "--name", name,
        ]  # fmt: skip
        if division:
            command += ["--division", division]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        return str(json.loads(done.stdout.splitlines()[-1])["token"])

    def config(self, tier: str) -> Path:
        return next(self.folder.rglob(f"{tier}.toml"))

    def metric(self, tier: str, name: str) -> float:
        """Return the sum over labels of a metric, 0 if it has not been seen."""
        text = call(self.url(tier, "/metrics")).body.decode()
        rows = [line for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name]
        return sum(float(row.rsplit(" ", 1)[1]) for row in rows)

    def node_pid(self, tier: str) -> int:
        """Return the process of one node."""
        marker = f"{tier}.toml"
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    words = file.read().decode(errors="replace").split("\0")
            except OSError:
                continue
            if "node" in words and any(w.endswith(marker) and str(self.folder) in w for w in words):
                return int(entry)
        raise LookupError(tier)

    def kill(self, tier: str) -> int:
        """Kill one node at once, as a power cut does; the demo starts it again.  Returns the old process id."""
        pid = self.node_pid(tier)
        os.kill(pid, signal.SIGKILL)
        return pid

    def restarted(self, tier: str, old: int) -> bool:
        """Return whether the node runs again as another process than ``old``."""
        try:
            return self.node_pid(tier) != old
        except LookupError:
            return False

    def stop(self) -> int:
        """Press Ctrl-C and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(timeout=60)
        assert self.process.stdout is not None
        self._reader.join(timeout=60)
        self.process.stdout.close()
        return self.process.returncode

    def leftovers(self) -> list[str]:
        """Return the command lines of processes that still belong to this demo."""
        found = []
        for entry in os.listdir("/proc"):
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    line = file.read().replace(b"\0", b" ").decode(errors="replace")
            except (OSError, NotADirectoryError):
                continue
            if str(self.folder) in line and int(entry) != os.getpid():
                found.append(line)
        return found
