"""Who, where and how urgent: what every record is made of."""

from __future__ import annotations

import enum

import msgspec

from signaling.ids import NodeCode, UtcMs


class Role(enum.StrEnum):
    """What a person or a device may be.  Stable: on the wire and on the command line."""

    TERMINAL = "terminal"
    COMMANDER = "commander"
    AUDITOR = "auditor"
    DEVICE = "device"
    ADMIN = "admin"


class Urgency(enum.StrEnum):
    """特提, 特急, 加急, 平急."""

    P0 = "P0"
    P1 = "P1"
    P2 = "P2"
    P3 = "P3"


class Mode(enum.StrEnum):
    """Which places an entry of a scope means."""

    SELF = "self"
    SUBTREE = "subtree"
    CHILDREN = "children"
    TIER = "tier"


class Actor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who acted: a name people know, a role, and the division they act for."""

    name: str
    role: Role
    division: NodeCode


class ScopeItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``tier``: of the places meant by mode tier, 1 (province) .. 5 (village), at or below ``node``.

    ``post``: who is addressed at each place; "" is the place's terminal, whoever sits there.
    """

    node: NodeCode
    mode: Mode = Mode.SELF
    tier: int = 0
    post: str = ""


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", kw_only=True):
    """Base of all records.  ``node`` wrote it first, at ``at`` by its own clock."""

    node: NodeCode
    at: UtcMs
