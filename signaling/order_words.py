"""What may be said of a directive and of duty, and by whom.

Pure.  ``admission.py`` asks this of what comes over a link, the drivers of what is asked for here.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from . import text
from .content import MAX_POST, check_content
from .delivery import NEEDS
from .directive import MAX_CLICK_ID, MAX_REASON, MAX_TEXT, MAX_TITLE, Told
from .division import MAX_RECIPIENTS, MAX_SCOPE_ITEMS, Tree
from .errors import Refused
from .forms import MAX_ANSWER
from .permission import Action, permit
from .records import (
    DeliveryAdvanced,
    DirectiveAnnotated,
    DirectiveCountersigned,
    DirectiveIssued,
    DirectiveRecalled,
    DirectiveSuperseded,
    EscalationAcknowledged,
    RosterSet,
    Stage,
)
from .vouching import MAX_NAME, MAX_NOTE, identity, vouched

MAX_VALUES = 32
MAX_VALUE_NAME = 32
MAX_VALUE = 1_000_000_000
MAX_SHIFT_MS = 31 * 24 * 3_600_000
"""The longest time one line of a roster may be for."""

TOLD_BY: Mapping[type[Told], Action] = {
    DirectiveRecalled: Action.RECALL,
    DirectiveSuperseded: Action.RECALL,
    DirectiveCountersigned: Action.APPROVE,
}
"""What somebody must be allowed who has the issuing node say this; the rest is closing."""


def check_directive(record: DirectiveIssued, tree: Tree) -> None:
    """Return if the order is well formed and its issuer commands every recipient.

    Raises:
        Refused: ``bad-text``, ``bad-record``, ``bad-field``, ``bad-attachment``, ``scope-too-large``,
            ``not-permitted``.
    """
    identity(record.directive)
    if record.supersedes is not None:
        identity(record.supersedes)
    text.line(record.click_id, "click_id", MAX_CLICK_ID)
    text.line(record.title, "title", MAX_TITLE)
    text.body(record.text, "text", MAX_TEXT)
    if len(record.scope) > MAX_SCOPE_ITEMS or len(record.recipients) > MAX_RECIPIENTS:
        raise Refused("scope-too-large", f"{len(record.scope)} entries, {len(record.recipients)} recipients")
    if not record.recipients or len(set(record.recipients)) != len(record.recipients):
        raise Refused("bad-record", "recipients: empty, or one named twice")
    if record.expires_at <= record.at:
        raise Refused("bad-record", "expires_at: not after at")
    vouched(record.issuer, record.node, tree)
    if record.approved_by is not None:
        vouched(record.approved_by, record.node, tree)
    check_content(record, tree)
    for recipient in record.recipients:
        permit(record.issuer, Action.ISSUE, recipient, tree)


def check_told(record: Told, issued: DirectiveIssued, tree: Tree) -> None:
    """Return if the node that issued the directive says this of it, by somebody who may.

    Raises:
        Refused: ``not-permitted``, ``bad-text`` or ``bad-record``.
    """
    if record.node != issued.node:
        raise Refused("not-permitted", f"{record.directive} was issued by {issued.node}")
    if isinstance(record, DirectiveRecalled):
        text.line(record.reason, "reason", MAX_REASON)
    if isinstance(record, DirectiveSuperseded):
        identity(record.successor)
    if record.by is not None:
        vouched(record.by, record.node, tree)
        permit(record.by, TOLD_BY.get(type(record), Action.CLOSE), issued.issuer.division, tree)


def check_annotation(record: DirectiveAnnotated, issued: DirectiveIssued, tree: Tree) -> None:
    """Return if a tier between the issuer and a recipient adds its word, by somebody who commands there.

    Raises:
        Refused: ``bad-text`` or ``not-permitted``.
    """
    text.body(record.note, "note", MAX_NOTE)
    vouched(record.by, record.node, tree)
    permit(record.by, Action.ANNOTATE, record.by.division, tree)
    between = record.by.division != issued.issuer.division and tree.is_within(
        record.by.division, issued.issuer.division
    )
    if not between or not any(tree.is_within(r, record.by.division) for r in issued.recipients):
        raise Refused("not-permitted", f"{record.directive} does not pass {record.by.division[:20]}")


def check_roster(record: RosterSet, tree: Tree) -> None:
    """Return if the line of the roster is well formed and set by somebody who may.

    Raises:
        Refused: ``bad-text``, ``bad-record`` or ``not-permitted``.
    """
    text.line(record.post, "post", MAX_POST)
    text.line(record.person, "person", MAX_NAME, empty=True)
    if record.change is not msgspec.UNSET and not record.person:
        raise Refused("bad-record", f"person: nobody {record.change}")
    if not record.starts_at < record.ends_at <= record.starts_at + MAX_SHIFT_MS:
        raise Refused("bad-record", f"ends_at: not within {MAX_SHIFT_MS} ms after starts_at")
    vouched(record.by, record.node, tree)
    permit(record.by, Action.ROSTER, record.division, tree)


def check_report(record: DeliveryAdvanced, tree: Tree) -> None:
    """Return if the report is well formed and made by somebody who may make it.

    Raises:
        Refused: ``bad-record``, ``bad-text`` or ``not-permitted``.
    """
    if record.stage in (Stage.QUEUED, Stage.RELAYED):
        raise Refused("bad-record", f"stage: {record.stage} is not reported by a recipient")
    if not tree.is_within(record.recipient, record.node):
        raise Refused("not-permitted", f"{record.node} does not speak for {record.recipient[:20]}")
    text.body(record.note, "note", MAX_NOTE, empty=True)
    _values(record.values)
    _answers(record.answers)
    if record.by is not None:
        vouched(record.by, record.node, tree)
        permit(record.by, Action.SIGN, record.recipient, tree)
    elif record.stage in NEEDS:
        raise Refused("bad-record", f"by: nobody named for {record.stage}")


def check_acknowledgement(record: EscalationAcknowledged, tree: Tree) -> None:
    """Return if the list was taken in hand by somebody of the superior, or above it.

    Raises:
        Refused: ``bad-text`` or ``not-permitted``.
    """
    text.body(record.note, "note", MAX_NOTE, empty=True)
    vouched(record.by, record.node, tree)
    permit(record.by, Action.ACKNOWLEDGE, record.superior, tree)


def _values(values: dict[str, int]) -> None:
    if len(values) > MAX_VALUES:
        raise Refused("bad-record", f"values: {len(values)} numbers, limit {MAX_VALUES}")
    for name, value in values.items():
        text.line(name, "values", MAX_VALUE_NAME)
        if abs(value) > MAX_VALUE:
            raise Refused("bad-record", f"values.{name}: not within {MAX_VALUE}")


def _answers(answers: dict[str, str]) -> None:
    if len(answers) > MAX_VALUES:
        raise Refused("bad-record", f"answers: {len(answers)} words, limit {MAX_VALUES}")
    for name, answer in answers.items():
        text.line(name, "answers", MAX_VALUE_NAME)
        text.line(answer, f"answers.{name}", MAX_ANSWER)
