"""The post is addressed and the person on duty signs; rosters and files go where they are needed."""

from collections.abc import Awaitable
from pathlib import Path

import msgspec
import pytest

from gateway import attachments as module
from gateway import groups, templates
from gateway.config import ConfigError
from signaling.attachment import PDF, Attachment
from signaling.errors import Refused
from signaling.ids import NodeCode, Sha256, UtcMs
from signaling.records import DeliveryAdvanced, DutyChange, Mode, RefusalRecorded, ScopeItem, Stage
from tests.support import facts
from tests.support.loop import on_loop
from tests.support.nodes import Node, until_quiet
from tests.support.places import (
    CITY,
    COUNTY,
    SIBLING,
    TABLE,
    TOWNSHIP,
    TREE,
    VILLAGE,
    commander,
    terminal,
)

POST = "值班员"
FILE = b"%PDF-1.7\n" + bytes(5_000)


async def refused(asked: Awaitable[object]) -> str:
    with pytest.raises(Refused) as caught:
        await asked
    return caught.value.code


async def on_duty(
    node: Node, person: str, place: NodeCode = VILLAGE, change: DutyChange | msgspec.UnsetType = msgspec.UNSET
) -> None:
    now = node.clock.at()
    node.clock.advance(1)
    await node.rosters.set(commander(), place, POST, person, UtcMs(now), UtcMs(now + facts.HOUR), change)


@on_loop
async def test_the_person_on_duty_signs_for_the_post_and_nobody_else(tmp_path: Path) -> None:
    county, township, village = (Node(c, tmp_path) for c in (COUNTY, TOWNSHIP, VILLAGE))
    await on_duty(county, "周主任")
    scope = (ScopeItem(node=TOWNSHIP, mode=Mode.TIER, tier=5, post=POST),)
    order, _ = await county.directives.issue(commander(), facts.request(scope=scope))
    await until_quiet(county, township, village)
    village.clock.advance(10)
    mine = village.directives.mine(order.directive, VILLAGE).mine
    assert mine is not None
    assert (mine.post, mine.on_duty) == (POST, "周主任")
    await village.directives.receipt(terminal(), order.directive, Stage.SHOWN)
    assert await refused(village.directives.sign(terminal(), order.directive, "赵网格")) == "not-on-duty"
    await on_duty(county, "吴书记")  # the shift changes
    await until_quiet(county, township, village)
    village.clock.advance(10)
    assert await refused(village.directives.sign(terminal(), order.directive, "周主任")) == "not-on-duty"
    await village.directives.sign(terminal(), order.directive, "吴书记")
    await township.directives.receipt(terminal(SIBLING), order.directive, Stage.SHOWN)
    await township.directives.sign(terminal(SIBLING), order.directive, "谁在谁签")  # nobody is on the roster there
    await until_quiet(county, township, village)
    rows = {row.node: row for row in county.directives.view(order.directive, commander()).recipients}
    assert (rows[VILLAGE].post, rows[VILLAGE].signed_by) == (POST, "吴书记")
    assert (rows[SIBLING].post, rows[SIBLING].on_duty, rows[SIBLING].signed_by) == (POST, "", "谁在谁签")
    for node in (county, township, village):
        await node.close()


@on_loop
async def test_of_two_on_duty_either_signs_once_for_the_post_and_the_ledger_says_who(tmp_path: Path) -> None:
    county, township, village = (Node(c, tmp_path) for c in (COUNTY, TOWNSHIP, VILLAGE))
    await on_duty(county, "周主任")
    await on_duty(county, "吴书记", change=DutyChange.JOINS)
    await on_duty(county, "李支书", change=DutyChange.JOINS)
    scope = (ScopeItem(node=VILLAGE, post=POST),)
    order, _ = await county.directives.issue(commander(), facts.request(scope=scope))
    await on_duty(county, "李支书", change=DutyChange.LEAVES)
    await until_quiet(county, township, village)
    village.clock.advance(10)
    mine = village.directives.mine(order.directive, VILLAGE).mine
    assert mine is not None
    assert (mine.on_duty, mine.also_on_duty) == ("周主任", ("吴书记",))
    await village.directives.receipt(terminal(), order.directive, Stage.SHOWN)
    assert await refused(village.directives.sign(terminal(), order.directive, "李支书")) == "not-on-duty"
    await village.directives.sign(terminal(), order.directive, "吴书记")
    await village.directives.sign(terminal(), order.directive, "周主任")
    await until_quiet(county, township, village)
    (row,) = county.directives.view(order.directive, commander()).recipients
    assert (row.stage, row.signed_by) == (Stage.SIGNED, "吴书记")
    words = [r.record for r in county.journal.replay() if isinstance(r.record, DeliveryAdvanced)]
    assert [word.by.name for word in words if word.stage is Stage.SIGNED and word.by] == ["吴书记"]
    for node in (county, township, village):
        await node.close()


@on_loop
async def test_a_roster_is_known_along_its_line_after_a_restart_too(tmp_path: Path) -> None:
    city, county, township, village = (Node(c, tmp_path) for c in (CITY, COUNTY, TOWNSHIP, VILLAGE))
    await on_duty(county, "周主任")
    await until_quiet(city, county, township, village)
    for node in (city, county, township, await village.restart()):
        node.clock.advance(10)
        viewer = commander(CITY) if node is city else commander()
        assert [(line.person, line.now, line.by) for line in node.rosters.lines(viewer, VILLAGE)] == [
            ("周主任", True, "王值班")
        ]
        with pytest.raises(Refused):
            node.rosters.lines(terminal(SIBLING), VILLAGE)
        await node.close()


