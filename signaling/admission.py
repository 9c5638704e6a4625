"""May this record, come over this link, enter our journal?  Asked again at every hop.

Pure.  Trust is by direction: a neighbour may only speak for nodes on its own side, a node only for people of
its own subtree, and a person only within the policy.  So root on a township's gateway can neither command
another township nor change what the county said to a village.  Signatures are checked by the caller.
"""

from __future__ import annotations

from typing import assert_never

from . import circular, text
from .alarm_words import (
    check_alarm,
    check_call,
    check_call_answer,
    check_dispatched,
    check_grouped,
    check_picture,
    check_step,
    check_unit_report,
)
from .clocks import LEVELS, LEVELS_ABOVE
from .directive import MAX_CLICK_ID, MAX_REASON, MAX_TITLE
from .division import MAX_RECIPIENTS, MAX_SCOPE_ITEMS, Tree
from .errors import Refused
from .forms import check_report as check_form
from .ids import AlarmId, CircularId, ConferenceId, DirectiveId, NodeCode
from .order_words import (
    check_acknowledgement,
    check_annotation,
    check_directive,
    check_report,
    check_roster,
    check_told,
)
from .overdue_words import check_overdue, check_overdue_word
from .permission import Action, permit
from .records import (
    MAX_TOGETHER,
    AlarmAdvanced,
    AlarmDispatched,
    AlarmGrouped,
    AlarmPictured,
    AlarmRaised,
    AnyRecord,
    AuditRead,
    CallAnswered,
    CallRaised,
    CapReceived,
    CircularAnswered,
    CircularSent,
    ConferenceConvened,
    ConferenceEnded,
    DeliveryAdvanced,
    DirectiveAnnotated,
    DirectiveApproved,
    DirectiveClosed,
    DirectiveCountersigned,
    DirectiveDrafted,
    DirectiveExpired,
    DirectiveIssued,
    DirectiveRecalled,
    DirectiveReturned,
    DirectivesRelayed,
    DirectiveSubmitted,
    DirectiveSuperseded,
    EscalationAcknowledged,
    EscalationRaised,
    NoticeAnswered,
    NoticeSent,
    OverdueAcknowledged,
    OverdueRaised,
    ParticipantJoined,
    ParticipantLeft,
    RecordHeld,
    RecordTaken,
    RedialOrdered,
    RefusalRecorded,
    Released,
    RosterSet,
    SourceArmed,
    SourceLooked,
    SourceRegistered,
    Stage,
    TimerFired,
    UnitReported,
)
from .vouching import MAX_ID, MAX_NAME, identity, vouched


class Facts:
    """What this node already knows.  Each driver overrides what it keeps; the rest is unknown."""

    def issued(self, directive: DirectiveId) -> DirectiveIssued | None:
        return None

    def has_recipient(self, directive: DirectiveId, recipient: NodeCode) -> bool:
        return False

    def concerns(self, directive: DirectiveId, place: NodeCode) -> bool:
        """Return whether the directive has a recipient at or below ``place``."""
        return False

    def raised(self, alarm: AlarmId) -> AlarmRaised | None:
        return None

    def circulated(self, circular: CircularId) -> CircularSent | None:
        return None

    def convened(self, conference: ConferenceId) -> ConferenceConvened | None:
        return None

    def overdue(self, overdue: str) -> OverdueRaised | None:
        return None

    def escalated(self, directive: DirectiveId, superior: NodeCode, n: int) -> EscalationRaised | None:
        return None


