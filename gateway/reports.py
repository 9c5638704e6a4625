"""What recipients say of a directive: delivered, shown, signed, fed back, done; and which hop has relayed it."""

from __future__ import annotations

import asyncio

import msgspec

from gateway.register import Parts, Register
from gateway.unrelayed import Unrelayed
from signaling import delivery, order_words
from signaling.directive import Directive, Header
from signaling.errors import Refused
from signaling.forms import check_report as check_form
from signaling.ids import DirectiveId, NodeCode, Seq
from signaling.permission import Action, permit
from signaling.records import MAX_TOGETHER, Actor, DeliveryAdvanced, DirectiveIssued, DirectivesRelayed, Stage

RECEIPTS = frozenset({Stage.DELIVERED, Stage.SHOWN})
MAX_NAMED = 200
"""Letters of the names that whoever may not sign is told."""
TOGETHER_S = 0.1
"""What a child says it holds is written down so often: under load, of many orders in one record."""


class Reports(Register):
    """Takes the word of terminals here, and of links that they hold what was sent."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._unrelayed = Unrelayed(parts.node, parts.tree)
        self._relayed: dict[tuple[NodeCode, NodeCode], list[DirectiveId]] = {}
        """By the child that holds them and the node that issued them: not written down yet."""

    async def receipt(self, actor: Actor, directive_id: DirectiveId, stage: Stage) -> None:
        """A terminal holds (``delivered``) or shows (``shown``) the order.

        Raises:
            Refused: ``unknown-directive``, ``not-a-recipient``, ``not-permitted``, ``bad-record``.
        """
        if stage not in RECEIPTS:
            raise Refused("bad-record", f"stage: {stage} is not a receipt")
        await self._report(actor, Action.RECEIPT, self._word(directive_id, actor.division, stage))

    async def sign(self, actor: Actor, directive_id: DirectiveId, name: str = "") -> None:
        """A named person signs for what was shown.  Signing again changes nothing.

        Raises:
            Refused: as ``receipt``, ``not-shown``, ``not-on-duty``, ``bad-text``, ``directive-recalled``,
                ``directive-superseded`` or ``directive-expired``.
        """
        signer = msgspec.structs.replace(actor, name=name or actor.name)
        await self._report(actor, Action.SIGN, self._word(directive_id, actor.division, Stage.SIGNED, signer))

    async def feedback(
        self,
        actor: Actor,
        directive_id: DirectiveId,
        values: dict[str, int],
        note: str = "",
        answers: dict[str, str] | None = None,
    ) -> None:
        """Feed numbers and answers back; the newest replace those before.

        Raises:
            Refused: as ``sign``, ``not-signed``, ``bad-feedback``.
        """
        word = self._word(directive_id, actor.division, Stage.FEEDBACK, actor, values, note, answers)
        await self._report(actor, Action.FEEDBACK, word)

    async def done(self, actor: Actor, directive_id: DirectiveId, note: str = "") -> None:
        """The recipient has carried the order out.

        Raises:
            Refused: as ``sign``, ``not-signed``.
        """
        word = self._word(directive_id, actor.division, Stage.DONE, actor, note=note)
        await self._report(actor, Action.FEEDBACK, word)

    def _word(
        self,
        directive_id: DirectiveId,
        recipient: NodeCode,
        stage: Stage,
        by: Actor | None = None,
        values: dict[str, int] | None = None,
        note: str = "",
        answers: dict[str, str] | None = None,
    ) -> DeliveryAdvanced:
        return DeliveryAdvanced(
            node=self._node,
            at=self._clock.at(),
            directive=directive_id,
            recipient=recipient,
            stage=stage,
            by=by,
            values=values or {},
            note=note,
            answers=answers or {},
        )

    async def _report(self, actor: Actor, action: Action, record: DeliveryAdvanced) -> None:
        try:
            permit(actor, action, record.recipient, self._tree)
            header = self._known(record.directive)
            if not self.has_recipient(record.directive, record.recipient):
                raise Refused("not-a-recipient", f"{record.recipient} is no recipient of {record.directive}")
            order_words.check_report(record, self._tree)
            if record.stage is Stage.FEEDBACK:
                check_form(header.issued.fields, record.values, record.answers)
            _still_open(header, record.stage)
            self._signer_on_duty(header.issued, record)
            durable = self._carry_out_row(record, delivery.decide(self._row(record), record), via=None)
        except Refused as error:
            self._refusals.answer(actor, action, record.directive, error)
            raise
        if durable is not None:
            await durable

    def _signer_on_duty(self, issued: DirectiveIssued, record: DeliveryAdvanced) -> None:
        """Where a post is addressed, anybody on duty in it signs; where the roster names nobody, whoever is there."""
        post = issued.posts.get(record.recipient, "")
        if record.stage is not Stage.SIGNED or not post or record.by is None:
            return
        people = self._on_duty(record.recipient, post)
        if people and record.by.name.strip() not in people:
            raise Refused("not-on-duty", f"{', '.join(people)[:MAX_NAMED]} on duty as {post}")

    def acknowledged(self, child: NodeCode, seq: Seq) -> None:
        """The link to ``child`` says it holds our journal up to ``seq`` (on its hello, and with every ack).

        What it says twice is heard once; what was lost with the power is said again by the next hello.
        """
        orders = (self.issued(directive_id) for directive_id in self._unrelayed.reached(child, seq))
        for order in orders:
            if order is not None:
                if not self._relayed:
                    asyncio.get_running_loop().call_later(TOGETHER_S, self.say_relayed)
                self._relayed.setdefault((child, order.node), []).append(order.directive)

    def say_relayed(self) -> None:
        """Write down what children have said they hold since the last time."""
        relayed, self._relayed = self._relayed, {}
        for (child, _), directives in relayed.items():
            for start in range(0, len(directives), MAX_TOGETHER):
                together = tuple(directives[start : start + MAX_TOGETHER])
                at = self._clock.at()
                self._journal.append(DirectivesRelayed(node=self._node, at=at, child=child, directives=together))


def _still_open(header: Directive, stage: Stage) -> None:
    """A receipt may always be given; a signature only in time, and nothing more after a recall."""
    if stage in RECEIPTS:
        return
    late = header.state is Header.EXPIRED and stage is Stage.SIGNED
    if header.state in (Header.RECALLED, Header.SUPERSEDED) or late:
        raise Refused(f"directive-{header.state}", f"{header.issued.directive} is {header.state}")
