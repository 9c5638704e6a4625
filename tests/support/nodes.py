"""Nodes without sockets: real journals, real drivers, and links that are function calls which can be cut.

``Node.pull`` is what a link does: read the sender's journal from the receiver's cursor, pass on what concerns it,
move the cursor in the same journal.
"""

import functools
import itertools
from pathlib import Path
from types import SimpleNamespace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.alarms import Alarms
from gateway.audit import Audit
from gateway.blobs import Blobs
from gateway.circulars import Circulars
from gateway.directives import Directives
from gateway.escalations import Escalations
from gateway.interchange import Interchange
from gateway.issuing import Rules
from gateway.journal import Journal
from gateway.keys import NodeKeys
from gateway.overdue_lists import OverdueLists
from gateway.overdue_timers import OverdueTimers
from gateway.refusals import Refusals
from gateway.rosters import Rosters
from gateway.telemetry import Telemetry
from gateway.timers import Timers
from signaling import records
from signaling.duty import Roster
from signaling.ids import NodeCode, Seq
from signaling.records import (
    AlarmWord,
    AnyRecord,
    AuditRead,
    CircularAnswered,
    CircularSent,
    DeliveryAdvanced,
    DirectiveAnnotated,
    DirectiveClosed,
    DirectiveCountersigned,
    DirectiveIssued,
    DirectiveRecalled,
    DirectivesRelayed,
    DirectiveSuperseded,
    EscalationAcknowledged,
    EscalationRaised,
    OverdueAcknowledged,
    OverdueRaised,
    RefusalRecorded,
    RosterSet,
)
from signaling.routing import Router

from .clock import FakeClock
from .places import TREE


@functools.cache
def private_key(code: NodeCode) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def keys_of(code: NodeCode, *others: NodeCode) -> NodeKeys:
    public = {c: private_key(c).public_key() for c in (code, *others)}
    return NodeKeys(code, private_key(code), public)


class Node:
    """One gateway's durable half.  Make it on a running loop."""

    def __init__(
        self, code: NodeCode, directory: Path, clock: FakeClock | None = None, rules: Rules | None = None
    ) -> None:
        self.rules = rules or Rules("衡山应急令")
        self.code = code
        self.directory = directory / code
        self.clock = clock or FakeClock(serial=int(code))
        self.telemetry = Telemetry()
        self.journal = Journal.open(self.directory / "journal.sqlite", code, self.clock)
        self.blobs = Blobs(self.directory / "blobs")
        self.refusals = Refusals(code, self.journal, self.clock, self.telemetry)
        keys = keys_of(code, *TREE)
        common = SimpleNamespace(
            journal=self.journal, clock=self.clock, telemetry=self.telemetry, refusals=self.refusals
        )
        roster = Roster()
        self.rosters = Rosters(code, TREE, self.journal, self.clock, self.refusals, roster)
        self.directives = Directives(
            code, TREE, keys, **vars(common), rules=self.rules, roster=roster, blobs=self.blobs
        )
        self.timers = Timers(code, TREE, keys, self.journal, self.clock, self.telemetry, self.directives)
        self.escalations = Escalations(code, TREE, keys, self.journal, self.clock, self.refusals, self.directives)
        self.alarms = Alarms(code, TREE, blobs=self.blobs, **vars(common))
        self.overdue_timers = OverdueTimers(code, TREE, keys, self.journal, self.clock, self.telemetry, self.alarms)
        self.overdue = OverdueLists(code, TREE, keys, self.journal, self.clock, self.refusals, self.alarms)
        self.circulars = Circulars(code, TREE, keys, **vars(common))
        self.interchange = Interchange(code, TREE, self.directives, self.alarms, **vars(common))
        self.audit = Audit(code, TREE, self.journal, self.clock, self.refusals, self.directives)

    def dispatch(self, record: AnyRecord, via: NodeCode) -> None:
        match record:
            case (
                DirectiveIssued()
                | DirectiveRecalled()
                | DirectiveClosed()
                | DirectiveAnnotated()
                | DeliveryAdvanced()
                | DirectivesRelayed()
            ):
                self.directives.receive(record, via)
            case EscalationRaised() | EscalationAcknowledged():
                self.escalations.receive(record, via)
            case OverdueRaised() | OverdueAcknowledged():
                self.overdue.receive(record, via)
            case RosterSet():
                self.rosters.receive(record, via)
            case DirectiveSuperseded() | DirectiveCountersigned():
                self.directives.receive(record, via)
            case AlarmWord():
                self.alarms.receive(record, via)
            case CircularSent() | CircularAnswered():
                self.circulars.receive(record, via)
            case AuditRead() | RefusalRecorded():
                self.audit.receive(record, via)
            case _:
                raise AssertionError(f"no driver here for {record}")

    async def pull(self, sender: "Node", limit: int = 1_000, *, acknowledge: bool = True) -> int:
        """Take in up to ``limit`` rows of ``sender``; return how many records crossed.

        ``acknowledge=False``: the link was cut after the records and before the cursor was durable.
        """
        epoch, after = self.journal.cursor(sender.code)
        position = after if epoch == sender.journal.epoch else Seq(0)
        router, crossed = Router(sender.code, TREE), []
        for row in sender.journal.replay():
            router.note(row.record)
            wanted = position < row.seq <= position + limit and row.via != self.code
            if wanted and router.concerns(row.record, self.code):
                crossed.append(records.decode(row.data))
        for record in crossed:
            self.dispatch(record, sender.code)
        if acknowledge:
            last = Seq(min(sender.journal.head, position + limit))
            await self.journal.append(cursor=(sender.code, sender.journal.epoch, last))
            if sender.code == TREE.parent(self.code):
                sender.directives.acknowledged(self.code, last)
                sender.directives.say_relayed()
        await self.settle()
        await sender.settle()
        return len(crossed)

    async def settle(self) -> None:
        """Return once everything appended so far is durable."""
        await self.journal.append()

    async def close(self) -> None:
        await self.journal.close()

    async def restart(self) -> "Node":
        """Close, and open what the disk holds."""
        await self.close()
        return Node(self.code, self.directory.parent, self.clock, self.rules)


async def until_quiet(*chain: Node) -> None:
    """Let neighbouring nodes, listed from the top down, exchange records until nothing more crosses."""
    for node in chain:
        await node.settle()
    crossed = 1
    while crossed:
        crossed = 0
        for upper, lower in itertools.pairwise(chain):
            crossed += await lower.pull(upper) + await upper.pull(lower)