def admit(record: AnyRecord, via: NodeCode, here: NodeCode, tree: Tree, facts: Facts) -> None:
    """Return if ``record`` may enter the journal of ``here``, having come from neighbour ``via``.

    Raises:
        Refused: ``wrong-direction``, ``not-permitted``, ``bad-text``, ``bad-record``, or ``unknown-…``.
    """
    _from_its_own_side(record, via, here, tree)
    match record:
        case DirectiveIssued():
            _from_above(via, here, tree)
            check_directive(record, tree)
            if not any(tree.is_within(recipient, here) for recipient in record.recipients):
                raise Refused("wrong-direction", "no recipient at or below this node")
        case DirectiveRecalled() | DirectiveClosed() | DirectiveSuperseded() | DirectiveCountersigned():
            _from_above(via, here, tree)
            check_told(record, _issued(record.directive, facts), tree)
        case DirectiveAnnotated():
            _annotated(record, via, here, tree, facts)
        case DeliveryAdvanced():
            _delivery(record, via, here, tree, facts)
        case DirectivesRelayed():
            _relayed(record, via, here, tree, facts)
        case AlarmRaised():
            if record.disarmed:
                raise Refused("wrong-direction", "an alarm of a disarmed source stays where it was raised")
            check_alarm(record, tree)
            _audience(record.place, here, tree)
        case AlarmPictured():
            _pictured(record, facts)
        case AlarmAdvanced():
            check_step(record, tree, facts.raised(record.alarm))
        case CircularSent():
            check_circular(record, tree)
            if not any(tree.next_hop(here, place) != via for place in record.to):
                raise Refused("wrong-direction", "nobody told is at this node or beyond it")
        case CircularAnswered():
            _answered(record, via, tree, facts)
        case AlarmGrouped():
            check_grouped(record, tree, facts)
        case AlarmDispatched():
            check_dispatched(record, tree)
        case UnitReported():
            check_unit_report(record, tree)
        case CallRaised():
            check_call(record, tree)
        case CallAnswered():
            check_call_answer(record, tree)
        case ConferenceConvened():
            check_conference(record, tree)
        case ConferenceEnded():
            _conference_ended(record, tree, facts)
        case AuditRead():
            _from_above(via, here, tree)
            vouched(record.by, record.node, tree)
            permit(record.by, Action.READ_AUDIT, here, tree)
            text.line(record.what, "what", 200)
            text.line(record.reason, "reason", MAX_REASON)
        case RefusalRecorded():
            _refusal(record, via, here, tree)
        case EscalationRaised():
            _escalation(record, via, here, tree, facts)
        case EscalationAcknowledged():
            raised = facts.escalated(record.directive, record.superior, record.n)
            if raised is None or raised.node != record.origin:
                raise Refused("unknown-escalation", f"no such list of {record.directive[:MAX_ID]}")
            check_acknowledgement(record, tree)
        case OverdueRaised():
            check_overdue(record, tree, facts)
            if all(tree.next_hop(here, place) == via for place in (record.superior, *(o.place for o in record.late))):
                raise Refused("wrong-direction", "nobody concerned is at this node or beyond it")
        case OverdueAcknowledged():
            check_overdue_word(record, facts.overdue(record.overdue), tree)
        case RosterSet():
            check_roster(record, tree)
            if here not in tree.path_up(record.division):
                raise Refused("wrong-direction", f"{here} does not keep the roster of {record.division[:20]}")
        case DirectiveDrafted() | DirectiveSubmitted() | DirectiveApproved() | DirectiveReturned():
            raise Refused("wrong-direction", "drafts stay where they are written")
        case (
            DirectiveExpired()
            | SourceRegistered()
            | SourceArmed()
            | SourceLooked()
            | ParticipantJoined()
            | ParticipantLeft()
            | TimerFired()
            | RedialOrdered()
            | NoticeSent()
            | NoticeAnswered()
            | Released()
            | CapReceived()
            | RecordHeld()
            | RecordTaken()
        ):
            raise Refused("wrong-direction", f"{type(record).__name__} never crosses a link")
        case _:
            assert_never(record)


# ---- direction -----------------------------------------------------------------------------------


def _from_its_own_side(record: AnyRecord, via: NodeCode, here: NodeCode, tree: Tree) -> None:
    """A neighbour speaks only for nodes beyond it."""
    if record.node == here or tree.next_hop(here, record.node) != via:
        raise Refused("wrong-direction", f"{via} does not speak for {record.node[:20]}")


