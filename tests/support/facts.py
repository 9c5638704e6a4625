"""Records with everything filled in, to be changed one field at a time."""

from typing import Any

from signaling.ids import AlarmId, DirectiveId, NodeCode, Sha256, UtcMs
from signaling.records import (
    Actor,
    AlarmAdvanced,
    AlarmPictured,
    AlarmRaised,
    AlarmState,
    DeliveryAdvanced,
    DirectiveApproved,
    DirectiveCountersigned,
    DirectiveDrafted,
    DirectiveIssued,
    DirectiveRecalled,
    DirectiveRequest,
    DirectiveReturned,
    DirectivesRelayed,
    DirectiveSubmitted,
    DirectiveSuperseded,
    RosterSet,
    ScopeItem,
    Stage,
    Urgency,
)

from .places import COUNTY, TOWNSHIP, VILLAGE, commander, device, leader, terminal

HOUR = 3_600_000
PERSONAL = frozenset({Stage.SIGNED, Stage.FEEDBACK, Stage.DONE})


def order(*recipients: NodeCode, **changes: Any) -> DirectiveIssued:
    recipients = recipients or (VILLAGE,)
    fields: dict[str, Any] = {
        "node": COUNTY,
        "at": UtcMs(1_000),
        "directive": DirectiveId("d-1"),
        "click_id": "click-1",
        "issuer": commander(),
        "urgency": Urgency.P1,
        "title": "转移群众",
        "text": "立即转移低洼处群众\n到村部集合",
        "scope": tuple(ScopeItem(node=r) for r in recipients[:500]),
        "recipients": recipients,
        "exercise": False,
        "expires_at": UtcMs(1_000 + HOUR),
    }
    return DirectiveIssued(**(fields | changes))


def recall(**changes: Any) -> DirectiveRecalled:
    fields: dict[str, Any] = {
        "node": COUNTY,
        "at": UtcMs(5_000),
        "directive": DirectiveId("d-1"),
        "by": commander(),
        "reason": "雨停",
    }
    return DirectiveRecalled(**(fields | changes))


def superseded(**changes: Any) -> DirectiveSuperseded:
    fields: dict[str, Any] = {
        "node": COUNTY,
        "at": UtcMs(5_000),
        "directive": DirectiveId("d-1"),
        "successor": DirectiveId("d-2"),
        "by": commander(),
    }
    return DirectiveSuperseded(**(fields | changes))


def countersigned(**changes: Any) -> DirectiveCountersigned:
    fields: dict[str, Any] = {"node": COUNTY, "at": UtcMs(5_000), "directive": DirectiveId("d-1"), "by": leader()}
    return DirectiveCountersigned(**(fields | changes))


def request(**changes: Any) -> DirectiveRequest:
    fields: dict[str, Any] = {
        "click_id": "click-1",
        "urgency": Urgency.P1,
        "title": "转移群众",
        "text": "立即转移",
        "scope": (ScopeItem(node=VILLAGE),),
    }
    return DirectiveRequest(**(fields | changes))


def drafted(**changes: Any) -> DirectiveDrafted:
    fields: dict[str, Any] = {
        "node": COUNTY,
        "at": UtcMs(1_000),
        "directive": DirectiveId("d-3"),
        "by": commander(),
        "request": request(),
        "revision": 1,
    }
    return DirectiveDrafted(**(fields | changes))


def submitted(**changes: Any) -> DirectiveSubmitted:
    fields: dict[str, Any] = {
        "node": COUNTY,
        "at": UtcMs(1_100),
        "directive": DirectiveId("d-3"),
        "by": commander(),
        "revision": 1,
    }
    return DirectiveSubmitted(**(fields | changes))


def approved(**changes: Any) -> DirectiveApproved:
    fields: dict[str, Any] = {
        "node": COUNTY,
        "at": UtcMs(1_200),
        "directive": DirectiveId("d-3"),
        "by": leader(),
        "revision": 1,
    }
    return DirectiveApproved(**(fields | changes))


def returned(**changes: Any) -> DirectiveReturned:
    fields: dict[str, Any] = {
        "node": COUNTY,
        "at": UtcMs(1_200),
        "directive": DirectiveId("d-3"),
        "by": leader(),
        "revision": 1,
        "reason": "写明地点",
    }
    return DirectiveReturned(**(fields | changes))


def rostered(**changes: Any) -> RosterSet:
    fields: dict[str, Any] = {
        "node": COUNTY,
        "at": UtcMs(1_000),
        "division": VILLAGE,
        "post": "值班员",
        "person": "周主任",
        "starts_at": UtcMs(10_000),
        "ends_at": UtcMs(10_000 + HOUR),
        "by": commander(),
    }
    return RosterSet(**(fields | changes))


def word(stage: Stage, recipient: NodeCode = VILLAGE, at: int = 2_000, **changes: Any) -> DeliveryAdvanced:
    by: Actor | None = terminal(recipient) if stage in PERSONAL else None
    fields: dict[str, Any] = {
        "node": recipient,
        "at": UtcMs(at),
        "directive": DirectiveId("d-1"),
        "recipient": recipient,
        "stage": stage,
        "by": by,
    }
    return DeliveryAdvanced(**(fields | changes))


def relayed(
    *directives: str, node: NodeCode = COUNTY, child: NodeCode = TOWNSHIP, at: int = 2_000
) -> DirectivesRelayed:
    ids = tuple(DirectiveId(directive) for directive in directives or ("d-1",))
    return DirectivesRelayed(node=node, at=UtcMs(at), child=child, directives=ids)


def raised(**changes: Any) -> AlarmRaised:
    fields: dict[str, Any] = {
        "node": VILLAGE,
        "at": UtcMs(1_000),
        "alarm": AlarmId("a-1"),
        "by": device(),
        "source": "烟感-17",
        "place": VILLAGE,
        "kind": "fire",
        "urgency": Urgency.P0,
        "text": "烟雾浓度超限",
        "longitude": 112.8,
        "latitude": 27.2,
        "exercise": False,
    }
    return AlarmRaised(**(fields | changes))


def pictured(number: int = 1, **changes: Any) -> AlarmPictured:
    fields: dict[str, Any] = {
        "node": VILLAGE,
        "at": UtcMs(1_500),
        "alarm": AlarmId("a-1"),
        "place": VILLAGE,
        "picture": Sha256(f"{number:064x}"),
        "picture_bytes": 100_000,
        "thumbnail": Sha256(f"{number + 1000:064x}"),
        "thumbnail_bytes": 9_000,
    }
    return AlarmPictured(**(fields | changes))


def step(state: AlarmState, **changes: Any) -> AlarmAdvanced:
    fields: dict[str, Any] = {
        "node": TOWNSHIP,
        "at": UtcMs(3_000),
        "alarm": AlarmId("a-1"),
        "place": VILLAGE,
        "state": state,
        "by": commander(TOWNSHIP),
    }
    return AlarmAdvanced(**(fields | changes))
