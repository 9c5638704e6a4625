"""Driver of lateral circulars: tell places beside this one, read, answer.

A circular is signed by the node it was sent from and checked at every node it passes, as a directive is; it
commands nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import msgspec

from gateway.clock import Clock
from gateway.journal import Journal, Row
from gateway.keys import Keys
from gateway.refusals import Refusals
from gateway.telemetry import Telemetry
from gateway.tentative import Tentative
from signaling import admission, circular
from signaling.circular import Circular
from signaling.division import Tree
from signaling.effects import Deny, Repeat
from signaling.errors import Refused
from signaling.ids import CircularId, NodeCode, Seq
from signaling.messages import CircularAnswer, CircularView
from signaling.permission import Action, permitted
from signaling.records import Actor, CircularAnswered, CircularSent, Role, signed_bytes

log = logging.getLogger(__name__)

CircularRecord = CircularSent | CircularAnswered
Click = tuple[str, NodeCode, str]


class CircularRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody tells places beside them.  The same ``click_id`` of the same person is the same circular."""

    click_id: str
    to: tuple[NodeCode, ...]
    title: str
    text: str
    asks: bool = False
    exercise: bool = False


class Circulars(admission.Facts):
    """All circulars of one node.  Construct before anything is appended."""

    def __init__(
        self,
        node: NodeCode,
        tree: Tree,
        keys: Keys,
        journal: Journal,
        clock: Clock,
        telemetry: Telemetry,
        refusals: Refusals,
    ) -> None:
        self._node = node
        self._tree = tree
        self._keys = keys
        self._journal = journal
        self._clock = clock
        self._telemetry = telemetry
        self._refusals = refusals
        self._circulars: dict[CircularId, Circular] = {}
        self._tentative: Tentative[CircularId, Circular] = Tentative()
        self._clicks: dict[Click, CircularSent] = {}
        self._pending: Tentative[Click, tuple[CircularSent, asyncio.Future[Seq]]] = Tentative()
        journal.follow(self._fold, ("circular:",))

    # ---- asked for here --------------------------------------------------------------------------

    async def send(self, actor: Actor, request: CircularRequest) -> tuple[CircularSent, bool]:
        """Tell places beside the actor's; return the circular once it is durable, and whether this call made it.

        Raises:
            Refused: ``not-permitted``, ``bad-text``, ``bad-record`` or ``scope-too-large``.
        """
        click = (actor.name, actor.division, request.click_id)
        if (known := self._clicks.get(click)) is not None:
            return known, False
        if (pending := self._pending.get(click)) is not None:
            await asyncio.shield(pending[1])
            return pending[0], False
        sent = self._draw_up(actor, request)
        durable = self._carry_out(sent, via=None)
        assert durable is not None  # the id is fresh
        self._pending.hold(click, (sent, durable), durable)
        await durable
        log.info("circular sent", extra={"circular": sent.circular, "places": len(sent.to)})
        return sent, True

    def _draw_up(self, actor: Actor, request: CircularRequest) -> CircularSent:
        sent = CircularSent(
            node=self._node,
            at=self._clock.at(),
            circular=CircularId(self._clock.new_id("n")),
            click_id=request.click_id,
            by=actor,
            to=request.to,
            title=request.title,
            text=request.text,
            asks=request.asks,
            exercise=request.exercise,
        )
        try:
            admission.check_circular(sent, self._tree)
        except Refused as error:
            self._refusals.answer(actor, Action.NOTIFY, request.click_id, error)
            raise
        return msgspec.structs.replace(sent, signature=self._keys.sign(signed_bytes(sent)))

    async def answer(self, actor: Actor, circular_id: CircularId, text: str = "") -> None:
        """Say that the actor's place has read the circular; with ``text``, answer it.  Reading again changes nothing.

        Raises:
            Refused: ``unknown-circular``, ``not-a-recipient``, ``not-permitted``, ``bad-text`` or ``too-many-answers``.
        """
        record = CircularAnswered(
            node=self._node, at=self._clock.at(), circular=circular_id, place=actor.division, by=actor, text=text
        )
        try:
            admission.check_answer(record, self._known(circular_id).sent, self._tree)
            durable = self._carry_out(record, via=None)
        except Refused as error:
            self._refusals.answer(actor, Action.ANSWER_CIRCULAR, circular_id, error)
            raise
        if durable is not None:
            await durable

    # ---- told by a neighbour ---------------------------------------------------------------------

    def receive(self, record: CircularRecord, via: NodeCode) -> None:
        """Take in a record from a link, in order.  What may not be is journalled as refused; nothing is raised."""
        try:
            admission.admit(record, via, self._node, self._tree, self)
            if isinstance(record, CircularSent):
                self._keys.verify(record.node, signed_bytes(record), record.signature)
            self._carry_out(record, via)
        except Refused as error:
            self._refusals.record(None, str(record.__struct_config__.tag), record.circular, error, via)

    def _carry_out(self, asked: CircularRecord, via: NodeCode | None) -> asyncio.Future[Seq] | None:
        """Append what the machine says; None when there is nothing new to wait for."""
        durable = None
        for effect in circular.decide(self._state(asked.circular), asked):
            match effect:
                case circular.Append(record):
                    durable = self._journal.append(record, via=via)
                    self._tentative.hold(
                        record.circular, circular.evolve(self._state(record.circular), record), durable
                    )
                case Repeat():
                    self._telemetry.count("repeats", kind="circular")
                case Deny(code, why):
                    raise Refused(code, why)
        return durable

    # ---- what is known ---------------------------------------------------------------------------

    def circulated(self, circular: CircularId) -> CircularSent | None:
        state = self._state(circular)
        return state.sent if state else None

    def _state(self, circular_id: CircularId) -> Circular | None:
        return self._tentative.get(circular_id) or self._circulars.get(circular_id)

    def _known(self, circular_id: CircularId) -> Circular:
        state = self._state(circular_id)
        if state is None:
            raise Refused("unknown-circular", f"no circular {circular_id[:64]!r} here")
        return state

    def _fold(self, rows: Sequence[Row]) -> None:
        for row in rows:
            match row.record:
                case CircularSent() as record:
                    if record.node == self._node:
                        self._clicks[(record.by.name, record.by.division, record.click_id)] = record
                case CircularAnswered() as record:
                    pass
                case _:
                    continue
            self._circulars[record.circular] = circular.evolve(self._circulars.get(record.circular), record)

    # ---- views -----------------------------------------------------------------------------------

    def may_read(self, circular_id: CircularId, actor: Actor) -> bool:
        """Return whether ``actor`` sent it, was told, or stands over somebody who was; False for what is unknown."""
        state = self._circulars.get(circular_id)
        if state is None:
            return False
        places = state.sent.to if actor.role is Role.TERMINAL else (state.sent.by.division, *state.sent.to)
        return any(permitted(actor, Action.READ_CIRCULAR, place, self._tree) for place in places)

    def view(self, circular_id: CircularId, actor: Actor) -> CircularView:
        """Return a circular as people see it.

        Raises:
            Refused: ``unknown-circular`` or ``not-permitted``.
        """
        state = self._circulars.get(circular_id)
        if state is None:
            raise Refused("unknown-circular", f"no circular {circular_id[:64]!r} here")
        if not self.may_read(circular_id, actor):
            raise Refused("not-permitted", f"{circular_id} concerns nobody of {actor.division}")
        sent = state.sent
        return CircularView(
            circular=sent.circular,
            title=sent.title,
            text=sent.text,
            asks=sent.asks,
            exercise=sent.exercise,
            by=sent.by,
            by_name=self._tree.name(sent.by.division),
            sent_at=sent.at,
            to=sent.to,
            unread=len(sent.to) - len(state.answers),
            answers=tuple(self._answer(answer) for said in state.answers.values() for answer in said),
        )

    def _answer(self, answer: CircularAnswered) -> CircularAnswer:
        return CircularAnswer(
            place=answer.place,
            place_name=self._tree.name(answer.place),
            by=answer.by.name,
            at=answer.at,
            text=answer.text,
        )

    def list(self, actor: Actor, limit: int = 200) -> Sequence[CircularView]:
        """Return the newest circulars ``actor`` may read."""
        found: list[CircularView] = []
        for circular_id in reversed(self._circulars):
            if len(found) >= limit:
                break
            if self.may_read(circular_id, actor):
                found.append(self.view(circular_id, actor))
        return found
