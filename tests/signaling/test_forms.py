"""Feedback forms: what may be asked for, what may be answered, and how it adds up."""

from collections import Counter

import pytest

from signaling.errors import Refused
from signaling.forms import FieldKind, FieldSpec, check_fields, check_report, chosen, summed, tabled

DUE = FieldSpec(name="应转", label_en="To move", unit="人", required=True)
MOVED = FieldSpec(name="已转", unit="人")
RAIN = FieldSpec(name="雨量", unit="毫米", sum=False, low=-5, high=900)
ROAD = FieldSpec(name="道路", kind=FieldKind.CHOICE, choices=("通", "不通"))
WORDS = FieldSpec(name="情况", kind=FieldKind.TEXT)
FORM = (DUE, MOVED, RAIN, ROAD, WORDS)


def test_a_form_takes_what_it_asks_for() -> None:
    check_fields(FORM)
    check_report(FORM, {"应转": 40, "已转": 0, "雨量": -5}, {"道路": "不通", "情况": "两人走亲戚"})
    check_report(FORM, {"应转": 0}, {})
    check_report((), {"随便": 3}, {})


@pytest.mark.parametrize(
    ("values", "answers"),
    [
        ({}, {}),
        ({"应转": -1}, {}),
        ({"应转": 10_000_001}, {}),
        ({"应转": 1, "雨量": -6}, {}),
        ({"应转": 1, "没有的": 1}, {}),
        ({"应转": 1}, {"没有的": "x"}),
        ({"应转": 1}, {"道路": "半通"}),
        ({"应转": 1, "道路": 1}, {}),
        ({"应转": 1}, {"已转": "四十"}),
        ({"应转": 1, "已转": 1}, {"已转": "1"}),
    ],
)
def test_anything_else_is_refused_and_named(values: dict[str, int], answers: dict[str, str]) -> None:
    with pytest.raises(Refused) as refused:
        check_report(FORM, values, answers)
    assert refused.value.code == "bad-feedback"


@pytest.mark.parametrize("answer", ["长" * 201, "a\nb", "\u202e", ""])
def test_words_are_one_printable_line(answer: str) -> None:
    with pytest.raises(Refused) as refused:
        check_report(FORM, {"应转": 1}, {"情况": answer})
    assert refused.value.code == "bad-text"


def test_a_directive_without_a_form_takes_no_words() -> None:
    with pytest.raises(Refused) as refused:
        check_report((), {}, {"情况": "x"})
    assert refused.value.code == "bad-feedback"


@pytest.mark.parametrize(
    "fields",
    [
        (DUE, DUE),
        tuple(FieldSpec(name=f"f{n}") for n in range(17)),
        (FieldSpec(name="a", low=2, high=1),),
        (FieldSpec(name="a", high=10**12),),
        (FieldSpec(name="a", kind=FieldKind.CHOICE),),
        (FieldSpec(name="a", choices=("x",)),),
        (FieldSpec(name="a", kind=FieldKind.CHOICE, choices=("x", "x")),),
        (FieldSpec(name="a", kind=FieldKind.CHOICE, choices=tuple(f"{n}" for n in range(21))),),
    ],
)
def test_a_form_that_cannot_be_filled_in_is_refused(fields: tuple[FieldSpec, ...]) -> None:
    with pytest.raises(Refused) as refused:
        check_fields(fields)
    assert refused.value.code == "bad-field"


def test_numbers_add_up_where_they_should_and_choices_are_counted() -> None:
    assert summed(FORM, {"应转": 4, "雨量": 80}) == {"应转": 4}
    assert summed((), {"应转": 4}) == {"应转": 4}
    counts = Counter([*chosen(FORM, {"道路": "通", "情况": "x"}), *chosen(FORM, {"道路": "通"})])
    assert tabled(counts) == {"道路": {"通": 2}}
    counts.subtract(chosen(FORM, {"道路": "通"}))
    counts.subtract(chosen(FORM, {"道路": "通"}))
    assert tabled(counts) == {}
