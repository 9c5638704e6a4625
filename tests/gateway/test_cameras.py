"""An alarm that comes without a picture gets one of its camera, and no camera stands where none may (S16, S17)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.camera_ways import Ways, parse
from gateway.cameras import AGAIN_MS, TAKEN, TOGETHER, Cameras
from gateway.settings import CamerasSection
from media.camera import CameraError, View
from media.snapshot import Pictures
from signaling.errors import Refused
from signaling.ids import AlarmId, NodeCode
from signaling.records import AlarmPictured, SourceLooked
from tests.gateway.test_alarms import request
from tests.gateway.test_mqtt import alarm, subscribed
from tests.support.broker import broker
from tests.support.camera import Camera, camera, coded, h264, never_answers
from tests.support.facts import raised
from tests.support.loop import eventually, on_loop
from tests.support.nodes import Node
from tests.support.places import COUNTY, SIBLING, TOWNSHIP, TREE, VILLAGE, commander, device

PICTURE = Pictures(b"\xff\xd8\xffjpeg", b"\xff\xd8\xffthumbnail", 16, 9)
LOOPBACK = ["127.0.0.0/8", "::1/128"]


class Registry:
    """Sources by name; ``left`` is how many pictures they may still send."""

    def __init__(self, **addresses: str) -> None:
        self.addresses = addresses
        self.left = 1_000

    def camera(self, place: NodeCode, source: str) -> str:
        return self.addresses.get(source, "")

    def may_picture(self, place: NodeCode, source: str) -> bool:
        self.left -= 1
        return self.left >= 0


class Held:
    """Cameras that answer when they are told to; knows which were open together."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.open: list[str] = []
        self.taken: list[str] = []
        self.most = 0

    async def take(self, connection: socket.socket, view: View, deadline_s: float) -> Pictures:
        self.open.append(view.path)
        self.most = max(self.most, len(self.open))
        await self.go_on.wait()
        self.open.remove(view.path)
        self.taken.append(view.path)
        return PICTURE


@contextlib.asynccontextmanager
async def running(node: Node, registry: Registry, ways: Ways | None = None, **changes: Any) -> AsyncIterator[Cameras]:
    """Run the cameras of ``node``, whose alarms they watch."""
    take = changes.pop("take", None)
    cameras = Cameras(
        node.code,
        TREE,
        node.journal,
        node.clock,
        node.telemetry,
        node.refusals,
        registry,
        node.alarms.picture,
        ways or Ways(LOOPBACK, local=True),
        CamerasSection(**({"deadline_s": 60} | changes)),
        **({} if take is None else {"take": take}),
    )
    node.alarms.on_unpictured(cameras.look)
    cameras.resume(node.alarms.unpictured)
    task = asyncio.create_task(cameras.run())
    try:
        yield cameras
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def pictured(node: Node) -> list[AlarmPictured]:
    return [row.record for row in node.journal.replay() if isinstance(row.record, AlarmPictured)]


@on_loop
async def test_an_alarm_gets_a_picture_of_its_camera_and_does_not_wait_for_it(tmp_path: Path) -> None:
    node, taken = Node(VILLAGE, tmp_path), Camera(h264(coded("libx264")), login=("admin", "p@ss"))
    async with camera(taken) as port:
        registry = Registry(门前=f"rtsp://admin:p%40ss@localhost:{port}/live")
        async with running(node, registry) as cameras:
            raised, _ = await node.alarms.raise_alarm(device(), request(source="门前"))
            assert not node.alarms.pictured(raised.alarm), "the text is durable, the picture is not even asked for"
            assert cameras.outcome(VILLAGE, "门前") is None
            await eventually(lambda: pictured(node))
            (record,) = pictured(node)
            assert record.alarm == raised.alarm
            assert (await node.alarms.blob(commander(VILLAGE), record.picture)).startswith(b"\xff\xd8\xff")
            outcome = cameras.outcome(VILLAGE, "门前")
            assert outcome is not None
            assert outcome.code == TAKEN
            assert node.telemetry.value("camera_pictures", outcome=TAKEN) == 1
    await node.close()


