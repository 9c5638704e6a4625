"""The sign-off matrix: every directive this node knows and every row of it, folded from the journal.

A report touches one row and two counters, whatever the size of the directive.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from signaling import delivery, directive
from signaling.delivery import QUEUED, Delivery
from signaling.directive import Directive, Header
from signaling.division import Tree
from signaling.errors import Refused
from signaling.forms import FieldSpec, chosen, summed, tabled
from signaling.ids import DirectiveId, NodeCode, UtcMs
from signaling.messages import AnnotationView, DirectiveView, RecipientView
from signaling.permission import POLICY, Action, Reach, permitted
from signaling.records import (
    Actor,
    AnyRecord,
    DeliveryAdvanced,
    DirectiveAnnotated,
    DirectiveClosed,
    DirectiveCountersigned,
    DirectiveExpired,
    DirectiveIssued,
    DirectiveRecalled,
    DirectivesRelayed,
    DirectiveSuperseded,
    Stage,
)

WIDE = 1_000
"""A directive to more recipients than this is looked through, not entered in an index for each of them."""


@dataclass(slots=True)
class Entry:
    """One directive.  ``rows`` holds only the recipients that have moved; the others are queued."""

    number: int
    """Place in the order of issue, as this node learned of it."""
    header: Directive
    recipients: frozenset[NodeCode]
    cover: frozenset[NodeCode]
    """The recipients and everything above them: who has at least one of them in the subtree."""
    rows: dict[NodeCode, Delivery] = field(default_factory=dict)
    relays: set[tuple[NodeCode, NodeCode]] = field(default_factory=set)
    """Who has relayed it to which child."""
    counts: Counter[Stage] = field(default_factory=Counter)
    sums: Counter[str] = field(default_factory=Counter)
    annotations: list[DirectiveAnnotated] = field(default_factory=list)
    choices: Counter[tuple[str, str]] = field(default_factory=Counter)

    def row(self, recipient: NodeCode) -> Delivery:
        return self.rows.get(recipient, QUEUED)

    @property
    def total(self) -> int:
        return len(self.recipients)

    @property
    def all_done(self) -> bool:
        return self.counts[Stage.DONE] == self.total

    def advance(self, record: DeliveryAdvanced) -> None:
        self._move(record.recipient, delivery.evolve(self.row(record.recipient), record))

    def relay(self, recipient: NodeCode, hop: NodeCode, at: UtcMs) -> None:
        self._move(recipient, delivery.relay(self.row(recipient), hop, at))

    def _move(self, recipient: NodeCode, after: Delivery) -> None:
        before = self.row(recipient)
        self.rows[recipient] = after
        self.counts[before.stage] -= 1
        self.counts[after.stage] += 1
        if after.values is not before.values or after.answers is not before.answers:
            fields = self.header.issued.fields
            self.sums.subtract(summed(fields, before.values))
            self.sums.update(summed(fields, after.values))
            self.choices.subtract(chosen(fields, before.answers))
            self.choices.update(chosen(fields, after.answers))


@dataclass(frozen=True, slots=True)
class Added:
    """Some rows taken together: how many at each stage, the numbers added up, the choices counted."""

    counts: Counter[Stage]
    sums: Counter[str]
    choices: Counter[tuple[str, str]]


class Matrix:
    """The fold, and the views people are shown of it."""

    def __init__(self, tree: Tree, on_duty: Callable[[NodeCode, str], tuple[str, ...]]) -> None:
        """``on_duty``: who is on duty in a post of a division now; empty for nobody known."""
        self._tree = tree
        self._on_duty = on_duty
        self._entries: dict[DirectiveId, Entry] = {}
        self._open_for: dict[NodeCode, dict[int, Entry]] = {}
        self._open_wide: dict[int, Entry] = {}
        self._shared: dict[frozenset[NodeCode], frozenset[NodeCode]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, directive_id: DirectiveId) -> Entry | None:
        return self._entries.get(directive_id)

    def newest(self) -> Iterator[Entry]:
        return reversed(self._entries.values())

    def fold(self, record: AnyRecord) -> None:
        """Take in one durable record; records of other things change nothing."""
        match record:
            case DirectiveIssued():
                header = directive.evolve(None, record)
                cover = frozenset(c for r in record.recipients for c in self._tree.path_up(r))
                recipients = self._share(frozenset(record.recipients))
                entry = Entry(len(self._entries), header, recipients, self._share(cover))
                entry.counts[Stage.QUEUED] = entry.total
                self._entries[record.directive] = entry
                for index in self._indices(entry):
                    index[entry.number] = entry
            case DirectiveRecalled() | DirectiveExpired() | DirectiveClosed() | DirectiveSuperseded():
                entry = self._entries[record.directive]
                entry.header = directive.evolve(entry.header, record)
                for index in self._indices(entry):
                    index.pop(entry.number, None)
            case DirectiveAnnotated():
                self._entries[record.directive].annotations.append(record)
            case DirectiveCountersigned():
                entry = self._entries[record.directive]
                entry.header = directive.evolve(entry.header, record)
            case DeliveryAdvanced():
                self._entries[record.directive].advance(record)
            case DirectivesRelayed():
                for directive_id in record.directives:
                    self._entries[directive_id].relays.add((record.node, record.child))
                for entry, recipient in self.beyond(record):
                    entry.relay(recipient, record.node, record.at)
            case _:
                pass

    def is_repeat(self, record: DirectivesRelayed) -> bool:
        """Return whether all that ``record`` says is known."""
        hop = (record.node, record.child)
        return all((entry := self.get(d)) is not None and hop in entry.relays for d in record.directives)

    def beyond(self, record: DirectivesRelayed) -> Iterator[tuple[Entry, NodeCode]]:
        """Yield the rows that ``record`` is about."""
        for directive_id in record.directives:
            entry = self._entries[directive_id]
            for recipient in self._within(entry, record.child):
                yield entry, recipient

    def _within(self, entry: Entry, place: NodeCode) -> Iterator[NodeCode]:
        """Yield the recipients at or below ``place``; takes as long as there are fewer of: places there, recipients."""
        if self._tree.size(place) < entry.total:
            return (code for code in self._tree.subtree(place) if code in entry.recipients)
        return (code for code in entry.header.issued.recipients if self._tree.is_within(code, place))

    def _share(self, places: frozenset[NodeCode]) -> frozenset[NodeCode]:
        """Return the one copy of ``places``: many directives go to the same few circles of recipients."""
        return self._shared.setdefault(places, places)

    def _indices(self, entry: Entry) -> Iterator[dict[int, Entry]]:
        """Yield where an open directive is found by those it is addressed to."""
        if entry.total > WIDE:
            yield self._open_wide
        else:
            for recipient in entry.recipients:
                yield self._open_for.setdefault(recipient, {})

    def open_for(self, recipient: NodeCode) -> Iterator[Entry]:
        """Yield the directives addressed to ``recipient`` that are issued and not ended, newest first."""
        wide = (entry for entry in reversed(self._open_wide.values()) if recipient in entry.recipients)
        own = reversed(self._open_for.get(recipient, {}).values())
        return heapq.merge(own, wide, key=lambda entry: -entry.number)

    # ---- who may see what ------------------------------------------------------------------------

    def may_read(self, entry: Entry, actor: Actor) -> bool:
        """Return whether at least one row is the actor's to read."""
        if actor.division in entry.recipients:
            return permitted(actor, Action.READ_DIRECTIVE, actor.division, self._tree)
        reach = POLICY[Action.READ_DIRECTIVE].get(actor.role)
        return reach is Reach.BELOW and actor.division in entry.cover

    def is_copied(self, entry: Entry, division: NodeCode) -> bool:
        """Return whether ``division`` stands between the issuer and a recipient, and is none itself (抄送)."""
        issuer = entry.header.issued.issuer.division
        between = division in entry.cover and division not in entry.recipients
        return between and division != issuer and self._tree.is_within(division, issuer)

    def _readable(self, entry: Entry, actor: Actor) -> tuple[NodeCode, ...]:
        recipients = entry.header.issued.recipients
        return tuple(r for r in recipients if permitted(actor, Action.READ_DIRECTIVE, r, self._tree))

    # ---- views -----------------------------------------------------------------------------------

    def view(self, entry: Entry, actor: Actor, *, rows: bool) -> DirectiveView:
        """Return what ``actor`` sees of a directive; ``rows``: with its matrix.

        Raises:
            Refused: ``not-permitted``.
        """
        if not self.may_read(entry, actor):
            raise Refused("not-permitted", f"{entry.header.issued.directive} concerns nobody of {actor.division}")
        whole = permitted(actor, Action.READ_DIRECTIVE, entry.header.issued.issuer.division, self._tree)
        if whole:
            seen, added = entry.header.issued.recipients, Added(entry.counts, entry.sums, entry.choices)
        else:
            seen = self._readable(entry, actor)
            added = _added_up(entry.header.issued.fields, (entry.row(r) for r in seen))
        own = actor.division in entry.recipients
        return self._view(
            entry,
            actor.division,
            recipients=tuple(self.row_view(entry, r) for r in seen) if rows else (),
            total=len(seen),
            added=added,
            mine=self.row_view(entry, actor.division) if own else None,
        )

    def mine(self, entry: Entry, recipient: NodeCode) -> DirectiveView:
        """Return what a recipient's terminal shows: the order and its own row."""
        row = self.row_view(entry, recipient)
        added = _added_up(entry.header.issued.fields, (entry.row(recipient),))
        return self._view(entry, recipient, recipients=(), total=1, added=added, mine=row)

    def copy(self, entry: Entry, division: NodeCode) -> DirectiveView:
        """Return what a terminal of a tier between shows: the order, and to how many below it goes."""
        below = sum(1 for _ in self._within(entry, division))
        return self._view(entry, division, recipients=(), total=below, added=_added_up((), ()), mine=None)

    def copies_for(self, division: NodeCode, limit: int) -> Iterator[Entry]:
        """Yield, newest first, the open ones of the latest ``limit`` directives that ``division`` has a copy of."""
        for entry in itertools.islice(self.newest(), limit):
            if entry.header.state is Header.ISSUED and self.is_copied(entry, division):
                yield entry

    def _view(
        self,
        entry: Entry,
        viewer: NodeCode,
        *,
        recipients: tuple[RecipientView, ...],
        total: int,
        added: Added,
        mine: RecipientView | None,
    ) -> DirectiveView:
        header, issued = entry.header, entry.header.issued
        return DirectiveView(
            directive=issued.directive,
            urgency=issued.urgency,
            title=issued.title,
            text=issued.text,
            issuer=issued.issuer,
            issuer_name=self._tree.name(issued.issuer.division),
            issued_at=issued.at,
            expires_at=issued.expires_at,
            exercise=issued.exercise,
            state=header.state.value,
            sign_by=header.sign_by,
            recipients=recipients,
            total=total,
            counts={stage: n for stage, n in added.counts.items() if n},
            sums=dict(added.sums),
            mine=mine,
            annotations=tuple(self._annotation(a) for a in entry.annotations if self._in_line(a.by.division, viewer)),
            copied=self.is_copied(entry, viewer),
            choices=tabled(added.choices),
            number=issued.number,
            capacity=issued.capacity,
            plan=issued.plan,
            level=issued.level,
            fields=issued.fields,
            attachments=issued.attachments,
            texts=issued.texts,
            voice=issued.voice,
            approved_by=issued.approved_by.name if issued.approved_by else "",
            countersign_by=header.countersign_by,
            countersigned_by=header.countersigned.by.name if header.countersigned else "",
            supersedes=issued.supersedes,
            supersedes_number=self._number(issued.supersedes),
            successor=header.successor,
            successor_number=self._number(header.successor),
        )

    def _in_line(self, one: NodeCode, other: NodeCode) -> bool:
        return self._tree.is_within(one, other) or self._tree.is_within(other, one)

    def _annotation(self, record: DirectiveAnnotated) -> AnnotationView:
        return AnnotationView(
            division=record.by.division,
            division_name=self._tree.name(record.by.division),
            by=record.by.name,
            at=record.at,
            note=record.note,
        )

    def _number(self, directive_id: DirectiveId | None) -> str:
        """Return the number of a directive; "" where it is not known here."""
        entry = self._entries.get(directive_id) if directive_id is not None else None
        return entry.header.issued.number if entry else ""

    def row_view(self, entry: Entry, recipient: NodeCode) -> RecipientView:
        """Return one row as people see it."""
        row = entry.row(recipient)
        post = entry.header.issued.posts.get(recipient, "")
        people = self._on_duty(recipient, post) if post else ()
        return RecipientView(
            node=recipient,
            name=self._tree.name(recipient),
            stage=row.stage,
            relayed_at=row.times.get(Stage.RELAYED),
            delivered_at=row.times.get(Stage.DELIVERED),
            shown_at=row.times.get(Stage.SHOWN),
            signed_at=row.times.get(Stage.SIGNED),
            signed_by=row.signed_by,
            feedback_at=row.times.get(Stage.FEEDBACK),
            done_at=row.times.get(Stage.DONE),
            values=dict(row.values),
            note=row.note,
            answers=dict(row.answers),
            post=post,
            on_duty=people[0] if people else "",
            also_on_duty=people[1:],
        )


def _added_up(fields: Sequence[FieldSpec], rows: Iterable[Delivery]) -> Added:
    added = Added(Counter(), Counter(), Counter())
    for row in rows:
        added.counts[row.stage] += 1
        added.sums.update(summed(fields, row.values))
        added.choices.update(chosen(fields, row.answers))
    return added
