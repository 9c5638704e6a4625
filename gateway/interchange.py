"""Driver of CAP 1.2: directives and alarms as others read them, and what others send as alarms of this node.

A message that came in is written down with what came of it, once: the same sender and identifier again changes
nothing and is answered the same.  What it means is ``signaling/interchange.py``'s to say.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from gateway.clock import Clock
from gateway.forms import AlarmRequest
from gateway.incidents import Incidents
from gateway.journal import Journal, Row
from gateway.refusals import Refusals
from gateway.telemetry import Telemetry
from signaling import cap, interchange
from signaling.directive import Directive
from signaling.division import Tree
from signaling.errors import Refused, RemoteError
from signaling.ids import AlarmId, DirectiveId, NodeCode
from signaling.interchange import Asks, Incoming
from signaling.permission import Action, permit, permitted
from signaling.records import Actor, AlarmRaised, AlarmState, CapReceived, DirectiveIssued

log = logging.getLogger(__name__)

MAX_NOTE = 500
SMALL = 8_192
"""Bytes of a message that is read at once; a larger one is read beside the event loop."""


class Directives(Protocol):
    """What CAP needs of ``gateway/directives.py``."""

    def order(self, directive_id: DirectiveId, actor: Actor) -> Directive: ...
    def issued(self, directive: DirectiveId) -> DirectiveIssued | None: ...
    def may_read(self, directive_id: DirectiveId, actor: Actor) -> bool: ...


class Alarms(Protocol):
    """What CAP needs of ``gateway/alarms.py``."""

    incidents: Incidents

    def named(self, event: str) -> AlarmId | None: ...
    def raised(self, alarm: AlarmId) -> AlarmRaised | None: ...
    async def raise_alarm(self, actor: Actor, request: AlarmRequest) -> tuple[AlarmRaised, bool]: ...
    async def advance(
        self, actor: Actor, alarm_id: AlarmId, state: AlarmState, note: str = "", *, alone: bool = False
    ) -> None: ...


class Interchange:
    """CAP of one node.  Construct before anything is appended."""

    def __init__(
        self,
        node: NodeCode,
        tree: Tree,
        directives: Directives,
        alarms: Alarms,
        journal: Journal,
        clock: Clock,
        telemetry: Telemetry,
        refusals: Refusals,
    ) -> None:
        self._node = node
        self._tree = tree
        self._directives = directives
        self._alarms = alarms
        self._journal = journal
        self._clock = clock
        self._telemetry = telemetry
        self._refusals = refusals
        self._received: dict[str, CapReceived] = {}
        self._withdrawn: set[str] = set()
        """Messages that were cancelled, some before they came."""
        self._turn = asyncio.Lock()
        journal.follow(self._fold, ("cap:",))

    def _fold(self, rows: Sequence[Row]) -> None:
        for row in rows:
            if isinstance(row.record, CapReceived):
                self._received[row.record.event] = row.record
                if row.record.msg_type == cap.MsgType.CANCEL:
                    self._withdrawn.update(row.record.about)

    # ---- going out -------------------------------------------------------------------------------

    def directive(self, directive_id: DirectiveId, actor: Actor) -> bytes:
        """Return the newest message about a directive: the whole of it, or the part that ``actor`` may read.

        Raises:
            Refused: ``unknown-directive``, ``not-permitted``.
            CapError: It does not fit into a message.
        """
        header = self._directives.order(directive_id, actor)
        whole = permitted(actor, Action.READ_DIRECTIVE, header.issued.issuer.division, self._tree)
        within = None if whole else actor.division
        replaced = header.issued.supersedes
        earlier = None if replaced is None else self._directives.issued(replaced)
        if earlier is not None and not self._directives.may_read(earlier.directive, actor):
            earlier = None
        alert = interchange.of_directive(header, self._tree, public=False, within=within, earlier=earlier)
        return cap.render(alert)

    def alarm(self, alarm_id: AlarmId, actor: Actor) -> bytes:
        """Return the newest message about an alarm.

        Raises:
            Refused: ``unknown-alarm``, ``not-permitted``.
        """
        return cap.render(interchange.of_alarm(self._alarms.incidents.state(alarm_id, actor), self._tree, public=False))

    # ---- coming in -------------------------------------------------------------------------------

    async def take(self, actor: Actor, data: bytes) -> tuple[CapReceived, bool]:
        """Act on a message; return what came of it, durable, and whether this call did it.

        Raises:
            Refused: ``not-permitted``, ``cap-own``.
            CapError: It is not a CAP 1.2 message; the code is the first rule it breaks.
        """
        try:
            permit(actor, Action.IMPORT, actor.division, self._tree)
            alert = cap.parse(data) if len(data) <= SMALL else await asyncio.to_thread(cap.parse, data)
            asked = interchange.incoming(alert, self._tree, actor.division)
        except RemoteError as error:
            self._refusals.answer(actor, Action.IMPORT, "cap", error)
            raise
        async with self._turn:
            known = self._received.get(asked.event)
            if known is not None:
                self._telemetry.count("repeats", kind="cap")
                return known, False
            record = await self._carried_out(actor, alert, asked)
            await self._journal.append(record)
        self._telemetry.count("cap_received", effect=record.effect)
        log.info("cap received", extra={"effect": record.effect, "alarm": record.alarm})
        return record, True

    async def _carried_out(self, actor: Actor, alert: cap.Alert, asked: Incoming) -> CapReceived:
        effect, alarm, notes = await self._act(actor, asked)
        return CapReceived(
            node=self._node,
            at=self._clock.at(),
            by=actor,
            sender=alert.sender,
            identifier=alert.identifier,
            msg_type=alert.msg_type,
            event=asked.event,
            about=asked.about,
            exercise=asked.exercise,
            effect=effect,
            alarm=alarm,
            note="; ".join(notes)[:MAX_NOTE],
        )

    async def _act(self, actor: Actor, asked: Incoming) -> tuple[str, AlarmId | None, list[str]]:
        match asked.asks:
            case Asks.NOTHING:
                return "ignored", None, ["a test, a draft or between systems"]
            case Asks.NOTE:
                return "acknowledged", None, [asked.note] if asked.note else []
            case Asks.WITHDRAW:
                done, notes = await self._step_all(actor, asked, AlarmState.FALSE, f"发布方撤销：{asked.note}")
                return "withdrawn" if done else "noted", done[0] if done else None, notes
            case Asks.RAISE | Asks.REPLACE:
                return await self._raise(actor, asked)

    async def _raise(self, actor: Actor, asked: Incoming) -> tuple[str, AlarmId | None, list[str]]:
        alarm = self._alarms.named(asked.event)  # raised at another node, or before the power went
        if alarm is None:
            request = AlarmRequest(
                kind=asked.kind,
                text=asked.text,
                urgency=asked.urgency,
                source=asked.source,
                place=asked.place,
                longitude=asked.longitude,
                latitude=asked.latitude,
                exercise=asked.exercise,
                event=asked.event,
            )
            alarm = (await self._alarms.raise_alarm(actor, request))[0].alarm
        if asked.event in self._withdrawn:
            wrong = await self._step(actor, alarm, AlarmState.FALSE, "发布方撤销在先", asked.exercise)
            return "withdrawn", alarm, [wrong] if wrong else ["was cancelled before it came"]
        done, notes = await self._step_all(actor, asked, AlarmState.MERGED, f"由 {alarm} 更新")
        return "replaced" if done else "raised", alarm, notes

    async def _step_all(
        self, actor: Actor, asked: Incoming, state: AlarmState, note: str
    ) -> tuple[list[AlarmId], list[str]]:
        """Take every alarm that ``asked`` refers to a step on; return which it was, and what could not be."""
        done: list[AlarmId] = []
        notes: list[str] = []
        for event in asked.about:
            alarm = self._alarms.named(event)
            if alarm is None:
                notes.append("refers to a message unknown here")
                continue
            wrong = await self._step(actor, alarm, state, note[:MAX_NOTE], asked.exercise)
            if wrong:
                notes.append(wrong)
            else:
                done.append(alarm)
        return done, list(dict.fromkeys(notes))

    async def _step(self, actor: Actor, alarm: AlarmId, state: AlarmState, note: str, exercise: bool) -> str:
        """Take one alarm a step on; return why not, "" when it was."""
        raised = self._alarms.raised(alarm)
        if raised is None or raised.exercise != exercise:
            return f"{alarm}: an exercise and a real alarm never touch each other"
        try:
            await self._alarms.advance(actor, alarm, state, note, alone=True)
        except Refused as error:
            return f"{alarm}: {error.code}"
        return ""
