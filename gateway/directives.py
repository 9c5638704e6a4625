"""Driver of directives: what links bring is taken in, what is durable is folded into a matrix, and seen from it.

Every decision is the pure machines' (``signaling/directive.py``, ``signaling/delivery.py``); every record is
admitted by ``signaling/admission.py`` and, where the issuing node must have signed it, checked against its key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from gateway.annotating import Annotating
from gateway.attachments import Attachments
from gateway.blobs import Blobs
from gateway.clock import Clock
from gateway.drafts import Drafts
from gateway.issuing import Rules
from gateway.journal import Journal, Row
from gateway.keys import Keys
from gateway.matrix import Entry
from gateway.refusals import Refusals
from gateway.register import Parts
from gateway.reports import Reports
from gateway.telemetry import Telemetry
from signaling import admission, delivery, directive, text
from signaling.attachment import MAX_FILE_NAME, Attachment
from signaling.directive import Directive
from signaling.division import Tree
from signaling.duty import Roster
from signaling.errors import LocalError, Refused
from signaling.ids import DirectiveId, NodeCode, Sha256, UtcMs
from signaling.messages import DeliveryChanged, DirectiveView
from signaling.permission import Action, permit
from signaling.records import (
    Actor,
    DeliveryAdvanced,
    DirectiveAnnotated,
    DirectiveApproved,
    DirectiveClosed,
    DirectiveCountersigned,
    DirectiveDrafted,
    DirectiveIssued,
    DirectiveRecalled,
    DirectiveReturned,
    DirectivesRelayed,
    DirectiveSubmitted,
    DirectiveSuperseded,
    SignedRecord,
    Stage,
    signed_bytes,
)

TICK_S = 1.0

DirectiveRecord = DirectiveIssued | directive.Told | DirectiveAnnotated | DeliveryAdvanced | DirectivesRelayed
ANY_RULES = Rules()


class Screen(Protocol):
    """What is asked of a terminal's session."""

    def show_in_turn(self, rank: tuple[bool, str, int], key: str, make: Callable[[], DirectiveView]) -> None:
        """Tell it what ``make`` returns after all of a lower ``rank`` that waits."""
        ...


