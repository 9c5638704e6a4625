"""Lists of what is overdue of alarms: raised by the clocks here or told by a neighbour, shown, taken in hand.

What of a list was done meanwhile is asked of the cards when it is shown; the record stays what was said.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.clock import Clock
from gateway.journal import Journal, Row
from gateway.keys import Keys
from gateway.refusals import Refusals
from gateway.superiors import SuperiorLists
from signaling import overdue_words
from signaling.alarm import Alarm
from signaling.division import Tree
from signaling.errors import Refused
from signaling.ids import AlarmId, NodeCode, UtcMs
from signaling.messages import LateView, OverdueView
from signaling.permission import Action, permitted
from signaling.records import Actor, AlarmRaised, Late, OverdueAcknowledged, OverdueRaised

log = logging.getLogger(__name__)

LISTED = 100
"""Entries shown of a list; the rest is a number."""

OverdueRecord = OverdueRaised | OverdueAcknowledged


class Cards(Protocol):
    """What is asked of ``gateway/incidents.py``."""

    def get(self, alarm_id: AlarmId) -> Alarm | None: ...
    def lead(self, alarm_id: AlarmId) -> AlarmId | None: ...
    def ended(self, late: Late) -> tuple[bool, UtcMs | None]: ...


class Alarms(Protocol):
    """What is asked of ``gateway/alarms.py``."""

    @property
    def incidents(self) -> Cards: ...
    def raised(self, alarm: AlarmId) -> AlarmRaised | None: ...


@dataclass(slots=True)
class _List:
    raised: OverdueRaised
    word: OverdueAcknowledged | None = None


class OverdueLists(SuperiorLists[OverdueView]):
    """All lists this node knows.  Construct after the alarms they are about."""

    def __init__(
        self, node: NodeCode, tree: Tree, keys: Keys, journal: Journal, clock: Clock, refusals: Refusals, alarms: Alarms
    ) -> None:
        super().__init__(node, tree, keys, journal, clock, refusals)
        self._alarms = alarms
        self._lists: dict[str, _List] = {}
        self._open: dict[str, None] = {}
        """Lists that may still say something, in order."""
        journal.follow(self._fold, ("overdue:",))

    # ---- asked for here, told by a neighbour -----------------------------------------------------

    async def acknowledge(self, actor: Actor, overdue: str, note: str = "") -> None:
        """Somebody takes the list in hand.  A second word changes nothing.

        Raises:
            Refused: ``unknown-overdue``, ``not-permitted``, ``bad-text``.
        """
        raised = self._known(overdue).raised
        record = OverdueAcknowledged(
            node=self._node,
            at=self._clock.at(),
            overdue=overdue,
            superior=raised.superior,
            origin=raised.node,
            by=actor,
            note=note,
        )
        await self._take(actor, overdue, record, lambda: overdue_words.check_overdue_word(record, raised, self._tree))

    # ---- what is known ---------------------------------------------------------------------------

    def raised(self, alarm: AlarmId) -> AlarmRaised | None:
        return self._alarms.raised(alarm)

    def overdue(self, overdue: str) -> OverdueRaised | None:
        found = self._lists.get(overdue)
        return found.raised if found else None

    def of(self, leads: Collection[AlarmId]) -> list[str]:
        """Return the lists that name an alarm of the cards ``leads`` name and were open when last asked."""
        found = []
        for name in list(self._open):
            if any(self._alarms.incidents.lead(late.alarm) in leads for late in self._lists[name].raised.late):
                found.append(name)
                self._is_open(name)
        return found

    def _is_open(self, overdue: str) -> bool:
        """Return whether something is still to be done; a list that is not open is not asked again."""
        still = not all(self._alarms.incidents.ended(late)[0] for late in self._lists[overdue].raised.late)
        if not still:
            del self._open[overdue]
        return still

    def _known(self, overdue: str) -> _List:
        found = self._lists.get(overdue)
        if found is None:
            raise Refused("unknown-overdue", f"no list {overdue[:80]!r} here")
        return found

    def _fold(self, rows: Sequence[Row]) -> None:
        for row in rows:
            match row.record:
                case OverdueRaised() as raised:
                    self._lists[raised.overdue] = _List(raised)
                    self._open[raised.overdue] = None
                case OverdueAcknowledged() as word if (known := self._lists.get(word.overdue)) is not None:
                    known.word = word
                case _:
                    pass

    # ---- views -----------------------------------------------------------------------------------

    def may_read(self, overdue: str, actor: Actor) -> bool:
        """Return whether the list is for ``actor``: of the superior or above it, or of one who is late."""
        raised = self._known(overdue).raised
        return any(self._reads(actor, place) for place in {raised.superior, *(late.place for late in raised.late)})

    def _names(self) -> Iterator[str]:
        return (name for name in reversed(list(self._open)) if name in self._open and self._is_open(name))

    def _reads(self, actor: Actor, place: NodeCode) -> bool:
        return permitted(actor, Action.READ_DIRECTIVE, place, self._tree)

    def _view(self, overdue: str, actor: Actor) -> OverdueView:
        known = self._lists[overdue]
        raised, word = known.raised, known.word
        told = self._reads(actor, raised.superior)
        late = [one for one in raised.late if told or self._reads(actor, one.place)]
        rows = sorted(map(self._row, late), key=lambda row: (row.ended, row.since))
        return OverdueView(
            overdue=overdue,
            superior=raised.superior,
            superior_name=self._tree.name(raised.superior),
            raised_at=raised.at,
            urgency=raised.urgency,
            exercise=raised.exercise,
            open=any(not row.ended for row in rows),
            total=len(rows),
            rows=tuple(rows[:LISTED]),
            acknowledged_by=word.by if word else None,
            acknowledged_at=word.at if word else None,
            note=word.note if word else "",
        )

    def _row(self, late: Late) -> LateView:
        known = self._alarms.incidents.get(late.alarm)
        ended, ended_at = self._alarms.incidents.ended(late)
        return LateView(
            kind=late.kind,
            alarm=late.alarm,
            alarm_kind=known.raised.kind if known else "",
            alarm_place_name=self._tree.name(known.raised.place) if known else "",
            place=late.place,
            place_name=self._tree.name(late.place),
            name=late.name,
            since=late.since,
            n=late.n,
            ended=ended,
            ended_at=ended_at,
        )
