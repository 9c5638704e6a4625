"""What a directive asks its recipients to report: named fields, what each may hold, and how they add up.

Pure.  A directive without fields takes any numbers; one with fields takes exactly those.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from . import text
from .errors import Refused

MAX_FIELDS = 16
MAX_FIELD_NAME = 32
MAX_LABEL = 40
MAX_UNIT = 10
MAX_CHOICES = 20
MAX_CHOICE = 40
MAX_ANSWER = 200
MAX_NUMBER = 1_000_000_000


class FieldKind(enum.StrEnum):
    INT = "int"
    CHOICE = "choice"
    TEXT = "text"


class FieldSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One field of a feedback form.

    ``label`` (Chinese) and ``label_en`` default to ``name``.  ``low`` and ``high`` bound a number, ``choices`` are
    what a choice may be.  ``sum``: numbers are added up over the recipients; choices are counted in any case.
    """

    name: str
    kind: FieldKind = FieldKind.INT
    label: str = ""
    label_en: str = ""
    unit: str = ""
    sum: bool = True
    low: int = 0
    high: int = 10_000_000
    choices: tuple[str, ...] = ()
    required: bool = False


def check_fields(fields: Sequence[FieldSpec]) -> None:
    """Return if the form can be filled in.

    Raises:
        Refused: ``bad-field`` or ``bad-text``.
    """
    if len(fields) > MAX_FIELDS or len({field.name for field in fields}) != len(fields):
        raise Refused("bad-field", f"fields: {len(fields)}, limit {MAX_FIELDS}, or a name twice")
    for field in fields:
        text.line(field.name, "fields.name", MAX_FIELD_NAME)
        text.line(field.label, "fields.label", MAX_LABEL, empty=True)
        text.line(field.label_en, "fields.label_en", MAX_LABEL, empty=True)
        text.line(field.unit, "fields.unit", MAX_UNIT, empty=True)
        if not -MAX_NUMBER <= field.low <= field.high <= MAX_NUMBER:
            raise Refused("bad-field", f"{field.name}: low and high are not in order within {MAX_NUMBER}")
        _check_choices(field)


def _check_choices(field: FieldSpec) -> None:
    if (field.kind is FieldKind.CHOICE) != bool(field.choices):
        raise Refused("bad-field", f"{field.name}: choices go with a choice")
    if len(field.choices) > MAX_CHOICES or len(set(field.choices)) != len(field.choices):
        raise Refused("bad-field", f"{field.name}: {len(field.choices)} choices, limit {MAX_CHOICES}, or one twice")
    for choice in field.choices:
        text.line(choice, f"{field.name}.choices", MAX_CHOICE)


def check_report(fields: Sequence[FieldSpec], values: Mapping[str, int], answers: Mapping[str, str]) -> None:
    """Return if the numbers and answers are what the form asks for.

    Raises:
        Refused: ``bad-feedback``, naming the field, or ``bad-text``.
    """
    if not fields:
        if answers:
            raise Refused("bad-feedback", "this directive asks for no words")
        return
    known = {field.name: field for field in fields}
    for name in (*values, *answers):
        if name not in known:
            raise Refused("bad-feedback", f"{name[:MAX_FIELD_NAME]}: not a field of this directive")
    for field in fields:
        _check_one(field, values.get(field.name), answers.get(field.name))


def _check_one(field: FieldSpec, value: int | None, answer: str | None) -> None:
    if value is None and answer is None:
        if field.required:
            raise Refused("bad-feedback", f"{field.name}: missing")
        return
    if (field.kind is FieldKind.INT) != (answer is None):
        raise Refused("bad-feedback", f"{field.name}: not of kind {field.kind}")
    if value is not None and not field.low <= value <= field.high:
        raise Refused("bad-feedback", f"{field.name}: not in {field.low}..{field.high}")
    if answer is not None and field.kind is FieldKind.CHOICE and answer not in field.choices:
        raise Refused("bad-feedback", f"{field.name}: not one of {', '.join(field.choices)}")
    if answer is not None:
        text.line(answer, field.name, MAX_ANSWER)


def summed(fields: Sequence[FieldSpec], values: Mapping[str, int]) -> Mapping[str, int]:
    """Return the numbers that are added up; all of them where the directive has no form."""
    if not fields:
        return values
    adding = {field.name for field in fields if field.sum}
    return {name: value for name, value in values.items() if name in adding}


def chosen(fields: Sequence[FieldSpec], answers: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """Yield (field, choice) of every choice made: what ``Counter`` counts over the recipients."""
    for field in fields:
        if field.kind is FieldKind.CHOICE and field.name in answers:
            yield field.name, answers[field.name]


def tabled(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """Return field to choice to how many chose it."""
    table: dict[str, dict[str, int]] = {}
    for (name, choice), count in counts.items():
        if count:
            table.setdefault(name, {})[choice] = count
    return table
