"""The clocks of a directive: when to ring again, when its time to sign is over, and who is told of that.

Pure.  Every timer follows from the record that issued the directive; whether it still means something follows
from the rows.  Its id is derived, so that it can be said once ever; nothing is drawn.

* every node rings again for its own subtree at thirds of the sign-off limit, then at twice and three times it
* the issuing node notes at the limit that it is over, orders a re-dial, and tells the superior of every recipient
  that has not signed; at twice the limit the superior's superior, and so on up to the issuer's own division
* of a P0 or P1 the division above the issuer's is told last; of a P2 or P3 nobody above the issuer is bothered

* what was issued first and approved by nobody in time is noted when the second name is overdue, though the
  directive may have been carried out or have expired by then

A recipient that is the issuer's own division is escalated to itself first: its console is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from .directive import SIGN_LIMIT_MS
from .division import Tree
from .ids import DirectiveId, NodeCode, UtcMs
from .records import DirectiveIssued, EscalationRaised, RedialOrdered, TimerFired, TimerKind, Urgency

REPEAT_THIRDS = (1, 2, 3, 6, 9)
"""In thirds of the sign-off limit: when a terminal rings again though it has shown the directive."""

LEVELS = 5
"""Superiors of a place at most: as many as there are tiers."""

LEVELS_ABOVE: frozenset[Urgency] = frozenset({Urgency.P0, Urgency.P1})
"""For these the division above the issuer's is told too."""

FiringRecord = TimerFired | EscalationRaised | RedialOrdered


@dataclass(frozen=True, slots=True)
class Timer:
    """One clock that has run out, and the recipients that had not signed then."""

    kind: TimerKind
    directive: DirectiveId
    place: NodeCode | None
    """The superior of an escalation."""
    n: int
    due: UtcMs
    unsigned: tuple[NodeCode, ...]

    @property
    def id(self) -> str:
        return f"{self.kind}:{self.directive}:{self.place or ''}:{self.n}"


