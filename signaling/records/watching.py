"""What auditors did, and what was refused."""

from __future__ import annotations

from .base import Actor, Record


class AuditRead(Record, frozen=True, tag="audit_read", kw_only=True):
    """An auditor looked.  Those who are audited see this."""

    by: Actor
    what: str
    reason: str


class RefusalRecorded(Record, frozen=True, tag="refusal_recorded", kw_only=True):
    """Somebody tried what they may not; ``via`` is the neighbour or session it came by."""

    by: Actor | None
    action: str
    target: str
    code: str
    via: str
