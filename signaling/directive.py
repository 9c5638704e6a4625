"""One directive's header: issued, then recalled, expired or closed.

Pure.  How far it has come at each recipient is ``delivery.py``: a header changes a handful of times in its
life, so that a report from one village never touches the others.

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
from .ids import UtcMs
from .records import (
    DirectiveClosed,
    DirectiveExpired,
    DirectiveIssued,
    DirectiveRecalled,
    Urgency,
    signed_bytes,
)

MINUTE_MS = 60_000
EXPIRES_MS = 72 * 60 * MINUTE_MS
"""How long a directive may be signed for when the issuer says nothing."""

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
    ISSUED = "issued"
    RECALLED = "recalled"
    EXPIRED = "expired"
    CLOSED = "closed"


Ending = DirectiveRecalled | DirectiveExpired | DirectiveClosed
HeaderRecord = DirectiveIssued | Ending

TRANSITIONS: Mapping[Header, Mapping[type[Ending], Header]] = {
    Header.ISSUED: {
        DirectiveRecalled: Header.RECALLED,
        DirectiveExpired: Header.EXPIRED,
        DirectiveClosed: Header.CLOSED,
    },
    Header.EXPIRED: {  # said by this node's own clock: what the issuer said meanwhile still counts
        DirectiveRecalled: Header.RECALLED,
        DirectiveClosed: Header.CLOSED,
    },
    Header.RECALLED: {},
    Header.CLOSED: {},
}
"""The whole machine.  The diagram in PROTOCOL.md is drawn from this table."""

ENDED_BY: Mapping[Header, type[Ending]] = {
    Header.RECALLED: DirectiveRecalled,
    Header.EXPIRED: DirectiveExpired,
    Header.CLOSED: DirectiveClosed,
}


@dataclass(frozen=True, slots=True)
class Directive:
    issued: DirectiveIssued
    state: Header = Header.ISSUED
    ended_at: UtcMs | None = None

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
class End:
    """Recalled or closed, here or above (perhaps again)."""

    record: DirectiveRecalled | DirectiveClosed


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed.  ``expired`` is what to journal if it ran out."""

    expired: DirectiveExpired


Command = Issue | End | Tick


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
    return replace(state, state=after, ended_at=record.at)


def decide(state: Directive | None, command: Command, at: UtcMs) -> tuple[Effect, ...]:
    """Return what to do about ``command``, in order.  Repeats change nothing, but are answered."""
    match command:
        case Issue(order):
            return _issue(state, order)
        case End(record):
            return _end(state, record)
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


def _end(state: Directive | None, record: DirectiveRecalled | DirectiveClosed) -> tuple[Effect, ...]:
    if state is None:
        return (Deny("unknown-directive", f"no directive {record.directive}"),)
    if type(record) in TRANSITIONS[state.state]:
        return (Append(record),)
    if ENDED_BY.get(state.state) is type(record):
        return (Repeat(),)
    return (Deny(f"directive-{state.state}", f"{record.directive} is already {state.state}"),)
