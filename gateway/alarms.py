"""Driver of alarms: raise, picture, advance, group, receive.  What is shown of them is ``incidents.py``.

The text goes out the moment it is durable.  The picture follows as a record of two hashes: every node that gets
it fetches the thumbnail at once, the full picture when somebody asks.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from gateway.blobs import Blobs, Known, Rank
from gateway.clock import Clock
from gateway.forms import AlarmRequest
from gateway.incidents import Incidents
from gateway.journal import Journal, Row
from gateway.refusals import Refusals
from gateway.telemetry import Telemetry
from gateway.tentative import Tentative
from gateway.waiting import Waiting
from signaling import admission, alarm, alarm_words, geodesy
from signaling.alarm import Alarm, AlarmRecord
from signaling.directive import SIGN_LIMIT_MS
from signaling.division import Tree
from signaling.effects import Deny, Repeat
from signaling.errors import Refused
from signaling.ids import AlarmId, NodeCode, Seq, Sha256, UtcMs
from signaling.permission import Action, permit
from signaling.records import (
    Actor,
    AlarmAdvanced,
    AlarmDispatched,
    AlarmGrouped,
    AlarmPictured,
    AlarmRaised,
    AlarmState,
    CallAnswered,
    CallRaised,
    Unit,
    UnitReported,
    UnitState,
    Urgency,
)

log = logging.getLogger(__name__)


class Picture(Protocol):
    """A picture made safe (``media/snapshot.py``): re-encoded, no metadata, and its thumbnail of at most 64 KiB."""

    @property
    def jpeg(self) -> bytes: ...
    @property
    def thumbnail(self) -> bytes: ...


class Registry(Protocol):
    """What is known of sources: ``gateway/sources.py``."""

    def armed(self, place: NodeCode, source: str) -> bool: ...
    def heard(self, place: NodeCode, source: str, at: UtcMs) -> None: ...


Asked = AlarmAdvanced | AlarmGrouped | AlarmDispatched | UnitReported | CallRaised | CallAnswered
"""What people say of an alarm after it was raised."""

RANKS = {Urgency.P0: Rank.FLASH, Urgency.P1: Rank.URGENT}
"""How soon the thumbnail of an alarm is fetched."""

Event = tuple[str, NodeCode, str, str]


class Alarms(admission.Facts):
    """All alarms one node is told of.  Construct before anything is appended."""

    def __init__(
        self,
        node: NodeCode,
        tree: Tree,
        journal: Journal,
        blobs: Blobs,
        clock: Clock,
        telemetry: Telemetry,
        refusals: Refusals,
        registry: Registry | None = None,
    ) -> None:
        self._node = node
        self._tree = tree
        self._journal = journal
        self._blobs = blobs
        self._clock = clock
        self._telemetry = telemetry
        self._refusals = refusals
        self._registry = registry
        self._waiting = Waiting()
        self.incidents = Incidents(tree)
        self._tentative: Tentative[AlarmId, Alarm] = Tentative()
        self._events: dict[Event, AlarmRaised] = {}
        self._named: dict[str, AlarmId] = {}
        self._pending_events: Tentative[Event, tuple[AlarmRaised, asyncio.Future[Seq]]] = Tentative()
        self._pictured: dict[Sha256, AlarmId] = {}
        self._look: Callable[[AlarmRaised], None] | None = None
        journal.follow(self._fold, ("alarm:",))

    def on_unpictured(self, look: Callable[[AlarmRaised], None]) -> None:
        """Call ``look`` with each alarm that was raised here, is durable and came without a picture."""
        self._look = look

    # ---- asked for here --------------------------------------------------------------------------

    async def raise_alarm(
        self, actor: Actor, request: AlarmRequest, *, pictured: bool = False
    ) -> tuple[AlarmRaised, bool]:
        """Raise an alarm; return it once it is durable, and whether this call made it.

        Args:
            pictured: Whoever raises it brings its picture.

        Raises:
            Refused: ``not-permitted``, ``bad-text``, ``bad-record``, ``unknown-node``, or ``too-many-alarms``: the
                source keeps it and says it again soon.
        """
        event = (actor.name, actor.division, request.source or actor.name, request.event)
        if request.event and (known := self._events.get(event)) is not None:
            return known, False
        if request.event and (pending := self._pending_events.get(event)) is not None:
            await asyncio.shield(pending[1])
            return pending[0], False
        raised = self._draw_up(actor, request)
        self._admit(raised)
        durable = self._carry_out(raised, alarm.decide(None, raised), via=None)
        assert durable is not None  # the id is fresh
        self._waiting.hold((raised.place, raised.source), durable)
        self._pending_events.hold(event, (raised, durable), durable)
        await durable
        if self._registry is not None:
            self._registry.heard(raised.place, raised.source, raised.at)
        self._telemetry.count("alarms_raised", urgency=raised.urgency)
        log.info("alarm raised", extra={"alarm": raised.alarm, "place": raised.place})
        if self._look is not None and not pictured and not raised.disarmed:
            self._look(raised)
        return raised, True

    def _admit(self, raised: AlarmRaised) -> None:
        try:
            self._waiting.admit((raised.place, raised.source), raised.urgency)
        except Refused:
            self._telemetry.count("alarms_refused", urgency=raised.urgency)
            raise

    def _draw_up(self, actor: Actor, request: AlarmRequest) -> AlarmRaised:
        place = request.place or actor.division
        try:
            division = self._tree.get(place)
            longitude, latitude = _position(request) or (division.longitude, division.latitude)
            raised = AlarmRaised(
                node=self._node,
                at=self._clock.at(),
                alarm=AlarmId(self._clock.new_id("a")),
                by=actor,
                source=request.source or actor.name,
                place=place,
                kind=request.kind,
                urgency=request.urgency,
                text=request.text,
                longitude=longitude,
                latitude=latitude,
                exercise=request.exercise,
                event=request.event,
                disarmed=self._registry is not None and not self._registry.armed(place, request.source or actor.name),
            )
            alarm_words.check_alarm(raised, self._tree)
        except Refused as error:
            self._refusals.answer(actor, Action.RAISE_ALARM, place, error)
            raise
        return raised

    async def picture(self, alarm_id: AlarmId, picture: Picture) -> AlarmPictured:
        """Keep the picture of an alarm raised here and tell of it once it is durable.

        Raises:
            Refused: ``unknown-alarm``, ``too-many-pictures``, ``blob-too-large``, ``blob-space``, ``bad-record``.
        """
        known = self._known(alarm_id)
        if known.raised.node != self._node:
            raise Refused("unknown-alarm", f"{alarm_id} was not raised here")
        record = AlarmPictured(
            node=self._node,
            at=self._clock.at(),
            alarm=alarm_id,
            place=known.raised.place,
            picture=await self._blobs.put(picture.jpeg),
            picture_bytes=len(picture.jpeg),
            thumbnail=await self._blobs.put(picture.thumbnail),
            thumbnail_bytes=len(picture.thumbnail),
        )
        alarm_words.check_picture(record)
        durable = self._carry_out(record, alarm.decide(self._known(alarm_id), record), via=None)
        if durable is not None:
            await durable
        return record

    async def advance(
        self, actor: Actor, alarm_id: AlarmId, state: AlarmState, note: str = "", *, alone: bool = False
    ) -> None:
        """Confirm a card, find it false, dispatch, ...  The same step again changes nothing.

        Args:
            alarm_id: Any alarm of the card.
            alone: It is said of this alarm, and not of its card.

        Raises:
            Refused: ``unknown-alarm``, ``not-permitted``, ``alarm-state``, ``bad-text``.
        """
        known = self._known(alarm_id if alone else self.incidents.target(alarm_id))
        record = AlarmAdvanced(
            node=self._node,
            at=self._clock.at(),
            alarm=known.raised.alarm,
            place=known.raised.place,
            state=state,
            by=actor,
            note=note,
            alone=alone,
        )
        await self._ask(actor, record, known)

    async def group(self, actor: Actor, alarm_id: AlarmId, incident: AlarmId) -> None:
        """Put an alarm on the card ``incident`` is on; on one of its own when they are the same.

        Raises:
            Refused: ``unknown-alarm``, ``not-permitted``, ``alarm-elsewhere``.
        """
        known = self._known(alarm_id)
        self._known(incident)
        record = AlarmGrouped(
            node=self._node,
            at=self._clock.at(),
            alarm=alarm_id,
            place=known.raised.place,
            incident=incident,
            by=actor,
        )
        await self._ask(actor, record, known)

    async def dispatch(
        self, actor: Actor, alarm_id: AlarmId, lead: Unit, assist: tuple[Unit, ...], within_ms: int, note: str = ""
    ) -> None:
        """Send units to a card's event: that confirms it.  More may be sent later.

        Raises:
            Refused: ``unknown-alarm``, ``not-permitted``, ``alarm-state``, ``unit-elsewhere``, ``bad-record``,
                ``bad-text``.
        """
        known = self._known(self.incidents.target(alarm_id))
        at = self._clock.at()
        record = AlarmDispatched(
            node=self._node,
            at=at,
            alarm=known.raised.alarm,
            place=known.raised.place,
            lead=lead,
            assist=assist,
            by=actor,
            deadline=UtcMs(at + within_ms),
            note=note,
        )
        await self._ask(actor, record, known)

    async def report(
        self, actor: Actor, alarm_id: AlarmId, unit: str, unit_place: NodeCode, state: UnitState, note: str = ""
    ) -> None:
        """A unit that was sent says how far it is.  The same again changes nothing.

        Raises:
            Refused: ``unknown-alarm``, ``unknown-unit``, ``unit-state``, ``not-permitted``, ``bad-text``.
        """
        known = self._known(self.incidents.sent(alarm_id, unit))
        record = UnitReported(
            node=self._node,
            at=self._clock.at(),
            alarm=known.raised.alarm,
            place=known.raised.place,
            unit=unit,
            unit_place=unit_place,
            state=state,
            by=actor,
            note=note,
        )
        await self._ask(actor, record, known)

    async def call(self, actor: Actor, alarm_id: AlarmId, to: NodeCode, department: str, note: str) -> str:
        """Call a department above about a card (吹哨); return the call's id.  It has the urgency's time to answer.

        Raises:
            Refused: ``unknown-alarm``, ``unknown-node``, ``not-permitted``, ``not-above``, ``too-many-calls``,
                ``bad-text``.
        """
        known, at = self._known(self.incidents.target(alarm_id)), self._clock.at()
        self._tree.get(to)
        record = CallRaised(
            node=self._node,
            at=at,
            alarm=known.raised.alarm,
            place=known.raised.place,
            call=self._clock.new_id("w"),
            to=to,
            department=department,
            by=actor,
            deadline=UtcMs(at + SIGN_LIMIT_MS[self.incidents.urgency(alarm_id) or known.raised.urgency]),
            note=note,
        )
        await self._ask(actor, record, known)
        return record.call

    async def answer(self, actor: Actor, call: str, note: str) -> None:
        """Say what the department that was called does.  A second answer changes nothing.

        Raises:
            Refused: ``unknown-call``, ``not-permitted``, ``bad-text``.
        """
        called = self.incidents.called(call)
        if called is None:
            raise Refused("unknown-call", f"no call {call[:64]!r} here")
        record = CallAnswered(
            node=self._node,
            at=self._clock.at(),
            alarm=called.alarm,
            place=called.place,
            call=call,
            to=called.to,
            by=actor,
            note=note,
        )
        await self._ask(actor, record, self._known(called.alarm))

    async def _ask(self, actor: Actor, record: Asked, known: Alarm) -> None:
        reported = isinstance(record, UnitReported | CallRaised | CallAnswered)
        action = Action.REPORT_ALARM if reported else Action.ADVANCE_ALARM
        try:
            self._check(record, known)
            durable = self._carry_out(record, alarm.decide(known, record), via=None)
        except Refused as error:
            self._refusals.answer(actor, action, record.alarm, error)
            raise
        if durable is not None:
            await durable

    def _check(self, record: Asked, known: Alarm) -> None:
        match record:
            case AlarmAdvanced():
                alarm_words.check_step(record, self._tree, known.raised)
            case AlarmGrouped():
                alarm_words.check_grouped(record, self._tree, self)
            case AlarmDispatched():
                alarm_words.check_dispatched(record, self._tree)
            case UnitReported():
                alarm_words.check_unit_report(record, self._tree)
            case CallRaised():
                alarm_words.check_call(record, self._tree)
            case CallAnswered():
                alarm_words.check_call_answer(record, self._tree)

    # ---- told by a neighbour ---------------------------------------------------------------------

    def receive(self, record: AlarmRecord, via: NodeCode) -> None:
        """Take in a record from a link, in order.  What may not be is journalled as refused; nothing is raised."""
        try:
            admission.admit(record, via, self._node, self._tree, self)
            self._carry_out(record, alarm.accept(self._state(record.alarm), record), via)
        except Refused as error:
            self._refusals.record(None, str(record.__struct_config__.tag), record.alarm, error, via)

    def _carry_out(
        self, asked: AlarmRecord, effects: Sequence[alarm.Effect], via: NodeCode | None
    ) -> asyncio.Future[Seq] | None:
        """Append what the machine says; None when there is nothing new to wait for."""
        durable = None
        for effect in effects:
            match effect:
                case alarm.Append(record):
                    durable = self._journal.append(record, via=via)
                    after = alarm.evolve(self._state(record.alarm), record)
                    self._tentative.hold(record.alarm, after, durable)
                case Repeat():
                    self._telemetry.count("repeats", kind="alarm")
                case Deny(code, why):
                    raise Refused(code, why)
        return durable

    # ---- what is known ---------------------------------------------------------------------------

    def raised(self, alarm: AlarmId) -> AlarmRaised | None:
        state = self._state(alarm)
        return state.raised if state else None

    def named(self, event: str) -> AlarmId | None:
        """Return the first alarm known here, raised at whatever node, that carries ``event``."""
        return self._named.get(event)

    def undecided(self) -> Collection[Alarm]:
        """Return the alarms of which something was said that is not durable yet, as they will stand."""
        return self._tentative.values()

    def _state(self, alarm_id: AlarmId) -> Alarm | None:
        return self._tentative.get(alarm_id) or self.incidents.get(alarm_id)

    def _known(self, alarm_id: AlarmId) -> Alarm:
        state = self._state(alarm_id)
        if state is None:
            raise Refused("unknown-alarm", f"no alarm {alarm_id[:64]!r} here")
        return state

    def _fold(self, rows: Sequence[Row]) -> None:
        for row in rows:
            match row.record:
                case AlarmRaised() as record:
                    if record.event:
                        self._named.setdefault(record.event, record.alarm)
                    if record.event and record.node == self._node:
                        self._events[(record.by.name, record.by.division, record.source, record.event)] = record
                case AlarmPictured() as record:
                    self._learn(record, row.via)
                case (
                    AlarmAdvanced()
                    | AlarmGrouped()
                    | AlarmDispatched()
                    | UnitReported()
                    | CallRaised()
                    | CallAnswered() as record
                ):
                    pass
                case _:
                    continue
            self.incidents.fold(record)

    # ---- pictures --------------------------------------------------------------------------------

    def pictured(self, alarm_id: AlarmId) -> bool:
        """Return whether an alarm has a picture, or will have one in a moment."""
        return bool(self._known(alarm_id).pictures)

    def unpictured(self, since: UtcMs) -> list[AlarmRaised]:
        """Return the alarms raised here at ``since`` or later that have no picture, oldest first."""
        found = (state.raised for state in self.incidents.all() if not state.pictures)
        mine = (one for one in found if one.node == self._node and one.at >= since and not one.disarmed)
        return sorted(mine, key=lambda one: (one.at, one.alarm))

    def _learn(self, record: AlarmPictured, via: NodeCode | None) -> None:
        """Remember where both pictures can be had, and want the thumbnail at once."""
        for sha256, size in ((record.picture, record.picture_bytes), (record.thumbnail, record.thumbnail_bytes)):
            self._blobs.know(sha256, size, via)
            self._pictured.setdefault(sha256, record.alarm)
        self._blobs.want(record.thumbnail, RANKS.get(self._known(record.alarm).raised.urgency, Rank.ROUTINE))

    def missing_blobs(self) -> tuple[Known, ...]:
        """Return the thumbnails that are spoken of and not yet here."""
        known = (self._blobs.known(p.thumbnail) for a in self.incidents.all() for p in a.pictures)
        return tuple(k for k in known if k is not None and not self._blobs.has(k.sha256))

    async def blob(self, actor: Actor, sha256: Sha256) -> bytes:
        """Return a picture of an alarm ``actor`` may read; asks for it below if it is not here yet.

        Raises:
            Refused: ``unknown-blob``, ``not-permitted``, or ``blob-pending``: ask again soon.
        """
        alarm_id = self._pictured.get(sha256)
        if alarm_id is None:
            raise Refused("unknown-blob", "no alarm has this picture")
        permit(actor, Action.READ_ALARM, self._known(alarm_id).raised.place, self._tree)
        data = await self._blobs.get(sha256)
        if data is None:
            self._blobs.want(sha256)
            raise Refused("blob-pending", "the picture is on its way")
        return data

    def alarm_of(self, sha256: Sha256) -> AlarmId | None:
        """Return the alarm a picture belongs to: its card changes when the picture arrives."""
        return self._pictured.get(sha256)


def _position(request: AlarmRequest) -> tuple[float, float] | None:
    """Return where it happened, GCJ-02 degrees, None if the source does not say."""
    if request.longitude is None or request.latitude is None:
        return None
    here = request.longitude, request.latitude
    return geodesy.to_gcj02(*here) if request.datum == "wgs84" and all(map(math.isfinite, here)) else here
