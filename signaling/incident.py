"""Which alarms make one card: many sources of one event, or one source that cannot stop.

Pure.  A card is computed from what was raised and from what people moved, never from the order in which it became
known, so every node that knows the same records shows the same cards.  Nothing is dropped: a card counts its
alarms and names each of them.

* A *run* is what one source says without a pause of more than WINDOW_MS, however long it goes on.
* A *card* is the runs of one kind in one township that begin within WINDOW_MS of each other, and within LONGEST_MS
  of the first.  It is named by its first alarm, its lead.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .division import Tree
from .ids import AlarmId, NodeCode, UtcMs
from .records import AlarmGrouped, AlarmRaised, Urgency

WINDOW_MS = 60_000
LONGEST_MS = 600_000

UNLIKE = frozenset({"other", "person", "snapshot"})
"""Kinds that do not say that it is the same event: of these only one source's own repeats make one card."""

MAX_MOVES = 8
"""An alarm moved to one that was moved to another ... is followed so far."""

Group = tuple[NodeCode, str, bool, str]
Source = tuple[NodeCode, str]
"""Place and name: two places may both have a "smoke detector 1"."""

Order = tuple[UtcMs, AlarmId]


def order(raised: AlarmRaised) -> Order:
    return raised.at, raised.alarm


@dataclass(slots=True, eq=False)
class Run:
    """What one source said without a pause: its alarms, oldest first, and the most urgent of their urgencies."""

    source: Source
    raised: list[AlarmRaised]
    urgency: Urgency
    card: Card | None = None
    moved: int = 0
    """So many of its alarms are in another card, because a person put them there."""
    told: dict[AlarmId, None] = field(default_factory=dict)
    """Those of its alarms of which there is more to tell: a picture, a step."""

    @property
    def begun(self) -> Order:
        return order(self.raised[0])


@dataclass(slots=True, eq=False)
class Card:
    """One incident: runs, and ``guests`` that a person moved here.  With a ``count`` of 0 there is nothing to show."""

    lead: AlarmRaised
    newest: AlarmRaised
    urgency: Urgency
    count: int = 0
    runs: list[Run] = field(default_factory=list)
    guests: list[AlarmRaised] = field(default_factory=list)
    sources: set[Source] = field(default_factory=set)

    def take(self, raised: AlarmRaised) -> None:
        """Count one alarm more."""
        self._widen(raised, raised, raised.urgency, 1)
        self.sources.add((raised.place, raised.source))

    def take_run(self, run: Run) -> None:
        """Count a whole run more, none of whose alarms is elsewhere."""
        self._widen(run.raised[0], run.raised[-1], run.urgency, len(run.raised))
        self.sources.add(run.source)

    def _widen(self, first: AlarmRaised, last: AlarmRaised, urgency: Urgency, count: int) -> None:
        alone = self.count == 0
        if alone or order(first) < order(self.lead):
            self.lead = first
        if alone or order(last) > order(self.newest):
            self.newest = last
        if alone or urgency < self.urgency:  # P0 before P3
            self.urgency = urgency
        self.count += count


@dataclass(slots=True, eq=False)
class _Group:
    """``runs`` and ``by_source`` by when they begin; ``cards`` in the same order."""

    runs: list[Run] = field(default_factory=list)
    by_source: dict[Source, list[Run]] = field(default_factory=dict)
    cards: list[Card] = field(default_factory=list)
    stale_from: Order | None = None
    """Cards of runs that begin here or later are to be made anew."""

    def spoil(self, since: Order) -> None:
        self.stale_from = since if self.stale_from is None else min(self.stale_from, since)


