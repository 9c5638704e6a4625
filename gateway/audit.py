"""What auditors read, and that they read it.

Reading needs a reason, is itself a record before anything is shown, and is told to those below who are read about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from gateway.clock import Clock
from gateway.journal import Journal, Row
from gateway.refusals import Refusals
from signaling import admission, text, timeline, vouching
from signaling.admission import Facts
from signaling.division import Tree
from signaling.errors import Refused
from signaling.ids import ConferenceId, DirectiveId, NodeCode, ParticipantId, Seq, UtcMs
from signaling.permission import Action, permit
from signaling.records import (
    Actor,
    AuditRead,
    ConferenceConvened,
    ConferenceEnded,
    DirectiveIssued,
    ParticipantJoined,
    ParticipantLeft,
    RefusalRecorded,
)

MAX_PAGE = 500
MAX_SCAN = 5_000
"""Rows looked at for one page; a sparse subtree gives short pages, never long waits."""
SCAN_STEP = 250


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of the timeline.  Ask again with ``after=next``; ``head`` is where the journal ends."""

    lines: tuple[timeline.Line, ...]
    next: Seq
    head: Seq


class Attendance(msgspec.Struct, frozen=True, kw_only=True):
    participant: ParticipantId
    who: Actor
    joined_at: UtcMs
    left_at: UtcMs | None = None
    reason: str = ""


class SessionEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One conference of the register: who convened it for whom, and who came here."""

    conference: ConferenceId
    title: str
    by: Actor
    home: NodeCode
    convened_at: UtcMs
    ended_at: UtcMs | None
    exercise: bool
    sites: int
    attendance: tuple[Attendance, ...]


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the journal is whole: ``count`` records follow one from the other, up to hash ``chain`` (hex)."""

    whole: bool
    count: int
    chain: str
    broken_at: Seq | None


@dataclass(slots=True)
class _Session:
    convened: ConferenceConvened
    ended_at: UtcMs | None
    attendance: dict[ParticipantId, Attendance]


class Audit(Facts):
    """The auditor's window on one node's journal.

    Args:
        directives: Who knows the directives of this node.
    """

    def __init__(
        self, node: NodeCode, tree: Tree, journal: Journal, clock: Clock, refusals: Refusals, directives: Facts
    ) -> None:
        self._node = node
        self._tree = tree
        self._journal = journal
        self._clock = clock
        self._refusals = refusals
        self._directives = directives
        self._sessions: dict[ConferenceId, _Session] = {}
        journal.follow(self._fold, ("conference:", "participant:"))

    # ---- reading ---------------------------------------------------------------------------------

    async def records(self, actor: Actor, after: Seq, limit: int, reason: str) -> Page:
        """Return the timeline of the actor's subtree after ``after``, oldest first.

        Raises:
            Refused: ``not-permitted``, ``reason-needed``, ``bad-record``.
        """
        if not 1 <= limit <= MAX_PAGE or after < 0:
            raise Refused("bad-record", f"limit: not in 1..{MAX_PAGE}, or after: below 0")
        await self._note(actor, f"records after {after}", reason)
        lines: list[timeline.Line] = []
        position = after
        while len(lines) < limit and position - after < MAX_SCAN:
            rows = self._journal.read(position, SCAN_STEP)
            if not rows:
                break
            for row in rows:
                position = row.seq
                if timeline.concerns(row.record, actor.division, self._tree, self):
                    lines.append(timeline.line(row.seq, row.record, self._tree))
                    if len(lines) == limit:
                        break
            await asyncio.sleep(0)
        return Page(lines=tuple(lines), next=position, head=self._journal.head)

    async def sessions(self, actor: Actor, reason: str, limit: int = 200) -> Sequence[SessionEntry]:
        """Return the register of conferences that concern the actor's subtree, newest first.

        Raises:
            Refused: ``not-permitted`` or ``reason-needed``.
        """
        await self._note(actor, "sessions", reason)
        found: list[SessionEntry] = []
        for session in reversed(self._sessions.values()):
            if len(found) >= limit:
                break
            if timeline.concerns(session.convened, actor.division, self._tree, self):
                found.append(self._entry(session, actor))
        return found

    async def chain(self, actor: Actor, reason: str) -> Chain:
        """Walk the hash chain of the whole journal.

        Raises:
            Refused: ``not-permitted`` or ``reason-needed``.
        """
        await self._note(actor, "chain", reason)
        found = await self._journal.verify()
        return Chain(
            whole=found.broken_at is None, count=found.count, chain=found.chain.hex(), broken_at=found.broken_at
        )

    async def _note(self, actor: Actor, what: str, reason: str) -> None:
        """Write down who looks at what and why, before they see it."""
        try:
            permit(actor, Action.READ_AUDIT, actor.division, self._tree)
            if len(reason.strip()) < 2:
                raise Refused("reason-needed", "say why, in 2 characters or more")
            text.line(reason, "reason", vouching.MAX_NOTE)
        except Refused as error:
            self._refusals.record(actor, Action.READ_AUDIT, what, error)
            raise
        await self._journal.append(AuditRead(node=self._node, at=self._clock.at(), by=actor, what=what, reason=reason))

    def _entry(self, session: _Session, actor: Actor) -> SessionEntry:
        convened = session.convened
        came = (a for a in session.attendance.values() if self._tree.is_within(a.who.division, actor.division))
        return SessionEntry(
            conference=convened.conference,
            title=convened.title,
            by=convened.by,
            home=convened.node,
            convened_at=convened.at,
            ended_at=session.ended_at,
            exercise=convened.exercise,
            sites=len(convened.sites),
            attendance=tuple(came),
        )

    # ---- told by a neighbour ---------------------------------------------------------------------

    def receive(self, record: AuditRead | RefusalRecorded, via: NodeCode) -> None:
        """Take in what an auditor above read about us, or a refusal of the tier below; nothing is raised."""
        try:
            admission.admit(record, via, self._node, self._tree, self)
        except Refused as error:
            self._refusals.record(None, str(record.__struct_config__.tag), "", error, via)
        else:
            self._journal.append(record, via=via)

    # ---- what is known ---------------------------------------------------------------------------

    def issued(self, directive: DirectiveId) -> DirectiveIssued | None:
        return self._directives.issued(directive)

    def convened(self, conference: ConferenceId) -> ConferenceConvened | None:
        session = self._sessions.get(conference)
        return session.convened if session else None

    def _fold(self, rows: Sequence[Row]) -> None:
        for row in rows:
            match row.record:
                case ConferenceConvened() as record:
                    self._sessions[record.conference] = _Session(record, None, {})
                case ConferenceEnded() as record:
                    if (session := self._sessions.get(record.conference)) is not None:
                        session.ended_at = record.at
                case ParticipantJoined() as record:
                    if (session := self._sessions.get(record.conference)) is not None:
                        session.attendance[record.participant] = Attendance(
                            participant=record.participant, who=record.who, joined_at=record.at
                        )
                case ParticipantLeft() as record:
                    self._left(record)
                case _:
                    pass

    def _left(self, record: ParticipantLeft) -> None:
        session = self._sessions.get(record.conference)
        came = session.attendance.get(record.participant) if session else None
        if session is not None and came is not None:
            session.attendance[record.participant] = msgspec.structs.replace(
                came, left_at=record.at, reason=record.reason
            )
