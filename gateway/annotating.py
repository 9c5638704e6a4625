"""Relay with annotation (转办批示): a tier that an order passes adds its word for the places below it.

The order itself is never changed.  The word is signed by the node it was added at, travels down to the recipients
there and up to the issuer, and is checked at every hop.
"""

from __future__ import annotations

import msgspec

from gateway.register import Register
from signaling import order_words
from signaling.directive import Header
from signaling.errors import Refused
from signaling.ids import DirectiveId, NodeCode
from signaling.permission import Action
from signaling.records import Actor, DirectiveAnnotated, signed_bytes

MAX_ANNOTATIONS = 20
"""Of one directive by one node."""


class Annotating(Register):
    """What may be added to a directive on its way."""

    async def annotate(self, actor: Actor, directive_id: DirectiveId, note: str) -> None:
        """Add ``note`` for the recipients below the actor.

        Raises:
            Refused: ``unknown-directive``, ``not-permitted``, ``bad-text``, ``too-many-annotations``, or that the
                directive has ended.
        """
        record = DirectiveAnnotated(node=self._node, at=self._clock.at(), directive=directive_id, by=actor, note=note)
        try:
            header = self._known(directive_id)
            order_words.check_annotation(record, header.issued, self._tree)
            if header.state is not Header.ISSUED:
                raise Refused(f"directive-{header.state}", f"{directive_id} is {header.state}")
            self._has_room(record)
        except Refused as error:
            self._refusals.answer(actor, Action.ANNOTATE, directive_id, error)
            raise
        signed = msgspec.structs.replace(record, signature=self._keys.sign(signed_bytes(record)))
        await self._journal.append(signed)

    def _take_in(self, record: DirectiveAnnotated, via: NodeCode) -> None:
        """Keep another node's word.  A repeat changes nothing: the journal knows its key."""
        self._has_room(record)
        self._journal.append(record, via=via)

    def _has_room(self, record: DirectiveAnnotated) -> None:
        """Return if the node has not said too much about this directive; its newest may not be durable yet.

        Raises:
            Refused: ``too-many-annotations``.
        """
        entry = self._matrix.get(record.directive)
        known = () if entry is None else entry.annotations
        said = sum(one.node == record.node for one in known)
        if said >= MAX_ANNOTATIONS and record not in known:
            raise Refused("too-many-annotations", f"{record.node} has annotated it {MAX_ANNOTATIONS} times")
