"""Who may do what to which place.  Deny by default; the table is the whole policy.

Pure.  ``target`` is always a division: the recipient for a signature, the place for an alarm, the
issuer's division for a recall, the convener's for ending a conference.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from .division import Tree
from .errors import Refused
from .ids import NodeCode
from .records import Actor, Role


class Action(enum.StrEnum):
    ISSUE = "issue"
    RECALL = "recall"
    CLOSE = "close"
    ANNOTATE = "annotate"
    APPROVE = "approve"
    ROSTER = "roster"
    RECEIPT = "receipt"
    SIGN = "sign"
    FEEDBACK = "feedback"
    READ_DIRECTIVE = "read_directive"
    NOTIFY = "notify"
    ANSWER_CIRCULAR = "answer_circular"
    READ_CIRCULAR = "read_circular"
    ACKNOWLEDGE = "acknowledge"
    CONVENE = "convene"
    END_CONFERENCE = "end_conference"
    JOIN = "join"
    PUBLISH = "publish"
    SNAPSHOT = "snapshot"
    RAISE_ALARM = "raise_alarm"
    IMPORT = "import"
    REPORT_ALARM = "report_alarm"
    ADVANCE_ALARM = "advance_alarm"
    READ_ALARM = "read_alarm"
    READ_AUDIT = "read_audit"
    ADMINISTER = "administer"


class Reach(enum.Enum):
    """How the target must stand to the actor's division."""

    OWN = "own"
    BESIDE = "beside"  # another place under the same superior
    BELOW = "below"  # own division or anywhere beneath it
    LINE = "line"  # below, or on the way up to the root: one may invite one's superiors
    TOLD = "told"  # the actor's division is in the audience of an alarm at the target


POLICY: Mapping[Action, Mapping[Role, Reach]] = {
    Action.ISSUE: {Role.COMMANDER: Reach.BELOW},
    Action.RECALL: {Role.COMMANDER: Reach.BELOW},
    Action.CLOSE: {Role.COMMANDER: Reach.BELOW},
    Action.ANNOTATE: {Role.COMMANDER: Reach.BELOW},
    Action.APPROVE: {Role.COMMANDER: Reach.BELOW},
    Action.ROSTER: {Role.COMMANDER: Reach.BELOW, Role.ADMIN: Reach.BELOW},
    Action.RECEIPT: {Role.TERMINAL: Reach.OWN},
    Action.SIGN: {Role.TERMINAL: Reach.OWN},
    Action.FEEDBACK: {Role.TERMINAL: Reach.OWN},
    Action.READ_DIRECTIVE: {
        Role.TERMINAL: Reach.OWN,
        Role.COMMANDER: Reach.BELOW,
        Role.AUDITOR: Reach.BELOW,
        Role.ADMIN: Reach.BELOW,
    },
    Action.NOTIFY: {Role.COMMANDER: Reach.BESIDE},
    Action.ANSWER_CIRCULAR: {Role.COMMANDER: Reach.OWN, Role.TERMINAL: Reach.OWN},
    Action.READ_CIRCULAR: {
        Role.TERMINAL: Reach.OWN,
        Role.COMMANDER: Reach.BELOW,
        Role.AUDITOR: Reach.BELOW,
        Role.ADMIN: Reach.BELOW,
    },
    Action.ACKNOWLEDGE: {Role.COMMANDER: Reach.BELOW},
    Action.CONVENE: {Role.COMMANDER: Reach.LINE},
    Action.END_CONFERENCE: {Role.COMMANDER: Reach.BELOW},
    Action.JOIN: {
        Role.TERMINAL: Reach.OWN,
        Role.DEVICE: Reach.OWN,
        Role.COMMANDER: Reach.BELOW,
        Role.AUDITOR: Reach.BELOW,
        Role.ADMIN: Reach.BELOW,
    },
    Action.PUBLISH: {Role.TERMINAL: Reach.OWN, Role.DEVICE: Reach.OWN, Role.COMMANDER: Reach.OWN},
    Action.SNAPSHOT: {Role.TERMINAL: Reach.OWN, Role.COMMANDER: Reach.BELOW},
    Action.RAISE_ALARM: {Role.TERMINAL: Reach.BELOW, Role.DEVICE: Reach.BELOW, Role.COMMANDER: Reach.BELOW},
    Action.IMPORT: {Role.DEVICE: Reach.BELOW, Role.COMMANDER: Reach.BELOW},
    Action.REPORT_ALARM: {Role.TERMINAL: Reach.BELOW, Role.COMMANDER: Reach.BELOW},
    Action.ADVANCE_ALARM: {Role.COMMANDER: Reach.BELOW},
    Action.READ_ALARM: {
        Role.TERMINAL: Reach.TOLD,
        Role.COMMANDER: Reach.TOLD,
        Role.AUDITOR: Reach.BELOW,
        Role.ADMIN: Reach.BELOW,
    },
    Action.READ_AUDIT: {Role.AUDITOR: Reach.BELOW, Role.ADMIN: Reach.BELOW},
    Action.ADMINISTER: {Role.ADMIN: Reach.BELOW},
}


def permitted(actor: Actor, action: Action, target: NodeCode, tree: Tree) -> bool:
    """Return whether the policy lets ``actor`` do ``action`` to ``target``.  Unknown places: never."""
    if target not in tree or actor.division not in tree:
        return False
    match POLICY[action].get(actor.role):
        case None:
            return False
        case Reach.OWN:
            return target == actor.division
        case Reach.BESIDE:
            return target != actor.division and tree.parent(target) == tree.parent(actor.division)
        case Reach.BELOW:
            return tree.is_within(target, actor.division)
        case Reach.LINE:
            return tree.is_within(target, actor.division) or tree.is_within(actor.division, target)
        case Reach.TOLD:
            return actor.division in tree.audience(target)


def permit(actor: Actor, action: Action, target: NodeCode, tree: Tree) -> None:
    """Return if ``actor`` may do ``action`` to ``target``.

    Raises:
        Refused: ``not-permitted``.
    """
    if not permitted(actor, action, target, tree):
        raise Refused("not-permitted", f"{actor.role} of {actor.division} may not {action} at {target[:20]}")
