"""One directive's header: drafted, perhaps approved, issued; then recalled, superseded, expired or closed.

Pure.  What happens before it is issued is ``approval.py``, by the same table.  How far it has come at each
recipient is ``delivery.py``: a header changes a handful of times in its life, so that a report from one village
never touches the others.

``decide`` returns effects in the order they must be carried out, the record first; ``evolve`` is the only
place state changes.  Every node on the way runs this machine; only the issuing node closes.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import assert_never

from .effects import Deny, Repeat
from .errors import LocalError
from .ids import DirectiveId, UtcMs
from .records import (
    Actor,
    DirectiveApproved,
    DirectiveClosed,
    DirectiveCountersigned,
    DirectiveDrafted,
    DirectiveExpired,
    DirectiveIssued,
    DirectiveRecalled,
    DirectiveReturned,
    DirectiveSubmitted,
    DirectiveSuperseded,
    Urgency,
    signed_bytes,
)

MINUTE_MS = 60_000
COUNTERSIGN_MS = 30 * MINUTE_MS
"""先发后审: how long a 特提 that was issued first may go without a second person's name."""

SIGN_LIMIT_MS: Mapping[Urgency, int] = {
    Urgency.P0: 3 * MINUTE_MS,
    Urgency.P1: 5 * MINUTE_MS,
    Urgency.P2: 15 * MINUTE_MS,
    Urgency.P3: 120 * MINUTE_MS,
}
"""特提, 特急, 加急, 平急: after this an unsigned recipient is overdue."""

MAX_TITLE = 120
MAX_TEXT = 4_000
MAX_CLICK_ID = 64
MAX_REASON = 500


class Header(enum.StrEnum):
    DRAFT = "draft"
    PENDING = "pending"
    ISSUED = "issued"
    RECALLED = "recalled"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    CLOSED = "closed"


Ending = DirectiveRecalled | DirectiveSuperseded | DirectiveExpired | DirectiveClosed
Told = DirectiveRecalled | DirectiveSuperseded | DirectiveClosed | DirectiveCountersigned
"""What the issuing node says of what it has issued."""
HeaderRecord = DirectiveIssued | DirectiveCountersigned | Ending
DraftRecord = DirectiveDrafted | DirectiveSubmitted | DirectiveApproved | DirectiveReturned
Step = HeaderRecord | DraftRecord

TRANSITIONS: Mapping[Header, Mapping[type[Step], Header]] = {
    Header.DRAFT: {
        DirectiveDrafted: Header.DRAFT,
        DirectiveSubmitted: Header.PENDING,
        DirectiveIssued: Header.ISSUED,  # by its author, where nobody need approve
    },
    Header.PENDING: {
        DirectiveReturned: Header.DRAFT,
        DirectiveApproved: Header.PENDING,
        DirectiveIssued: Header.ISSUED,
    },
    Header.ISSUED: {
        DirectiveCountersigned: Header.ISSUED,
        DirectiveRecalled: Header.RECALLED,
        DirectiveSuperseded: Header.SUPERSEDED,
        DirectiveExpired: Header.EXPIRED,
        DirectiveClosed: Header.CLOSED,
    },
    Header.EXPIRED: {  # said by this node's own clock: what the issuer said meanwhile still counts
        DirectiveCountersigned: Header.EXPIRED,
        DirectiveRecalled: Header.RECALLED,
        DirectiveSuperseded: Header.SUPERSEDED,
        DirectiveClosed: Header.CLOSED,
    },
    Header.CLOSED: {DirectiveCountersigned: Header.CLOSED},  # done within minutes; the second name is still owed
    Header.RECALLED: {},
    Header.SUPERSEDED: {},
}
"""The whole machine; most directives begin at issued.  The diagram in PROTOCOL.md is drawn from this table."""

ENDED_BY: Mapping[Header, type[Ending]] = {
    Header.RECALLED: DirectiveRecalled,
    Header.SUPERSEDED: DirectiveSuperseded,
    Header.EXPIRED: DirectiveExpired,
    Header.CLOSED: DirectiveClosed,
}


