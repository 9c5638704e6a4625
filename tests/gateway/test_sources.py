"""The registry of collection points."""

from pathlib import Path

import pytest

from gateway.alarms import Alarms
from gateway.camera_book import CameraBook
from gateway.camera_ways import Ways
from gateway.sources import MAX_SOURCES, Sources, Wanted
from signaling.errors import Refused
from signaling.ids import NodeCode, UtcMs
from signaling.records import Actor, AlarmRaised, AlarmState, RefusalRecorded, Role, SourceRegistered
from tests.gateway.test_alarms import request
from tests.support.loop import on_loop
from tests.support.nodes import Node, until_quiet
from tests.support.places import COUNTY, OTHER_VILLAGE, SIBLING, TOWNSHIP, TREE, VILLAGE, commander, device

HEAD = "source,place,kind,longitude,latitude\n"
ADMIN = Actor(name="管理员", role=Role.ADMIN, division=COUNTY)


def registry(node: Node, per_min: float = 60, burst: int = 2) -> Sources:
    path, book = node.directory / "sources.sqlite", CameraBook(node.directory / "cameras.sqlite")
    ways = Ways(["10.20.0.0/16"], local=False)
    return Sources(node.code, TREE, node.journal, node.clock, path, per_min, burst, node.refusals, book, ways.check)


@on_loop
async def test_8276_points_are_loaded_at_once_and_again_only_what_changed(tmp_path: Path) -> None:
    node = Node(COUNTY, tmp_path)
    sources = registry(node)
    lines = [f"烟感-{n},{VILLAGE if n % 2 else SIBLING},smoke,112.8,27.2" for n in range(8_276)]
    assert await sources.load(ADMIN, HEAD + "\n".join(lines)) == (8_276, 8_276)
    node.clock.advance(1)
    lines[7] = f"烟感-7,{VILLAGE},water,112.8,27.2"
    assert await sources.load(ADMIN, HEAD + "\n".join(lines)) == (8_276, 1)
    found, count = sources.list(commander(COUNTY), 10, 5)
    assert (len(found), count) == (5, 8_276)
    sources.close()
    node = await node.restart()
    sources = registry(node)
    assert sources.list(commander(COUNTY), 0, 1)[1] == 8_276
    sources.close()
    await node.close()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "bad-csv"),
        ("source,place\n", "bad-csv"),
        (HEAD + f"a,{VILLAGE},smoke,east,27", "bad-csv"),
        (HEAD + f'"a,{VILLAGE},smoke,1,1', "bad-csv"),
        (HEAD + "a,1,smoke,112,27", "unknown-node"),
        (HEAD + f",{VILLAGE},smoke,112,27", "bad-text"),
        (HEAD + f"a\x1b,{VILLAGE},smoke,112,27", "bad-text"),
        (HEAD + f"a,{VILLAGE},smoke,181,27", "bad-record"),
        (HEAD + f"a,{VILLAGE},smoke,nan,27", "bad-record"),
        ("source,place,kind,longitude,latitude,camera\n" + f"a,{VILLAGE},smoke,,,rtsp://10.21.0.1/", "bad-camera"),
        (HEAD + "x\n" * (MAX_SOURCES + 1), "unknown-node"),
        (HEAD + "".join(f"{n},{VILLAGE},k,,\n" for n in range(MAX_SOURCES + 1)), "too-many-sources"),
    ],
)
@on_loop
async def test_a_list_with_one_bad_line_registers_nothing(tmp_path: Path, text: str, code: str) -> None:
    node = Node(COUNTY, tmp_path)
    sources = registry(node)
    with pytest.raises(Refused) as refused:
        await sources.load(ADMIN, text)
    assert refused.value.code == code
    assert sources.list(commander(COUNTY), 0, 10) == ([], 0)
    sources.close()
    await node.close()


@on_loop
async def test_only_who_may_registers_and_arms(tmp_path: Path) -> None:
    node = Node(COUNTY, tmp_path)
    sources = registry(node)
    with pytest.raises(Refused) as refused:
        await sources.load(commander(COUNTY), HEAD + f"a,{VILLAGE},smoke,,")
    assert refused.value.code == "not-permitted"
    await sources.load(ADMIN, HEAD + f"a,{VILLAGE},smoke,,\nb,{OTHER_VILLAGE},smoke,,")
    for actor, place, source, code in (
        (device(VILLAGE), VILLAGE, "a", "not-permitted"),
        (commander(SIBLING), VILLAGE, "a", "not-permitted"),
        (commander(TOWNSHIP), OTHER_VILLAGE, "b", "not-permitted"),
        (commander(COUNTY), VILLAGE, "b", "unknown-source"),
    ):
        node.clock.advance(1)
        with pytest.raises(Refused) as refused:
            await sources.arm(actor, NodeCode(place), source, False, "检修")
        assert refused.value.code == code
    await node.settle()
    refusals = [row.record for row in node.journal.replay() if isinstance(row.record, RefusalRecorded)]
    assert len(refusals) == 4
    assert [point.registered.source for point in sources.list(commander(TOWNSHIP), 0, 10)[0]] == ["a"]
    sources.close()
    await node.close()


