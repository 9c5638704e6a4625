"""Alarms over MQTT: durable before they are acknowledged, and nothing hostile stops the rest."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway import mqtt
from gateway.forms import AlarmRequest
from gateway.mqtt import MAX_PAYLOAD_BYTES, Mqtt, read
from gateway.settings import MqttSection
from signaling.records import Actor, AlarmRaised
from tests.support.broker import Broker, broker
from tests.support.loop import eventually, on_loop
from tests.support.nodes import Node
from tests.support.places import VILLAGE, commander


def alarm(**changes: Any) -> bytes:
    return json.dumps({"kind": "smoke", "text": "烟雾浓度超限", "urgency": "P2"} | changes).encode()


@contextlib.asynccontextmanager
async def subscribed(node: Node, at: Broker, alarms: mqtt.Alarms | None = None) -> AsyncIterator[Mqtt]:
    adapter = Mqtt(VILLAGE, alarms or node.alarms, MqttSection(url=f"mqtt://127.0.0.1:{at.port}"), node.clock)
    task = asyncio.create_task(adapter.run())
    try:
        await eventually(lambda: adapter.up)
        yield adapter
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def raised(node: Node) -> list[AlarmRaised]:
    return [row.record for row in node.journal.replay() if isinstance(row.record, AlarmRaised)]


@on_loop
async def test_a_message_is_an_alarm_of_the_source_its_topic_names(tmp_path: Path) -> None:
    node = Node(VILLAGE, tmp_path)
    async with broker() as at, subscribed(node, at):
        assert at.topics == ["wuji/alarms/#"]
        at.publish("wuji/alarms/mill/烟感-17", alarm())
        at.publish("wuji/alarms/collector", alarm(source="水位站03", kind="flood", event="e-1"))
        await eventually(lambda: len(at.acknowledged) == 2)
        assert {(r.source, r.kind, r.by.name) for r in raised(node)} == {
            ("烟感-17", "smoke", "mqtt"),
            ("水位站03", "flood", "mqtt"),
        }
        assert len(node.alarms.incidents.list(commander(VILLAGE))) == 2
    await node.close()


@on_loop
async def test_what_is_no_alarm_is_let_go_and_the_rest_taken_in_order(tmp_path: Path) -> None:
    node = Node(VILLAGE, tmp_path)
    bad = [b"", b"{", b"\xff\xfe", b"[" * 5_000, b'{"kind": 1}', alarm(kind=""), alarm(place="1"), alarm(unknown=1)]
    async with broker() as at, subscribed(node, at):
        for payload in (*bad, b"x" * (MAX_PAYLOAD_BYTES + 1), alarm(text="真的")):
            at.publish("wuji/alarms/x", payload)
        await eventually(lambda: len(at.acknowledged) == len(bad) + 2)
        assert at.acknowledged == sorted(at.acknowledged)
        assert [r.text for r in raised(node)] == ["真的"]
    await node.close()


class Held:
    """Alarms whose disk is slow."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.go_on = asyncio.Event()
        self.asked = 0

    async def raise_alarm(self, actor: Actor, request: AlarmRequest) -> tuple[AlarmRaised, bool]:
        self.asked += 1
        await self.go_on.wait()
        return await self.node.alarms.raise_alarm(actor, request)


@on_loop
async def test_nothing_is_acknowledged_before_it_is_durable_and_what_was_not_comes_again(tmp_path: Path) -> None:
    node = Node(VILLAGE, tmp_path)
    async with broker() as at:
        held = Held(node)
        async with subscribed(node, at, held):
            at.publish("wuji/alarms/x", alarm(event="e-1"))
            await eventually(lambda: held.asked == 1)
            assert (at.acknowledged, raised(node)) == ([], [])
        async with subscribed(node, at):  # the power came back
            await eventually(lambda: at.acknowledged == [1])
            assert len(raised(node)) == 1
    await node.close()


@on_loop
async def test_a_lost_broker_is_dialled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "AGAIN_S", 0.001)
    node = Node(VILLAGE, tmp_path)
    async with broker() as at, subscribed(node, at) as adapter:
        at.publish("wuji/alarms/x", alarm(event="e-1"))
        await eventually(lambda: at.acknowledged == [1])
        at.drop()
        await eventually(lambda: len(at.topics) == 2 and adapter.up)
        at.publish("wuji/alarms/x", alarm(event="e-2"))
        await eventually(lambda: at.acknowledged == [1, 2])
        assert len(raised(node)) == 2
    await node.close()


@pytest.mark.parametrize("payload", [None, 17, "text", b"x" * (MAX_PAYLOAD_BYTES + 1)])
def test_payloads_are_bounded(payload: object) -> None:
    with pytest.raises(ValueError, match="bytes"):
        read("t", payload)


def test_a_long_topic_makes_no_long_name() -> None:
    assert len(read("a/" + "x" * 500, alarm()).source) == 60
