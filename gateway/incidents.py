"""What is shown of alarms: cards, folded from the journal.

An alarm that is not the first of its card is shown on that card and nowhere else; the ledger keeps every one.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

from signaling import alarm
from signaling.alarm import Alarm, AlarmRecord
from signaling.deadlines import THERE, Deadline, Standing, deadlines
from signaling.division import Tree
from signaling.errors import Refused
from signaling.handling import VERDICTS, Handling, handling
from signaling.ids import AlarmId, UtcMs
from signaling.incident import Board, Card
from signaling.messages import AlarmView, CallView, ClockView, DispatchView
from signaling.permission import Action, permit, permitted
from signaling.records import (
    Actor,
    AlarmDispatched,
    AlarmGrouped,
    AlarmRaised,
    AlarmState,
    CallAnswered,
    CallRaised,
    Late,
    TimerKind,
    Unit,
    UnitReported,
    UnitState,
    Urgency,
)
from signaling.scorecard import Scorecard, scorecard


class Incidents:
    """All alarms one node knows durably, and their cards."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._alarms: dict[AlarmId, Alarm] = {}
        self._board = Board(tree)
        self._calls: dict[str, list[AlarmId]] = {}
        """Alarms each unit was sent to, in order."""
        self._called: dict[str, CallRaised] = {}

    def fold(self, record: AlarmRecord) -> None:
        """Take in a durable record, in the journal's order."""
        self._alarms[record.alarm] = alarm.evolve(self._alarms.get(record.alarm), record)
        if self._alarms[record.alarm].raised.disarmed:
            return  # the ledger has it
        match record:
            case AlarmRaised():
                self._board.note(record)
            case AlarmGrouped():
                self._board.move(record)
            case CallRaised():
                self._called[record.call] = record
                self._board.touch(record.alarm)
            case AlarmDispatched():
                for unit in (record.lead, *record.assist):
                    self._calls.setdefault(unit.unit, []).append(record.alarm)
                self._board.touch(record.alarm)
            case _:
                self._board.touch(record.alarm)

    def touch(self, alarm_id: AlarmId) -> None:
        """Something that is no record changed what is shown: its picture is here."""
        if not self._alarms[alarm_id].raised.disarmed:
            self._board.touch(alarm_id)

    def changed(self) -> tuple[set[AlarmId], set[AlarmId]]:
        """Return, once, the leads of cards to be shown anew, and alarms whose own card is gone."""
        return self._board.changed()

    def get(self, alarm_id: AlarmId) -> Alarm | None:
        return self._alarms.get(alarm_id)

    def all(self) -> Sequence[Alarm]:
        return tuple(self._alarms.values())

    def target(self, alarm_id: AlarmId) -> AlarmId:
        """Return the alarm a step with the card of ``alarm_id`` is about; itself while it is on none."""
        card = self._board.card(alarm_id)
        return self._stands(card).target if card is not None else alarm_id

    def urgency(self, alarm_id: AlarmId) -> Urgency | None:
        """Return the urgency of the card ``alarm_id`` is on, None while it is on none."""
        card = self._board.card(alarm_id)
        return card.urgency if card is not None else None

    # ---- views -----------------------------------------------------------------------------------

    def may_read(self, alarm_id: AlarmId, actor: Actor) -> bool:
        """Return whether ``actor`` is told of this alarm; False for what is unknown here."""
        state = self._alarms.get(alarm_id)
        return state is not None and permitted(actor, Action.READ_ALARM, state.raised.place, self._tree)

    def view(self, alarm_id: AlarmId, actor: Actor) -> AlarmView:
        """Return the card of an alarm; of one that is on another's card, what is known of itself.

        Raises:
            Refused: ``unknown-alarm`` or ``not-permitted``.
        """
        self.state(alarm_id, actor)
        return self.card_of(alarm_id)

    def state(self, alarm_id: AlarmId, actor: Actor) -> Alarm:
        """Return one alarm as far as it has come by itself.

        Raises:
            Refused: ``unknown-alarm`` or ``not-permitted``.
        """
        state = self._alarms.get(alarm_id)
        if state is None:
            raise Refused("unknown-alarm", f"no alarm {alarm_id[:64]!r} here")
        permit(actor, Action.READ_ALARM, state.raised.place, self._tree)
        return state

    def members(self, alarm_id: AlarmId, actor: Actor, after: int, limit: int) -> tuple[Sequence[AlarmRaised], int]:
        """Return alarms of the card ``alarm_id`` is on, oldest first, passing over ``after``; and how many there are.

        Raises:
            Refused: ``unknown-alarm`` or ``not-permitted``.
        """
        self.state(alarm_id, actor)
        card = self._board.card(alarm_id)
        return (self._board.members(card)[after : after + limit], card.count) if card is not None else ((), 0)

    def list(self, actor: Actor, limit: int = 200) -> Sequence[AlarmView]:
        """Return the cards ``actor`` is told of, newest first; of too many, those that are open before the others."""
        told = (card for card in self._board.cards() if self.may_read(card.lead.alarm, actor))
        stood = ((card, self._stands(card)) for card in told)
        best = heapq.nlargest(limit, stood, key=lambda pair: (pair[1].state not in VERDICTS, pair[0].newest.at))
        best.sort(key=lambda pair: (pair[0].newest.at, pair[0].lead.alarm), reverse=True)
        return [self._card_view(card, stands) for card, stands in best]

    def scores(self, actor: Actor, since: UtcMs, now: UtcMs, *, exercise: bool) -> Scorecard:
        """Return how the clocks were kept for the cards opened since then that ``actor`` is told of."""
        told = (c for c in self._board.cards() if c.lead.exercise == exercise and c.newest.at >= since)
        stood = ((self._stands(card), card.count) for card in told if self.may_read(card.lead.alarm, actor))
        return scorecard(((stands, count) for stands, count in stood if stands.opened.at >= since), now)

    def overdue(self, actor: Actor, now: UtcMs) -> Sequence[tuple[AlarmId, Deadline]]:
        """Return what ran out on the open cards ``actor`` is told of, oldest first."""
        found: list[tuple[AlarmId, Deadline]] = []
        for card in self._board.cards():
            stands = self._stands(card)
            if stands.state in VERDICTS or not self.may_read(card.lead.alarm, actor):
                continue
            found += [(card.lead.alarm, one) for one in deadlines(stands, self._told(card)) if one.due < now]
        return sorted(found, key=lambda pair: (pair[1], pair[0]))

    def standing(self, alarm_id: AlarmId) -> Standing | None:
        """Return what is still to be met of the card ``alarm_id`` is on; None: there is none, or it is settled."""
        card = self._board.card(alarm_id)
        stands = self._stands(card) if card is not None else None
        if card is None or stands is None or stands.state in VERDICTS:
            return None
        return Standing(card.lead, card.urgency, deadlines(stands, self._told(card)))

    def lead(self, alarm_id: AlarmId) -> AlarmId | None:
        """Return the alarm that names the card ``alarm_id`` is on."""
        card = self._board.card(alarm_id)
        return card.lead.alarm if card is not None else None

    def ended(self, late: Late) -> tuple[bool, UtcMs | None]:
        """Return whether what was overdue is done or means nothing any more, and since when, if that is known."""
        card = self._board.card(late.alarm)
        if card is None:
            return False, None
        stands = self._stands(card)
        found = self._done(late, stands)
        if found is None and (stands.state in VERDICTS or not self._asked(late, stands)):
            return True, stands.steps[-1].at if stands.steps else None
        return found is not None, found

    def _done(self, late: Late, stands: Handling) -> UtcMs | None:
        state = self._alarms[late.alarm]
        if late.kind is TimerKind.CALL:
            return next((answer.at for answer in state.answers if answer.call == late.what), None)
        if late.kind is TimerKind.UNIT:
            unit = late.what.partition("@")[0]
            return min((r.at for r in state.reports if r.unit == unit and r.state in THERE), default=None)
        if stands.opened.alarm != late.alarm:
            return None
        return next((clock.met_at for clock in stands.clocks() if clock.clock.value == late.kind.value), None)

    def _asked(self, late: Late, stands: Handling) -> bool:
        """Return whether the clock still runs: another alarm may have opened the card again, or lead it now."""
        return late.kind in (TimerKind.CALL, TimerKind.UNIT) or stands.opened.alarm == late.alarm

    def _told(self, card: Card) -> Iterator[Alarm]:
        return (self._alarms[alarm_id] for alarm_id in self._board.told(card))

    def card_of(self, alarm_id: AlarmId) -> AlarmView:
        """Return what is shown of a known alarm."""
        card = self._board.card(alarm_id)
        if card is not None and card.lead.alarm == alarm_id:
            return self._card_view(card, self._stands(card))
        return self._member_view(self._alarms[alarm_id], card.lead.alarm if card is not None else AlarmId(""))

    def _stands(self, card: Card) -> Handling:
        steps = (step for alarm_id in self._board.told(card) for step in self._alarms[alarm_id].steps)
        return handling(card.lead, lambda: self._board.members(card), steps)

    def _card_view(self, card: Card, stands: Handling) -> AlarmView:
        """The first picture is the picture of the event; the newest words and the highest urgency count."""
        pictures = (p for alarm_id in self._board.told(card) for p in self._alarms[alarm_id].pictures)
        first = min(pictures, key=lambda picture: (picture.at, picture.picture), default=None)
        raised = card.lead
        last = stands.steps[-1] if stands.state in VERDICTS and stands.steps else None
        return AlarmView(
            alarm=raised.alarm,
            source=raised.source,
            place=raised.place,
            place_name=self._tree.name(raised.place),
            kind=raised.kind,
            urgency=card.urgency,
            text=card.newest.text,
            longitude=raised.longitude,
            latitude=raised.latitude,
            state=stands.state,
            raised_at=raised.at,
            exercise=raised.exercise,
            picture=first.picture if first else None,
            thumbnail=first.thumbnail if first else None,
            card=raised.alarm,
            count=card.count,
            sources=len(card.sources),
            newest_at=card.newest.at,
            reopened=stands.reopened,
            dispatches=self._dispatches(card),
            calls=self._calls_of(card),
            outcome=last.note if last else "",
            outcome_by=last.by if last else None,
            clocks=tuple(ClockView(clock=c.clock, due=c.due, met_at=c.met_at) for c in stands.clocks()),
        )

    def _dispatches(self, card: Card) -> tuple[DispatchView, ...]:
        """Return the units that were sent, in order; of one sent twice, the last time."""
        states = [self._alarms[alarm_id] for alarm_id in self._board.told(card)]
        sent = sorted((d for state in states for d in state.dispatches), key=lambda d: (d.at, d.node))
        found: dict[str, DispatchView] = {}
        for dispatch in sent:
            for unit in (dispatch.lead, *dispatch.assist):
                reports = [r for state in states for r in state.reports if r.unit == unit.unit]
                found[unit.unit] = self._dispatch_view(dispatch, unit, reports)
        return tuple(found.values())

    def _dispatch_view(self, sent: AlarmDispatched, unit: Unit, reports: Sequence[UnitReported]) -> DispatchView:
        last = max(reports, key=lambda report: list(UnitState).index(report.state), default=None)
        return DispatchView(
            unit=unit.unit,
            name=unit.name,
            place=unit.place,
            place_name=self._tree.name(unit.place),
            lead=unit.unit == sent.lead.unit,
            called_at=sent.at,
            deadline=sent.deadline,
            state=last.state if last else None,
            times={report.state: report.at for report in reports},
            note=last.note if last else sent.note,
        )

    def _calls_of(self, card: Card) -> tuple[CallView, ...]:
        states = [self._alarms[alarm_id] for alarm_id in self._board.told(card)]
        answers = {answer.call: answer for state in states for answer in state.answers}
        calls = sorted((call for state in states for call in state.calls), key=lambda call: (call.at, call.call))
        return tuple(self._call_view(call, answers.get(call.call)) for call in calls)

    def _call_view(self, call: CallRaised, answer: CallAnswered | None) -> CallView:
        return CallView(
            call=call.call,
            to=call.to,
            to_name=self._tree.name(call.to),
            department=call.department,
            by=call.by,
            raised_at=call.at,
            deadline=call.deadline,
            note=call.note,
            answered_at=answer.at if answer else None,
            answered_by=answer.by if answer else None,
            answer=answer.note if answer else "",
        )

    def called(self, call: str) -> CallRaised | None:
        """Return a call about an alarm that is known here."""
        return self._called.get(call)

    def sent(self, alarm_id: AlarmId, unit: str) -> AlarmId:
        """Return the alarm on the card of ``alarm_id`` that ``unit`` was sent to; itself if there is none."""
        card = self._board.card(alarm_id)
        told = self._board.told(card) if card is not None else ()
        for other in told:
            if any(unit == u.unit for d in self._alarms[other].dispatches for u in (d.lead, *d.assist)):
                return other
        return alarm_id

    def busy(self, unit: str) -> tuple[AlarmId, UnitState | None] | None:
        """Return where a unit is needed and how far it is; None: it stands by."""
        for alarm_id in reversed(self._calls.get(unit, ())):
            state = self._alarms[alarm_id]
            said = max((r.state for r in state.reports if r.unit == unit), key=list(UnitState).index, default=None)
            if state.state not in VERDICTS and said is not UnitState.RETURNED:
                return alarm_id, said
        return None

    def _member_view(self, state: Alarm, lead: AlarmId) -> AlarmView:
        raised, first = state.raised, state.pictures[0] if state.pictures else None
        return AlarmView(
            alarm=raised.alarm,
            source=raised.source,
            place=raised.place,
            place_name=self._tree.name(raised.place),
            kind=raised.kind,
            urgency=raised.urgency,
            text=raised.text,
            longitude=raised.longitude,
            latitude=raised.latitude,
            state=state.state if state.steps else AlarmState.MERGED,
            raised_at=raised.at,
            exercise=raised.exercise,
            picture=first.picture if first else None,
            thumbnail=first.thumbnail if first else None,
            card=lead,
            newest_at=raised.at,
        )
