"""What all records have in common: who may be spoken for, and what names look like.

Pure.
"""

from __future__ import annotations

from . import text
from .division import Tree
from .errors import Refused
from .ids import NodeCode
from .records import Actor

MAX_ID = 64
MAX_NAME = 60
MAX_NOTE = 500


def vouched(actor: Actor, node: NodeCode, tree: Tree) -> None:
    """Return if ``node`` may speak for ``actor``: a node signs in people of its own subtree only.

    Raises:
        Refused: ``not-permitted`` or ``bad-text``.
    """
    text.line(actor.name, "name", MAX_NAME)
    if not tree.is_within(actor.division, node):
        raise Refused("not-permitted", f"{node[:20]} does not vouch for people of {actor.division[:20]}")


def identity(value: str) -> None:
    """Return if ``value`` can be an id.

    Raises:
        Refused: ``bad-record``.
    """
    if not (0 < len(value) <= MAX_ID and value.isascii() and value.replace("-", "").isalnum()):
        raise Refused("bad-record", f"id: {value[:20]!r} is not 1..{MAX_ID} letters, digits and dashes")
