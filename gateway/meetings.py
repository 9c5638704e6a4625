"""Which conferences there are, from their records, and who may call, attend and end them.

Records come from here and from neighbours; ``signaling/admission.py`` and ``permission.py`` have the rules.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from signaling.admission import Facts, admit, check_conference
from signaling.division import Tree
from signaling.errors import Refused
from signaling.ids import ConferenceId, NodeCode, Seq
from signaling.permission import Action, permit, permitted
from signaling.records import Actor, ConferenceConvened, ConferenceEnded, Role, ScopeItem
from signaling.roster import MAX_ID

from .clicks import conference_of
from .clock import Clock
from .journal import Journal, Row
from .refusals import Refusals
from .tentative import Tentative

log = logging.getLogger(__name__)

MAY_JOIN_REMEMBERED = 65_536


@dataclass(frozen=True, slots=True)
class Meeting:
    """A conference this node knows."""

    record: ConferenceConvened
    ended: bool = False


class Meetings(Facts):
    """All conferences this node knows.  ``fold`` is to be given every row of theirs, in order."""

    def __init__(
        self,
        node: NodeCode,
        tree: Tree,
        journal: Journal,
        refusals: Refusals,
        clock: Clock,
        changed: Callable[[Meeting], None],
    ) -> None:
        """``changed`` is called when a conference was convened or has ended."""
        self._node = node
        self._tree = tree
        self._journal = journal
        self._refusals = refusals
        self._clock = clock
        self._changed = changed
        self._known: dict[ConferenceId, Meeting] = {}
        self._coming: dict[ConferenceId, ConferenceConvened] = {}
        """Received and not yet durable."""
        self._calling: Tentative[ConferenceId, tuple[ConferenceConvened, asyncio.Future[Seq]]] = Tentative()
        """Called here and not yet durable."""
        self._may_join = lru_cache(MAY_JOIN_REMEMBERED)(self._invited)

    def __iter__(self) -> Iterator[Meeting]:
        return iter(list(self._known.values()))

    def __len__(self) -> int:
        return len(self._known)

    def get(self, conference: ConferenceId) -> Meeting | None:
        return self._known.get(conference)

    # ---- records --------------------------------------------------------------------------------

    def fold(self, rows: Sequence[Row]) -> None:
        for row in rows:
            match row.record:
                case ConferenceConvened() as record:
                    self._coming.pop(record.conference, None)
                    self._changed(self._known.setdefault(record.conference, Meeting(record)))
                case ConferenceEnded() as record if (known := self._known.get(record.conference)) is not None:
                    self._known[record.conference] = replace(known, ended=True)
                    self._changed(self._known[record.conference])
                case _:
                    pass

    def receive(self, record: ConferenceConvened | ConferenceEnded, via: NodeCode) -> None:
        """Take a record from a neighbour; a refused one is journalled as such."""
        try:
            admit(record, via, self._node, self._tree, self)
        except Refused as error:
            self._refusals.record(None, type(record).__name__, record.conference, error, via=via)
            return
        if isinstance(record, ConferenceConvened) and record.conference not in self._known:
            self._coming[record.conference] = record
        self._journal.append(record, via=via)

    def convened(self, conference: ConferenceId) -> ConferenceConvened | None:
        meeting = self._known.get(conference)
        return self._coming.get(conference) if meeting is None else meeting.record

    # ---- commands -------------------------------------------------------------------------------

    async def convene(
        self, actor: Actor, title: str, scope: Sequence[ScopeItem], exercise: bool = False, click_id: str = ""
    ) -> tuple[ConferenceConvened, bool]:
        """Call a meeting; return it once it is durable, and whether this call made it.

        Args:
            click_id: The press of a button this comes from: the same one again is the same meeting.  Empty: none.

        Raises:
            Refused: ``not-permitted``, ``bad-text`` or a scope that cannot be.
        """
        conference = conference_of(self._node, actor, click_id) if click_id else None
        if conference is not None and (known := await self._called(conference)) is not None:
            return known, False
        record = ConferenceConvened(
            node=self._node,
            at=self._clock.at(),
            conference=conference or ConferenceId(self._clock.new_id("c")),
            title=title,
            by=actor,
            scope=tuple(scope),
            sites=self._tree.expand(scope),
            exercise=exercise,
        )
        try:
            check_conference(record, self._tree)
        except Refused as error:
            self._refuse(actor, Action.CONVENE, "", error)
            raise
        durable = self._journal.append(record)
        self._calling.hold(record.conference, (record, durable), durable)
        await durable
        log.info("conference convened", extra={"conference": record.conference, "sites": len(record.sites)})
        return record, True

    async def _called(self, conference: ConferenceId) -> ConferenceConvened | None:
        """Return the meeting if it was called before, as soon as it is durable."""
        if (calling := self._calling.get(conference)) is not None:
            await asyncio.shield(calling[1])
            return calling[0]
        meeting = self._known.get(conference)
        return None if meeting is None else meeting.record

    async def end(self, actor: Actor, conference: ConferenceId) -> None:
        """End a meeting that was convened here.  Ending it again changes nothing.

        Raises:
            Refused: ``unknown-conference``, ``not-permitted`` or ``not-here``.
        """
        meeting = self.seen(actor, conference)
        try:
            permit(actor, Action.END_CONFERENCE, meeting.record.by.division, self._tree)
        except Refused as error:
            self._refuse(actor, Action.END_CONFERENCE, conference, error)
            raise
        if meeting.record.node != self._node:
            raise Refused("not-here", f"it was convened at {meeting.record.node}")
        if not meeting.ended:
            await self._journal.append(
                ConferenceEnded(node=self._node, at=self._clock.at(), conference=conference, by=actor)
            )

    def _refuse(self, actor: Actor, action: Action, target: str, error: Refused) -> None:
        """Write down what somebody may not; mistakes are only theirs to know."""
        if error.code == "not-permitted":
            self._refusals.record(actor, action, target, error)

    # ---- rights ---------------------------------------------------------------------------------

    def may_join(self, actor: Actor, conference: ConferenceId) -> bool:
        return conference in self._known and self._may_join(actor.role, actor.division, conference)

    def _invited(self, role: Role, division: NodeCode, conference: ConferenceId) -> bool:
        """Return what never changes: whether such people are at a site of the conference."""
        record = self._known[conference].record
        anybody = Actor("", role, division)
        return any(permitted(anybody, Action.JOIN, site, self._tree) for site in (record.node, *record.sites))

    def seen(self, actor: Actor, conference: ConferenceId) -> Meeting:
        """Return a conference.

        Raises:
            Refused: ``unknown-conference``: there is none, or none for ``actor``.
        """
        meeting = self._known.get(conference)
        if meeting is None or not self.may_join(actor, conference):
            raise Refused("unknown-conference", f"no conference {conference[:MAX_ID]!r} for you")
        return meeting
