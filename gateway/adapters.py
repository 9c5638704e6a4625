"""What leaves the tree: notices to systems of others, by one door that lets no exercise out.

``Adapters.send`` is that door.  Whatever comes of a notice is a record: which adapter, which places, which people
by reference (numbers are in ``people.py``'s files), and the outcome.  A notice that was sent is not sent again; one
whose outcome was lost with the power may be, and carries the same id, by which the far side knows it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from gateway.clock import Clock
from gateway.journal import Journal, Row
from gateway.outbound import CallFailed, Outbound
from gateway.settings import AdaptersSection
from gateway.telemetry import Telemetry
from signaling.ids import NodeCode
from signaling.records import NoticeSent, Urgency

log = logging.getLogger(__name__)

SENT = "sent"
EXERCISE = "exercise"
SMS_BATCH = 200
"""Numbers in one call."""
SMS_TEXT = 300
"""Characters; a longer text is cut: the directive itself is on the terminal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing to tell the outside.  ``id`` makes a repeat known; ``people`` are references of contacts."""

    id: str
    kind: str
    subject: str
    """Id of the directive or the alarm."""
    urgency: Urgency
    title: str
    text: str
    places: tuple[NodeCode, ...]
    people: tuple[str, ...] = ()
    exercise: bool = False
    public: bool = False
    """For everybody, by the ways that reach everybody; otherwise for ``people``, by the ways that reach persons."""


class Adapter(Protocol):
    """One way out.  ``name`` is stable: it stands in records."""

    @property
    def name(self) -> str: ...

    @property
    def public(self) -> bool:
        """Whether everybody hears what goes this way: it is given public notices, and no others."""
        ...

    async def send(self, notice: Notice) -> None:
        """Bring ``notice`` to the other side; raises CallFailed when it could not be, retries included."""
        ...


class Adapters:
    """All ways out of this node."""

    def __init__(
        self, node: NodeCode, journal: Journal, clock: Clock, telemetry: Telemetry, adapters: Iterable[Adapter] = ()
    ) -> None:
        self._node = node
        self._journal = journal
        self._clock = clock
        self._telemetry = telemetry
        self._adapters: list[Adapter] = list(adapters)
        self._outcomes: dict[str, dict[str, str]] = {}
        journal.follow(self._fold, ("notice:",))

    @property
    def names(self) -> Sequence[str]:
        """The ways that reach persons."""
        return [adapter.name for adapter in self._adapters if not adapter.public]

    @property
    def public(self) -> Sequence[str]:
        """The ways that reach everybody."""
        return [adapter.name for adapter in self._adapters if adapter.public]

    def add(self, adapter: Adapter) -> None:
        """Send by ``adapter`` too."""
        self._adapters.append(adapter)

    def outcome(self, notice: str) -> Mapping[str, str]:
        """Return adapter name to ``sent`` or the code of what went wrong, as far as ``notice`` has come."""
        return self._outcomes.get(notice, {})

    async def send(self, notice: Notice) -> Mapping[str, str]:
        """Send ``notice`` by every adapter of its kind that has not, and journal what comes of it; never raises for it.

        An exercise is sent by none.  Returns adapter name to ``sent`` or a code.
        """
        if notice.exercise:
            await self._say(notice, "", EXERCISE)
            return {"": EXERCISE}
        known = self.outcome(notice.id)
        ways = [one for one in self._adapters if one.public == notice.public and one.name not in known]
        await asyncio.gather(*(self._send(one, notice) for one in ways))
        return self.outcome(notice.id)

    async def _send(self, adapter: Adapter, notice: Notice) -> None:
        try:
            await adapter.send(notice)
            outcome = SENT
        except CallFailed as error:
            outcome = error.code
            log.error("notice not sent", extra={"adapter": adapter.name, "notice": notice.id, "code": error.code})
        await self._say(notice, adapter.name, outcome)

    async def _say(self, notice: Notice, adapter: str, outcome: str) -> None:
        self._telemetry.count("notices", adapter=adapter or "none", outcome=outcome)
        record = NoticeSent(
            node=self._node,
            at=self._clock.at(),
            notice=notice.id,
            kind=notice.kind,
            subject=notice.subject,
            adapter=adapter,
            outcome=outcome,
            places=notice.places,
            people=notice.people,
        )
        await self._journal.append(record)

    def _fold(self, rows: Sequence[Row]) -> None:
        for row in rows:
            if isinstance(row.record, NoticeSent):
                self._outcomes.setdefault(row.record.notice, {})[row.record.adapter] = row.record.outcome


# ---- ways out ------------------------------------------------------------------------------------


class Webhook:
    """POSTs a notice as JSON, signed: ``X-Wuji-Signature: t=<ms>,v1=<hex>``, HMAC-SHA256 over ``<ms>.<body>``."""

    name = "webhook"
    public = False

    def __init__(self, outbound: Outbound, url: str, secret: bytes, clock: Clock) -> None:
        self._outbound = outbound
        self._url = url
        self._secret = secret
        self._clock = clock

    async def send(self, notice: Notice) -> None:
        body = msgspec.json.encode(notice)
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": notice.id,
            "X-Wuji-Signature": sign(self._secret, self._clock.at(), body),
        }
        await self._outbound.post(self._url, body, headers)


def sign(secret: bytes, at: int, body: bytes) -> str:
    """Return the signature header of ``body``, sent at ``at`` (ms since the epoch, so that old ones can be refused)."""
    mac = hmac.new(secret, f"{at}.".encode() + body, hashlib.sha256)
    return f"t={at},v1={mac.hexdigest()}"


class Numbers(Protocol):
    """Where the numbers of people are: ``gateway/people.py``."""

    def phones(self, people: Iterable[str]) -> Mapping[str, str]: ...


class Sms:
    """Asks a gateway of short messages: ``{"id", "text", "to": [numbers]}`` by POST, with a bearer token.

    The shape is an example: gateways differ, and a small program of the operator's translates.
    """

    name = "sms"
    public = False

    def __init__(self, outbound: Outbound, url: str, token: str, numbers: Numbers) -> None:
        self._outbound = outbound
        self._url = url
        self._token = token
        self._numbers = numbers

    async def send(self, notice: Notice) -> None:
        """Send to those of ``notice.people`` whose number is known; raises CallFailed ``no-number`` if nobody's is."""
        numbers = list(self._numbers.phones(notice.people).values())
        if not numbers:
            raise CallFailed("no-number", "nobody of the notice has a number in the contacts file, nor on the roster")
        text = f"【{notice.urgency}】{notice.title}：{notice.text}"[:SMS_TEXT]
        for start in range(0, len(numbers), SMS_BATCH):
            key = f"{notice.id}:{start}"
            body = msgspec.json.encode({"id": key, "text": text, "to": numbers[start : start + SMS_BATCH]})
            headers = {
                "Content-Type": "application/json",
                "Idempotency-Key": key,
                "Authorization": f"Bearer {self._token}",
            }
            await self._outbound.post(self._url, body, headers)


def configured(section: AdaptersSection, outbound: Outbound, numbers: Numbers, clock: Clock) -> list[Adapter]:
    """Return the adapters ``section`` asks for; none is the default."""
    found: list[Adapter] = []
    if section.webhook_url is not None and section.webhook_secret is not None:
        found.append(Webhook(outbound, section.webhook_url, section.webhook_secret.get_secret_value().encode(), clock))
    if section.sms_url is not None and section.sms_token is not None:
        found.append(Sms(outbound, section.sms_url, section.sms_token.get_secret_value(), numbers))
    return found
