"""The engine's counters with types.  Pure.

Counters are integers that only grow, except names that end in ``_now``.  Reasons for which a datagram was
thrown away are engine counters that begin with ``drop_``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Counters = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Stats:
    """One snapshot: of the engine, by id of each transport, source and sink, and by number of each worker."""

    engine: Counters
    transports: Mapping[int, Counters]
    sources: Mapping[int, Counters]
    sinks: Mapping[int, Counters]
    workers: Mapping[int, Counters] = field(default_factory=dict)

    @property
    def drops(self) -> Counters:
        """Datagrams thrown away, by reason."""
        return {name.removeprefix("drop_"): n for name, n in self.engine.items() if name.startswith("drop_")}


def read(raw: Mapping[str, Any]) -> Stats:
    """Type what ``_native.Engine.stats`` returned; what is not an integer, of a source, is left out.

    Of transports and sinks there are thousands, and nothing but integers: they are taken as they are.
    """
    return Stats(
        engine=raw.get("engine", {}),
        transports=raw.get("transports", {}),
        sources={number: _counters(values) for number, values in raw.get("sources", {}).items()},
        sinks=raw.get("sinks", {}),
        workers=raw.get("workers", {}),
    )


def growth(before: Counters, after: Counters) -> Counters:
    """Return how much each counter of ``after`` grew since ``before``; a ``_now`` value is returned as it is."""
    return {name: n if name.endswith("_now") else n - before.get(name, 0) for name, n in after.items()}


def _counters(raw: Mapping[str, Any]) -> Counters:
    return {str(name): value for name, value in raw.items() if isinstance(value, int)}
