"""What an issuing node says of its directives: issued, recalled, closed.  Nothing is answered before it is durable."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from gateway.register import Parts, Register
from gateway.tentative import Tentative
from signaling import directive, document, order_words
from signaling.approval import needs_approval
from signaling.document import Numbers
from signaling.effects import Deny
from signaling.errors import Refused
from signaling.ids import DirectiveId, NodeCode, Seq, UtcMs
from signaling.permission import Action
from signaling.records import (
    MAX_RECORD_BYTES,
    Actor,
    DirectiveApproved,
    DirectiveClosed,
    DirectiveCountersigned,
    DirectiveIssued,
    DirectiveRecalled,
    DirectiveRequest,
    DirectiveSuperseded,
    SignedRecord,
    Urgency,
    encode,
    signed_bytes,
)

log = logging.getLogger(__name__)

MIN_EXPIRES_MS = 60_000
MAX_EXPIRES_MS = 30 * 24 * 3_600_000


Click = tuple[str, NodeCode, str]
S = TypeVar("S", bound=SignedRecord)


@dataclass(frozen=True, slots=True)
class Rules:
    """How this node issues.  ``approval``: urgencies that need somebody else's approval first (P0 never does)."""

    prefix: str = ""
    approval: frozenset[Urgency] = frozenset()


