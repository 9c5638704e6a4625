"""What is let out to the public: by a person, as files that are whole, cancelled when recalled, never an exercise."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import stamina

from gateway.adapters import Adapters, Notice
from gateway.filedrop import BAD, DONE, MAX_RECEIPT_BYTES, RECEIPTS, FileDrop, file_name
from gateway.forms import AlarmRequest
from gateway.outbound import CallFailed
from gateway.releases import Releases
from signaling import cap
from signaling.cap import Alert, MsgType, Scope, Status
from signaling.errors import Refused
from signaling.ids import AlarmId, DirectiveId
from signaling.records import (
    Actor,
    AlarmState,
    DirectiveRequest,
    Mode,
    NoticeAnswered,
    NoticeSent,
    Released,
    Role,
    ScopeItem,
    Urgency,
)
from tests.signaling.test_interchange import alert
from tests.support.loop import eventually, on_loop
from tests.support.nodes import Node, until_quiet
from tests.support.places import CITY, COUNTY, OTHER_TOWNSHIP, TOWNSHIP, VILLAGE, auditor, commander, device, terminal


class Person:
    """A way that reaches persons; remembers what it was given."""

    name = "person"
    public = False

    def __init__(self) -> None:
        self.given: list[Notice] = []

    async def send(self, notice: Notice) -> None:
        self.given.append(notice)


class Office:
    """A node that can release, its folder, and a way beside it that reaches persons."""

    def __init__(self, node: Node, folder: Path) -> None:
        self.node = node
        self.folder = folder
        self.person = Person()
        self.adapters = Adapters(node.code, node.journal, node.clock, node.telemetry, [self.person])
        self.releases = Releases(
            node.code,
            node.directives._tree,
            node.directives,
            node.alarms,
            self.adapters,
            node.journal,
            node.clock,
            node.telemetry,
            node.refusals,
        )
        self.drop = FileDrop(folder, self.releases.compose, attempts=2)
        self.adapters.add(self.drop)
        self.releases.drop(self.drop)

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("*") if path.is_file()) if self.folder.exists() else []

    def message(self, identifier: str) -> Alert:
        return cap.parse((self.folder / f"{identifier}.xml").read_bytes())

    def of(self, kind: type[Any]) -> list[Any]:
        return [row.record for row in self.node.journal.replay() if isinstance(row.record, kind)]


@asynccontextmanager
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    made = Office(Node(COUNTY, tmp_path), tmp_path / "warnings")
    with stamina.set_testing(True, attempts=2):  # no waiting between attempts
        yield made
    await made.node.close()


async def issue(node: Node, **changes: Any) -> DirectiveId:
    fields = {
        "click_id": "c",
        "urgency": Urgency.P0,
        "title": "转移群众",
        "text": "立即转移",
        "scope": (ScopeItem(TOWNSHIP, Mode.SUBTREE),),
    }
    return (await node.directives.issue(commander(), DirectiveRequest(**(fields | changes))))[0].directive


async def confirmed(node: Node, **changes: Any) -> AlarmId:
    asked = AlarmRequest(**({"kind": "flood", "text": "溃堤", "place": VILLAGE} | changes))
    raised, _ = await node.alarms.raise_alarm(commander(), asked)
    await node.alarms.advance(commander(), raised.alarm, AlarmState.CONFIRMED)
    return raised.alarm


@on_loop
async def test_nothing_leaves_until_a_person_lets_it_out(tmp_path: Path) -> None:
    async with office(tmp_path) as county:
        directive = await issue(county.node)
        await confirmed(county.node)
        await county.releases.send()
        assert county.files() == []
        said = await county.releases.directive(directive, commander())
        name = f"{directive}.public"
        assert said == {"identifier": name, "outcome": {"filedrop": "sent"}, "receipts": {}}
        assert county.files() == [f"{name}.json", f"{name}.xml"]
        assert county.person.given == []
        (released,) = county.of(Released)
        assert (released.subject, released.by) == (directive, commander())


@on_loop
async def test_the_files_are_a_public_message_and_what_it_says_in_json(tmp_path: Path) -> None:
    async with office(tmp_path) as county:
        directive = await issue(county.node)
        await county.releases.directive(directive, commander())
        message = county.message(f"{directive}.public")
        assert (message.status, message.scope, message.msg_type) == (Status.ACTUAL, Scope.PUBLIC, MsgType.ALERT)
        beside = json.loads((county.folder / f"{directive}.public.json").read_bytes())
        data = (county.folder / beside["file"]).read_bytes()
        assert (beside["sha256"], beside["bytes"]) == (hashlib.sha256(data).hexdigest(), len(data))
        assert (beside["identifier"], beside["message"]) == (message.identifier, "Alert")
        assert (beside["urgency"], beside["title"], beside["text"]) == ("P0", "转移群众", "立即转移")
        assert TOWNSHIP in beside["places"]


@on_loop
async def test_pressing_again_or_starting_again_sends_nothing_again(tmp_path: Path) -> None:
    async with office(tmp_path) as county:
        directive = await issue(county.node)
        await asyncio.gather(*(county.releases.directive(directive, commander()) for _ in range(3)))
        for file in county.folder.glob("*"):
            file.unlink()  # the far side has taken them
        await county.node.journal.append()
        county.node = await county.node.restart()
        again = Office(county.node, county.folder)
        await again.releases.send()
        assert (await again.releases.directive(directive, commander()))["outcome"] == {"filedrop": "sent"}
        assert again.files() == []
        assert len(again.of(NoticeSent)) == 1


@on_loop
async def test_what_was_released_and_is_recalled_is_cancelled(tmp_path: Path) -> None:
    async with office(tmp_path) as county:
        directive = await issue(county.node)
        await county.releases.directive(directive, commander())
        running = asyncio.create_task(county.releases.run())
        await county.node.directives.recall(commander(), directive, "险情解除")
        name = f"{directive}.public.recalled"
        await eventually(lambda: f"{name}.json" in county.files())
        first, cancelled = county.message(f"{directive}.public"), county.message(name)
        assert (cancelled.msg_type, cancelled.references) == (MsgType.CANCEL, (first.reference,))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@on_loop
async def test_what_takes_its_place_leaves_only_when_released_and_names_it_then(tmp_path: Path) -> None:
    async with office(tmp_path) as county:
        old = await issue(county.node)
        await county.releases.directive(old, commander())
        new = await issue(county.node, click_id="d", supersedes=old)
        await county.releases.send()
        assert county.message(f"{old}.public.superseded").msg_type is MsgType.CANCEL
        assert not any(new in name for name in county.files())
        await county.releases.directive(new, commander())
        update = county.message(f"{new}.public")
        assert (update.msg_type, update.references) == (
            MsgType.UPDATE,
            (county.message(f"{old}.public").reference,),
        )


@on_loop
async def test_a_recall_while_the_node_was_ending_goes_out_when_it_is_back(tmp_path: Path) -> None:
    async with office(tmp_path) as county:
        directive = await issue(county.node)
        await county.releases.directive(directive, commander())
        await county.node.directives.recall(commander(), directive, "险情解除")
        county.node = await county.node.restart()
        again = Office(county.node, county.folder)
        await again.releases.send()
        assert f"{directive}.public.recalled.xml" in again.files()


@on_loop
async def test_an_alarm_is_released_when_confirmed_and_its_handling_is_nobodys_affair(tmp_path: Path) -> None:
    async with office(tmp_path) as county:
        unsure, _ = await county.node.alarms.raise_alarm(commander(), AlarmRequest(kind="fire", place=VILLAGE))
        with pytest.raises(Refused) as caught:
            await county.releases.alarm(unsure.alarm, commander())
        assert caught.value.code == "alarm-state"
        alarm = await confirmed(county.node)
        await county.releases.alarm(alarm, commander())
        message = county.message(f"{alarm}.public")
        assert (message.msg_type, message.info[0].certainty) == (MsgType.ALERT, cap.Certainty.OBSERVED)
        for state in (AlarmState.DISPATCHED, AlarmState.ON_SITE, AlarmState.HANDLED):
            await county.node.alarms.advance(commander(), alarm, state, "内部情况")
            await county.releases.send()
        assert len(county.files()) == 2
        await county.node.alarms.advance(commander(), alarm, AlarmState.CLOSED, "内部情况")
        await county.releases.send()
        closed = county.message(f"{alarm}.public.closed")
        assert (closed.msg_type, closed.references) == (MsgType.UPDATE, (message.reference,))
        assert closed.info[0].instruction is None


@on_loop
async def test_a_township_lets_out_its_own_part_of_the_countys_directive(tmp_path: Path) -> None:
    county, township = Node(COUNTY, tmp_path), Office(Node(TOWNSHIP, tmp_path), tmp_path / "warnings")
    directive = await issue(county, scope=(ScopeItem(COUNTY, Mode.SUBTREE),))
    await until_quiet(county, township.node)
    said = await township.releases.directive(directive, commander(TOWNSHIP))
    assert said["identifier"] == f"{directive}.{TOWNSHIP}.public"
    places = {pair.value for pair in township.message(str(said["identifier"])).info[0].area[0].geocode}
    assert VILLAGE in places
    assert COUNTY not in places
    for node in (county, township.node):
        await node.close()


NO_COMMANDERS = (terminal(COUNTY), device(COUNTY), auditor(CITY), Actor("管理员", Role.ADMIN, COUNTY))


@pytest.mark.parametrize("actor", NO_COMMANDERS, ids=lambda actor: actor.role)
@on_loop
async def test_only_commanders_let_anything_out(tmp_path: Path, actor: Actor) -> None:
    async with office(tmp_path) as county:
        directive, alarm = await issue(county.node), await confirmed(county.node)
        for asked in (county.releases.directive(directive, actor), county.releases.alarm(alarm, actor)):
            with pytest.raises(Refused) as caught:
                await asked
            assert caught.value.code == "not-permitted"
        assert county.files() == []


@on_loop
async def test_where_no_way_to_the_public_is_set_up_that_is_said(tmp_path: Path) -> None:
    async with office(tmp_path) as county:
        county.adapters._adapters.remove(county.drop)
        with pytest.raises(Refused) as caught:
            await county.releases.directive(await issue(county.node), commander())
        assert caught.value.code == "no-public-way"
        assert county.of(Released) == []


# ---- an exercise, through every path -------------------------------------------------------------


def notice(**changes: Any) -> Notice:
    fields: dict[str, Any] = {
        "id": "release:x",
        "kind": "directive",
        "subject": "d-1",
        "urgency": Urgency.P0,
        "title": "演练",
        "text": "演练",
        "places": (VILLAGE,),
        "public": True,
    }
    return Notice(**(fields | changes))


@on_loop
async def test_an_exercise_never_writes_a_file(tmp_path: Path) -> None:
    async with office(tmp_path) as county:
        node = county.node
        directive, alarm = await issue(node, exercise=True), await confirmed(node, exercise=True)
        for asked in (county.releases.directive(directive, commander()), county.releases.alarm(alarm, commander())):
            with pytest.raises(Refused) as refused:  # where a person asks
                await asked
            assert refused.value.code == "exercise"
        for subject in (directive, alarm):  # a journal that says otherwise, all the same
            record = Released(node=COUNTY, at=node.clock.at(), subject=subject, within=None, by=commander())
            await node.journal.append(record)
        await county.releases.send()
        assert {record.outcome for record in county.of(NoticeSent)} == {"exercise"}
        assert await county.adapters.send(notice(exercise=True)) == {"": "exercise"}  # at the door
        with pytest.raises(CallFailed) as failed:  # at the adapter itself
            await county.drop.send(notice(exercise=True))
        assert failed.value.code == "exercise"
        for status in (Status.EXERCISE, Status.TEST, Status.DRAFT, Status.SYSTEM):  # though the notice hides it
            drop = FileDrop(county.folder, lambda _, status=status: alert(status=status))
            with pytest.raises(CallFailed) as hidden:
                await drop.send(notice())
            assert hidden.value.code == "exercise"
        assert county.files() == []
        assert county.person.given == []


@on_loop
async def test_a_notice_for_persons_never_reaches_everybody_nor_the_other_way_round(tmp_path: Path) -> None:
    async with office(tmp_path) as county:
        assert await county.adapters.send(notice(public=False, people=("v-1",))) == {"person": "sent"}
        assert county.files() == []
        assert (county.adapters.names, county.adapters.public) == (["person"], ["filedrop"])
        with pytest.raises(CallFailed) as failed:
            await county.drop.send(notice(id="redial:d-1:1"))
        assert failed.value.code == "not-released"


# ---- the folder ----------------------------------------------------------------------------------


@on_loop
async def test_a_folder_that_cannot_be_written_is_an_outcome_and_no_half_file(tmp_path: Path) -> None:
    async with office(tmp_path) as county:
        county.folder.write_text("a file where the folder should be")
        said = await county.releases.directive(await issue(county.node), commander())
        assert said["outcome"] == {"filedrop": "folder-unusable"}
        assert county.folder.read_text() == "a file where the folder should be"


@on_loop
async def test_the_json_is_there_only_when_the_message_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renamed: list[str] = []
    rename = Path.rename

    def watched(self: Path, target: Path) -> Path:
        renamed.append(Path(target).name)
        assert self.read_bytes(), "renamed before it was written"
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", watched)
    drop = FileDrop(tmp_path / "w", lambda _: alert())
    await drop.send(notice())
    assert renamed == ["B-1.xml", "B-1.json"]
    assert sorted(path.name for path in (tmp_path / "w").iterdir()) == ["B-1.json", "B-1.xml"]


def test_no_identifier_leads_out_of_the_folder() -> None:
    assert file_name("d-1.430423000000.public.recalled") == "d-1.430423000000.public.recalled"
    for hostile in ("../x", "/etc/passwd", ".hidden", "a/b", "长" * 40, "x" * 121, "a\x00b"):
        name = file_name(hostile)
        assert len(name) == 64
        assert name.isalnum()


def receipt(folder: Path, name: str, content: object) -> None:
    (folder / RECEIPTS).mkdir(parents=True, exist_ok=True)
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    (folder / RECEIPTS / name).write_bytes(data)


@on_loop
async def test_receipts_are_written_down_once_and_put_away(tmp_path: Path) -> None:
    async with office(tmp_path) as county:
        directive = await issue(county.node)
        await county.releases.directive(directive, commander())
        name = f"{directive}.public"
        receipt(county.folder, "1.json", {"identifier": name, "status": "accepted", "batch": 7})
        receipt(county.folder, "2.json", {"identifier": name, "status": "broadcast", "detail": "23 个村\n已播"})
        receipt(county.folder, "3.json", {"identifier": name, "status": "broadcast"})
        await county.releases.read_receipts()
        answered = [(one.notice, one.adapter, one.status) for one in county.of(NoticeAnswered)]
        assert answered == [(f"release:{name}", "filedrop", status) for status in ("accepted", "broadcast")]
        said = await county.releases.directive(directive, commander())
        assert said["receipts"] == {"filedrop": "broadcast"}
        assert len(list((county.folder / RECEIPTS / DONE).iterdir())) == 3


@on_loop
async def test_what_is_no_receipt_is_put_aside_and_stops_no_other(tmp_path: Path) -> None:
    async with office(tmp_path) as county:
        hostile: list[object] = [b"", b"{", b"\xff", [], {"identifier": "x"}, {"identifier": "", "status": "a"}]
        hostile += [b"[" * 10_000, b" " * (MAX_RECEIPT_BYTES + 1), {"identifier": "x", "status": "s" * 41}]
        for number, content in enumerate(hostile):
            receipt(county.folder, f"{number}.json", content)
        receipt(county.folder, "z.json", {"identifier": "x", "status": "\u202eok\x00"})
        receipt(county.folder, "half.part", b"being written")
        (county.folder / RECEIPTS / "secret.json").symlink_to("/etc/hostname")
        await county.releases.read_receipts()
        assert [one.status for one in county.of(NoticeAnswered)] == ["ok"]
        assert len(list((county.folder / RECEIPTS / BAD).iterdir())) == len(hostile)
        left = {path.name for path in (county.folder / RECEIPTS).iterdir()}
        assert left == {BAD, DONE, "half.part", "secret.json"}


# ---- what the console is told -----------------------------------------------------------------------


@on_loop
async def test_what_was_let_out_when_and_what_it_has_come_to(tmp_path: Path) -> None:
    async with office(tmp_path) as county:
        directive = await issue(county.node)
        before = county.releases.of_directive(directive, commander())
        assert (before.may, before.why, before.ways, before.released) == (True, "", ("filedrop",), ())
        await county.releases.directive(directive, commander())
        (part,) = county.releases.of_directive(directive, commander()).released
        assert (part.by, part.within, part.kind, part.outcome) == ("王值班", None, "Alert", {"filedrop": "sent"})
        await county.node.directives.recall(commander(), directive, "雨停")
        due = county.releases.of_directive(directive, commander())
        assert (due.may, due.why) == (False, "directive-recalled")
        assert (due.released[0].kind, due.released[0].outcome) == ("Cancel", {})  # not on its way yet
        await county.releases.send()
        (part,) = county.releases.of_directive(directive, commander()).released
        assert part.outcome == {"filedrop": "sent"}


@on_loop
async def test_an_exercise_and_what_is_not_confirmed_are_never_offered(tmp_path: Path) -> None:
    async with office(tmp_path) as county:
        told = county.releases
        exercise = await issue(county.node, exercise=True)
        assert (told.of_directive(exercise, commander()).may, told.of_directive(exercise, commander()).why) == (
            False,
            "exercise",
        )
        asked = AlarmRequest(kind="flood", text="溃堤", place=VILLAGE)
        raised, _ = await county.node.alarms.raise_alarm(commander(), asked)
        assert told.of_alarm(raised.alarm, commander()).why == "alarm-state"
        await county.node.alarms.advance(commander(), raised.alarm, AlarmState.CONFIRMED)
        assert told.of_alarm(raised.alarm, commander()).may
        drill = await confirmed(county.node, exercise=True)
        assert told.of_alarm(drill, commander()).why == "exercise"
        assert told.of_directive(await issue(county.node, click_id="d"), commander(TOWNSHIP)).may  # its part of it
        assert told.of_directive(exercise, auditor()).why == "not-permitted"
        with pytest.raises(Refused) as caught:
            told.of_directive(exercise, commander(OTHER_TOWNSHIP))
        assert caught.value.code == "not-permitted"


@on_loop
async def test_where_no_way_leads_to_the_public_nothing_is_offered(tmp_path: Path) -> None:
    async with office(tmp_path) as county:
        county.adapters._adapters.remove(county.drop)
        directive = await issue(county.node)
        state = county.releases.of_directive(directive, commander())
        assert (state.may, state.why, state.ways) == (False, "no-public-way", ())
