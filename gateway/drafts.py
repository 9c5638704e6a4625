"""Directives before they are issued: written, submitted, approved by somebody else, returned.

Decisions are ``signaling/approval.py``'s.  An approval and the order it lets out are one append: never one without
the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.clicks import draft_of
from gateway.issuing import Issuing, Rules
from gateway.register import Parts
from gateway.tentative import Tentative
from signaling import approval, text
from signaling.approval import Draft, needs_approval
from signaling.directive import MAX_REASON, DraftRecord, Header, same_person
from signaling.effects import Deny, Repeat
from signaling.errors import Refused
from signaling.ids import DirectiveId, Seq
from signaling.messages import DraftView
from signaling.permission import Action, permit, permitted
from signaling.records import (
    Actor,
    DirectiveApproved,
    DirectiveDrafted,
    DirectiveIssued,
    DirectiveRequest,
    DirectiveReturned,
    DirectiveSubmitted,
)

MAX_OPEN = 200
"""Drafts of this node that are not issued yet; beyond, one is issued or none is begun."""


class Drafts(Issuing):
    """Keeps drafts, and issues from them."""

    def __init__(self, parts: Parts, rules: Rules) -> None:
        super().__init__(parts, rules)
        self._drafts: dict[DirectiveId, Draft] = {}
        self._open: set[DirectiveId] = set()
        self._pending_drafts: Tentative[DirectiveId, Draft] = Tentative()

    # ---- asked for -------------------------------------------------------------------------------

    async def draft(self, actor: Actor, request: DirectiveRequest) -> DraftView:
        """Keep a draft; the same ``click_id`` of the same author is the same draft.

        Raises:
            Refused: As ``issue``, ``too-many-drafts``.
        """
        directive_id = draft_of(self._node, actor, request.click_id)
        if self._draft(directive_id) is None:
            if len(self._open) >= MAX_OPEN:
                raise Refused("too-many-drafts", f"{MAX_OPEN} drafts are open here")
            await self._write(actor, directive_id, request, 1)
        else:
            await self._journal.append()
        return self.draft_view(directive_id, actor)

    async def edit(
        self, actor: Actor, directive_id: DirectiveId, request: DirectiveRequest, revision: int
    ) -> DraftView:
        """Replace the text of one's own draft; ``revision`` is the one that was read.

        Raises:
            Refused: As ``draft``, ``unknown-draft``, ``foreign-draft``, ``draft-changed``, ``draft-pending``.
        """
        await self._write(actor, directive_id, request, revision + 1)
        return self.draft_view(directive_id, actor)

    async def submit(self, actor: Actor, directive_id: DirectiveId, revision: int) -> DraftView:
        """Ask somebody else to approve one's own draft.

        Raises:
            Refused: ``unknown-draft``, ``foreign-draft``, ``draft-changed``, ``draft-issued``.
        """
        record = DirectiveSubmitted(
            node=self._node, at=self._clock.at(), directive=directive_id, by=actor, revision=revision
        )
        await self._step(record)
        return self.draft_view(directive_id, actor)

    async def give_back(self, actor: Actor, directive_id: DirectiveId, revision: int, reason: str) -> DraftView:
        """Return a submitted draft to its author, or take one's own back.

        Raises:
            Refused: ``unknown-draft``, ``not-permitted``, ``draft-changed``, ``draft-draft``, ``draft-issued``,
                ``bad-text``.
        """
        self._may_judge(actor, directive_id)
        text.line(reason, "reason", MAX_REASON)
        at = self._clock.at()
        await self._step(
            DirectiveReturned(
                node=self._node, at=at, directive=directive_id, by=actor, revision=revision, reason=reason
            )
        )
        return self.draft_view(directive_id, actor)

    async def approve(self, actor: Actor, directive_id: DirectiveId, revision: int) -> DirectiveIssued:
        """Approve somebody else's draft, which issues it; return the order once both are durable.

        Raises:
            Refused: As ``issue``, ``unknown-draft``, ``own-directive``, ``draft-changed``, ``draft-draft``,
                ``draft-issued``.
        """
        self._may_judge(actor, directive_id)
        record = DirectiveApproved(
            node=self._node, at=self._clock.at(), directive=directive_id, by=actor, revision=revision
        )
        if self._decided(record):
            await self._let_out(directive_id, record)
        else:
            await self._journal.append()
        return self._known(directive_id).issued

    async def issue_draft(self, actor: Actor, directive_id: DirectiveId) -> DirectiveIssued:
        """Issue one's own draft, where nobody else need approve it.

        Raises:
            Refused: As ``issue``, ``unknown-draft``, ``foreign-draft``, ``draft-pending``.
        """
        draft = self._kept(directive_id)
        if not same_person(actor, draft.drafted.by):
            raise Refused("foreign-draft", f"{directive_id} is {draft.drafted.by.name}'s")
        if needs_approval(draft.drafted.request.urgency, self._rules.approval):
            raise Refused("approval-needed", f"{draft.drafted.request.urgency} needs somebody else's approval here")
        if draft.state is Header.PENDING:
            raise Refused("draft-pending", f"{directive_id} waits for approval")
        if draft.state is Header.DRAFT:
            await self._let_out(directive_id)
        else:
            await self._journal.append()
        return self._known(directive_id).issued

    def _may_judge(self, actor: Actor, directive_id: DirectiveId) -> None:
        draft = self._kept(directive_id)
        try:
            permit(actor, Action.APPROVE, draft.drafted.by.division, self._tree)
        except Refused as error:
            self._refusals.answer(actor, Action.APPROVE, directive_id, error)
            raise

    # ---- carrying out ----------------------------------------------------------------------------

    async def _write(self, actor: Actor, directive_id: DirectiveId, request: DirectiveRequest, revision: int) -> None:
        self._draw_up(actor, request, directive_id)  # refused now rather than when it is approved
        record = DirectiveDrafted(
            node=self._node,
            at=self._clock.at(),
            directive=directive_id,
            by=actor,
            request=request,
            revision=revision,
        )
        await self._step(record)

    async def _step(self, record: DraftRecord) -> None:
        if self._decided(record):
            durable = self._journal.append(record)
            self._hold_draft(approval.evolve(self._draft(record.directive), record), durable)
            await durable
        else:
            await self._journal.append()  # a repeat is answered when what it repeats is durable

    async def _let_out(self, directive_id: DirectiveId, *approved: DirectiveApproved) -> None:
        drafted = self._kept(directive_id).drafted
        order, durable = self._put_forth(drafted.by, drafted.request, directive_id, *approved)
        draft = self._kept(directive_id)
        for record in approved:
            draft = approval.evolve(draft, record)
        self._hold_draft(approval.evolve(draft, order), durable)
        await durable

    def _decided(self, record: DraftRecord) -> bool:
        """Return whether ``record`` is new.

        Raises:
            Refused: It may not be.
        """
        for effect in approval.decide(self._draft(record.directive), record):
            match effect:
                case approval.Append():
                    return True
                case Repeat():
                    self._telemetry.count("repeats", kind="draft")
                case Deny(code, why):
                    raise Refused(code, why)
        return False

    def _hold_draft(self, draft: Draft, durable: asyncio.Future[Seq]) -> None:
        self._pending_drafts.hold(draft.drafted.directive, draft, durable)

    # ---- what is known ---------------------------------------------------------------------------

    def _draft(self, directive_id: DirectiveId) -> Draft | None:
        return self._pending_drafts.get(directive_id) or self._drafts.get(directive_id)

    def _kept(self, directive_id: DirectiveId) -> Draft:
        draft = self._draft(directive_id)
        if draft is None:
            raise Refused("unknown-draft", f"no draft {directive_id[:64]!r} here")
        return draft

    def _fold_draft(self, record: DraftRecord | DirectiveIssued) -> None:
        if isinstance(record, DirectiveDrafted):
            self._attachments.hold(record.request.files)
        if isinstance(record, DirectiveIssued) and record.directive not in self._drafts:
            return  # issued without a draft
        draft = self._drafts[record.directive] = approval.evolve(self._drafts.get(record.directive), record)
        if draft.state is Header.ISSUED:
            self._open.discard(record.directive)
        else:
            self._open.add(record.directive)

    # ---- views -----------------------------------------------------------------------------------

    def may_read_draft(self, directive_id: DirectiveId, actor: Actor) -> bool:
        """Return whether a draft is the actor's own, or theirs to approve."""
        draft = self._drafts.get(directive_id)
        return draft is not None and permitted(actor, Action.APPROVE, draft.drafted.by.division, self._tree)

    def drafts(self, actor: Actor) -> Sequence[DraftView]:
        """Return the drafts ``actor`` may read that are not issued, newest first."""
        mine = [draft_id for draft_id in self._open if self.may_read_draft(draft_id, actor)]
        mine.sort(key=lambda draft_id: self._drafts[draft_id].drafted.at, reverse=True)
        return [self.draft_view(draft_id, actor) for draft_id in mine]

    def draft_view(self, directive_id: DirectiveId, actor: Actor) -> DraftView:
        """Return a draft as its author and those who may approve it see it.

        Raises:
            Refused: ``unknown-draft`` or ``not-permitted``.
        """
        draft = self._drafts.get(directive_id)
        if draft is None:
            raise Refused("unknown-draft", f"no draft {directive_id[:64]!r} here")
        permit(actor, Action.APPROVE, draft.drafted.by.division, self._tree)
        returned = draft.returned
        return DraftView(
            directive=directive_id,
            state=draft.state.value,
            revision=draft.drafted.revision,
            by=draft.drafted.by,
            drafted_at=draft.drafted.at,
            submitted_at=draft.submitted_at,
            returned_by=returned.by.name if returned else "",
            returned_reason=returned.reason if returned else "",
            recipients=len(self._tree.expand(draft.drafted.request.scope)),
            request=draft.drafted.request,
            before=draft.judged.request if draft.judged and draft.judged != draft.drafted else None,
        )