class Issuing(Register):
    """Issues, recalls, closes, supersedes and countersigns."""

    def __init__(self, parts: Parts, rules: Rules) -> None:
        super().__init__(parts)
        self._rules = rules
        self._numbers = Numbers()
        self._clicks: dict[Click, DirectiveIssued] = {}
        self._pending_clicks: Tentative[Click, tuple[DirectiveIssued, asyncio.Future[Seq]]] = Tentative()

    # ---- issuing ---------------------------------------------------------------------------------

    async def issue(self, actor: Actor, request: DirectiveRequest) -> tuple[DirectiveIssued, bool]:
        """Issue a directive; return it once it is durable, and whether this call made it.

        Raises:
            Refused: ``not-permitted``, ``bad-text``, ``bad-record``, ``bad-field``, ``bad-attachment``,
                ``unknown-attachment``,
                ``empty-scope``, ``scope-too-large``, ``unknown-node``, ``post-conflict``, ``approval-needed``; with
                ``supersedes`` also ``unknown-directive`` or ``directive-…``.
        """
        click = (actor.name, actor.division, request.click_id)
        if (known := self._clicks.get(click)) is not None:
            return known, False
        if (pending := self._pending_clicks.get(click)) is not None:
            await asyncio.shield(pending[1])
            return pending[0], False
        if needs_approval(request.urgency, self._rules.approval):
            raise Refused("approval-needed", f"{request.urgency} is issued here once somebody else has approved it")
        order, durable = self._put_forth(actor, request, DirectiveId(self._clock.new_id("d")))
        await durable
        return order, True

    def _put_forth(
        self, author: Actor, request: DirectiveRequest, directive_id: DirectiveId, *before: DirectiveApproved
    ) -> tuple[DirectiveIssued, asyncio.Future[Seq]]:
        """Append the order after ``before`` (its approval), and the end of what it supersedes: all or nothing."""
        order, ended = self._draw_up(author, request, directive_id, *(record.by for record in before))
        durable = self._journal.append(*before, order, *ended)
        self._numbers.note(order.number, exercise=order.exercise)
        self._headers.hold(order.directive, directive.evolve(None, order), durable)
        for record in ended:
            self._headers.hold(record.directive, directive.evolve(self._header(record.directive), record), durable)
        click = (author.name, author.division, request.click_id)
        self._pending_clicks.hold(click, (order, durable), durable)
        durable.add_done_callback(lambda done: self._told(order, done))
        return order, durable

    def _told(self, order: DirectiveIssued, done: asyncio.Future[Seq]) -> None:
        if done.cancelled() or done.exception() is not None:
            return
        self._telemetry.count("directives_issued", urgency=order.urgency)
        log.info("directive issued", extra={"directive": order.directive, "recipients": len(order.recipients)})

    def _draw_up(
        self, author: Actor, request: DirectiveRequest, directive_id: DirectiveId, approved_by: Actor | None = None
    ) -> tuple[DirectiveIssued, tuple[DirectiveSuperseded, ...]]:
        """Return the order, signed, and the record that ends its predecessor.  Nothing is appended yet."""
        try:
            self._attachments.check(request.files)
            order = self._order(author, request, directive_id, approved_by)
            order_words.check_directive(order, self._tree)
            if len(encode(order)) > MAX_RECORD_BYTES:
                raise Refused("scope-too-large", f"{len(order.recipients)} recipients make the record too long")
            ended = self._succeed(order) if order.supersedes is not None else ()
        except Refused as error:
            self._refusals.answer(author, Action.ISSUE, request.click_id, error)
            raise
        return self._signed(order), ended

    def _order(
        self, author: Actor, request: DirectiveRequest, directive_id: DirectiveId, approved_by: Actor | None
    ) -> DirectiveIssued:
        if not MIN_EXPIRES_MS <= request.expires_ms <= MAX_EXPIRES_MS:
            raise Refused("bad-record", f"expires_ms: not in {MIN_EXPIRES_MS}..{MAX_EXPIRES_MS}")
        at = self._clock.at()
        first = request.urgency is Urgency.P0 and approved_by is None
        return DirectiveIssued(
            node=self._node,
            at=at,
            directive=directive_id,
            click_id=request.click_id,
            issuer=author,
            urgency=request.urgency,
            title=request.title,
            text=request.text,
            scope=request.scope,
            recipients=self._tree.expand(request.scope),
            exercise=request.exercise,
            expires_at=UtcMs(at + request.expires_ms),
            number=self._number(at, exercise=request.exercise),
            capacity=request.capacity,
            template=request.template,
            plan=request.plan,
            level=request.level,
            fields=request.fields,
            attachments=request.files,
            texts=request.texts,
            voice=request.voice,
            posts=self._tree.posts(request.scope),
            supersedes=request.supersedes,
            approved_by=approved_by,
            countersign_by=UtcMs(at + directive.COUNTERSIGN_MS) if first else None,
        )

    def _number(self, at: UtcMs, *, exercise: bool) -> str:
        """Return the next number of the year; it is drawn when the order is appended."""
        year = document.year_of(at)
        serial = self._numbers.next(year, exercise=exercise)
        return document.spell(self._rules.prefix, year, serial, exercise=exercise)

    def _succeed(self, order: DirectiveIssued) -> tuple[DirectiveSuperseded, ...]:
        """Return the record by which ``order`` takes the place of its predecessor."""
        assert order.supersedes is not None
        old = self._known(order.supersedes)
        record = DirectiveSuperseded(
            node=self._node, at=order.at, directive=order.supersedes, successor=order.directive, by=order.issuer
        )
        order_words.check_told(record, old.issued, self._tree)
        if old.issued.exercise != order.exercise:
            raise Refused("bad-record", "supersedes: an exercise and a directive in earnest do not replace each other")
        for effect in directive.decide(old, directive.Say(record), order.at):
            if isinstance(effect, Deny):
                raise Refused(effect.code, effect.text)
        return (self._signed(record),)

    def _signed(self, record: S) -> S:
        return msgspec.structs.replace(record, signature=self._keys.sign(signed_bytes(record)))

    # ---- what is said of it later ----------------------------------------------------------------

    async def recall(self, actor: Actor, directive_id: DirectiveId, reason: str) -> None:
        """Take a directive back; only where it was issued.  Recalling again changes nothing.

        Raises:
            Refused: ``unknown-directive``, ``not-permitted``, ``bad-text``, ``directive-closed``.
        """
        at = self._clock.at()
        await self._say(
            actor, DirectiveRecalled(node=self._node, at=at, directive=directive_id, by=actor, reason=reason)
        )

    async def close(self, actor: Actor, directive_id: DirectiveId) -> None:
        """End a directive though not everybody is done.  Closing again changes nothing.

        Raises:
            Refused: ``unknown-directive``, ``not-permitted``, ``directive-recalled``.
        """
        await self._say(actor, DirectiveClosed(node=self._node, at=self._clock.at(), directive=directive_id, by=actor))

    async def countersign(self, actor: Actor, directive_id: DirectiveId) -> None:
        """Stand behind a directive that somebody else issued first.  Again, or later than asked, changes nothing.

        Raises:
            Refused: ``unknown-directive``, ``not-permitted``, ``own-directive``, ``not-issued-first``,
                ``directive-recalled``, ``directive-superseded``.
        """
        at = self._clock.at()
        await self._say(actor, DirectiveCountersigned(node=self._node, at=at, directive=directive_id, by=actor))

    async def _say(self, actor: Actor, record: directive.Told) -> None:
        action = Action.APPROVE if isinstance(record, DirectiveCountersigned) else Action.RECALL
        try:
            order_words.check_told(record, self._known(record.directive).issued, self._tree)
        except Refused as error:
            self._refusals.answer(actor, action, record.directive, error)
            raise
        durable = self._carry_out_header(record.directive, directive.Say(self._signed(record)), via=None)
        if durable is not None:
            await durable
