"""What auditors did, what was refused, and what could not be read yet."""

from __future__ import annotations

from signaling.ids import NodeCode

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


class RecordHeld(Record, frozen=True, tag="record_held", kw_only=True):
    """A record that neighbour ``via``, of version ``version``, sent and that this gateway could not take in.

    ``held`` names it; ``kind`` is its type, ``code`` why it could not be taken in, ``data`` its bytes as they came.
    """

    held: str
    via: NodeCode
    version: int
    kind: str
    code: str
    data: str


class RecordTaken(Record, frozen=True, tag="record_taken", kw_only=True):
    """After an upgrade the record ``held`` was offered again; ``taken``: it could be taken in."""

    held: str
    taken: bool