@on_loop
async def test_only_those_who_command_a_place_set_its_roster(tmp_path: Path) -> None:
    township, village = Node(TOWNSHIP, tmp_path), Node(VILLAGE, tmp_path)
    begin, end = UtcMs(1), UtcMs(facts.HOUR)
    put = township.rosters.set
    assert await refused(put(commander(TOWNSHIP), COUNTY, POST, "x", begin, end)) == "not-permitted"
    assert await refused(put(terminal(TOWNSHIP), TOWNSHIP, POST, "x", begin, end)) == "not-permitted"
    assert await refused(put(commander(TOWNSHIP), NodeCode("1"), POST, "x", begin, end)) == "unknown-node"
    assert await refused(put(commander(TOWNSHIP), VILLAGE, "", "x", begin, end)) == "bad-text"
    assert await refused(put(commander(TOWNSHIP), VILLAGE, POST, "x", end, begin)) == "bad-record"
    assert await refused(put(commander(TOWNSHIP), VILLAGE, POST, "", begin, end, DutyChange.JOINS)) == "bad-record"
    township.rosters.receive(facts.rostered(node=VILLAGE, by=commander(TOWNSHIP)), VILLAGE)
    await township.settle()
    codes = [r.record.code for r in township.journal.replay() if isinstance(r.record, RefusalRecorded)]
    assert codes == ["not-permitted", "not-permitted", "not-permitted"]
    for node in (township, village):
        await node.close()


@on_loop
async def test_a_file_goes_with_its_directive_to_those_who_may_read_it(tmp_path: Path) -> None:
    county, township = Node(COUNTY, tmp_path), Node(TOWNSHIP, tmp_path)
    file = await county.directives.upload(commander(), FILE, "转移方案.pdf")
    assert (file.media, file.size) == (PDF, len(FILE))
    order, _ = await county.directives.issue(commander(), facts.request(files=(file,)))
    await until_quiet(county, township)
    assert [known.sha256 for known in township.blobs.wanted(COUNTY)] == [file.sha256]
    assert [o.directive for o in township.directives.attached(file.sha256)] == [order.directive]
    assert await refused(township.directives.attachment(terminal(), file.sha256)) == "blob-pending"
    await township.blobs.put(FILE)  # as the link brings it
    assert await township.directives.attachment(terminal(), file.sha256) == (FILE, PDF)
    assert await refused(township.directives.attachment(terminal(SIBLING), file.sha256)) == "not-permitted"
    assert township.directives.mine(order.directive, VILLAGE).attachments == (file,)
    for node in (county, township):
        await node.close()


@on_loop
async def test_what_is_not_here_or_not_what_it_is_said_to_be_is_not_attached(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path)
    file = await county.directives.upload(commander(), FILE, "方案.pdf")
    changed = [
        (Attachment(sha256=Sha256("0" * 64), size=9, media=PDF, name="x"), "unknown-attachment"),
        (Attachment(sha256=file.sha256, size=9, media=PDF, name="x"), "bad-attachment"),
        (Attachment(sha256=file.sha256, size=file.size, media="image/png", name="x"), "bad-attachment"),
    ]
    for wrong, code in changed:
        assert await refused(county.directives.issue(commander(), facts.request(files=(wrong,)))) == code
    assert await refused(county.directives.upload(commander(), b"<html>", "x")) == "attachment-kind"
    assert await refused(county.directives.upload(commander(), FILE, "a\nb")) == "bad-text"
    assert await refused(county.directives.upload(terminal(), FILE, "x.pdf")) == "not-permitted"
    await county.close()


@on_loop
async def test_files_that_no_directive_names_are_bounded_and_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_LOOSE_BYTES", len(FILE) + 100)
    county = Node(COUNTY, tmp_path)
    loose = await county.directives.upload(commander(), FILE, "一.pdf")
    other = FILE + b"2"
    assert await refused(county.directives.upload(commander(), other, "二.pdf")) == "too-many-uploads"
    county.clock.advance(3_601_000)
    kept = await county.directives.upload(commander(), other, "二.pdf")
    assert not county.blobs.has(loose.sha256)
    await county.directives.draft(commander(), facts.request(files=(kept,)))
    county.clock.advance(3_601_000)
    await county.directives.upload(commander(), FILE, "一.pdf")
    assert county.blobs.has(kept.sha256)  # a draft names it
    await county.close()


def test_the_demo_has_groups_and_templates_that_can_be_used() -> None:
    found = groups.read(TABLE.with_name("groups.toml"), TREE)
    assert [len(TREE.expand(group.scope)) for group in found] == [12, 153, len(TREE.children(TOWNSHIP)) + 1]
    assert {len(template.fields) for template in templates.read(TABLE.with_name("templates.toml"))} == {0, 2, 3}


@pytest.mark.parametrize(
    "text",
    [
        "[[group]]",
        '[[group]]\nid = "a"\nname = "a"\nscope = [{ node = "1" }]',
        '[[group]]\nid = "a"\nname = ""\nscope = [{ node = "430423000000" }]',
        '[[group]]\nid = "a"\nname = "a"\nscope = []',
        "nonsense",
    ],
)
def test_a_groups_file_that_cannot_be_used_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "groups.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"groups\.toml"):
        groups.read(path, TREE)