@on_loop
async def test_what_a_disarmed_source_says_is_in_the_ledger_and_nowhere_else(tmp_path: Path) -> None:
    county, village = Node(COUNTY, tmp_path), Node(VILLAGE, tmp_path)
    sources = registry(village)
    alarms = Alarms(
        VILLAGE,
        TREE,
        village.journal,
        village.blobs,
        village.clock,
        village.telemetry,
        village.refusals,
        sources,
    )
    admin = Actor(name="管理员", role=Role.ADMIN, division=VILLAGE)
    await sources.load(admin, HEAD + f"烟感-17,{VILLAGE},smoke,,")
    await sources.arm(commander(VILLAGE), VILLAGE, "烟感-17", False, "检修")
    alarm, _ = await alarms.raise_alarm(device(), request())
    assert alarm.disarmed
    assert alarms.incidents.list(commander(VILLAGE)) == []
    view = alarms.incidents.view(alarm.alarm, commander(VILLAGE))
    assert (view.card, view.state) == ("", AlarmState.MERGED)
    await until_quiet(county, village)
    assert [row for row in village.journal.replay() if isinstance(row.record, AlarmRaised)]
    assert not [row for row in county.journal.replay() if isinstance(row.record, AlarmRaised)]
    await sources.arm(commander(VILLAGE), VILLAGE, "烟感-17", True, "")
    assert not (await alarms.raise_alarm(device(), request()))[0].disarmed
    assert len(alarms.incidents.list(commander(VILLAGE))) == 1
    await sources.save()
    (point,), _ = sources.list(commander(VILLAGE), 0, 10)
    assert point.seen == village.clock.at()
    sources.close()
    again = registry(village)
    (kept,), _ = again.list(commander(VILLAGE), 0, 10)
    assert (kept.seen, kept.armed) == (point.seen, True)
    again.close()
    for node in (county, village):
        await node.close()


@on_loop
async def test_a_list_is_searched_by_text_and_by_silence(tmp_path: Path) -> None:
    node = Node(COUNTY, tmp_path)
    sources = registry(node)
    await sources.load(
        ADMIN, HEAD + f"烟感-17,{VILLAGE},smoke,,\n水位站,{OTHER_VILLAGE},water,,\nSMOKE-3,{SIBLING},x,,"
    )

    def names(wanted: Wanted) -> set[str]:
        found, count = sources.list(commander(COUNTY), 0, 10, wanted)
        assert count == len(found)
        return {point.registered.source for point in found}

    assert names(Wanted("Smoke")) == {"烟感-17", "SMOKE-3"}
    assert names(Wanted(TREE.name(OTHER_VILLAGE))) == {"水位站"}
    assert names(Wanted("没有")) == set()
    node.clock.advance(60_000)
    sources.heard(VILLAGE, "烟感-17", node.clock.at())
    assert names(Wanted(silent_since=node.clock.at())) == {"水位站", "SMOKE-3"}, "one is heard, two never were"
    assert names(Wanted(silent_since=UtcMs(node.clock.at() + 1))) == {"烟感-17", "水位站", "SMOKE-3"}
    assert names(Wanted("smoke", node.clock.at())) == {"SMOKE-3"}
    sources.close()
    await node.close()


@on_loop
async def test_a_camera_is_bound_and_taken_away_and_its_address_is_in_no_record(tmp_path: Path) -> None:
    node = Node(COUNTY, tmp_path)
    sources = registry(node)
    head, line = HEAD.strip() + ",camera\n", f"烟感-17,{VILLAGE},smoke,,"
    address = "rtsp://admin:hunter2@10.20.0.9/user=admin_password=hunter2"
    assert await sources.load(ADMIN, f"{head}{line},{address}") == (1, 1)
    assert sources.camera(VILLAGE, "烟感-17") == address
    node.clock.advance(1)
    assert await sources.load(ADMIN, f"{head}{line},{address}") == (1, 0)
    assert await sources.load(ADMIN, HEAD + line) == (1, 0), "without the column it stays"
    registered = [row.record for row in node.journal.replay() if isinstance(row.record, SourceRegistered)]
    assert [record.camera for record in registered] == [True]
    assert not [row for row in node.journal.replay() if b"hunter2" in row.data or b"10.20" in row.data]
    assert (node.directory / "cameras.sqlite").stat().st_mode & 0o777 == 0o600
    sources.close()
    sources = registry(node)
    assert sources.camera(VILLAGE, "烟感-17") == address, "it is still known after a restart"
    node.clock.advance(1)
    assert await sources.load(ADMIN, f"{head}{line},{address}2") == (1, 1)
    node.clock.advance(1)
    assert await sources.load(ADMIN, f"{head}{line},") == (1, 1)
    assert sources.camera(VILLAGE, "烟感-17") == ""
    sources.close()
    await node.close()


@on_loop
async def test_a_source_sends_so_many_pictures_and_others_their_own(tmp_path: Path) -> None:
    node = Node(COUNTY, tmp_path)
    sources = registry(node, per_min=60, burst=2)
    assert [sources.may_picture(VILLAGE, "a") for _ in range(4)] == [True, True, False, False]
    assert sources.may_picture(VILLAGE, "b")
    assert sources.may_picture(SIBLING, "a")
    node.clock.advance(1_000)
    assert [sources.may_picture(VILLAGE, "a") for _ in range(2)] == [True, False]
    sources.pictured_not(VILLAGE, "a")  # there was no room for it: it may come again
    assert [sources.may_picture(VILLAGE, "a") for _ in range(2)] == [True, False]
    sources.close()
    await node.close()
