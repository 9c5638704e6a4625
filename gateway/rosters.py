"""Driver of duty rosters: set here or told by a neighbour, durable, and known along the division's line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from gateway.clock import Clock
from gateway.journal import Journal, Row
from gateway.refusals import Refusals
from signaling import admission, order_words
from signaling.division import Tree
from signaling.duty import Roster, Shift
from signaling.errors import Refused
from signaling.ids import NodeCode, UtcMs
from signaling.messages import DutyLine, DutyPlace, DutyPost, DutyShift
from signaling.permission import Action, permit, permitted
from signaling.records import Actor, DutyChange, RosterSet

AHEAD_MS = 86_400_000
"""How far ahead the board looks for posts that nobody has: a day, so that somebody can still be found."""

VILLAGE_TIER = 5


class Rosters(admission.Facts):
    """The rosters one node keeps.  ``roster`` is shared with those who ask who is on duty."""

    def __init__(
        self,
        node: NodeCode,
        tree: Tree,
        journal: Journal,
        clock: Clock,
        refusals: Refusals,
        roster: Roster,
        posts: Sequence[str] = (),
        village_posts: Sequence[str] = (),
    ) -> None:
        """``posts``: those that every place must have somebody in at all times; villages: ``village_posts``.

        A post that is named twice needs two people.
        """
        self._node = node
        self._tree = tree
        self._journal = journal
        self._clock = clock
        self._refusals = refusals
        self._roster = roster
        self._posts = posts
        self._village_posts = village_posts
        journal.follow(self._fold, ("roster:",))

    async def set(
        self,
        actor: Actor,
        division: NodeCode,
        post: str,
        person: str,
        starts_at: UtcMs,
        ends_at: UtcMs,
        change: DutyChange | msgspec.UnsetType = msgspec.UNSET,
    ) -> RosterSet:
        """Put ``person`` on duty instead of whoever is; "" takes back who was.  Returns once it is durable.

        ``change``: ``person`` joins those on duty, or leaves them.

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
            change=change,
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

    def on_duty(self, division: NodeCode, post: str = "") -> tuple[str, ...]:
        """Return who is on duty in ``post`` of ``division`` now, in any post without one."""
        now = self._clock.at()
        posts = (post,) if post else self._roster.posts(division, now)
        return tuple(dict.fromkeys(person for one in posts for person in self._roster.on_duty(division, one, now)))

    def edges(self) -> Iterator[tuple[UtcMs, NodeCode, str]]:
        """Yield when a line begins or ends from now on, and the post it is for."""
        return self._roster.edges(self._clock.at())

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
                now=_on(line, now) and line.person in self._roster.on_duty(division, line.post, now),
                change="" if line.change is msgspec.UNSET else line.change.value,
            )
            for line in self._roster.lines(division, now)
        ]

    def shifts(self, actor: Actor, division: NodeCode) -> Sequence[DutyShift]:
        """Return who has which post of ``division`` when, from now on, by beginning; what was overruled is left out.

        Raises:
            Refused: ``not-permitted``.
        """
        permit(actor, Action.READ_DIRECTIVE, division, self._tree)
        now = self._clock.at()
        end = max((line.ends_at for line in self._roster.lines(division, now)), default=now)
        found = [
            _said(post, shift)
            for post in self._roster.posts(division, now)
            for shift in self._roster.shifts(division, post, now, end)
            if shift.person
        ]
        return sorted(found, key=lambda shift: (shift.starts_at, shift.post))

    def board(self, actor: Actor) -> Sequence[DutyPlace]:
        """Return every place here and below that ``actor`` may read: who has its posts now, and who is missing."""
        now = self._clock.at()
        return [
            DutyPlace(
                division=division,
                may_set=permitted(actor, Action.ROSTER, division, self._tree),
                posts=tuple(self._posts_of(division, now)),
            )
            for division in self._tree.subtree(self._node)
            if permitted(actor, Action.READ_DIRECTIVE, division, self._tree)
        ]

    def _posts_of(self, division: NodeCode, now: UtcMs) -> Iterator[DutyPost]:
        """Yield the posts that must be there, and then those that somebody has besides: nobody is missing there."""
        must = Counter(self._village_posts if self._tree.get(division).tier == VILLAGE_TIER else self._posts)
        for post, need in must.items():
            yield self._post(division, post, now, need)
        for post in self._roster.posts(division, now):
            if post not in must:
                yield self._post(division, post, now, 0)

    def _post(self, division: NodeCode, post: str, now: UtcMs, need: int) -> DutyPost:
        end = UtcMs(now + AHEAD_MS)
        shifts = self._roster.shifts(division, post, now, end)
        gaps = tuple(_said(post, gap) for gap in self._roster.gaps(division, post, now, end, need))
        first, *others = [_said(post, shift) for shift in shifts if shift.starts_at == now]
        return DutyPost(post=post, person=first.person, until=first.ends_at, gaps=gaps, others=tuple(others), need=need)


def _on(line: RosterSet, now: UtcMs) -> bool:
    return line.starts_at <= now and line.change is not DutyChange.LEAVES


def _said(post: str, shift: Shift) -> DutyShift:
    return DutyShift(post=post, person=shift.person, starts_at=shift.starts_at, ends_at=shift.ends_at)
