"""Lists a superior is told of: taken in hand, received from a neighbour, shown to whom they are for.

What is on a list, for whom it is and when it is done with, the two kinds say: ``escalations.py``, ``overdue_lists.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, Protocol, TypeVar

from gateway.clock import Clock
from gateway.journal import Journal
from gateway.keys import Keys
from gateway.refusals import Refusals
from signaling import admission
from signaling.division import Tree
from signaling.errors import Refused
from signaling.ids import NodeCode
from signaling.permission import Action
from signaling.records import (
    Actor,
    EscalationAcknowledged,
    EscalationRaised,
    OverdueAcknowledged,
    OverdueRaised,
    signed_bytes,
)

Raised = EscalationRaised | OverdueRaised
Word = EscalationAcknowledged | OverdueAcknowledged


class View(Protocol):
    @property
    def open(self) -> bool:
        """Whether the list still says something."""
        ...


V = TypeVar("V", bound=View)


class SuperiorLists(admission.Facts, Generic[V]):
    """Base of both kinds.  ``acknowledge``, ``may_read``, ``_names`` and ``_view`` are theirs."""

    def __init__(
        self, node: NodeCode, tree: Tree, keys: Keys, journal: Journal, clock: Clock, refusals: Refusals
    ) -> None:
        self._node = node
        self._tree = tree
        self._keys = keys
        self._journal = journal
        self._clock = clock
        self._refusals = refusals

    async def acknowledge(self, actor: Actor, name: str, note: str = "") -> None:
        """Somebody takes the list in hand.  A second word changes nothing."""
        raise NotImplementedError

    async def _take(self, actor: Actor, name: str, word: Word, check: Callable[[], None]) -> None:
        """Journal that ``actor`` takes the list ``name`` in hand, unless ``check`` refuses."""
        try:
            check()
        except Refused as error:
            self._refusals.answer(actor, Action.ACKNOWLEDGE, name, error)
            raise
        await self._journal.append(word)

    def receive(self, record: Raised | Word, via: NodeCode) -> None:
        """Take in a list or a word about one.  What may not be is journalled as refused; nothing is raised."""
        try:
            admission.admit(record, via, self._node, self._tree, self)
            if isinstance(record, EscalationRaised | OverdueRaised):
                self._keys.verify(record.node, signed_bytes(record), record.signature)
        except Refused as error:
            self._refusals.record(None, str(record.__struct_config__.tag), self._subject(record), error, via)
        else:
            self._journal.append(record, via=via)

    def list(self, actor: Actor, limit: int = 200) -> Iterator[V]:
        """Yield the newest lists ``actor`` may read that still say something, newest first."""
        found = 0
        for name in self._names():
            if found >= limit:
                return
            view = self._view(name, actor) if self.may_read(name, actor) else None
            if view is not None and view.open:
                found += 1
                yield view

    def view(self, name: str, actor: Actor) -> V:
        """Return a list as ``actor`` sees it.

        Raises:
            Refused: ``unknown-escalation``, ``unknown-overdue`` or ``not-permitted``.
        """
        if not self.may_read(name, actor):
            raise Refused("not-permitted", f"{name[:80]} is not for {actor.division}")
        return self._view(name, actor)

    def may_read(self, name: str, actor: Actor) -> bool:
        """Return whether the list is for ``actor``; raise Refused where there is none."""
        raise NotImplementedError

    def _names(self) -> Iterable[str]:
        """Return the lists that may still say something, newest first."""
        raise NotImplementedError

    def _view(self, name: str, actor: Actor) -> V:
        raise NotImplementedError

    def _subject(self, record: Raised | Word) -> str:
        """Return what a refusal of ``record`` is about."""
        return record.overdue if isinstance(record, OverdueRaised | OverdueAcknowledged) else record.directive
