"""Orders on their way to a child that has not said it holds them.

A fold of the journal: what was forgotten with the power is known again after replay, so every hop is told of
in the end, whichever side lost its memory.
"""

from __future__ import annotations

import itertools

from signaling.division import Tree
from signaling.ids import DirectiveId, NodeCode, Seq
from signaling.records import DirectiveIssued, DirectivesRelayed


class Unrelayed:
    """Per child: the orders that concern it, by their place in our journal, oldest first."""

    def __init__(self, node: NodeCode, tree: Tree) -> None:
        self._node = node
        self._tree = tree
        self._waiting: dict[NodeCode, dict[DirectiveId, Seq]] = {}

    def issued(self, order: DirectiveIssued, seq: Seq) -> None:
        """``order`` stands at ``seq`` in our journal."""
        hops = {self._tree.next_hop(self._node, recipient) for recipient in order.recipients}
        for child in self._tree.children(self._node):
            if child in hops:
                self._waiting.setdefault(child, {})[order.directive] = seq

    def relayed(self, word: DirectivesRelayed) -> None:
        """``word`` says that this node relayed orders."""
        waiting = self._waiting.get(word.child, {})
        for directive_id in word.directives:
            waiting.pop(directive_id, None)

    def reached(self, child: NodeCode, seq: Seq) -> list[DirectiveId]:
        """Return, and no longer wait for, the orders up to ``seq`` that ``child`` now holds."""
        waiting = self._waiting.get(child, {})
        found = list(itertools.takewhile(lambda directive_id: waiting[directive_id] <= seq, waiting))
        for directive_id in found:
            del waiting[directive_id]
        return found
