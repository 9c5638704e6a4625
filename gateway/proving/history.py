"""What everybody saw while things failed, and whether it adds up afterwards.

Pure.  Issuers, terminals and journals each write down what they did in the order in which they did it.  ``check``
then asks: is anything missing that was acknowledged, was anything shown twice, did anything overtake what its issuer
said before?  What an operation came to is kept apart: ``ok`` was answered, ``failed`` was refused and must have had
no effect, ``unknown`` got no answer and may have had one.

An order is known by what it says (``what``), not by its directive's id: a button that became two directives is one
order shown twice.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field


class Did(enum.StrEnum):
    ISSUE = "issue"
    """Somebody asked for the order to be issued."""
    HOLD = "hold"
    """The journal of a node has it."""
    SHOW = "show"
    """A terminal put it on its screen."""
    SIGN = "sign"
    """Somebody signed for it at a terminal."""
    REPORT = "report"
    """The issuing node's journal has that signature."""


class Outcome(enum.StrEnum):
    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Event:
    """One operation, as ``where`` (a terminal, a node, an issuer) saw it.

    ``lane``: orders of one lane may not overtake each other.
    """

    where: str
    did: Did
    what: str
    outcome: Outcome = Outcome.OK
    lane: str = ""


Finding = tuple[str, str]
"""Where, and which order."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What does not add up.  ``counts`` has every operation by kind and outcome."""

    issued: int
    """Orders whose issuing was acknowledged."""
    lost: tuple[Finding, ...]
    """Acknowledged, and missing: an order at a place, a signature at the issuing node."""
    twice: tuple[Finding, ...]
    reordered: tuple[Finding, ...]
    phantom: tuple[Finding, ...]
    """Seen though nobody asked for it, or though its issuing was refused."""
    counts: Mapping[tuple[Did, Outcome], int]

    @property
    def clean(self) -> bool:
        return not (self.lost or self.twice or self.reordered or self.phantom)

    def tally(self, did: Did) -> dict[str, int]:
        """Return the operations of a kind by outcome, none left out."""
        return {outcome.value: self.counts.get((did, outcome), 0) for outcome in Outcome}


@dataclass
class History:
    """Events as they come; the order of each ``where`` is its own."""

    events: list[Event] = field(default_factory=list)

    def add(self, where: str, did: Did, what: str, outcome: Outcome = Outcome.OK, lane: str = "") -> None:
        self.events.append(Event(where, did, what, outcome, lane))


def check(events: Iterable[Event], issuer: str, places: Mapping[str, frozenset[str]]) -> Verdict:
    """Compare what everybody saw.

    Args:
        events: Each observer's in the order it saw them.
        issuer: The node whose journal says in which order things were issued.
        places: Of each order, who must hold or show it.
    """
    known = list(events)
    counts = Counter((event.did, event.outcome) for event in known)
    asked = {event.what for event in known if event.did is Did.ISSUE}
    answered = {event.what for event in known if event.did is Did.ISSUE and event.outcome is Outcome.OK}
    refused = {event.what for event in known if event.did is Did.ISSUE and event.outcome is Outcome.FAILED} - answered
    seen = Counter((event.where, event.what) for event in known if event.did in (Did.HOLD, Did.SHOW))
    held = {what for where, what in seen if where == issuer}
    stands = (answered | held) - refused
    lost = [(where, what) for what in sorted(stands) for where in sorted(places.get(what, ())) if not seen[where, what]]
    lost += [(issuer, what) for what in sorted(answered) if what not in held]
    return Verdict(
        issued=len(answered),
        lost=(*lost, *_unreported(known, issuer)),
        twice=tuple(sorted(pair for pair, times in seen.items() if times > 1)),
        reordered=tuple(_overtaken(known, issuer)),
        phantom=tuple(sorted(pair for pair in seen if pair[1] in refused or pair[1] not in asked)),
        counts=counts,
    )


def _unreported(events: list[Event], issuer: str) -> Iterator[Finding]:
    """Yield signatures that were acknowledged below and are not in the issuing node's journal."""
    told = {event.what for event in events if event.did is Did.REPORT}
    for event in events:
        if event.did is Did.SIGN and event.outcome is Outcome.OK and event.what not in told:
            yield issuer, event.what


def _overtaken(events: list[Event], issuer: str) -> Iterator[Finding]:
    """Yield what came to a place after something of its lane that was issued later."""
    place: dict[str, int] = {}
    for event in events:
        if event.where == issuer and event.did is Did.HOLD:
            place.setdefault(event.what, len(place))
    last: dict[tuple[str, Did, str], int] = {}
    seen: set[tuple[str, Did, str]] = set()
    for event in events:
        if event.did not in (Did.HOLD, Did.SHOW) or event.what not in place or event.where == issuer:
            continue
        once = (event.where, event.did, event.what)
        if once in seen:
            continue
        seen.add(once)
        way = (event.where, event.did, event.lane)
        if place[event.what] < last.get(way, -1):
            yield event.where, event.what
        last[way] = max(place[event.what], last.get(way, -1))