class Directives(Drafts, Annotating, Reports):
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
        rules: Rules = ANY_RULES,
        roster: Roster | None = None,
        blobs: Blobs | None = None,
    ) -> None:
        attachments = Attachments(blobs, clock)
        parts = Parts(node, tree, keys, journal, clock, telemetry, refusals, roster or Roster(), attachments)
        super().__init__(parts, rules)
        self._complete: set[DirectiveId] = set()
        journal.follow(self._fold, ("directive:", "delivery:", "relayed:", "draft:"))

    # ---- told by a neighbour ---------------------------------------------------------------------

    def receive(self, record: DirectiveRecord, via: NodeCode) -> None:
        """Take in a record from a link, in order.  What may not be is journalled as refused; nothing is raised."""
        try:
            admission.admit(record, via, self._node, self._tree, self)
            match record:
                case DirectiveIssued():
                    self._verify(record)
                    self._carry_out_header(record.directive, directive.Issue(record), via)
                    self.expire(record.directive, self._clock.at())  # if it comes too late, it is known and not open
                case DirectiveRecalled() | DirectiveClosed() | DirectiveSuperseded() | DirectiveCountersigned():
                    self._verify(record)
                    self._carry_out_header(record.directive, directive.Say(record), via)
                case DirectiveAnnotated():
                    self._verify(record)
                    self._take_in(record, via)
                case DeliveryAdvanced():
                    self._carry_out_row(record, delivery.accept(self._row(record), record), via)
                case DirectivesRelayed() if self._matrix.is_repeat(record):
                    self._telemetry.count("repeats", kind="relayed")
                case DirectivesRelayed():
                    self._journal.append(record, via=via)
        except Refused as error:
            about = record.directives[:1] if isinstance(record, DirectivesRelayed) else (record.directive,)
            self._refusals.record(None, str(record.__struct_config__.tag), "".join(about), error, via)

    def _verify(self, record: SignedRecord) -> None:
        self._keys.verify(record.node, signed_bytes(record), record.signature)

    # ---- the fold --------------------------------------------------------------------------------

    def _fold(self, rows: Sequence[Row]) -> None:
        for row in rows:
            record = row.record
            self._matrix.fold(record)
            match record:
                case DirectiveIssued():
                    self._unrelayed.issued(record, row.seq)
                    self._attachments.learn(record, row.via)
                    if record.node == self._node:
                        self._fold_own(record)
                case DirectiveDrafted() | DirectiveSubmitted() | DirectiveApproved() | DirectiveReturned():
                    self._fold_draft(record)
                case DeliveryAdvanced(stage=Stage.DONE):
                    self._complete.add(record.directive)
                case DirectivesRelayed() if record.node == self._node:
                    self._unrelayed.relayed(record)
                case _:
                    pass

    def _fold_own(self, record: DirectiveIssued) -> None:
        self._clicks[record.issuer.name, record.issuer.division, record.click_id] = record
        self._numbers.note(record.number, exercise=record.exercise)
        self._fold_draft(record)

    async def run(self) -> None:
        """Close what everybody has done, until cancelled."""
        while True:
            self.tick(self._clock.at())
            await asyncio.sleep(TICK_S)

    def tick(self, at: UtcMs) -> None:
        """Close what everybody has done."""
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
        self._carry_out_header(directive_id, directive.Say(self._signed(record)), via=None)

    # ---- views -----------------------------------------------------------------------------------

    def order(self, directive_id: DirectiveId, actor: Actor) -> Directive:
        """Return what was ordered and whether it still holds.

        Raises:
            Refused: ``unknown-directive`` or ``not-permitted``.
        """
        entry = self._entry(directive_id)
        if not self._matrix.may_read(entry, actor):
            raise Refused("not-permitted", f"{directive_id} concerns nobody of {actor.division}")
        return entry.header

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

    def open_for(self, division: NodeCode, limit: int = 200) -> Iterator[DirectiveView]:
        """Yield what a terminal of ``division`` must have on its screen: issued, and not ended.

        First every directive that it has not shown, however many, the most urgent first; then the newest ``limit`` of
        the others.  Within both, oldest first.
        """
        for entry in self._on_screen(division, limit):
            yield self._matrix.mine(entry, division)

    def show(self, directive_id: DirectiveId, recipient: NodeCode, screen: Screen) -> None:
        """Tell a terminal of ``recipient`` of a directive when its turn comes.

        What it has not shown comes before what it has, the more urgent before the less, the older before the newer.

        Raises:
            Refused: ``unknown-directive``.
        """
        self._show(self._entry(directive_id), recipient, screen)

    def show_all(self, recipient: NodeCode, screen: Screen) -> None:
        """Tell a terminal of ``recipient`` of all that ``open_for`` yields, in that order."""
        for entry in self._on_screen(recipient):
            self._show(entry, recipient, screen)

    def _show(self, entry: Entry, recipient: NodeCode, screen: Screen) -> None:
        issued = entry.header.issued
        rank = Stage.SHOWN in entry.row(recipient).times, issued.urgency, entry.number
        screen.show_in_turn(rank, issued.directive, lambda: self._matrix.mine(entry, recipient))

    def _on_screen(self, division: NodeCode, limit: int = 200) -> Iterator[Entry]:
        waiting: list[Entry] = []
        others: list[Entry] = []
        for entry in self._matrix.open_for(division):
            if Stage.SHOWN not in entry.row(division).times:
                waiting.append(entry)
            elif len(others) < limit:
                others.append(entry)
        waiting.reverse()
        waiting.sort(key=lambda entry: entry.header.issued.urgency)
        return iter((*waiting, *reversed(others)))

    def mine(self, directive_id: DirectiveId, recipient: NodeCode) -> DirectiveView:
        """Return a directive as the terminal of one recipient shows it, whatever its state.

        Raises:
            Refused: ``unknown-directive`` or ``not-a-recipient``.
        """
        entry = self._entry(directive_id)
        if recipient not in entry.recipients:
            raise Refused("not-a-recipient", f"{recipient} is no recipient of {directive_id}")
        return self._matrix.mine(entry, recipient)

    def copy(self, directive_id: DirectiveId, division: NodeCode) -> DirectiveView | None:
        """Return a directive as a terminal of a tier between shows it; None if it does not pass ``division``."""
        entry = self._matrix.get(directive_id)
        if entry is None or not self._matrix.is_copied(entry, division):
            return None
        return self._matrix.copy(entry, division)

    def copies_for(self, division: NodeCode, limit: int = 200) -> Sequence[DirectiveView]:
        """Return the open ones among the latest directives that ``division`` has a copy of, oldest first."""
        return [self._matrix.copy(entry, division) for entry in self._matrix.copies_for(division, limit)][::-1]

    async def upload(self, actor: Actor, data: bytes, name: str) -> Attachment:
        """Keep a file that a directive of ``actor`` is about to name.

        Raises:
            Refused: ``not-permitted``, ``bad-text``, or as ``Attachments.upload``.
        """
        permit(actor, Action.ISSUE, actor.division, self._tree)
        text.line(name, "name", MAX_FILE_NAME)
        return await self._attachments.upload(data, name)

    def attached(self, sha256: Sha256) -> Sequence[DirectiveIssued]:
        """Return the directives that name a file."""
        orders = (self.issued(directive_id) for directive_id in self._attachments.directives(sha256))
        return [order for order in orders if order is not None]

    async def attachment(self, actor: Actor, sha256: Sha256) -> tuple[bytes, str]:
        """Return a file of a directive that ``actor`` may read, and its type.

        Raises:
            Refused: ``unknown-blob``, ``not-permitted``, or ``blob-pending``: ask again soon.
        """
        named = self._attachments.directives(sha256)
        if named and not any(self.may_read(directive_id, actor) for directive_id in named):
            raise Refused("not-permitted", "no directive of yours has this file")
        return await self._attachments.read(sha256)

    def may_read(self, directive_id: DirectiveId, actor: Actor) -> bool:
        """Return whether ``actor`` may read at least one row; False for what is unknown here."""
        entry = self._matrix.get(directive_id)
        return entry is not None and self._matrix.may_read(entry, actor)

    def moved(self, record: DeliveryAdvanced | DirectivesRelayed) -> Iterator[tuple[DirectiveId, NodeCode]]:
        """Yield the directive and the recipient of each row that ``record`` moved."""
        if isinstance(record, DeliveryAdvanced):
            yield record.directive, record.recipient
        else:
            for entry, recipient in self._matrix.beyond(record):
                if entry.row(recipient).times[Stage.RELAYED] == record.at:  # else another hop was the first
                    yield entry.header.issued.directive, recipient

    def row_view(self, directive_id: DirectiveId, recipient: NodeCode) -> DeliveryChanged:
        """Return one row as consoles are told of it; permission is READ_DIRECTIVE at ``recipient``.

        Raises:
            LocalError: The directive is not folded.
        """
        entry = self._matrix.get(directive_id)
        if entry is None:
            raise LocalError(f"{directive_id} is not folded")
        return DeliveryChanged(directive=directive_id, recipient=self._matrix.row_view(entry, recipient))
