"""One lateral circular (通报) or request for help (协查): told beside, never ordered.

Pure.  A place tells places beside it, under the same superior; each says that it has read it, and may answer.
Nobody signs and nothing is escalated: what must be done is a directive, and comes from above.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .effects import Deny, Repeat
from .errors import LocalError
from .ids import NodeCode
from .records import CircularAnswered, CircularSent, encode

MAX_PLACES = 50
MAX_TITLE = 120
MAX_TEXT = 2_000
MAX_ANSWER = 500
MAX_ANSWERS = 20
"""Per place: what needs more talk is a meeting."""

CircularRecord = CircularSent | CircularAnswered


@dataclass(frozen=True, slots=True)
class Circular:
    """``answers`` has, per place that has read it, what was said there, in order; the first may be empty: read."""

    sent: CircularSent
    answers: Mapping[NodeCode, tuple[CircularAnswered, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Append:
    record: CircularRecord


Effect = Append | Repeat | Deny


def evolve(circular: Circular | None, record: CircularRecord) -> Circular:
    """Return the circular after ``record``.

    Raises:
        LocalError: The record does not follow: the journal is damaged.
    """
    if isinstance(record, CircularSent):
        if circular is not None:
            raise LocalError(f"circular {record.circular} sent twice")
        return Circular(record)
    if circular is None:
        raise LocalError("CircularAnswered before CircularSent")
    said = (*circular.answers.get(record.place, ()), record)
    return replace(circular, answers={**circular.answers, record.place: said})


def decide(circular: Circular | None, record: CircularRecord) -> tuple[Effect, ...]:
    """Return what to do about ``record``, asked for here or told by a neighbour."""
    if isinstance(record, CircularSent):
        if circular is None:
            return (Append(record),)
        same = encode(circular.sent) == encode(record)
        return (Repeat() if same else Deny("circular-conflict", f"{record.circular} is known with another content"),)
    if circular is None:
        return (Deny("unknown-circular", f"no circular {record.circular}"),)
    said = circular.answers.get(record.place, ())
    if (said and not record.text) or any(encode(answer) == encode(record) for answer in said):
        return (Repeat(),)
    if len(said) >= MAX_ANSWERS:
        return (Deny("too-many-answers", f"{record.place} has answered {MAX_ANSWERS} times"),)
    return (Append(record),)