class Board:
    """All cards of one node."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._groups: dict[Group, _Group] = {}
        self._raised: dict[AlarmId, tuple[AlarmRaised, Run]] = {}
        self._moves: dict[AlarmId, tuple[UtcMs, NodeCode, AlarmId]] = {}
        self._apart: dict[AlarmId, Card] = {}
        """Cards of alarms that people set apart, by that alarm."""
        self._stale: set[Group] = set()
        self._changed: set[AlarmId] = set()
        self._led: set[AlarmId] = set()
        """Leads of cards that were made anew."""

    # ---- what became known -----------------------------------------------------------------------

    def note(self, raised: AlarmRaised) -> None:
        """Take in an alarm, in whatever order it became known.  A repeat changes nothing."""
        if raised.alarm in self._raised:
            return
        key = self._key(raised)
        group = self._groups.setdefault(key, _Group())
        run = self._place(group, raised)
        self._raised[raised.alarm] = raised, run
        self._changed.add(raised.alarm)
        if group.stale_from is not None:
            self._stale.add(key)
        elif run.card is None:
            self._join(group, run)
        else:
            run.card.take(raised)
        if any(incident == raised.alarm for _, _, incident in self._moves.values()):
            self._spoil_moved()

    def move(self, grouped: AlarmGrouped) -> None:
        """A person put an alarm into another card, or apart; the latest word counts."""
        said = grouped.at, grouped.node, grouped.incident
        before = self._moves.get(grouped.alarm)
        if grouped.alarm not in self._raised or (before is not None and said <= before):
            return
        self._spoil(self._goal(grouped.alarm))
        self._moves[grouped.alarm] = said
        if before is None:
            self._raised[grouped.alarm][1].moved += 1
        self._spoil_moved()
        self._changed.add(grouped.alarm)

    def touch(self, alarm: AlarmId) -> None:
        """There is more to tell of a known ``alarm``, and so of its card."""
        self._raised[alarm][1].told[alarm] = None
        self._changed.add(alarm)

    # ---- what is asked ---------------------------------------------------------------------------

    def card(self, alarm: AlarmId) -> Card | None:
        """Return the card ``alarm`` is in; None for an unknown alarm."""
        self._settle()
        if alarm not in self._raised:
            return None
        goal = self._goal(alarm)
        return self._apart[goal] if goal in self._moves else self._raised[goal][1].card

    def cards(self) -> Iterator[Card]:
        """Yield every card that has an alarm."""
        self._settle()
        for group in self._groups.values():
            yield from (card for card in group.cards if card.count > 0)
        yield from self._apart.values()

    def members(self, card: Card) -> list[AlarmRaised]:
        """Return the alarms of ``card``, oldest first."""
        own = (raised for run in card.runs for raised in self._at_home(run))
        return sorted((*own, *card.guests), key=order)

    def told(self, card: Card) -> Iterator[AlarmId]:
        """Yield the alarms of ``card`` that were touched."""
        for run in card.runs:
            yield from (alarm for alarm in run.told if alarm not in self._moves)
        for guest in card.guests:
            if guest.alarm in self._raised[guest.alarm][1].told:
                yield guest.alarm

    def changed(self) -> tuple[set[AlarmId], set[AlarmId]]:
        """Return, once, the leads of cards that changed, and alarms that lead no card any more."""
        self._settle()
        touched, led = self._changed | self._led, self._led
        self._changed, self._led = set(), set()
        leads = {card.lead.alarm for alarm in touched if (card := self.card(alarm)) is not None}
        return leads, led - leads

    # ---- runs ------------------------------------------------------------------------------------

    def _key(self, raised: AlarmRaised) -> Group:
        if raised.kind in UNLIKE:
            return raised.place, raised.kind, raised.exercise, raised.source
        return self._tree.township(raised.place) or raised.place, raised.kind, raised.exercise, ""

    def _place(self, group: _Group, raised: AlarmRaised) -> Run:
        """Put ``raised`` into its source's run, or into a new one; spoil what that disturbs."""
        source = raised.place, raised.source
        runs = group.by_source.setdefault(source, [])
        index = bisect_left(runs, order(raised), key=lambda run: run.begun)
        before = runs[index - 1] if index and runs[index - 1].raised[-1].at + WINDOW_MS >= raised.at else None
        after = runs[index] if index < len(runs) and runs[index].raised[0].at - WINDOW_MS <= raised.at else None
        if before is None and after is None:
            run = Run(source, [raised], raised.urgency)
            runs.insert(index, run)
            if group.runs and group.runs[-1].begun > run.begun:
                group.spoil(run.begun)
            insort(group.runs, run, key=lambda run: run.begun)
            return run
        if before is not None:
            if after is not None:
                self._unite(group, before, after)
            if order(before.raised[-1]) < order(raised):
                before.raised.append(raised)
            else:
                insort(before.raised, raised, key=order)
            before.urgency = min(before.urgency, raised.urgency)
            return before
        assert after is not None
        group.runs.remove(after)
        after.raised.insert(0, raised)
        after.urgency = min(after.urgency, raised.urgency)
        insort(group.runs, after, key=lambda run: run.begun)
        group.spoil(after.begun)
        return after

    def _unite(self, group: _Group, before: Run, after: Run) -> None:
        """What was said between them makes two runs one."""
        group.runs.remove(after)
        group.by_source[after.source].remove(after)
        for raised in after.raised:
            self._raised[raised.alarm] = raised, before
        before.raised += after.raised
        before.urgency = min(before.urgency, after.urgency)
        before.moved += after.moved
        before.told |= after.told
        group.spoil(before.begun)

    # ---- cards -----------------------------------------------------------------------------------

    def _join(self, group: _Group, run: Run) -> None:
        """Put ``run``, which begins after all that have a card, into the last card or a new one."""
        card = group.cards[-1] if group.cards else None
        at = run.begun[0]
        if card is None or at - card.runs[-1].begun[0] > WINDOW_MS or at - card.runs[0].begun[0] > LONGEST_MS:
            card = Card(run.raised[0], run.raised[0], run.urgency)
            group.cards.append(card)
        card.runs.append(run)
        run.card = card
        if run.moved:
            for raised in self._at_home(run):
                card.take(raised)
        else:
            card.take_run(run)

    def _at_home(self, run: Run) -> Iterable[AlarmRaised]:
        return (raised for raised in run.raised if raised.alarm not in self._moves) if run.moved else run.raised

    def _spoil(self, alarm: AlarmId) -> None:
        raised, run = self._raised[alarm]
        key = self._key(raised)
        self._groups[key].spoil(run.begun)
        self._stale.add(key)

    def _spoil_moved(self) -> None:
        """People move few: all the cards they touched are made anew."""
        for alarm in self._moves:
            self._spoil(alarm)
            self._spoil(self._goal(alarm))

    def _settle(self) -> None:
        """Make anew the cards that something out of its turn has disturbed."""
        if not self._stale:
            return
        for key in self._stale:
            self._remake(self._groups[key])
        self._stale = set()
        if self._moves:
            self._seat_guests()

    def _remake(self, group: _Group) -> None:
        assert group.stale_from is not None
        first = bisect_left(group.runs, group.stale_from, key=lambda run: run.begun)
        first = min(first, len(group.runs) - 1)
        while first and group.runs[first].begun[0] - group.runs[first - 1].begun[0] <= WINDOW_MS:
            first -= 1  # to where nothing depends on what was before
        kept = {id(run.card) for run in group.runs[:first]}
        dropped = [card for card in group.cards if id(card) not in kept]
        group.cards = [card for card in group.cards if id(card) in kept]
        for run in group.runs[first:]:
            self._join(group, run)
        group.stale_from = None
        self._changed |= {card.lead.alarm for card in group.cards[len(kept) :]}
        self._led |= {card.lead.alarm for card in dropped}

    def _seat_guests(self) -> None:
        """Show the alarms that people moved where they moved them."""
        apart: dict[AlarmId, Card] = {}
        for alarm in self._moves:
            raised, goal = self._raised[alarm][0], self._goal(alarm)
            host = self._raised[goal][1].card if goal not in self._moves else apart.get(goal)
            if host is None:
                host = apart[goal] = Card(raised, raised, raised.urgency)
            if raised not in host.guests:
                host.guests.append(raised)
                host.take(raised)
        self._led |= {card.lead.alarm for card in self._apart.values()}
        self._apart = apart

    def _goal(self, alarm: AlarmId) -> AlarmId:
        """Return the alarm in whose card ``alarm`` is: itself, unless people moved it."""
        goal = alarm
        for _ in range(MAX_MOVES):
            if goal not in self._moves or self._moves[goal][2] == goal:
                return goal
            goal = self._moves[goal][2]
            if goal not in self._raised:
                break
        return alarm  # moved to nowhere, or in a circle: apart
