"""What recipients say of a directive: delivered, shown, signed, fed back, done; and which hop has relayed it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from gateway.register import Parts, Register
from gateway.unrelayed import Unrelayed
from signaling import admission, delivery
from signaling.directive import Directive, Header
from signaling.errors import Refused
from signaling.ids import DirectiveId, NodeCode, Seq
from signaling.permission import Action, permit
from signaling.records import Actor, AnyRecord, DeliveryAdvanced, DirectiveIssued, Stage

RECEIPTS = frozenset({Stage.DELIVERED, Stage.SHOWN})


class Reports(Register):
    """Takes the word of terminals here, and of links that they hold what was sent."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._unrelayed = Unrelayed(parts.node, parts.tree)

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
            Refused: as ``receipt``, ``not-shown``, ``bad-text``, ``directive-recalled`` or ``directive-expired``.
        """
        signer = msgspec.structs.replace(actor, name=name or actor.name)
        await self._report(actor, Action.SIGN, self._word(directive_id, actor.division, Stage.SIGNED, signer))

    async def feedback(self, actor: Actor, directive_id: DirectiveId, values: dict[str, int], note: str = "") -> None:
        """Feed numbers back; the newest replace those before.

        Raises:
            Refused: as ``sign``, ``not-signed``.
        """
        word = self._word(directive_id, actor.division, Stage.FEEDBACK, actor, values, note)
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
        )

    async def _report(self, actor: Actor, action: Action, record: DeliveryAdvanced) -> None:
        try:
            permit(actor, action, record.recipient, self._tree)
            header = self._known(record.directive)
            if not self.has_recipient(record.directive, record.recipient):
                raise Refused("not-a-recipient", f"{record.recipient} is no recipient of {record.directive}")
            admission.check_report(record, self._tree)
            _still_open(header, record.stage)
            durable = self._carry_out_row(record, delivery.decide(self._row(record), record), via=None)
        except Refused as error:
            self._refusals.answer(actor, action, record.directive, error)
            raise
        if durable is not None:
            await durable

    def acknowledged(self, child: NodeCode, seq: Seq) -> None:
        """The link to ``child`` says it holds our journal up to ``seq`` (on its hello, and with every ack).

        What it says twice is heard once; what was lost with the power is said again by the next hello.
        """
        reached = self._unrelayed.reached(child, seq)
        self.relayed(child, (order for d in reached if (order := self.issued(d)) is not None))

    def relayed(self, child: NodeCode, records: Iterable[AnyRecord]) -> None:
        """``child`` holds ``records``: say so for every recipient beyond it, all together or not at all."""
        for record in records:
            if isinstance(record, DirectiveIssued):
                beyond = (r for r in record.recipients if self._tree.is_within(r, child))
                words = [self._word(record.directive, recipient, Stage.RELAYED) for recipient in beyond]
                new = [word for word in words if self._node not in self._row(word).hops]
                durable = self._journal.append(*new)
                for word in new:
                    self._hold(word, durable)


def _still_open(header: Directive, stage: Stage) -> None:
    """A receipt may always be given; a signature only in time, and nothing more after a recall."""
    if stage in RECEIPTS:
        return
    late = header.state is Header.EXPIRED and stage is Stage.SIGNED
    if header.state is Header.RECALLED or late:
        raise Refused(f"directive-{header.state}", f"{header.issued.directive} is {header.state}")