def dues(issued: DirectiveIssued, here: NodeCode) -> tuple[UtcMs, ...]:
    """Return every instant at which a timer of ``issued`` may be due at ``here``, its expiry among them, ascending."""
    limit = SIGN_LIMIT_MS[issued.urgency]
    instants = {issued.at + thirds * limit // 3 for thirds in REPEAT_THIRDS}
    if issued.node == here:
        instants |= {issued.at + level * limit for level in range(1, LEVELS + 1)}
        instants.add(issued.expires_at)  # a limit beyond expiry is reached there
    found = {UtcMs(due) for due in instants if due < issued.expires_at} | {issued.expires_at}
    if issued.node == here and issued.countersign_by is not None:
        found.add(issued.countersign_by)
    return tuple(sorted(found))


def superiors(issued: DirectiveIssued, recipient: NodeCode, tree: Tree) -> tuple[NodeCode, ...]:
    """Return who is told of ``recipient`` at the first, second, ... limit."""
    top = issued.issuer.division
    path = tree.path_up(recipient)
    if top not in path:
        return ()
    chain = path[1 : path.index(top) + 1] or (top,)
    above = tree.parent(top)
    return (*chain, above) if above is not None and issued.urgency in LEVELS_ABOVE else chain


def due(
    issued: DirectiveIssued,
    unsigned: Sequence[NodeCode],
    here: NodeCode,
    tree: Tree,
    after: UtcMs,
    upto: UtcMs,
    countersign_by: UtcMs | None = None,
) -> tuple[Timer, ...]:
    """Return the timers with after < due <= upto that still mean something, in order of due time.

    Args:
        unsigned: The recipients that have not signed, as this node knows; nobody once the directive has ended.
        countersign_by: By when somebody else must countersign, None when nobody need any more.
    """
    own = tuple(r for r in unsigned if tree.is_within(r, here))
    found = list(_repeats(issued, own)) if own else []
    if issued.node == here and unsigned:
        found += _of_the_issuer(issued, tuple(unsigned), tree, after, upto)
    if issued.node == here and countersign_by is not None:
        found.append(Timer(TimerKind.COUNTERSIGN, issued.directive, None, 1, countersign_by, ()))
    return tuple(sorted((t for t in found if after < t.due <= upto), key=lambda t: (t.due, t.kind, t.place or "", t.n)))


def _repeats(issued: DirectiveIssued, own: tuple[NodeCode, ...]) -> Iterator[Timer]:
    limit = SIGN_LIMIT_MS[issued.urgency]
    for n, thirds in enumerate(REPEAT_THIRDS, 1):
        at = UtcMs(issued.at + thirds * limit // 3)
        if at < issued.expires_at:
            yield Timer(TimerKind.REPEAT, issued.directive, None, n, at, own)


def _of_the_issuer(
    issued: DirectiveIssued, unsigned: tuple[NodeCode, ...], tree: Tree, after: UtcMs, upto: UtcMs
) -> Iterator[Timer]:
    limit = SIGN_LIMIT_MS[issued.urgency]
    first = UtcMs(min(issued.at + limit, issued.expires_at))
    yield Timer(TimerKind.LIMIT, issued.directive, None, 1, first, unsigned)
    yield Timer(TimerKind.REDIAL, issued.directive, None, 1, first, unsigned)
    for level in range(1, LEVELS + 1):
        at = first if level == 1 else UtcMs(issued.at + level * limit)
        if after < at <= upto and (level == 1 or at < issued.expires_at):
            yield from _level(issued, unsigned, tree, level, at)


def _level(
    issued: DirectiveIssued, unsigned: tuple[NodeCode, ...], tree: Tree, level: int, at: UtcMs
) -> Iterator[Timer]:
    told: dict[NodeCode, list[NodeCode]] = {}
    for recipient in unsigned:
        chain = superiors(issued, recipient, tree)
        if len(chain) >= level:
            told.setdefault(chain[level - 1], []).append(recipient)
    for superior, places in told.items():
        yield Timer(TimerKind.ESCALATE, issued.directive, superior, level, at, tuple(places))


def fire(issued: DirectiveIssued, timers: Iterable[Timer], here: NodeCode, at: UtcMs) -> tuple[FiringRecord, ...]:
    """Return what to journal, all together or not at all: that the timers fired, and what follows from it.

    A superior is told once, however many limits have passed while this node was away: of all of them together,
    under the number of the last.
    """
    timers = tuple(timers)
    fired = tuple(
        TimerFired(node=here, at=at, timer=timer.id, kind=timer.kind, subject=timer.directive, due=timer.due)
        for timer in timers
    )
    return (*fired, *_escalations(issued, timers, here, at), *_redials(timers, here, at))


def _escalations(
    issued: DirectiveIssued, timers: Sequence[Timer], here: NodeCode, at: UtcMs
) -> Iterator[EscalationRaised]:
    told: dict[NodeCode, list[Timer]] = {}
    for timer in timers:
        if timer.kind is TimerKind.ESCALATE and timer.place is not None:
            told.setdefault(timer.place, []).append(timer)
    for superior, group in told.items():
        places = dict.fromkeys(place for timer in group for place in timer.unsigned)
        yield EscalationRaised(
            node=here,
            at=at,
            directive=issued.directive,
            superior=superior,
            n=max(timer.n for timer in group),
            not_reached=tuple(places),
            urgency=issued.urgency,
            title=issued.title,
            exercise=issued.exercise,
        )


def _redials(timers: Sequence[Timer], here: NodeCode, at: UtcMs) -> Iterator[RedialOrdered]:
    for timer in timers:
        if timer.kind is TimerKind.REDIAL:
            yield RedialOrdered(node=here, at=at, notice=timer.id, directive=timer.directive, places=timer.unsigned)