def _from_above(via: NodeCode, here: NodeCode, tree: Tree) -> None:
    if via != tree.parent(here):
        raise Refused("wrong-direction", "only the node above may send this")


def _audience(place: NodeCode, here: NodeCode, tree: Tree) -> None:
    if here not in tree.audience(place):
        raise Refused("wrong-direction", f"{here} is not told of alarms at {place[:20]}")


# ---- circulars and meetings --------------------------------------------------------------------------------


def check_circular(record: CircularSent, tree: Tree) -> None:
    """Return if the circular is well formed, told by somebody who may, to places beside it.

    Raises:
        Refused: ``bad-record``, ``bad-text``, ``scope-too-large`` or ``not-permitted``.
    """
    identity(record.circular)
    text.line(record.click_id, "click_id", MAX_CLICK_ID)
    text.line(record.title, "title", circular.MAX_TITLE)
    text.body(record.text, "text", circular.MAX_TEXT)
    if len(record.to) > circular.MAX_PLACES:
        raise Refused("scope-too-large", f"{len(record.to)} places, limit {circular.MAX_PLACES}")
    if not record.to or len(set(record.to)) != len(record.to):
        raise Refused("bad-record", "to: empty, or one named twice")
    vouched(record.by, record.node, tree)
    for place in record.to:
        permit(record.by, Action.NOTIFY, place, tree)


def check_answer(record: CircularAnswered, sent: CircularSent, tree: Tree) -> None:
    """Return if the answer is well formed and a told place's own.

    Raises:
        Refused: ``not-a-recipient``, ``bad-text`` or ``not-permitted``.
    """
    if record.place not in sent.to:
        raise Refused("not-a-recipient", f"{record.place[:20]} was not told of {record.circular}")
    text.body(record.text, "text", circular.MAX_ANSWER, empty=True)
    vouched(record.by, record.node, tree)
    permit(record.by, Action.ANSWER_CIRCULAR, record.place, tree)


def check_conference(record: ConferenceConvened, tree: Tree) -> None:
    """Return if the meeting is well formed and its convener may invite every site.

    Raises:
        Refused: ``bad-record``, ``bad-text``, ``scope-too-large`` or ``not-permitted``.
    """
    identity(record.conference)
    text.line(record.title, "title", MAX_TITLE)
    if len(record.scope) > MAX_SCOPE_ITEMS or len(record.sites) > MAX_RECIPIENTS:
        raise Refused("scope-too-large", f"{len(record.scope)} entries, {len(record.sites)} sites")
    if not record.sites:
        raise Refused("bad-record", "sites: empty")
    vouched(record.by, record.node, tree)
    for site in record.sites:
        permit(record.by, Action.CONVENE, site, tree)


def _annotated(record: DirectiveAnnotated, via: NodeCode, here: NodeCode, tree: Tree, facts: Facts) -> None:
    if via == tree.parent(here) and not tree.is_within(here, record.by.division):
        raise Refused("wrong-direction", "an annotation is for the places below it")
    check_annotation(record, _issued(record.directive, facts), tree)


def _delivery(record: DeliveryAdvanced, via: NodeCode, here: NodeCode, tree: Tree, facts: Facts) -> None:
    if via == tree.parent(here):
        raise Refused("wrong-direction", "receipts travel up")
    issued = _issued(record.directive, facts)
    if not facts.has_recipient(record.directive, record.recipient):
        raise Refused("not-a-recipient", f"{record.recipient[:20]} is no recipient of {record.directive}")
    if not tree.is_within(record.recipient, via):
        raise Refused("wrong-direction", f"{via} does not speak for {record.recipient}")
    check_report(record, tree)
    if record.stage is Stage.FEEDBACK:
        check_form(issued.fields, record.values, record.answers)


