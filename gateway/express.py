"""Which rows of the journal overtake the others on a link that is behind: urgent orders and alarms, and their ends.

After an outage a neighbour may miss a day's routine; what is urgent must not wait behind it.  Rows of one class
keep their order, P0 goes before P1, and both before the rest.  A row that overtook is not sent again on that link;
on the next link it is, and changes nothing there.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence

from gateway.journal import Journal, Row
from signaling.ids import Seq
from signaling.records import AlarmRaised, AnyRecord, DeliveryAdvanced, DirectiveIssued, Urgency

BEHIND_ROWS = 50
"""A link with fewer rows to send than this is not behind: order is kept, and nothing is looked for."""

CLASSES: Sequence[Urgency] = (Urgency.P0, Urgency.P1)


class Express:
    """Where the urgent rows are: 8 bytes each.  Construct before anything is appended."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._rows = {urgency: array("q") for urgency in CLASSES}
        self._urgent: dict[str, Urgency] = {}
        """Urgent directives and alarms by id: what is said of them later is as urgent."""
        journal.follow(self._fold, ("directive:", "alarm:", "escalation:"))

    def _fold(self, rows: Sequence[Row]) -> None:
        for row in rows:
            urgency = self._class_of(row.record)
            if urgency is not None:
                self._rows[urgency].append(row.seq)

    def _class_of(self, record: AnyRecord) -> Urgency | None:
        match record:
            case DirectiveIssued(directive=subject, urgency=urgency) | AlarmRaised(alarm=subject, urgency=urgency):
                if urgency in self._rows:
                    self._urgent[subject] = urgency
                return self._urgent.get(subject)
            case DeliveryAdvanced():
                return None  # how it goes on is not the news
            case _:
                return self._urgent.get(str(getattr(record, "directive", getattr(record, "alarm", ""))))

    def after(self, urgency: Urgency, seq: Seq) -> Iterator[Row]:
        """Yield the rows of one class after ``seq``, in order."""
        rows = self._rows[urgency]
        for place in range(bisect_right(rows, seq), len(rows)):
            yield from self._journal.read(Seq(rows[place] - 1), 1)

    def lane(self) -> Lane:
        """Return the state of one link."""
        return Lane(self)

    def class_of(self, row: Row) -> Urgency | None:
        """Return the class ``row`` overtakes in, None for what waits its turn."""
        for urgency, rows in self._rows.items():
            place = bisect_right(rows, row.seq)
            if place and rows[place - 1] == row.seq:
                return urgency
        return None


class Lane:
    """How far the urgent rows have overtaken on one link."""

    def __init__(self, express: Express) -> None:
        self._express = express
        self._gone = dict.fromkeys(CLASSES, Seq(0))

    def ahead(self, sent: Seq, head: Seq, concerns: Callable[[Row], bool], most_bytes: int) -> list[Row]:
        """Take the next urgent rows to send before their turn, most urgent first; at least one if there is one.

        Args:
            sent: The link's own place in the journal, which ends at ``head``.
            concerns: Whether a row is for the neighbour; what is not is passed over.
            most_bytes: What the rows after the first may fill together with it.
        """
        taken: list[Row] = []
        room = most_bytes
        if head - sent <= BEHIND_ROWS:
            return taken
        for urgency in CLASSES:
            for row in self._express.after(urgency, max(sent, self._gone[urgency])):
                if concerns(row):
                    room -= len(row.data)
                    if taken and room < 0:
                        return taken
                    taken.append(row)
                self._gone[urgency] = row.seq
        return taken

    def overtook(self, row: Row) -> bool:
        """Return whether ``row`` went ahead of its turn on this link."""
        if not any(self._gone.values()):
            return False
        urgency = self._express.class_of(row)
        return urgency is not None and row.seq <= self._gone[urgency]