@on_loop
async def test_an_alarm_without_a_camera_or_with_a_picture_asks_for_none(tmp_path: Path) -> None:
    node, registry, held = Node(VILLAGE, tmp_path), Registry(a="rtsp://127.0.0.1/"), Held()
    async with running(node, registry, take=held.take):
        await node.alarms.raise_alarm(device(), request(source="b"))
        await node.alarms.raise_alarm(device(), request(source="a"), pictured=True)
    assert registry.left == 1_000
    await node.close()


@on_loop
async def test_an_alarm_that_waited_for_its_picture_when_the_node_ended_gets_it_after_the_restart(
    tmp_path: Path,
) -> None:
    node, held = Node(VILLAGE, tmp_path), Held()
    async with listening() as port:
        registry = Registry(**{name: f"rtsp://127.0.0.1:{port}/{name}" for name in ("old", "young", "has", "bare")})
        await node.alarms.raise_alarm(device(), request(source="old"))
        node.clock.advance(AGAIN_MS + 1)
        async with running(node, registry, take=held.take):
            waited, _ = await node.alarms.raise_alarm(device(), request(source="young"))
            await eventually(lambda: held.open)
        assert pictured(node) == []
        has, _ = await node.alarms.raise_alarm(device(), request(source="has"), pictured=True)
        await node.alarms.picture(has.alarm, PICTURE)
        await node.alarms.raise_alarm(device(), request(source="nothing looks at it"))
        strange = raised(node=SIBLING, at=node.clock.at(), alarm=AlarmId("a-strange"), source="bare", place=SIBLING)
        node.alarms.receive(strange, TOWNSHIP)
        await node.settle()
        node.clock.advance(AGAIN_MS)
        node, held = await node.restart(), Held()
        held.go_on.set()
        async with running(node, registry, take=held.take):
            await eventually(lambda: len(pictured(node)) == 2)
            await eventually(lambda: held.taken and not held.open)
        assert held.taken == ["/young"]
        assert {record.alarm for record in pictured(node)} == {waited.alarm, has.alarm}
    await node.close()


@on_loop
async def test_an_alarm_by_mqtt_gets_a_picture_too(tmp_path: Path) -> None:
    node, held = Node(VILLAGE, tmp_path), Held()
    held.go_on.set()
    async with listening() as port, broker() as at:
        registry = Registry(门前=f"rtsp://127.0.0.1:{port}/x")
        async with running(node, registry, take=held.take), subscribed(node, at):
            at.publish("wuji/alarms/门前", alarm())
            await eventually(lambda: pictured(node))
    await node.close()


@on_loop
async def test_who_has_had_its_share_of_pictures_gets_none(tmp_path: Path) -> None:
    node, registry, held = Node(VILLAGE, tmp_path), Registry(a="rtsp://127.0.0.1/"), Held()
    registry.left = 0
    async with running(node, registry, take=held.take) as cameras:
        await node.alarms.raise_alarm(device(), request(source="a"))
        assert cameras.outcome(VILLAGE, "a") is None
    assert node.telemetry.value("pictures_throttled") == 1
    await node.close()


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[int]:
    """Something that takes connections; gives its port."""
    async with camera(never_answers) as port:
        yield port


@on_loop
async def test_so_many_cameras_are_open_and_wait_and_further_ones_are_counted(tmp_path: Path) -> None:
    node, held = Node(VILLAGE, tmp_path), Held()
    async with listening() as port:
        names = [f"s{n}" for n in range(8)]
        registry = Registry(**{name: f"rtsp://127.0.0.1:{port}/{name}" for name in names})
        async with running(node, registry, take=held.take, at_once=2, waiting=3) as cameras:
            for name in names[:2]:
                await node.alarms.raise_alarm(device(), request(source=name))
                await eventually(lambda name=name: f"/{name}" in held.open)
            for name in names[2:]:
                await node.alarms.raise_alarm(device(), request(source=name))
            assert node.telemetry.value("camera_pictures", outcome="camera-busy") == 3
            with pytest.raises(Refused, match="too many") as refused:
                await cameras.now(commander(VILLAGE), VILLAGE, "s7")
            assert refused.value.code == "camera-busy"
            held.go_on.set()
            await eventually(lambda: len(pictured(node)) == 5)
            assert held.most == 2
    await node.close()


