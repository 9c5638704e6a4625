"""The engine's counters with types.  Pure.

Counters are integers that only grow, except names that end in ``_now``.  Reasons for which a datagram was
thrown away are engine counters that begin with ``drop_``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Counters = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Stats:
    """One snapshot: of the engine, and by id of each transport, source and sink."""

    engine: Counters
    transports: Mapping[int, Counters]
    sources: Mapping[int, Counters]
    sinks: Mapping[int, Counters]

    @property
    def drops(self) -> Counters:
        """Datagrams thrown away, by reason."""
        return {name.removeprefix("drop_"): n for name, n in self.engine.items() if name.startswith("drop_")}


def read(raw: Mapping[str, Any]) -> Stats:
    """Type what ``_native.Engine.stats`` returned; anything that is not an integer is left out."""
    return Stats(
        engine=_counters(raw.get("engine", {})),
        transports=_by_id(raw.get("transports", {})),
        sources=_by_id(raw.get("sources", {})),
        sinks=_by_id(raw.get("sinks", {})),
    )


def growth(before: Counters, after: Counters) -> Counters:
    """Return how much each counter of ``after`` grew since ``before``; a ``_now`` value is returned as it is."""
    return {name: n if name.endswith("_now") else n - before.get(name, 0) for name, n in after.items()}


def _counters(raw: Mapping[str, Any]) -> Counters:
    return {str(name): value for name, value in raw.items() if isinstance(value, int)}


def _by_id(raw: Mapping[int, Mapping[str, Any]]) -> Mapping[int, Counters]:
    return {int(number): _counters(values) for number, values in raw.items()}
