"""Which routes to change so that what is installed becomes what is desired.  Pure."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Route:
    """Feed ``sink`` from ``source``."""

    sink: int
    source: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Feed ``sink`` from nothing."""

    sink: int


def plan(installed: Mapping[int, int], desired: Mapping[int, int]) -> tuple[Route | Pause, ...]:
    """Return the changes that turn ``installed`` into ``desired`` (both: sink to source).

    Pauses come first, so that a path is never asked to carry the old and the new together; then sinks
    that change their source, then sinks that were silent.  Each group is in order of sink, each sink
    appears at most once, and equal maps give ().
    """
    pauses = [Pause(sink) for sink in sorted(installed) if sink not in desired]
    changed = [sink for sink in sorted(desired) if installed.get(sink) != desired[sink]]
    changed.sort(key=lambda sink: sink not in installed)
    return (*pauses, *(Route(sink, desired[sink]) for sink in changed))
