"""Alarms from an MQTT broker: smoke detectors, power meters, water gauges and their collectors.

One message is one alarm, as ``POST /api/v1/alarms`` takes it, without a picture; the last level of its topic names
the source where the message does not.  A message is acknowledged when its alarm is durable (QoS 1: what the power
takes is sent again by the broker), or when it can never become one; acknowledgements keep the order of arrival.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Sequence
from typing import Protocol
from urllib.parse import urlsplit

import aiomqtt
import msgspec

from signaling.errors import Refused, RemoteError
from signaling.ids import NodeCode
from signaling.records import Actor, AlarmRaised, Role

from . import telemetry
from .clock import Clock
from .forms import AlarmRequest
from .settings import MqttSection

log = logging.getLogger(__name__)

MAX_PAYLOAD_BYTES = 8_192
TOGETHER = 64
"""Alarms on their way to the disk at a time: they are committed together."""
MAX_WAITING = 1_000
KEEPALIVE_S = 30
AGAIN_S = 1.0
MAX_AGAIN_S = 30.0
MAX_NAME = 60
PATIENCE_S = 0.2


class Alarms(Protocol):
    """Where alarms are raised: ``gateway/alarms.py``."""

    async def raise_alarm(self, actor: Actor, request: AlarmRequest) -> tuple[AlarmRaised, bool]: ...


class Mqtt:
    """One subscription at one broker.  Run ``run`` in a task group."""

    def __init__(self, node: NodeCode, alarms: Alarms, settings: MqttSection, clock: Clock) -> None:
        self._actor = Actor("mqtt", Role.DEVICE, node)
        self._alarms = alarms
        self._settings = settings
        self._clock = clock
        self.up = False
        """Whether the broker has taken the subscription."""

    async def run(self) -> None:
        """Take alarms, dialling again when the broker goes away; returns at once when none is configured."""
        wait_s = AGAIN_S
        while self._settings.url is not None:
            began = self._clock.now()
            try:
                await self._serve(self._settings.url)
            except (aiomqtt.MqttError, OSError, TimeoutError) as error:
                log.warning("mqtt broker lost", extra={"error": str(error)[:200]})
                telemetry.count("mqtt_lost")
            finally:
                self.up = False
            wait_s = AGAIN_S if self._clock.now() - began > MAX_AGAIN_S else min(2 * wait_s, MAX_AGAIN_S)
            await asyncio.sleep(wait_s * (0.5 + self._clock.random() / 2))

    async def _serve(self, url: str) -> None:
        async with self._client(url) as client:
            client._client.manual_ack_set(True)  # aiomqtt has no word for it, the client beneath does
            await client.subscribe(self._settings.topic, qos=1)
            self.up = True
            log.info("mqtt subscribed", extra={"topic": self._settings.topic})
            batch: list[aiomqtt.Message] = []
            async for message in client.messages:
                batch.append(message)
                if len(batch) >= TOGETHER or len(client.messages) == 0:
                    await self._take(client, batch)
                    batch = []

    def _client(self, url: str) -> aiomqtt.Client:
        parts, secret = urlsplit(url), self._settings.password
        secure = parts.scheme == "mqtts"
        return aiomqtt.Client(
            parts.hostname or "",
            parts.port or (8883 if secure else 1883),
            username=self._settings.username,
            password=None if secret is None else secret.get_secret_value(),
            identifier=f"wuji-{self._actor.division}",
            clean_session=False,
            keepalive=KEEPALIVE_S,
            max_queued_incoming_messages=MAX_WAITING,
            tls_context=ssl.create_default_context(cafile=self._settings.ca) if secure else None,
        )

    async def _take(self, client: aiomqtt.Client, batch: Sequence[aiomqtt.Message]) -> None:
        await asyncio.gather(*(self._raise(message) for message in batch))
        for message in batch:
            client._client.ack(message.mid, message.qos)

    async def _raise(self, message: aiomqtt.Message) -> None:
        """Raise the alarm of ``message``; what can never become one is counted and let go."""
        try:
            raised, made = await self._patiently(read(message.topic.value, message.payload))
        except RemoteError as error:
            telemetry.count("mqtt_refused", code=error.code)
            log.warning("mqtt message refused", extra={"code": error.code})
        except (msgspec.DecodeError, ValueError, RecursionError):
            telemetry.count("mqtt_refused", code="malformed-message")
            log.warning("mqtt message malformed")
        else:
            telemetry.count("mqtt_alarms", urgency=raised.urgency, made=made)

    async def _patiently(self, request: AlarmRequest) -> tuple[AlarmRaised, bool]:
        """Raise an alarm, waiting while too many wait for the disk: the broker keeps the others meanwhile."""
        while True:
            try:
                return await self._alarms.raise_alarm(self._actor, request)
            except Refused as error:
                if error.code != "too-many-alarms":
                    raise
            await asyncio.sleep(PATIENCE_S)


def read(topic: str, payload: object) -> AlarmRequest:
    """Return what a message asks for.

    Raises:
        ValueError: It is too long or no text.
        msgspec.DecodeError: It is no alarm.
    """
    if not isinstance(payload, bytes | bytearray) or len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"more than {MAX_PAYLOAD_BYTES} bytes, or none")
    request = msgspec.json.decode(payload, type=AlarmRequest)
    return request if request.source else msgspec.structs.replace(request, source=topic.rsplit("/", 1)[-1][:MAX_NAME])