@on_loop
async def test_alarms_that_wait_for_one_camera_share_its_picture(tmp_path: Path) -> None:
    node, held = Node(VILLAGE, tmp_path), Held()
    async with listening() as port:
        address = f"rtsp://127.0.0.1:{port}/x"
        async with running(node, Registry(a=address, b=address), take=held.take, at_once=4):
            await node.alarms.raise_alarm(device(), request(source="a"))
            await eventually(lambda: held.open)
            for number in range(TOGETHER + 2):
                await node.alarms.raise_alarm(device(), request(source="ab"[number % 2], text=f"第{number}次"))
            assert len(held.open) == 1, "a camera is not opened twice"
            assert node.telemetry.value("camera_pictures", outcome="camera-busy") == 2
            held.go_on.set()
            await eventually(lambda: len(pictured(node)) == TOGETHER + 1)
            assert held.taken == ["/x", "/x"]
    await node.close()


@on_loop
async def test_a_camera_that_gives_nothing_leaves_the_others_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.cameras.CONNECT_S", 60.0)
    node, behaves = Node(VILLAGE, tmp_path), Camera(h264(coded("libx264")))
    caplog.set_level(logging.DEBUG)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        async with camera(never_answers) as mute, camera(behaves) as good:
            registry = Registry(
                哑=f"rtsp://admin:hunter2@127.0.0.1:{mute}/hunter2",
                关=f"rtsp://admin:hunter2@127.0.0.1:{closed.getsockname()[1]}/hunter2",
                好=f"rtsp://127.0.0.1:{good}/",
            )
            raised = []
            for name, code, deadline_s in (("哑", "camera-timeout", 2), ("关", "camera-unreachable", 60)):
                async with running(node, registry, deadline_s=deadline_s) as cameras:
                    raised.append((await node.alarms.raise_alarm(device(), request(source=name)))[0])
                    await eventually(lambda name=name, cameras=cameras: cameras.outcome(VILLAGE, name))
                    outcome = cameras.outcome(VILLAGE, name)
                    assert outcome is not None
                    assert outcome.code == code
            assert not pictured(node)
            async with running(node, registry) as cameras:
                last, _ = await node.alarms.raise_alarm(device(), request(source="好"))
                await eventually(lambda: node.alarms.pictured(last.alarm))
        assert not [alarm for alarm in raised if node.alarms.pictured(alarm.alarm)]
    assert "hunter2" not in caplog.text
    assert "no picture of a camera" in caplog.text
    await node.close()


@on_loop
async def test_who_may_has_a_picture_taken_now_and_that_is_written_down(tmp_path: Path) -> None:
    node, held = Node(VILLAGE, tmp_path), Held()
    held.go_on.set()
    async with (
        listening() as port,
        running(node, Registry(a=f"rtsp://127.0.0.1:{port}/x"), take=held.take) as cameras,
    ):
        assert await cameras.now(commander(COUNTY), VILLAGE, "a") == PICTURE
        for actor, source, code in (
            (commander(SIBLING), "a", "not-permitted"),
            (device(), "a", "not-permitted"),
            (commander(COUNTY), "b", "no-camera"),
        ):
            with pytest.raises(Refused) as refused:
                await cameras.now(actor, VILLAGE, source)
            assert refused.value.code == code
    looked = [row.record for row in node.journal.replay() if isinstance(row.record, SourceLooked)]
    assert [(record.source, record.by) for record in looked] == [("a", commander(COUNTY))]
    assert not pictured(node), "it is nobody's alarm"
    await node.close()


