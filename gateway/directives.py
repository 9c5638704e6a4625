"""Driver of directives: issue, receive, receipt, sign, feed back, recall; what is durable is folded into a matrix.

Every decision is the pure machines' (``signaling/directive.py``, ``signaling/delivery.py``); every record is
admitted by ``signaling/admission.py`` and, where the issuing node must have signed it, checked against its key.
Nothing is answered before it is durable.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from gateway.clock import Clock
from gateway.journal import Journal, Row
from gateway.matrix import Entry, Matrix
from gateway.refusals import Refusals
from gateway.telemetry import Telemetry
from gateway.tentative import Tentative
from gateway.unrelayed import Unrelayed
from signaling import admission, delivery, directive
from signaling.delivery import QUEUED, Delivery
from signaling.directive import Directive, Header
from signaling.division import Tree
from signaling.effects import Deny, Repeat
from signaling.errors import LocalError, Refused
from signaling.ids import DirectiveId, NodeCode, Seq, UtcMs
from signaling.messages import DeliveryChanged, DirectiveView
from signaling.permission import Action, permit
from signaling.records import (
    MAX_RECORD_BYTES,
    Actor,
    AnyRecord,
    DeliveryAdvanced,
    DirectiveClosed,
    DirectiveExpired,
    DirectiveIssued,
    DirectiveRecalled,
    ScopeItem,
    SignedRecord,
    Stage,
    Urgency,
    encode,
    signed_bytes,
)

log = logging.getLogger(__name__)

MIN_EXPIRES_MS = 60_000
MAX_EXPIRES_MS = 30 * 24 * 3_600_000
TICK_S = 1.0
RECEIPTS = frozenset({Stage.DELIVERED, Stage.SHOWN})

DirectiveRecord = DirectiveIssued | DirectiveRecalled | DirectiveClosed | DeliveryAdvanced


class Keys(Protocol):
    """Signs as this node, checks what any node signed (``gateway/keys.py``)."""

    def sign(self, data: bytes) -> str: ...
    def verify(self, node: NodeCode, data: bytes, signature: str) -> None: ...


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


class Directives(admission.Facts):
    """All directives of one node.  Construct before anything is appended; run ``run`` in a task group."""

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
        self._matrix = Matrix(tree)
        self._clicks: dict[Click, DirectiveIssued] = {}
        self._headers: Tentative[DirectiveId, Directive] = Tentative()
        self._rows: Tentative[tuple[DirectiveId, NodeCode], Delivery] = Tentative()
        self._pending_clicks: Tentative[Click, tuple[DirectiveIssued, asyncio.Future[Seq]]] = Tentative()
        self._timers: list[tuple[UtcMs, DirectiveId]] = []
        self._complete: set[DirectiveId] = set()
        self._unrelayed = Unrelayed(node, tree)
        journal.follow(self._fold, ("directive:", "delivery:"))

    # ---- asked for here --------------------------------------------------------------------------

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

    # ---- told by a neighbour ---------------------------------------------------------------------

    def receive(self, record: DirectiveRecord, via: NodeCode) -> None:
        """Take in a record from a link, in order.  What may not be is journalled as refused; nothing is raised."""
        try:
            admission.admit(record, via, self._node, self._tree, self)
            match record:
                case DirectiveIssued():
                    self._verify(record)
                    self._carry_out_header(record.directive, directive.Issue(record), via)
                case DirectiveRecalled() | DirectiveClosed():
                    self._verify(record)
                    self._carry_out_header(record.directive, directive.End(record), via)
                case DeliveryAdvanced():
                    self._carry_out_row(record, delivery.accept(self._row(record), record), via)
        except Refused as error:
            self._refusals.record(None, str(record.__struct_config__.tag), record.directive, error, via)

    def _verify(self, record: SignedRecord) -> None:
        self._keys.verify(record.node, signed_bytes(record), record.signature)

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

    # ---- carrying out ----------------------------------------------------------------------------

    def _carry_out_header(
        self, directive_id: DirectiveId, command: directive.Command, via: NodeCode | None
    ) -> asyncio.Future[Seq] | None:
        """Append what the machine says; None when there is nothing new to wait for."""
        durable = None
        state = self._header(directive_id)
        for effect in directive.decide(state, command, self._clock.at()):
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

    def _header(self, directive_id: DirectiveId) -> Directive | None:
        held = self._headers.get(directive_id)
        if held is not None:
            return held
        entry = self._matrix.get(directive_id)
        return entry.header if entry else None

    def _row(self, record: DeliveryAdvanced) -> Delivery:
        held = self._rows.get((record.directive, record.recipient))
        if held is not None:
            return held
        entry = self._matrix.get(record.directive)
        return entry.row(record.recipient) if entry else QUEUED

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

    # ---- the fold --------------------------------------------------------------------------------

    def _fold(self, rows: Sequence[Row]) -> None:
        for row in rows:
            record = row.record
            self._matrix.fold(record)
            match record:
                case DirectiveIssued():
                    heapq.heappush(self._timers, (record.expires_at, record.directive))
                    self._unrelayed.issued(record, row.seq)
                    if record.node == self._node:
                        click = (record.issuer.name, record.issuer.division, record.click_id)
                        self._clicks[click] = record
                case DeliveryAdvanced(stage=Stage.DONE):
                    self._complete.add(record.directive)
                case DeliveryAdvanced(stage=Stage.RELAYED) if record.node == self._node:
                    self._unrelayed.relayed(record)
                case _:
                    pass

    async def run(self) -> None:
        """Keep the timers until cancelled."""
        while True:
            self.tick(self._clock.at())
            await asyncio.sleep(TICK_S)

    def tick(self, at: UtcMs) -> None:
        """Say of every directive whose time has run out that it has; close what everybody has done."""
        while self._timers and self._timers[0][0] <= at:
            _, directive_id = heapq.heappop(self._timers)
            expired = DirectiveExpired(node=self._node, at=at, directive=directive_id)
            self._carry_out_header(directive_id, directive.Tick(expired), via=None)
        while self._complete:
            self._close_if_done(self._complete.pop(), at)

    def _close_if_done(self, directive_id: DirectiveId, at: UtcMs) -> None:
        entry = self._entry(directive_id)
        header = self._known(directive_id)
        if (
            not entry.all_done
            or header.issued.node != self._node
            or DirectiveClosed not in directive.TRANSITIONS[header.state]
        ):
            return
        record = DirectiveClosed(node=self._node, at=at, directive=directive_id)
        signed = msgspec.structs.replace(record, signature=self._keys.sign(signed_bytes(record)))
        self._carry_out_header(directive_id, directive.End(signed), via=None)

    # ---- views -----------------------------------------------------------------------------------

    def view(self, directive_id: DirectiveId, actor: Actor) -> DirectiveView:
        """Return a directive with the rows of its matrix that ``actor`` may read.

        Raises:
            Refused: ``unknown-directive`` or ``not-permitted``.
        """
        return self._matrix.view(self._entry(directive_id), actor, rows=True)

    def list(self, actor: Actor, limit: int = 200, *, rows: bool = False) -> Sequence[DirectiveView]:
        """Return the newest directives ``actor`` may read; ``rows``: each with its matrix."""
        found: list[DirectiveView] = []
        for entry in self._matrix.newest():
            if len(found) >= limit:
                break
            if self._matrix.may_read(entry, actor):
                found.append(self._matrix.view(entry, actor, rows=rows))
        return found

    def open_for(self, division: NodeCode, limit: int = 200) -> Sequence[DirectiveView]:
        """Return the directives a terminal of ``division`` must show, oldest first: issued, and not yet done."""
        newest = itertools.islice(self._matrix.open_for(division), limit)
        return [self._matrix.mine(entry, division) for entry in newest][::-1]

    def mine(self, directive_id: DirectiveId, recipient: NodeCode) -> DirectiveView:
        """Return a directive as the terminal of one recipient shows it, whatever its state.

        Raises:
            Refused: ``unknown-directive`` or ``not-a-recipient``.
        """
        entry = self._entry(directive_id)
        if recipient not in entry.recipients:
            raise Refused("not-a-recipient", f"{recipient} is no recipient of {directive_id}")
        return self._matrix.mine(entry, recipient)

    def may_read(self, directive_id: DirectiveId, actor: Actor) -> bool:
        """Return whether ``actor`` may read at least one row; False for what is unknown here."""
        entry = self._matrix.get(directive_id)
        return entry is not None and self._matrix.may_read(entry, actor)

    def changed(self, record: DeliveryAdvanced) -> DeliveryChanged:
        """Return the row ``record`` moved, as consoles are told of it; permission is READ_DIRECTIVE at its node.

        Raises:
            LocalError: The record is not folded yet.
        """
        entry = self._matrix.get(record.directive)
        if entry is None:
            raise LocalError(f"{record.directive} is not folded")
        return DeliveryChanged(directive=record.directive, recipient=self._matrix.row_view(entry, record.recipient))


def _still_open(header: Directive, stage: Stage) -> None:
    """A receipt may always be given; a signature only in time, and nothing more after a recall."""
    if stage in RECEIPTS:
        return
    late = header.state is Header.EXPIRED and stage is Stage.SIGNED
    if header.state is Header.RECALLED or late:
        raise Refused(f"directive-{header.state}", f"{header.issued.directive} is {header.state}")
