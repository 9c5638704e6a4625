"""A directive before it is issued: drafted, submitted, approved by somebody else or returned.

Pure.  All of it stays at the node where the draft is written.  The states and what leads from one to the next are
``directive.TRANSITIONS``; here is who may do it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import assert_never

from .directive import TRANSITIONS, DraftRecord, Header, same_person
from .effects import Deny, Repeat
from .errors import LocalError
from .ids import UtcMs
from .records import (
    Actor,
    DirectiveApproved,
    DirectiveDrafted,
    DirectiveIssued,
    DirectiveReturned,
    DirectiveSubmitted,
    Urgency,
)

MAX_REVISIONS = 100


@dataclass(frozen=True, slots=True)
class Draft:
    drafted: DirectiveDrafted
    """The author's last version."""
    state: Header = Header.DRAFT
    submitted_at: UtcMs | None = None
    approved_by: Actor | None = None
    returned: DirectiveReturned | None = None
    """Why it came back last, until it is submitted again."""
    judged: DirectiveDrafted | None = None
    """The version that came back last."""


@dataclass(frozen=True, slots=True)
class Append:
    record: DraftRecord


Effect = Append | Repeat | Deny


def needs_approval(urgency: Urgency, listed: Collection[Urgency]) -> bool:
    """Return whether a directive must be approved before it is issued; a 特提 never waits for a second person."""
    return urgency is not Urgency.P0 and urgency in listed


def decide(draft: Draft | None, record: DraftRecord) -> tuple[Effect, ...]:
    """Return what to do about somebody here asking for ``record``.  Repeats change nothing, but are answered."""
    if draft is None:
        first = isinstance(record, DirectiveDrafted) and record.revision == 1
        return (Append(record),) if first else (Deny("unknown-draft", f"no draft {record.directive}"),)
    match record:
        case DirectiveDrafted():
            return _edit(draft, record)
        case DirectiveSubmitted():
            return _submit(draft, record)
        case DirectiveApproved():
            return _approve(draft, record)
        case DirectiveReturned():
            return _step(draft, record)
        case _:
            assert_never(record)


def evolve(draft: Draft | None, record: DraftRecord | DirectiveIssued) -> Draft:
    """Return the draft after ``record``.

    Raises:
        LocalError: The record does not follow: the journal is damaged.
    """
    if draft is None:
        if not isinstance(record, DirectiveDrafted):
            raise LocalError(f"{type(record).__name__} before DirectiveDrafted")
        return Draft(record)
    try:
        after = TRANSITIONS[draft.state][type(record)]
    except KeyError:
        raise LocalError(f"{type(record).__name__} while {record.directive} is {draft.state}") from None
    match record:
        case DirectiveDrafted():
            return replace(draft, state=after, drafted=record)
        case DirectiveSubmitted():
            return replace(draft, state=after, submitted_at=record.at, returned=None)
        case DirectiveApproved():
            return replace(draft, state=after, approved_by=record.by)
        case DirectiveReturned():
            return replace(draft, state=after, submitted_at=None, returned=record, judged=draft.drafted)
        case DirectiveIssued():
            return replace(draft, state=after)
        case _:
            assert_never(record)


def _edit(draft: Draft, record: DirectiveDrafted) -> tuple[Effect, ...]:
    if record.request == draft.drafted.request:
        return (Repeat(),)
    if not same_person(record.by, draft.drafted.by):
        return (Deny("foreign-draft", f"{record.directive} is {draft.drafted.by.name}'s"),)
    if record.revision != draft.drafted.revision + 1 or record.revision > MAX_REVISIONS:
        return (Deny("draft-changed", f"{record.directive} stands at revision {draft.drafted.revision}"),)
    return _step(draft, record)


def _submit(draft: Draft, record: DirectiveSubmitted) -> tuple[Effect, ...]:
    if not same_person(record.by, draft.drafted.by):
        return (Deny("foreign-draft", f"{record.directive} is {draft.drafted.by.name}'s"),)
    if draft.state is Header.PENDING and record.revision == draft.drafted.revision:
        return (Repeat(),)
    return _step(draft, record)


def _approve(draft: Draft, record: DirectiveApproved) -> tuple[Effect, ...]:
    if draft.state is Header.ISSUED and draft.approved_by is not None and same_person(record.by, draft.approved_by):
        return (Repeat(),)
    if same_person(record.by, draft.drafted.by):
        return (Deny("own-directive", f"{record.by.name} drafted {record.directive}"),)
    return _step(draft, record)


def _step(draft: Draft, record: DraftRecord) -> tuple[Effect, ...]:
    if type(record) not in TRANSITIONS[draft.state]:
        return (Deny(f"draft-{draft.state}", f"{record.directive} is {draft.state}"),)
    if not isinstance(record, DirectiveDrafted) and record.revision != draft.drafted.revision:
        return (Deny("draft-changed", f"{record.directive} stands at revision {draft.drafted.revision}"),)
    return (Append(record),)