@dataclass(frozen=True, slots=True)
class Directive:
    issued: DirectiveIssued
    state: Header = Header.ISSUED
    ended_at: UtcMs | None = None
    successor: DirectiveId | None = None
    """The directive that took its place."""
    countersigned: DirectiveCountersigned | None = None

    @property
    def countersign_by(self) -> UtcMs | None:
        """By when somebody else must still countersign; None: nobody need, or somebody has."""
        owed = self.countersigned is None and self.state not in (Header.RECALLED, Header.SUPERSEDED)
        return self.issued.countersign_by if owed else None

    @property
    def sign_by(self) -> UtcMs:
        """When an unsigned recipient becomes overdue; never later than expiry."""
        limit = self.issued.at + SIGN_LIMIT_MS[self.issued.urgency]
        return UtcMs(min(limit, self.issued.expires_at))

    def deadline(self) -> UtcMs | None:
        """When ``decide(Tick)`` next has something to do, or None once the directive has ended."""
        return self.issued.expires_at if self.state is Header.ISSUED else None


# ---- what may happen -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Issue:
    """A button was pressed here, or the node above forwarded an order (perhaps again)."""

    order: DirectiveIssued


@dataclass(frozen=True, slots=True)
class Say:
    """Recalled, superseded, closed or countersigned, here or above (perhaps again)."""

    record: Told


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed.  ``expired`` is what to journal if it ran out."""

    expired: DirectiveExpired


Command = Issue | Say | Tick


# ---- what should be done about it ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Append:
    record: HeaderRecord


Effect = Append | Repeat | Deny


def evolve(state: Directive | None, record: HeaderRecord) -> Directive:
    """Return the state after ``record``.

    Raises:
        LocalError: The record does not follow from ``state``: the journal is damaged.
    """
    if isinstance(record, DirectiveIssued):
        if state is not None:
            raise LocalError(f"directive {record.directive} issued twice")
        return Directive(record)
    if state is None:
        raise LocalError(f"{type(record).__name__} before DirectiveIssued")
    try:
        after = TRANSITIONS[state.state][type(record)]
    except KeyError:
        raise LocalError(f"{type(record).__name__} while {record.directive} is {state.state}") from None
    match record:
        case DirectiveCountersigned():
            return replace(state, state=after, countersigned=state.countersigned or record)
        case DirectiveSuperseded():
            return replace(state, state=after, ended_at=record.at, successor=record.successor)
        case _:
            return replace(state, state=after, ended_at=record.at)


def decide(state: Directive | None, command: Command, at: UtcMs) -> tuple[Effect, ...]:
    """Return what to do about ``command``, in order.  Repeats change nothing, but are answered."""
    match command:
        case Issue(order):
            return _issue(state, order)
        case Say(record):
            return _say(state, record)
        case Tick(expired):
            due = state.deadline() if state else None
            return (Append(expired),) if due is not None and at >= due else ()
        case _:
            assert_never(command)


def _issue(state: Directive | None, order: DirectiveIssued) -> tuple[Effect, ...]:
    if state is None:
        return (Append(order),)
    if signed_bytes(state.issued) == signed_bytes(order):
        return (Repeat(),)
    return (Deny("directive-conflict", f"{order.directive} is known with another content"),)


def _say(state: Directive | None, record: Told) -> tuple[Effect, ...]:
    if state is None:
        return (Deny("unknown-directive", f"no directive {record.directive}"),)
    if _said(state, record):
        return (Repeat(),)
    if type(record) not in TRANSITIONS[state.state]:
        return (Deny(f"directive-{state.state}", f"{record.directive} is already {state.state}"),)
    if isinstance(record, DirectiveCountersigned):
        return _countersign(state, record)
    return (Append(record),)


def _said(state: Directive, record: Told) -> bool:
    match record:
        case DirectiveCountersigned():
            return state.countersigned is not None
        case DirectiveSuperseded():
            return state.successor == record.successor
        case _:
            return ENDED_BY.get(state.state) is type(record)


def _countersign(state: Directive, record: DirectiveCountersigned) -> tuple[Effect, ...]:
    if state.issued.countersign_by is None:
        return (Deny("not-issued-first", f"{record.directive} needs no second name"),)
    if same_person(record.by, state.issued.issuer):
        return (Deny("own-directive", f"{record.by.name} issued {record.directive}"),)
    return (Append(record),)


def same_person(one: Actor, other: Actor) -> bool:
    """Return whether two are one: nobody approves or countersigns their own, in whatever role."""
    return (one.name, one.division) == (other.name, other.division)
