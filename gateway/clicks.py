"""Which meeting a press of a button calls, or which draft it keeps: the same press again is the same one.

Pure.  The identity is drawn from who pressed and from the press itself, so it needs no memory of its
own: the journal already knows every conference and draft by its id, also after a restart.
"""

from __future__ import annotations

import hashlib

from signaling.ids import ConferenceId, DirectiveId, NodeCode
from signaling.records import Actor

_SHOWN = 32
"""Hexadecimal characters of the digest that make the id: 128 bits."""


def conference_of(node: NodeCode, actor: Actor, click_id: str) -> ConferenceId:
    """Return the id of the meeting that ``actor`` calls at ``node`` with ``click_id`` (not empty)."""
    return ConferenceId(f"c-{_drawn(node, actor, click_id)}")


def draft_of(node: NodeCode, actor: Actor, click_id: str) -> DirectiveId:
    """Return the id of the draft, and of the directive it becomes, that ``actor`` keeps with ``click_id``."""
    return DirectiveId(f"d-{_drawn(node, actor, click_id)}")


def _drawn(node: NodeCode, actor: Actor, click_id: str) -> str:
    words = (node, actor.division, actor.name, click_id)
    digest = hashlib.sha256(b"".join(len(word.encode()).to_bytes(4) + word.encode() for word in words))
    return digest.hexdigest()[:_SHOWN]
