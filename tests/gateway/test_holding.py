"""Records of a newer neighbour that this gateway cannot read: none is lost, and after the upgrade each is taken in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway import holding, intake, logfile
from gateway.holding import Holding
from gateway.intake import Intake
from gateway.skews import Skews
from signaling import records
from signaling.ids import DirectiveId, NodeCode
from signaling.messages import VERSION, Skew
from signaling.records import (
    AnyRecord,
    DirectiveIssued,
    DirectiveRequest,
    RecordHeld,
    RecordTaken,
    RefusalRecorded,
    ScopeItem,
    Urgency,
)
from tests.support.builds import decode_older
from tests.support.loop import on_loop
from tests.support.nodes import Node
from tests.support.places import COUNTY, TOWNSHIP, commander

NEWER = VERSION + 1


class Kept(Node):
    """A node with what its links would have."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.holding = Holding(self.code, self.journal, self.clock, self.telemetry)
        self.intake = Intake(self, self.refusals, self.holding)

    def link_record(self, record: AnyRecord, via: NodeCode) -> None:
        self.dispatch(record, via)


async def issued(county: Node, number: int, **changes: Any) -> DirectiveId:
    request = DirectiveRequest(
        click_id=f"c-{number}", urgency=Urgency.P1, title=f"第{number}号", text="转移",
        scope=(ScopeItem(node=TOWNSHIP),), **changes,
    )  # fmt: skip
    header, _ = await county.directives.issue(commander(), request)
    return DirectiveId(header.directive)


def said(node: Node) -> list[str]:
    return [row.data.decode() for row in node.journal.replay() if row.key.startswith("directive:")]


def open_at(node: Node) -> list[str]:
    return [view.title for view in node.directives.open_for(TOWNSHIP)]


def rows(node: Node, kind: type[Any]) -> list[Any]:
    return [row.record for row in node.journal.replay() if isinstance(row.record, kind)]


@on_loop
async def test_a_directive_that_cannot_be_read_waits_for_the_upgrade_and_is_then_open_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    county, town = Node(COUNTY, tmp_path), Kept(TOWNSHIP, tmp_path)
    await issued(county, 1)
    recalled = await issued(county, 2, plan="防汛预案")
    await issued(county, 3, plan="防汛预案")
    await county.directives.recall(commander(), recalled, "雨停")
    await issued(county, 4)
    items = said(county)
    with monkeypatch.context() as older:
        older.setattr(records, "decode", decode_older)
        assert await town.intake.take(items, COUNTY, NEWER)
        await town.settle()
        assert open_at(town) == ["第1号", "第4号"]  # those behind do not wait
        assert town.holding.count(COUNTY) == 3, "two orders, and the recall of one that is not known here"
        assert await town.intake.take(items, COUNTY, NEWER)  # the cursor was lost
        await town.settle()
        town.intake.take_up()  # a restart that is no upgrade
        await town.settle()
        assert [len(rows(town, RecordHeld)), len(rows(town, RecordTaken))] == [3, 0]
        assert logfile.verify(town.directory / "journal.sqlite").broken_at is None
    await town.close()
    upgraded = Kept(TOWNSHIP, tmp_path)
    for module in (holding, intake):
        monkeypatch.setattr(module, "VERSION", NEWER)
    for _ in range(2):
        upgraded.intake.take_up()
        await upgraded.settle()
        assert sorted(open_at(upgraded)) == ["第1号", "第3号", "第4号"], "the recalled one stays recalled"
        assert upgraded.holding.count(COUNTY) == 0
        assert [taken.taken for taken in rows(upgraded, RecordTaken)] == [True] * 3
    assert sorted(said(upgraded)) == sorted(items), "byte for byte as the county wrote them"
    await county.close()
    await upgraded.close()


@on_loop
async def test_what_a_neighbour_of_our_own_version_says_and_nobody_can_read_is_refused(tmp_path: Path) -> None:
    town = Kept(TOWNSHIP, tmp_path)
    assert await town.intake.take(["{}", "[" * 10_000, '{"type":"teleported"}'], COUNTY, VERSION)
    assert await town.intake.take(["{}", "[" * 10_000, "7"], COUNTY, NEWER)  # of no version
    await town.settle()
    assert {refusal.code for refusal in rows(town, RefusalRecorded)} == {"malformed-message"}
    assert town.refusals.total == 6
    assert not rows(town, RecordHeld)
    await town.close()


@on_loop
async def test_no_more_is_kept_of_a_neighbour_than_the_bound_and_the_rest_is_not_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "MAX_HELD_BYTES", 1_000)
    town = Kept(TOWNSHIP, tmp_path)
    assert await town.intake.take([f'{{"type":"teleported","n":{n}}}' for n in range(2)], COUNTY, NEWER)
    await town.settle()
    assert not await town.intake.take(['{"type":"teleported","text":"' + "x" * 1_000 + '"}'], COUNTY, NEWER)
    assert town.holding.count(COUNTY) == 2
    await town.close()


@on_loop
async def test_a_record_that_the_newer_rules_refuse_too_waits_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    county, town = Node(COUNTY, tmp_path), Kept(TOWNSHIP, tmp_path)
    await issued(county, 1)
    (item,) = said(county)
    forged = msgspec.structs.replace(records.decode(item.encode()), title="假")
    assert isinstance(forged, DirectiveIssued)
    assert await town.intake.take([records.encode(forged).decode()], COUNTY, NEWER)
    await town.settle()
    assert town.holding.count(COUNTY) == 1
    for module in (holding, intake):
        monkeypatch.setattr(module, "VERSION", NEWER)
    town.intake.take_up()
    await town.settle()
    assert (town.holding.count(COUNTY), open_at(town)) == (0, [])
    assert [taken.taken for taken in rows(town, RecordTaken)] == [False]
    assert await town.intake.take([item], COUNTY, NEWER)
    await town.settle()
    assert open_at(town) == ["第1号"]
    await county.close()
    await town.close()


@on_loop
async def test_consoles_are_told_what_a_newer_neighbour_waits_for_and_when_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    town = Kept(TOWNSHIP, tmp_path)
    skews, told = Skews(town.holding), list[Skew]()
    skews.on_change = told.append
    assert await town.intake.take(['{"type":"teleported"}'], COUNTY, NEWER)
    await town.settle()
    skews.refused(COUNTY, NEWER, "两端协议版本不合")
    assert [(skew.held, skew.refused) for skew in told] == [(1, False), (1, True)]
    assert list(skews.list()) == [told[-1]]
    assert skews.sentence(COUNTY) == "两端协议版本不合"
    for module in (holding, intake):
        monkeypatch.setattr(module, "VERSION", NEWER)
    town.intake.take_up()
    await town.settle()
    assert (told[-1].held, told[-1].refused) == (0, True)
    await town.close()
