"""Driver of duty rosters: set here or told by a neighbour, durable, and known along the division's line."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.clock import Clock
from gateway.journal import Journal, Row
from gateway.refusals import Refusals
from signaling import admission, order_words
from signaling.division import Tree
from signaling.duty import Roster
from signaling.errors import Refused
from signaling.ids import NodeCode, UtcMs
from signaling.messages import DutyLine
from signaling.permission import Action, permit
from signaling.records import Actor, RosterSet


class Rosters(admission.Facts):
    """The rosters one node keeps.  ``roster`` is shared with those who ask who is on duty."""

    def __init__(
        self, node: NodeCode, tree: Tree, journal: Journal, clock: Clock, refusals: Refusals, roster: Roster
    ) -> None:
        self._node = node
        self._tree = tree
        self._journal = journal
        self._clock = clock
        self._refusals = refusals
        self._roster = roster
        journal.follow(self._fold, ("roster:",))

    async def set(
        self, actor: Actor, division: NodeCode, post: str, person: str, starts_at: UtcMs, ends_at: UtcMs
    ) -> RosterSet:
        """Put ``person`` on duty; "" takes back who was.  Returns once it is durable.

        Raises:
            Refused: ``not-permitted``, ``bad-text``, ``bad-record``, ``unknown-node``.
        """
        record = RosterSet(
            node=self._node,
            at=self._clock.at(),
            division=division,
            post=post,
            person=person.strip(),
            starts_at=starts_at,
            ends_at=ends_at,
            by=actor,
        )
        try:
            self._tree.get(division)
            order_words.check_roster(record, self._tree)
        except Refused as error:
            self._refusals.answer(actor, Action.ROSTER, division, error)
            raise
        await self._journal.append(record)
        return record

    def receive(self, record: RosterSet, via: NodeCode) -> None:
        """Take in a line from a link.  What may not be is journalled as refused; nothing is raised."""
        try:
            admission.admit(record, via, self._node, self._tree, self)
        except Refused as error:
            self._refusals.record(None, str(record.__struct_config__.tag), record.division, error, via)
        else:
            self._journal.append(record, via=via)

    def _fold(self, rows: Sequence[Row]) -> None:
        for row in rows:
            if isinstance(row.record, RosterSet):
                self._roster.note(row.record)

    def lines(self, actor: Actor, division: NodeCode) -> Sequence[DutyLine]:
        """Return the roster of ``division`` from now on, as it was said.

        Raises:
            Refused: ``not-permitted``.
        """
        permit(actor, Action.READ_DIRECTIVE, division, self._tree)
        now = self._clock.at()
        return [
            DutyLine(
                division=line.division,
                post=line.post,
                person=line.person,
                starts_at=line.starts_at,
                ends_at=line.ends_at,
                by=line.by.name,
                now=self._roster.on_duty(division, line.post, now) == line.person != "" and line.starts_at <= now,
            )
            for line in self._roster.lines(division, now)
        ]
