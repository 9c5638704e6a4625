"""Who issues and who reads, while lines are cut: programs that behave as the pages do, and write down what they saw.

An order's title is its number: by it an order is known again, whatever became of its button.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Sequence

import aiohttp

from signaling import codec
from signaling.errors import MalformedMessage
from signaling.ids import DirectiveId, NodeCode
from signaling.messages import DirectiveView, Hello, Receipt
from signaling.records import Stage, Urgency

from .history import Did, History, Outcome

AGAIN_S = 0.2
ANSWER_S = 30.0
RECEIPT_S = 1 / 40
"""A gateway closes a session that says more than 50 things a second."""


def title_of(number: int) -> str:
    return f"第{number}号"


def number_in(title: str) -> str:
    """Return the number in a title of ours, "" in another."""
    found = re.fullmatch(r"第(\d+)号", title)
    return found[1] if found else ""


class Issuer:
    """Presses the button for each order until it is answered: no answer means pressing the same button again."""

    def __init__(self, http: aiohttp.ClientSession, url: str, token: str, history: History) -> None:
        self._http = http
        self._url = f"{url}/api/v1/directives"
        self._headers = {"Authorization": f"Bearer {token}"}
        self._history = history

    async def issue(self, number: int, scope: Sequence[NodeCode], urgency: Urgency = Urgency.P1) -> DirectiveId | None:
        """Return the directive's id once the gateway has it, None when it refuses."""
        order: dict[str, object] = {
            "click_id": f"click-{number}",
            "urgency": urgency,
            "title": title_of(number),
            "text": "立即转移低洼处群众，到村部集合，到后报人数。",
            "scope": [{"node": node, "mode": "self"} for node in scope],
        }
        while True:
            status, answer = await self._press(order)
            outcome = Outcome.OK if status in (200, 201) else Outcome.FAILED if 400 <= status < 500 else Outcome.UNKNOWN
            self._history.add("issuer", Did.ISSUE, str(number), outcome, urgency)
            if outcome is Outcome.OK:
                return DirectiveId(answer["id"])
            if outcome is Outcome.FAILED:
                return None
            await asyncio.sleep(AGAIN_S)

    async def _press(self, order: dict[str, object]) -> tuple[int, dict[str, str]]:
        """Return (status, answer); status 0 when none came."""
        try:
            limit = aiohttp.ClientTimeout(ANSWER_S)
            async with self._http.post(self._url, json=order, headers=self._headers, timeout=limit) as answer:
                return answer.status, await answer.json(content_type=None)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return 0, {}


class Screen:
    """A terminal of one place.  It keeps what it has shown over reconnections, as the page does over a reload."""

    def __init__(
        self, http: aiohttp.ClientSession, url: str, token: str, name: str, history: History, sign_every: int = 0
    ) -> None:
        """``sign_every``: orders whose number it divides are signed for; 0: none."""
        self.name = name
        self.shown: dict[DirectiveId, str] = {}
        """The number of every directive shown."""
        self.numbers: set[str] = set()
        self.again = 0
        """Orders that came as new though they had been shown here: the receipt was still on its way."""
        self.moved = asyncio.Event()
        self._http = http
        self._url = url
        self._token = token
        self._history = history
        self._sign_every = sign_every
        self._receipts: deque[DirectiveId] = deque()
        self._owed: set[DirectiveId] = set()
        self._signing: set[asyncio.Task[None]] = set()
        self._wanted = asyncio.Event()

    async def run(self) -> None:
        """Stay connected until cancelled."""
        while True:
            try:
                socket = await self._http.ws_connect(f"{self._url}/ws", autoping=True, max_msg_size=0)
                async with socket, asyncio.TaskGroup() as tasks:
                    await socket.send_str(codec.encode(Hello(version=1, token=self._token)).decode())
                    receipts = tasks.create_task(self._acknowledge(socket))
                    async for frame in socket:
                        self._heard(frame.data)
                    receipts.cancel()
            except* (aiohttp.ClientError, OSError, TimeoutError, MalformedMessage):
                pass
            self._receipts.clear()
            self._owed.clear()
            await asyncio.sleep(AGAIN_S)

    @property
    def settled(self) -> bool:
        """Whether every receipt was sent and every signature answered."""
        return not self._receipts and not self._signing

    def _heard(self, data: object) -> None:
        message = codec.decode_gateway(data.encode() if isinstance(data, str) else bytes(data))  # type: ignore[call-overload]
        if not isinstance(message, DirectiveView) or message.mine is None or message.mine.shown_at is not None:
            return
        if message.directive not in self.shown:
            self._show(message)
        elif message.directive not in self._owed:
            self.again += 1
        if message.directive not in self._owed:
            self._owed.add(message.directive)
            self._receipts.append(message.directive)
            self._wanted.set()

    def _show(self, message: DirectiveView) -> None:
        number = number_in(message.title)
        self.shown[message.directive] = number
        self.numbers.add(number)
        self._history.add(self.name, Did.SHOW, number, lane=message.urgency)
        self.moved.set()

    async def _acknowledge(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            while self._receipts:
                directive = self._receipts.popleft()
                await socket.send_str(codec.encode(Receipt(directive=directive, stage=Stage.SHOWN)).decode())
                if self._sign_every and int(self.shown[directive]) % self._sign_every == 0:
                    self._sign(directive)
                await asyncio.sleep(RECEIPT_S)
            self._wanted.clear()
            await self._wanted.wait()

    def _sign(self, directive: DirectiveId) -> None:
        task = asyncio.create_task(self._signed(directive))
        self._signing.add(task)
        task.add_done_callback(self._signing.discard)

    async def _signed(self, directive: DirectiveId) -> None:
        """Sign until it is answered; ``not-shown`` means that the receipt was lost and will be said again."""
        headers = {"Authorization": f"Bearer {self._token}"}
        url = f"{self._url}/api/v1/directives/{directive}/sign"
        while True:
            status = 0
            try:
                limit = aiohttp.ClientTimeout(ANSWER_S)
                async with self._http.post(url, json={"name": "赵支书"}, headers=headers, timeout=limit) as answer:
                    status = answer.status
            except (aiohttp.ClientError, OSError, TimeoutError):
                pass
            outcome = Outcome.OK if status in (200, 204) else Outcome.UNKNOWN if status == 0 else Outcome.FAILED
            self._history.add(self.name, Did.SIGN, f"{self.name} {self.shown[directive]}", outcome)
            if outcome is Outcome.OK:
                return
            await asyncio.sleep(AGAIN_S)
