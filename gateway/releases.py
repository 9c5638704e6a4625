"""What a commander lets out to the public, and what later becomes of it.

Nothing leaves by itself: a person releases one directive or one alarm.  From then on its newest message goes out by
the public ways, so that what was recalled or found false is cancelled where it was told.  Which message has left is
in the journal; after a restart the one that is due goes out, once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from gateway.adapters import Adapters, Notice
from gateway.clock import Clock
from gateway.filedrop import FileDrop, Found
from gateway.incidents import Incidents
from gateway.journal import Journal, Row
from gateway.outbound import CallFailed
from gateway.refusals import Refusals
from gateway.telemetry import Telemetry
from signaling import interchange, text
from signaling.alarm import Alarm
from signaling.cap import Alert
from signaling.directive import Directive, Header
from signaling.division import Tree
from signaling.errors import Refused
from signaling.ids import AlarmId, DirectiveId, NodeCode, UtcMs
from signaling.permission import Action, permit, permitted
from signaling.records import (
    Actor,
    AlarmAdvanced,
    AlarmState,
    DirectiveIssued,
    DirectiveRecalled,
    DirectiveSuperseded,
    NoticeAnswered,
    Released,
    Urgency,
)

log = logging.getLogger(__name__)

RECEIPTS_S = 5.0
MAX_DETAIL = 500
PREFIX = "release:"


class Directives(Protocol):
    """What releases need of ``gateway/directives.py``."""

    def order(self, directive_id: DirectiveId, actor: Actor) -> Directive: ...
    def header(self, directive_id: DirectiveId) -> Directive | None: ...
    def issued(self, directive: DirectiveId) -> DirectiveIssued | None: ...


class Alarms(Protocol):
    """What releases need of ``gateway/alarms.py``."""

    incidents: Incidents


_NO_NEWS = frozenset({AlarmState.FALSE, AlarmState.MERGED, AlarmState.CLOSED})
"""Over before anybody outside heard of it: no reason to begin now."""


class ReleasedPart(msgspec.Struct, frozen=True, kw_only=True):
    """What the public was told of: by whom it was let out last, and how far its newest message has come.

    ``within``: whose part; None: all of it.  ``kind``: Alert, Update or Cancel.  ``outcome``: way to ``sent`` or the
    code of what went wrong, absent while it is on its way; ``receipts``: way to what the far side said.
    """

    by: str
    at: UtcMs
    within: NodeCode | None
    within_name: str
    kind: str
    identifier: str
    outcome: dict[str, str]
    receipts: dict[str, str]


class ReleaseState(msgspec.Struct, frozen=True, kw_only=True):
    """``may``: it can be let out now by who asks, else ``why`` not: a code.  ``ways``: those that reach everybody."""

    may: bool
    why: str
    ways: tuple[str, ...]
    released: tuple[ReleasedPart, ...]


@dataclass(frozen=True, slots=True)
class Going:
    """The newest message of something released, and what to say beside it."""

    alert: Alert
    notice: Notice


class Releases:
    """Everything one node has let out.  Construct before anything is appended; run ``run`` in a task group."""

    def __init__(
        self,
        node: NodeCode,
        tree: Tree,
        directives: Directives,
        alarms: Alarms,
        adapters: Adapters,
        journal: Journal,
        clock: Clock,
        telemetry: Telemetry,
        refusals: Refusals,
    ) -> None:
        self._node = node
        self._tree = tree
        self._directives = directives
        self._alarms = alarms
        self._adapters = adapters
        self._journal = journal
        self._clock = clock
        self._telemetry = telemetry
        self._refusals = refusals
        self._released: dict[str, list[Released]] = {}
        self._due: dict[str, Released] = {}
        self._answers: dict[str, dict[str, str]] = {}
        self._going: dict[str, Going] = {}
        self._moved = asyncio.Event()
        self._turn = asyncio.Lock()
        self._drops: list[FileDrop] = []
        journal.follow(self._fold, (PREFIX, "notice:"))

    def _fold(self, rows: Sequence[Row]) -> None:
        for row in rows:
            match row.record:
                case Released() as record:
                    self._released.setdefault(record.subject, []).append(record)
                    self._fall_due(record)
                case NoticeAnswered() as record:
                    self._answers.setdefault(record.notice, {})[record.adapter] = record.status
                case (
                    DirectiveRecalled(directive=subject)
                    | DirectiveSuperseded(directive=subject)
                    | AlarmAdvanced(alarm=subject)
                ):
                    for record in self._released.get(subject, ()):
                        self._fall_due(record)
                case _:
                    pass

    def _fall_due(self, record: Released) -> None:
        self._due[f"{record.subject}:{record.within or ''}"] = record
        self._moved.set()

    # ---- asked for here --------------------------------------------------------------------------

    def drop(self, drop: FileDrop) -> None:
        """Read the receipts of ``drop``."""
        self._drops.append(drop)

    async def directive(self, directive_id: DirectiveId, actor: Actor) -> Mapping[str, object]:
        """Let a directive out, or the part of it that is for the actor's places; say what became of it.

        Raises:
            Refused: ``unknown-directive``, ``not-permitted``, ``exercise``, ``no-public-way``.
        """
        try:
            within = self._part(self._directives.order(directive_id, actor), actor)
        except Refused as error:
            self._refusals.answer(actor, Action.ISSUE, directive_id, error)
            raise
        return await self._release(directive_id, within, actor)

    def _part(self, header: Directive, actor: Actor) -> NodeCode | None:
        """Return whose part of a directive the actor may let out: that of their places, or None for all of it."""
        permit(actor, Action.ISSUE, actor.division, self._tree)
        self._may_leave(header.issued.exercise)
        whole = permitted(actor, Action.ISSUE, header.issued.issuer.division, self._tree)
        return None if whole else actor.division

    async def alarm(self, alarm_id: AlarmId, actor: Actor) -> Mapping[str, object]:
        """Let an alarm out that somebody has confirmed, any of its card; say what became of it.

        Raises:
            Refused: ``unknown-alarm``, ``not-permitted``, ``exercise``, ``alarm-state``, ``no-public-way``.
        """
        try:
            alarm_id = self._alarms.incidents.target(alarm_id)
            self._may_tell(self._alarms.incidents.state(alarm_id, actor), actor)
        except Refused as error:
            self._refusals.answer(actor, Action.ADVANCE_ALARM, alarm_id, error)
            raise
        return await self._release(alarm_id, None, actor)

    def _may_tell(self, state: Alarm, actor: Actor) -> None:
        permit(actor, Action.ADVANCE_ALARM, state.raised.place, self._tree)
        self._may_leave(state.raised.exercise)
        if state.state is AlarmState.TRIGGERED:
            raise Refused("alarm-state", f"{state.raised.alarm}: confirm it before the public is told")

    def _may_leave(self, exercise: bool) -> None:
        if exercise:
            raise Refused("exercise", "an exercise is never released")
        if not self._adapters.public:
            raise Refused("no-public-way", "no way to the public is configured here")

    async def _release(self, subject: str, within: NodeCode | None, actor: Actor) -> Mapping[str, object]:
        record = Released(node=self._node, at=self._clock.at(), subject=subject, within=within, by=actor)
        await self._journal.append(record)
        await self.send()
        going = self._newest(record)
        notice = going.notice.id if going else ""
        return {
            "identifier": going.alert.identifier if going else "",
            "outcome": self._adapters.outcome(notice),
            "receipts": self._answers.get(notice, {}),
        }

    # ---- what has become of it -------------------------------------------------------------------

    def of_directive(self, directive_id: DirectiveId, actor: Actor) -> ReleaseState:
        """Return what was let out of a directive, and whether the actor may let it out now.

        Raises:
            Refused: ``unknown-directive``, ``not-permitted``.
        """
        header = self._directives.order(directive_id, actor)
        try:
            self._part(header, actor)
            why = "" if header.state is Header.ISSUED else f"directive-{header.state}"
        except Refused as error:
            why = error.code
        return self._state(directive_id, why)

    def of_alarm(self, alarm_id: AlarmId, actor: Actor) -> ReleaseState:
        """Return what was let out of an alarm's card, and whether the actor may let it out now.

        Raises:
            Refused: ``unknown-alarm``, ``not-permitted``.
        """
        alarm_id = self._alarms.incidents.target(alarm_id)
        state = self._alarms.incidents.state(alarm_id, actor)
        try:
            self._may_tell(state, actor)
            why = "alarm-state" if state.state in _NO_NEWS else ""
        except Refused as error:
            why = error.code
        return self._state(alarm_id, why)

    def _state(self, subject: str, why: str) -> ReleaseState:
        newest = {record.within: record for record in self._released.get(subject, ())}
        told = [self._told_of(record) for record in newest.values()]
        return ReleaseState(may=not why, why=why, ways=tuple(self._adapters.public), released=tuple(filter(None, told)))

    def _told_of(self, record: Released) -> ReleasedPart | None:
        going = self._newest(record)
        if going is None:
            return None
        return ReleasedPart(
            by=record.by.name,
            at=record.at,
            within=record.within,
            within_name=self._tree.name(record.within) if record.within else "",
            kind=going.alert.msg_type.value,
            identifier=going.alert.identifier,
            outcome=dict(self._adapters.outcome(going.notice.id)),
            receipts=dict(self._answers.get(going.notice.id, {})),
        )

    # ---- going out -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Send what falls due, and look for receipts, until cancelled."""
        while True:
            await self.send()
            await self.read_receipts()
            try:
                async with asyncio.timeout(RECEIPTS_S):
                    await self._moved.wait()
            except TimeoutError:
                continue
            self._moved.clear()

    async def send(self) -> None:
        """Send the newest message of everything that is due; return when each has its outcome."""
        async with self._turn:
            due, self._due = list(self._due.values()), {}
            for record in due:
                going = self._newest(record)
                if going is not None and not self._told(going):
                    self._going[going.notice.id] = going
                    try:
                        await self._adapters.send(going.notice)
                    finally:
                        del self._going[going.notice.id]

    def _told(self, going: Going) -> bool:
        outcome = self._adapters.outcome(going.notice.id)
        return all(name in outcome for name in self._adapters.public)

    def compose(self, notice: Notice) -> Alert:
        """Return the message of a notice that is going out now; raises CallFailed for any other."""
        going = self._going.get(notice.id)
        if going is None:
            raise CallFailed("not-released", f"{notice.id} was released by nobody")
        return going.alert

    def _newest(self, record: Released) -> Going | None:
        header = self._directives.header(DirectiveId(record.subject))
        if header is not None:
            alert = interchange.of_directive(
                header, self._tree, public=True, within=record.within, earlier=self._told_earlier(record, header)
            )
            return Going(alert, self._of_directive(alert, header))
        try:
            state = self._alarms.incidents.state(AlarmId(record.subject), record.by)
        except Refused as error:  # released by somebody whose division has gone from the table of places
            log.error("released, and not found", extra={"subject": record.subject, "code": error.code})
            return None
        raised = state.raised
        alert = interchange.of_alarm(state, self._tree, public=True)
        notice = _notice(
            alert, "alarm", record.subject, raised.urgency, raised.kind, (raised.place,), exercise=raised.exercise
        )
        return Going(alert, notice)

    def _told_earlier(self, record: Released, header: Directive) -> DirectiveIssued | None:
        """Return the directive this one takes the place of, if the same public was told of that."""
        replaced = header.issued.supersedes
        if replaced is None or all(one.within != record.within for one in self._released.get(replaced, ())):
            return None
        return self._directives.issued(replaced)

    def _of_directive(self, alert: Alert, header: Directive) -> Notice:
        issued = header.issued
        places = tuple(NodeCode(pair.value) for area in alert.info[0].area for pair in area.geocode)
        return _notice(
            alert, "directive", issued.directive, issued.urgency, issued.title, places, exercise=issued.exercise
        )

    # ---- what the far side says ------------------------------------------------------------------

    async def read_receipts(self) -> None:
        """Write down the receipts that have come; a file that is none is put aside and counted."""
        for drop in self._drops:
            for found in await asyncio.to_thread(lambda drop=drop: list(drop.receipts())):  # type: ignore[misc]
                await self._answered(drop, found)

    async def _answered(self, drop: FileDrop, found: Found) -> None:
        if found.receipt is None:
            self._telemetry.count("receipts", adapter=drop.name, outcome="malformed")
            log.warning("receipt not understood", extra={"file": found.path.name})
        else:
            record = NoticeAnswered(
                node=self._node,
                at=self._clock.at(),
                notice=PREFIX + found.receipt.identifier,
                adapter=drop.name,
                status=interchange.clean(found.receipt.status, 40),
                detail=text.shown(found.receipt.detail)[:MAX_DETAIL],
            )
            await self._journal.append(record)
            self._telemetry.count("receipts", adapter=drop.name, outcome="ok")
        try:
            await asyncio.to_thread(drop.put_away, found)
        except OSError as error:
            log.error("receipt not put away", extra={"file": found.path.name, "error": str(error)})


def _notice(
    alert: Alert,
    kind: str,
    subject: str,
    urgency: Urgency,
    title: str,
    places: tuple[NodeCode, ...],
    *,
    exercise: bool,
) -> Notice:
    return Notice(
        id=PREFIX + alert.identifier,
        kind=kind,
        subject=subject,
        urgency=urgency,
        title=title,
        text=alert.info[0].description or "",
        places=places,
        exercise=exercise,
        public=True,
    )
