"""Whom a re-dial calls: the operator's file first, then those on duty who have left a number."""

from pathlib import Path

import pytest

from gateway import people as module
from gateway.contacts import Contact, Contacts
from gateway.people import People
from gateway.phone_book import PhoneBook
from signaling.errors import Refused
from signaling.ids import NodeCode, UtcMs
from signaling.records import DutyChange
from tests.support.facts import HOUR
from tests.support.loop import on_loop
from tests.support.nodes import Node
from tests.support.places import COUNTY, SIBLING, TOWNSHIP, TREE, VILLAGE, commander, terminal

OFFICER, LEADER = "值班员", "带班领导"
FILE = Contacts([Contact(ref="bali-1", division=SIBLING, phone="13900000000")])


def people(node: Node, file: Contacts = FILE) -> People:
    return People(TREE, node.clock, node.refusals, file, node.rosters, PhoneBook(node.directory / "phones.sqlite"))


async def on_duty(node: Node, person: str, post: str, place: NodeCode = VILLAGE) -> None:
    node.clock.advance(1)
    now = node.clock.at()
    put = node.rosters.set
    await put(commander(), place, post, person, UtcMs(now - 1), UtcMs(now + HOUR), DutyChange.JOINS)


@on_loop
async def test_those_on_duty_are_called_where_the_file_has_nobody(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path)
    known = people(county)
    for person, post in (("周主任", OFFICER), ("吴书记", OFFICER), ("李镇长", LEADER), ("周主任", LEADER)):
        await on_duty(county, person, post)
    await on_duty(county, "谁", OFFICER, SIBLING)
    for place, person, number in (
        (VILLAGE, "周主任", "138001"),
        (VILLAGE, "李镇长", "138002"),
        (SIBLING, "谁", "138003"),
    ):
        await known.keep(commander(), place, person, number)
    called = known.at((SIBLING, VILLAGE, TOWNSHIP), {})
    assert list(known.phones(called).values()) == ["138001", "138002", "13900000000"]
    assert called[0] == "bali-1"
    assert not [ref for ref in called[1:] if "周" in ref or "138" in ref]
    officers = known.at((VILLAGE,), {VILLAGE: OFFICER})  # 吴书记 has left none
    assert list(known.phones(officers).values()) == ["138001"]
    county.clock.advance(HOUR)
    assert known.at((SIBLING, VILLAGE), {}) == ("bali-1",)
    known.close()
    await county.close()


@on_loop
async def test_a_number_is_kept_over_a_restart_changed_and_forgotten(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path)
    known = people(county)
    await on_duty(county, "周主任", OFFICER)
    await known.keep(commander(), VILLAGE, " 周主任 ", "138001")
    known.close()
    known = people(county)
    assert known.numbers(commander(), VILLAGE) == {"周主任": "138001"}
    before = known.at((VILLAGE,), {})
    await known.keep(commander(), VILLAGE, "周主任", "+86138002")
    after = known.at((VILLAGE,), {})
    assert (dict(known.phones(before)), list(known.phones(after).values())) == ({}, ["+86138002"])
    for _ in range(2):
        await known.keep(commander(), VILLAGE, "周主任", "")
    assert (known.at((VILLAGE,), {}), dict(known.phones(after))) == ((), {})
    assert (county.directory / "phones.sqlite").stat().st_mode & 0o777 == 0o600
    known.close()
    assert people(county).numbers(commander(), VILLAGE) == {}
    await county.close()


@on_loop
async def test_a_place_has_so_many_numbers_and_those_who_may_not_change_its_roster_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "MAX_NUMBERS", 2)
    county = Node(COUNTY, tmp_path)
    known = people(county)
    with caplog.at_level("DEBUG"):
        for person in ("甲", "乙", "甲"):
            await known.keep(commander(), VILLAGE, person, "13800001234")
        for actor, person, code in (
            (commander(), "丙", "bad-record"),
            (commander(), "a\nb", "bad-text"),
            (terminal(), "甲", "not-permitted"),
            (commander(SIBLING), "甲", "not-permitted"),
        ):
            with pytest.raises(Refused) as refused:
                await known.keep(actor, VILLAGE, person, "13800001234")
            assert refused.value.code == code
            assert "1380000" not in str(refused.value)
    assert known.numbers(terminal(), VILLAGE) == known.numbers(commander(SIBLING), VILLAGE) == {}
    assert set(known.numbers(commander(), VILLAGE)) == {"甲", "乙"}
    assert "13800001234" not in caplog.text
    assert all(b"13800001234" not in row.data for row in county.journal.replay())
    known.close()
    await county.close()
