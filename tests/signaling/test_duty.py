"""Who is on duty."""

import itertools

from signaling import records
from signaling.duty import MAX_LINES, Roster
from signaling.ids import UtcMs
from signaling.records import DutyChange
from tests.support.facts import HOUR, rostered
from tests.support.places import SIBLING, VILLAGE

BEGIN = rostered().starts_at


def test_a_line_holds_from_its_beginning_until_before_its_end() -> None:
    roster = Roster()
    roster.note(rostered())
    times = (BEGIN - 1, BEGIN, BEGIN + HOUR - 1, BEGIN + HOUR)
    assert [roster.on_duty(VILLAGE, "值班员", UtcMs(at)) for at in times] == [(), ("周主任",), ("周主任",), ()]
    assert roster.on_duty(VILLAGE, "带班领导", BEGIN) == roster.on_duty(SIBLING, "值班员", BEGIN) == ()


def test_what_was_said_later_holds_whatever_the_order_it_came_in() -> None:
    lines = [
        rostered(),
        rostered(at=UtcMs(2_000), person="吴书记", ends_at=UtcMs(BEGIN + 10)),
        rostered(at=UtcMs(3_000), person="", starts_at=UtcMs(BEGIN + 20)),
    ]
    for order in itertools.permutations([*lines, lines[0]]):
        roster = Roster()
        for line in order:
            roster.note(line)
        assert [roster.on_duty(VILLAGE, "值班员", UtcMs(BEGIN + n)) for n in (0, 15, 25)] == [
            ("吴书记",),
            ("周主任",),
            (),
        ]
        assert roster.lines(VILLAGE, UtcMs(BEGIN + 10)) == [lines[0], lines[2]]


def test_a_roster_is_bounded() -> None:
    roster = Roster()
    for day in range(MAX_LINES + 5):
        roster.note(rostered(starts_at=UtcMs(day * HOUR + 1), ends_at=UtcMs((day + 1) * HOUR), at=UtcMs(day + 1)))
    assert len(roster.lines(VILLAGE, UtcMs(0))) == MAX_LINES
    assert roster.on_duty(VILLAGE, "值班员", UtcMs((MAX_LINES + 4) * HOUR + 1)) == ("周主任",)


def test_shifts_follow_each_other_and_name_whoever_was_said_last() -> None:
    roster = Roster()
    for line in (
        rostered(),
        rostered(at=UtcMs(2_000), person="吴书记", starts_at=UtcMs(BEGIN + 10), ends_at=UtcMs(BEGIN + 20)),
        rostered(at=UtcMs(3_000), person="周主任", starts_at=UtcMs(BEGIN + 15), ends_at=UtcMs(BEGIN + 20)),
    ):
        roster.note(line)
    end = UtcMs(BEGIN + HOUR + 5)
    said = [(one.person, one.starts_at, one.ends_at) for one in roster.shifts(VILLAGE, "值班员", UtcMs(BEGIN - 5), end)]
    assert said == [
        ("", BEGIN - 5, BEGIN),
        ("周主任", BEGIN, BEGIN + 10),
        ("吴书记", BEGIN + 10, BEGIN + 15),
        ("周主任", BEGIN + 15, BEGIN + HOUR),
        ("", BEGIN + HOUR, end),
    ]
    assert all("".join(roster.on_duty(VILLAGE, "值班员", at)) == person for person, at, _ in said)
    assert [one.person for one in roster.shifts(VILLAGE, "带班领导", BEGIN, end)] == [""]
    assert roster.posts(VILLAGE, BEGIN) == ["值班员"]
    assert roster.posts(VILLAGE, UtcMs(BEGIN + HOUR)) == []


def test_who_is_on_duty_may_change_only_where_a_line_begins_or_ends() -> None:
    roster = Roster()
    roster.note(rostered())
    roster.note(rostered(division=SIBLING, post="带班领导"))
    both = [(BEGIN, VILLAGE, "值班员"), (BEGIN + HOUR, VILLAGE, "值班员")]
    assert [edge for edge in roster.edges(UtcMs(BEGIN - 1)) if edge[1] == VILLAGE] == both
    assert list(roster.edges(BEGIN)) == [both[1], (BEGIN + HOUR, SIBLING, "带班领导")]
    assert list(roster.edges(UtcMs(BEGIN + HOUR))) == []


OFFICERS = [
    rostered(),
    rostered(at=UtcMs(2_000), person="吴书记", starts_at=UtcMs(BEGIN + 10), change=DutyChange.JOINS),
    rostered(at=UtcMs(3_000), person="周主任", starts_at=UtcMs(BEGIN + 20), change=DutyChange.LEAVES),
    rostered(at=UtcMs(4_000), person="李支书", starts_at=UtcMs(BEGIN + 30)),
]
"""One has the post, another comes, the first goes, and a third relieves whoever is there."""


def test_two_have_a_post_together_and_either_may_leave_whatever_the_order_it_is_heard_in() -> None:
    for lines in itertools.permutations(OFFICERS):
        roster = Roster()
        for line in lines:
            roster.note(line)
        people = [roster.on_duty(VILLAGE, "值班员", UtcMs(BEGIN + n)) for n in (0, 10, 20, 30)]
        assert people == [("周主任",), ("周主任", "吴书记"), ("吴书记",), ("李支书",)]


def test_shifts_of_those_who_have_a_post_together_overlap() -> None:
    roster = Roster()
    for line in OFFICERS:
        roster.note(line)
    end = UtcMs(BEGIN + HOUR + 5)
    said = [(one.person, one.starts_at, one.ends_at) for one in roster.shifts(VILLAGE, "值班员", BEGIN, end)]
    assert said == [
        ("周主任", BEGIN, BEGIN + 20),
        ("吴书记", BEGIN + 10, BEGIN + 30),
        ("李支书", BEGIN + 30, BEGIN + HOUR),
        ("", BEGIN + HOUR, end),
    ]


def test_a_post_that_needs_two_lacks_somebody_while_only_one_has_it() -> None:
    roster = Roster()
    for line in OFFICERS:
        roster.note(line)
    end = UtcMs(BEGIN + HOUR + 5)
    gaps = {
        n: [(one.starts_at, one.ends_at) for one in roster.gaps(VILLAGE, "值班员", BEGIN, end, n)] for n in range(4)
    }
    assert gaps == {
        0: [],
        1: [(BEGIN + HOUR, end)],
        2: [(BEGIN, BEGIN + 10), (BEGIN + 20, end)],
        3: [(BEGIN, end)],
    }


def test_a_line_that_relieves_has_the_bytes_it_had_before_there_were_others() -> None:
    assert b"change" not in records.encode(rostered())
    joined, left = (rostered(change=change) for change in DutyChange)
    assert len({records.key(line) for line in (rostered(), joined, left)}) == 3
    assert records.decode(records.encode(joined)) == joined


def test_whoever_leaves_a_post_nobody_else_has_leaves_it_empty() -> None:
    roster = Roster()
    roster.note(rostered())
    roster.note(rostered(at=UtcMs(2_000), change=DutyChange.LEAVES))
    assert roster.on_duty(VILLAGE, "值班员", BEGIN) == ()
    assert [one.person for one in roster.shifts(VILLAGE, "值班员", BEGIN, UtcMs(BEGIN + HOUR))] == [""]
    roster.note(rostered(at=UtcMs(3_000), person="吴书记", change=DutyChange.JOINS))
    assert roster.on_duty(VILLAGE, "值班员", BEGIN) == ("吴书记",)
