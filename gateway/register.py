"""What a node knows of its directives, durable and decided a moment ago, and the one way to change it.

Issuing (``issuing.py``) and reporting (``reports.py``) decide; here their records are appended, in the order the
pure machines say, and held until the fold (``directives.py``) has them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.attachments import Attachments
from gateway.clock import Clock
from gateway.journal import Journal
from gateway.keys import Keys
from gateway.matrix import Entry, Matrix
from gateway.refusals import Refusals
from gateway.telemetry import Telemetry
from gateway.tentative import Tentative
from signaling import admission, delivery, directive
from signaling.delivery import QUEUED, Delivery
from signaling.directive import Directive
from signaling.division import Tree
from signaling.duty import Roster
from signaling.effects import Deny, Repeat
from signaling.errors import Refused
from signaling.ids import DirectiveId, NodeCode, Seq, UtcMs
from signaling.records import DeliveryAdvanced, DirectiveExpired, DirectiveIssued


@dataclass(frozen=True, slots=True)
class Parts:
    """What of the node directives need."""

    node: NodeCode
    tree: Tree
    keys: Keys
    journal: Journal
    clock: Clock
    telemetry: Telemetry
    refusals: Refusals
    roster: Roster
    attachments: Attachments


class Register(admission.Facts):
    """The matrix of what is durable, and over it what is not yet."""

    def __init__(self, parts: Parts) -> None:
        self._node = parts.node
        self._tree = parts.tree
        self._keys = parts.keys
        self._journal = parts.journal
        self._clock = parts.clock
        self._telemetry = parts.telemetry
        self._refusals = parts.refusals
        self._roster = parts.roster
        self._attachments = parts.attachments
        self._matrix = Matrix(parts.tree, self._on_duty)
        self._headers: Tentative[DirectiveId, Directive] = Tentative()
        self._rows: Tentative[tuple[DirectiveId, NodeCode], Delivery] = Tentative()

    def _on_duty(self, division: NodeCode, post: str) -> tuple[str, ...]:
        return self._roster.on_duty(division, post, self._clock.at())

    # ---- carrying out ----------------------------------------------------------------------------

    def _carry_out_header(
        self, directive_id: DirectiveId, command: directive.Command, via: NodeCode | None, at: UtcMs | None = None
    ) -> asyncio.Future[Seq] | None:
        """Append what the machine says; None when there is nothing new to wait for."""
        durable = None
        state = self._header(directive_id)
        for effect in directive.decide(state, command, self._clock.at() if at is None else at):
            match effect:
                case directive.Append(record):
                    durable = self._journal.append(record, via=via)
                    state = directive.evolve(state, record)
                    self._headers.hold(directive_id, state, durable)
                case Repeat():
                    self._telemetry.count("repeats", kind="directive")
                case Deny(code, why):
                    raise Refused(code, why)
        return durable

    def _carry_out_row(
        self, record: DeliveryAdvanced, effects: Sequence[delivery.Effect], via: NodeCode | None
    ) -> asyncio.Future[Seq] | None:
        durable = None
        for effect in effects:
            match effect:
                case delivery.Append(word):
                    durable = self._journal.append(word, via=via)
                    self._hold(word, durable)
                case Repeat():
                    self._telemetry.count("repeats", kind="delivery")
                case Deny(code, why):
                    raise Refused(code, why)
        return durable

    def _hold(self, word: DeliveryAdvanced, durable: asyncio.Future[Seq]) -> None:
        self._rows.hold((word.directive, word.recipient), delivery.evolve(self._row(word), word), durable)

    # ---- what is known ---------------------------------------------------------------------------

    def issued(self, directive: DirectiveId) -> DirectiveIssued | None:
        header = self._header(directive)
        return header.issued if header else None

    def has_recipient(self, directive: DirectiveId, recipient: NodeCode) -> bool:
        entry = self._matrix.get(directive)
        if entry is not None:
            return recipient in entry.recipients
        header = self._headers.get(directive)
        return header is not None and recipient in header.issued.recipients

    # ---- what the clocks ask ---------------------------------------------------------------------

    def header(self, directive_id: DirectiveId) -> Directive | None:
        """Return the header as it is decided, which may be ahead of what is durable."""
        return self._header(directive_id)

    def row(self, directive_id: DirectiveId, recipient: NodeCode) -> Delivery:
        """Return the row as it is decided."""
        held = self._rows.get((directive_id, recipient))
        if held is not None:
            return held
        entry = self._matrix.get(directive_id)
        return entry.row(recipient) if entry else QUEUED

    def unsigned(self, directive_id: DirectiveId) -> tuple[NodeCode, ...]:
        """Return the recipients nobody has signed for, as it is decided; none of an unknown directive."""
        header = self._header(directive_id)
        recipients = header.issued.recipients if header else ()
        return tuple(r for r in recipients if not delivery.signed(self.row(directive_id, r)))

    def expire(self, directive_id: DirectiveId, at: UtcMs) -> None:
        """Its time has run out by this node's clock."""
        expired = DirectiveExpired(node=self._node, at=at, directive=directive_id)
        self._carry_out_header(directive_id, directive.Tick(expired), via=None, at=at)

    def concerns(self, directive: DirectiveId, place: NodeCode) -> bool:
        entry = self._matrix.get(directive)
        return entry is not None and place in entry.cover

    def _header(self, directive_id: DirectiveId) -> Directive | None:
        held = self._headers.get(directive_id)
        if held is not None:
            return held
        entry = self._matrix.get(directive_id)
        return entry.header if entry else None

    def _row(self, record: DeliveryAdvanced) -> Delivery:
        return self.row(record.directive, record.recipient)

    def _known(self, directive_id: DirectiveId) -> Directive:
        header = self._header(directive_id)
        if header is None:
            raise Refused("unknown-directive", f"no directive {directive_id[:64]!r} here")
        return header

    def _entry(self, directive_id: DirectiveId) -> Entry:
        entry = self._matrix.get(directive_id)
        if entry is None:
            raise Refused("unknown-directive", f"no directive {directive_id[:64]!r} here")
        return entry