# ---- where cameras may be (S16) ------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "http://10.20.0.9/",
        "file:///etc/passwd",
        "rtmp://10.20.0.9/",
        "rtsp:///live",
        "rtsp://10.20.0.9:99999/",
        "rtsp://10.20.0.9:0x10/",
        "rtsp://10.20.0.9/a b",
        "rtsp://10.20.0.9/a\r\nX: y",
        "rtsp://10.20.0.9/实时",
        "rtsp://10.20.0.9/#x",
        "rtsp://[10.20.0.9/",
        "rtsp://10.20.0.9/" + "x" * 512,
        "",
    ],
)
def test_what_is_no_camera_address_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(Refused) as refused:
        parse(address)
    assert refused.value.code == "bad-camera"
    assert not address or address not in str(refused.value)


def test_an_address_is_taken_apart() -> None:
    found = parse("rtsps://ad%6Din:p%40ss@cam.example:7441/live?channel=1&sub=0", "PEM")
    assert (found.host, found.port) == ("cam.example", 7_441)
    view = found.view
    assert (view.path, view.user, view.password) == ("/live?channel=1&sub=0", "admin", "p@ss")
    assert (view.tls, view.ca) == (True, "PEM")
    assert (parse("rtsp://10.20.0.9").port, parse("rtsp://10.20.0.9").view.path) == (554, "/")
    assert parse("rtsps://[fd00::9]/").port == 322


@pytest.mark.parametrize(
    ("networks", "local", "host", "allowed"),
    [
        (["10.20.0.0/16"], False, "10.20.0.9", True),
        (["10.20.0.0/16"], False, "10.21.0.9", False),
        (["10.20.0.0/16"], False, "::ffff:10.20.0.9", True),
        (["10.20.0.0/16", "fd00::/8"], False, "fd00::9", True),
        ([], True, "10.20.0.9", False),
        (["0.0.0.0/0", "::/0"], False, "127.0.0.1", False),
        (["0.0.0.0/0", "::/0"], False, "::1", False),
        (["0.0.0.0/0", "::/0"], False, "::ffff:127.0.0.1", False),
        (["0.0.0.0/0", "::/0"], False, "169.254.169.254", False),
        (["0.0.0.0/0", "::/0"], False, "fe80::1%eth0", False),
        (["0.0.0.0/0", "::/0"], False, "100.100.100.200", False),
        (["0.0.0.0/0", "::/0"], True, "0.0.0.0", False),
        (["0.0.0.0/0", "::/0"], True, "224.0.0.1", False),
        (["0.0.0.0/0", "::/0"], False, "2002:7f00:1::1", False),
        (["10.20.0.0/16"], True, "127.0.0.1", False),
        (["127.0.0.0/8"], True, "127.0.0.1", True),
    ],
)
def test_only_addresses_of_the_configured_networks_are_dialled(
    networks: list[str], local: bool, host: str, allowed: bool
) -> None:
    ways = Ways(networks, local=local)
    assert ways.allows(host) is allowed
    place = f"[{host}]" if ":" in host else host
    if not allowed and "%" not in host:
        with pytest.raises(Refused) as refused:
            ways.check(f"rtsp://{place}/")
        assert refused.value.code == "bad-camera"


@on_loop
async def test_a_name_is_looked_up_once_and_the_address_that_was_judged_is_dialled() -> None:
    asked: list[str] = []

    def answers(*found: str) -> Callable[[str, int], Any]:
        async def lookup(host: str, port: int) -> Sequence[str]:
            asked.append(host)
            return found if len(asked) == 1 else ["127.0.0.1"]

        return lookup

    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.2", 0)
    port = server.sockets[0].getsockname()[1]
    ways = Ways(["127.0.0.2/32"], local=True, lookup=answers("10.0.0.1", "127.0.0.2"))
    connection, view = await ways.dial(f"rtsp://rebinding.example:{port}/x")
    with connection:
        assert connection.getpeername() == ("127.0.0.2", port)
    assert (asked, view.host) == (["rebinding.example"], "rebinding.example")
    server.close()
    for found in (("10.0.0.1", "169.254.169.254"), ()):
        asked.clear()
        with pytest.raises(CameraError) as caught:
            await Ways(["127.0.0.2/32"], local=True, lookup=answers(*found)).dial("rtsp://metadata.example/")
        assert caught.value.code == "camera-address"
