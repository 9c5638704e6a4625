"""States decided but not yet durable.

What is *said* comes from the fold of durable rows; what is *decided* must also see what was appended a moment
ago, or two answers to one question would both be journalled.  An entry lives until its appends have resolved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
S = TypeVar("S")


class Tentative(Generic[K, S]):
    """A mapping that forgets each key once everything appended for it is durable."""

    def __init__(self) -> None:
        self._states: dict[K, S] = {}
        self._appends: dict[K, int] = {}

    def __len__(self) -> int:
        return len(self._states)

    def values(self) -> Collection[S]:
        return self._states.values()

    def get(self, key: K) -> S | None:
        return self._states.get(key)

    def hold(self, key: K, state: S, durable: asyncio.Future[Any]) -> None:
        """Answer ``state`` for ``key`` until ``durable`` resolves (and any later append for the key has)."""
        self._states[key] = state
        self._appends[key] = self._appends.get(key, 0) + 1
        durable.add_done_callback(lambda _: self._release(key))

    def _release(self, key: K) -> None:
        self._appends[key] -= 1
        if self._appends[key] == 0:
            del self._appends[key]
            del self._states[key]
