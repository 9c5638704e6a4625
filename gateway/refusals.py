"""Who tried what they may not: journalled, counted, and bounded so that trying fills no disk."""

from __future__ import annotations

import logging

from gateway.clock import Clock
from gateway.journal import Journal
from gateway.telemetry import Telemetry
from signaling.errors import RemoteError
from signaling.ids import Monotonic, NodeCode
from signaling.records import Actor, RefusalRecorded

log = logging.getLogger(__name__)

PER_MINUTE = 60
"""Refusals journalled per neighbour or person in a minute; the rest are only counted."""

WINDOW_S = 60.0
MAX_SOURCES = 1_024
MAX_FIELD = 60


class Refusals:
    """Remembers refusals of one node."""

    def __init__(self, node: NodeCode, journal: Journal, clock: Clock, telemetry: Telemetry) -> None:
        self._node = node
        self._journal = journal
        self._clock = clock
        self._telemetry = telemetry
        self.total = 0
        """Refusals since the start, journalled or not."""
        self._recent: dict[str, tuple[Monotonic, int]] = {}

    def answer(self, actor: Actor, action: str, target: str, error: RemoteError) -> None:
        """Journal what somebody here may not do; mistakes and bad timing are only counted: theirs to know."""
        if error.code == "not-permitted":
            self.record(actor, action, target, error)
        else:
            self._telemetry.count("refused", code=error.code)

    def record(self, by: Actor | None, action: str, target: str, error: RemoteError, via: str = "") -> None:
        """Count the refusal, and journal it unless the neighbour or person has had their share of this minute."""
        self.total += 1
        self._telemetry.count("refused", code=error.code)
        log.info("refused", extra={"action": action, "code": error.code, "via": via})
        if not self._has_room(via or (f"{by.division} {by.name}" if by else "")):
            self._telemetry.count("refusals_not_journalled")
            return
        record = RefusalRecorded(
            node=self._node,
            at=self._clock.at(),
            by=by,
            action=_plain(action),
            target=_plain(target),
            code=_plain(error.code),
            via=_plain(via),
        )
        self._journal.append(record)

    def _has_room(self, source: str) -> bool:
        now = self._clock.now()
        begun, count = self._recent.get(source, (now, 0))
        if now - begun >= WINDOW_S:
            begun, count = now, 0
        if source not in self._recent and len(self._recent) >= MAX_SOURCES:
            self._recent.clear()
        self._recent[source] = (begun, count + 1)
        return count < PER_MINUTE


def _plain(value: str) -> str:
    """Return at most MAX_FIELD printable characters: what was refused may be hostile."""
    return "".join(c if c.isprintable() else "?" for c in value[:MAX_FIELD])