def _escalation(record: EscalationRaised, via: NodeCode, here: NodeCode, tree: Tree, facts: Facts) -> None:
    """From above: of a directive known here, on its way to a superior at or below.  From below: for us, and urgent."""
    identity(record.directive)
    text.line(record.title, "title", MAX_TITLE)
    places = record.not_reached
    if not 1 <= record.n <= LEVELS or not 0 < len(places) <= MAX_RECIPIENTS or len(set(places)) != len(places):
        raise Refused("bad-record", f"n: not in 1..{LEVELS}, or not_reached: empty, too long, or one named twice")
    if via == tree.parent(here):
        if record.node != _issued(record.directive, facts).node or not tree.is_within(record.superior, here):
            raise Refused("wrong-direction", f"the list for {record.superior[:20]} does not come this way")
        if not all(facts.has_recipient(record.directive, place) for place in places):
            raise Refused("not-a-recipient", "not_reached: names others than recipients")
    elif record.superior != here or record.urgency not in LEVELS_ABOVE:
        raise Refused("wrong-direction", "only lists of P0 and P1 come up, and one tier only")
    elif not all(tree.is_within(place, record.node) for place in places):
        raise Refused("not-permitted", f"{record.node} does not speak for them")


def _relayed(record: DirectivesRelayed, via: NodeCode, here: NodeCode, tree: Tree, facts: Facts) -> None:
    if via == tree.parent(here):
        raise Refused("wrong-direction", "receipts travel up")
    if tree.parent(record.child) != record.node:
        raise Refused("not-permitted", f"{record.node} does not relay to {record.child[:20]}")
    if not 0 < len(record.directives) <= MAX_TOGETHER:
        raise Refused("bad-record", f"directives: {len(record.directives)}, not in 1..{MAX_TOGETHER}")
    orders = [_issued(directive, facts) for directive in record.directives]
    if any(order.node != orders[0].node for order in orders):
        raise Refused("bad-record", "directives: issued at more than one node")
    for directive in record.directives:
        if not facts.concerns(directive, record.child):
            raise Refused("not-a-recipient", f"{directive} is for nobody at or below {record.child}")


def _pictured(record: AlarmPictured, facts: Facts) -> None:
    raised = facts.raised(record.alarm)
    if raised is None:
        raise Refused("unknown-alarm", f"no alarm {record.alarm[:MAX_ID]}")
    if record.node != raised.node:
        raise Refused("not-permitted", f"{record.alarm} was raised at {raised.node}")
    check_picture(record)


def _answered(record: CircularAnswered, via: NodeCode, tree: Tree, facts: Facts) -> None:
    sent = facts.circulated(record.circular)
    if sent is None:
        raise Refused("unknown-circular", f"no circular {record.circular[:MAX_ID]}")
    check_answer(record, sent, tree)


def _conference_ended(record: ConferenceEnded, tree: Tree, facts: Facts) -> None:
    convened = facts.convened(record.conference)
    if convened is None:
        raise Refused("unknown-conference", f"no conference {record.conference[:MAX_ID]}")
    if record.node != convened.node:
        raise Refused("not-permitted", f"{record.conference} was convened at {convened.node}")
    vouched(record.by, record.node, tree)
    permit(record.by, Action.END_CONFERENCE, convened.by.division, tree)


def _issued(directive: DirectiveId, facts: Facts) -> DirectiveIssued:
    issued = facts.issued(directive)
    if issued is None:
        raise Refused("unknown-directive", f"no directive {directive[:MAX_ID]}")
    return issued


def _refusal(record: RefusalRecorded, via: NodeCode, here: NodeCode, tree: Tree) -> None:
    """A child tells of its own, and passes on what a place below it says of the child itself."""
    accused = record.via == via and tree.is_within(record.node, via)
    if via == tree.parent(here) or not (record.node == via or accused):
        raise Refused("wrong-direction", "a refusal is told by the child it happened at, or that it is about")
    text.line(record.action, "action", MAX_NAME)
    text.line(record.target, "target", MAX_ID, empty=True)
    text.line(record.code, "code", MAX_NAME)
    text.line(record.via, "via", MAX_ID, empty=True)
    if record.by is not None:
        text.line(record.by.name, "name", MAX_NAME)
