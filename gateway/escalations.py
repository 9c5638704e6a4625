"""Lists of those who were not reached (未叫醒名单): raised by the clocks, shown to superiors, taken in hand.

Who of a list has signed meanwhile is asked of the directives when it is shown; the record stays what was said.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.clock import Clock
from gateway.journal import Journal, Row
from gateway.keys import Keys
from gateway.refusals import Refusals
from gateway.superiors import SuperiorLists
from signaling import delivery, order_words
from signaling.delivery import Delivery
from signaling.directive import Directive, Header
from signaling.division import Tree
from signaling.errors import Refused
from signaling.ids import DirectiveId, NodeCode
from signaling.messages import EscalationView, MissingView
from signaling.permission import Action, permitted
from signaling.records import (
    Actor,
    DirectiveIssued,
    EscalationAcknowledged,
    EscalationRaised,
    Stage,
)

log = logging.getLogger(__name__)

LISTED = 500
"""Places named on a card; the rest is a number."""

ABOVE_MS = 24 * 3_600_000
"""How long a list stands where its directive is not known."""

EscalationRecord = EscalationRaised | EscalationAcknowledged


class Orders(Protocol):
    """What is asked of ``gateway/directives.py``."""

    def header(self, directive: DirectiveId) -> Directive | None: ...
    def has_recipient(self, directive: DirectiveId, recipient: NodeCode) -> bool: ...
    def row(self, directive: DirectiveId, recipient: NodeCode) -> Delivery: ...


@dataclass(slots=True)
class _Card:
    raised: EscalationRaised
    places: frozenset[NodeCode]
    acknowledged: EscalationAcknowledged | None = None


def identity(record: EscalationRecord) -> str:
    """Return the id by which people and pages name a list."""
    return f"{record.directive}:{record.superior}:{record.n}"


class Escalations(SuperiorLists[EscalationView]):
    """All lists this node knows, of its own directives and from above."""

    def __init__(
        self, node: NodeCode, tree: Tree, keys: Keys, journal: Journal, clock: Clock, refusals: Refusals, orders: Orders
    ) -> None:
        super().__init__(node, tree, keys, journal, clock, refusals)
        self._orders = orders
        self._cards: dict[str, _Card] = {}
        self._of: dict[DirectiveId, list[str]] = {}
        journal.follow(self._fold, ("escalation:",))

    # ---- asked for here, told by a neighbour -----------------------------------------------------

    async def acknowledge(self, actor: Actor, escalation: str, note: str = "") -> None:
        """Somebody takes the list in hand.  A second word changes nothing.

        Raises:
            Refused: ``unknown-escalation``, ``not-permitted``, ``bad-text``.
        """
        raised = self._card(escalation).raised
        record = EscalationAcknowledged(
            node=self._node,
            at=self._clock.at(),
            directive=raised.directive,
            superior=raised.superior,
            n=raised.n,
            origin=raised.node,
            by=actor,
            note=note,
        )
        await self._take(actor, escalation, record, lambda: order_words.check_acknowledgement(record, self._tree))

    # ---- what is known ---------------------------------------------------------------------------

    def issued(self, directive: DirectiveId) -> DirectiveIssued | None:
        header = self._orders.header(directive)
        return header.issued if header else None

    def has_recipient(self, directive: DirectiveId, recipient: NodeCode) -> bool:
        return self._orders.has_recipient(directive, recipient)

    def escalated(self, directive: DirectiveId, superior: NodeCode, n: int) -> EscalationRaised | None:
        card = self._cards.get(f"{directive}:{superior}:{n}")
        return card.raised if card else None

    def of(self, directive: DirectiveId, recipient: NodeCode | None = None) -> list[str]:
        """Return the lists of ``directive``, those that name ``recipient`` if it is given."""
        found = self._of.get(directive, [])
        return [one for one in found if recipient is None or recipient in self._cards[one].places]

    def _card(self, escalation: str) -> _Card:
        card = self._cards.get(escalation)
        if card is None:
            raise Refused("unknown-escalation", f"no list {escalation[:80]!r} here")
        return card

    def _fold(self, rows: Sequence[Row]) -> None:
        for row in rows:
            match row.record:
                case EscalationRaised() as raised:
                    name = identity(raised)
                    self._cards[name] = _Card(raised, frozenset(raised.not_reached))
                    self._of.setdefault(raised.directive, []).append(name)
                case EscalationAcknowledged() as word if (card := self._cards.get(identity(word))) is not None:
                    card.acknowledged = word
                case _:
                    pass

    # ---- views -----------------------------------------------------------------------------------

    def may_read(self, escalation: str, actor: Actor) -> bool:
        """Return whether the list is for ``actor``: its superior, whoever is above it, and the issuer."""
        raised = self._card(escalation).raised
        if permitted(actor, Action.READ_DIRECTIVE, raised.superior, self._tree):
            return True
        issued = self.issued(raised.directive)
        own = issued is not None and permitted(actor, Action.READ_DIRECTIVE, issued.issuer.division, self._tree)
        return own and self._tree.is_within(actor.division, raised.superior)

    def _names(self) -> Iterator[str]:
        return reversed(list(self._cards))  # a slow reader draws them while others are raised

    def _view(self, escalation: str, actor: Actor) -> EscalationView:
        card = self._cards[escalation]
        raised, header = card.raised, self._orders.header(card.raised.directive)
        rows = [self._missing(raised, place, known=header is not None) for place in raised.not_reached[:LISTED]]
        word = card.acknowledged
        return EscalationView(
            escalation=escalation,
            directive=raised.directive,
            urgency=raised.urgency,
            title=raised.title,
            exercise=raised.exercise,
            superior=raised.superior,
            superior_name=self._tree.name(raised.superior),
            n=raised.n,
            raised_at=raised.at,
            open=self._open(raised, header),
            total=len(raised.not_reached),
            rows=tuple(rows),
            acknowledged_by=word.by if word else None,
            acknowledged_at=word.at if word else None,
            note=word.note if word else "",
        )

    def _open(self, raised: EscalationRaised, header: Directive | None) -> bool:
        """Return whether the list still says something; one tier above the issuer nobody is told of the end."""
        if header is None:
            return self._clock.at() - raised.at < ABOVE_MS
        return header.state is Header.ISSUED

    def _missing(self, raised: EscalationRaised, place: NodeCode, *, known: bool) -> MissingView:
        row = self._orders.row(raised.directive, place) if known else None
        signed = row is not None and delivery.signed(row)
        return MissingView(
            node=place,
            name=self._tree.name(place) if place in self._tree else place,
            stage=row.stage if row else None,
            reached_at=row.times.get(Stage.SIGNED) if row and signed else None,
            reached_by=row.signed_by if row else "",
        )
