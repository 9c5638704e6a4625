"""Document numbers."""

import pytest

from signaling.document import Numbers, spell, year_of
from signaling.ids import UtcMs

NEW_YEAR_BEIJING = UtcMs(1_798_732_800_000)
"""2027-01-01 00:00 in Beijing."""


def test_a_number_is_spelled_as_documents_are() -> None:
    assert spell("衡山应急令", 2026, 1, exercise=False) == "衡山应急令〔2026〕0001号"
    assert spell("衡山应急令", 2026, 12_345, exercise=False) == "衡山应急令〔2026〕12345号"
    assert spell("衡山应急令", 2026, 7, exercise=True) == "衡山应急令（演练）〔2026〕0007号"


def test_the_year_is_that_of_beijing() -> None:
    assert (year_of(UtcMs(NEW_YEAR_BEIJING - 1)), year_of(NEW_YEAR_BEIJING)) == (2026, 2027)


def test_each_year_counts_from_one_and_exercises_apart() -> None:
    numbers = Numbers()
    assert numbers.next(2026, exercise=False) == 1
    assert numbers.next(2026, exercise=False) == 1  # looking draws nothing
    numbers.note(spell("甲", 2026, 1, exercise=False), exercise=False)
    numbers.note(spell("乙", 2026, 2, exercise=False), exercise=False)  # another prefix goes on with the count
    assert numbers.next(2026, exercise=False) == 3
    assert numbers.next(2026, exercise=True) == 1
    assert numbers.next(2027, exercise=False) == 1


@pytest.mark.parametrize("number", ["", "第5号", "甲〔26〕0001号", "甲〔2026〕x号", "甲〔2026〕0001号附件"])
def test_what_is_not_spelled_as_ours_counts_for_nothing(number: str) -> None:
    numbers = Numbers()
    numbers.note(number, exercise=False)
    assert numbers.next(2026, exercise=False) == 1
