"""Directives from the county to the village while people talk: how long each takes to ring."""

from __future__ import annotations

import threading
import time
import uuid

from tests.e2e.running import COUNTY, VILLAGE, Demo, send_json
from tests.e2e.terminal import Terminal

EVERY_S = 2.0
GIVE_UP_S = 60.0


class Directives:
    """Issues one every EVERY_S seconds on a thread of its own until ``stop``."""

    def __init__(self, demo: Demo) -> None:
        self.rang_s: list[float] = []
        """From issuing to ringing, of those that rang."""
        self.missing = 0
        self._demo = demo
        token = demo.token("village", "terminal", name="八里村 值守", division=VILLAGE)
        self._terminal = Terminal(demo.url("village"), token)
        self._token = demo.token("county", "commander", division=COUNTY)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> list[float]:
        """Return what ``rang_s`` has once the last one issued rang or was given up."""
        self._done.set()
        self._thread.join(GIVE_UP_S + 20)
        self._terminal.close()
        return self.rang_s

    def _run(self) -> None:
        while not self._done.wait(EVERY_S):
            self._one()

    def _one(self) -> None:
        order = {
            "click_id": uuid.uuid4().hex, "urgency": "P2", "title": "线路测试", "text": "请知悉",
            "scope": [{"node": VILLAGE, "mode": "self"}], "exercise": False,
        }  # fmt: skip
        began = time.monotonic()
        answer = send_json(self._demo.url("county", "/api/v1/directives"), order, token=self._token)
        assert answer.status == 201, answer.body
        directive = answer.json["id"]
        try:
            self._terminal.wait_for(
                lambda m: m["type"] == "directive" and m.get("directive") == directive,
                within=GIVE_UP_S,
                what="it never rang",
            )
        except TimeoutError:
            self.missing += 1
        else:
            self.rang_s.append(time.monotonic() - began)
