"""What an issuing node says of its directives: issued, recalled, closed.  Nothing is answered before it is durable."""

from __future__ import annotations

import asyncio
import logging

import msgspec

from gateway.register import Parts, Register
from gateway.tentative import Tentative
from signaling import admission, directive
from signaling.errors import Refused
from signaling.ids import DirectiveId, NodeCode, Seq, UtcMs
from signaling.permission import Action
from signaling.records import (
    MAX_RECORD_BYTES,
    Actor,
    DirectiveClosed,
    DirectiveIssued,
    DirectiveRecalled,
    ScopeItem,
    Urgency,
    encode,
    signed_bytes,
)

log = logging.getLogger(__name__)

MIN_EXPIRES_MS = 60_000
MAX_EXPIRES_MS = 30 * 24 * 3_600_000


class DirectiveRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an issuer asks for.  The same ``click_id`` of the same issuer is the same directive."""

    click_id: str
    urgency: Urgency
    title: str
    text: str
    scope: tuple[ScopeItem, ...]
    exercise: bool = False
    expires_ms: int = directive.EXPIRES_MS


Click = tuple[str, NodeCode, str]


class Issuing(Register):
    """Issues, recalls and closes."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._clicks: dict[Click, DirectiveIssued] = {}
        self._pending_clicks: Tentative[Click, tuple[DirectiveIssued, asyncio.Future[Seq]]] = Tentative()

    async def issue(self, actor: Actor, request: DirectiveRequest) -> tuple[DirectiveIssued, bool]:
        """Issue a directive; return it once it is durable, and whether this call made it.

        Raises:
            Refused: ``not-permitted``, ``bad-text``, ``bad-record``, ``empty-scope``, ``scope-too-large``,
                ``unknown-node``.
        """
        click = (actor.name, actor.division, request.click_id)
        if (known := self._clicks.get(click)) is not None:
            return known, False
        if (pending := self._pending_clicks.get(click)) is not None:
            await asyncio.shield(pending[1])
            return pending[0], False
        order = self._draw_up(actor, request)
        durable = self._carry_out_header(order.directive, directive.Issue(order), via=None)
        assert durable is not None  # the id is fresh
        self._pending_clicks.hold(click, (order, durable), durable)
        await durable
        self._telemetry.count("directives_issued", urgency=order.urgency)
        log.info("directive issued", extra={"directive": order.directive, "recipients": len(order.recipients)})
        return order, True

    def _draw_up(self, actor: Actor, request: DirectiveRequest) -> DirectiveIssued:
        try:
            order = self._order(actor, request)
            admission.check_directive(order, self._tree)
            if len(encode(order)) > MAX_RECORD_BYTES:
                raise Refused("scope-too-large", f"{len(order.recipients)} recipients make the record too long")
        except Refused as error:
            self._refusals.answer(actor, Action.ISSUE, request.click_id, error)
            raise
        return msgspec.structs.replace(order, signature=self._keys.sign(signed_bytes(order)))

    def _order(self, actor: Actor, request: DirectiveRequest) -> DirectiveIssued:
        if not MIN_EXPIRES_MS <= request.expires_ms <= MAX_EXPIRES_MS:
            raise Refused("bad-record", f"expires_ms: not in {MIN_EXPIRES_MS}..{MAX_EXPIRES_MS}")
        at = self._clock.at()
        return DirectiveIssued(
            node=self._node,
            at=at,
            directive=DirectiveId(self._clock.new_id("d")),
            click_id=request.click_id,
            issuer=actor,
            urgency=request.urgency,
            title=request.title,
            text=request.text,
            scope=request.scope,
            recipients=self._tree.expand(request.scope),
            exercise=request.exercise,
            expires_at=UtcMs(at + request.expires_ms),
        )

    async def recall(self, actor: Actor, directive_id: DirectiveId, reason: str) -> None:
        """Take a directive back; only where it was issued.  Recalling again changes nothing.

        Raises:
            Refused: ``unknown-directive``, ``not-permitted``, ``bad-text``, ``directive-closed``.
        """
        record = DirectiveRecalled(
            node=self._node, at=self._clock.at(), directive=directive_id, by=actor, reason=reason
        )
        await self._end(actor, record)

    async def close(self, actor: Actor, directive_id: DirectiveId) -> None:
        """End a directive though not everybody is done.  Closing again changes nothing.

        Raises:
            Refused: ``unknown-directive``, ``not-permitted``, ``directive-recalled``.
        """
        await self._end(actor, DirectiveClosed(node=self._node, at=self._clock.at(), directive=directive_id, by=actor))

    async def _end(self, actor: Actor, record: DirectiveRecalled | DirectiveClosed) -> None:
        try:
            admission.check_ending(record, self._known(record.directive).issued, self._tree)
        except Refused as error:
            self._refusals.answer(actor, Action.RECALL, record.directive, error)
            raise
        signed = msgspec.structs.replace(record, signature=self._keys.sign(signed_bytes(record)))
        durable = self._carry_out_header(record.directive, directive.End(signed), via=None)
        if durable is not None:
            await durable
