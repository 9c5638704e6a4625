"""Which rows of the journal overtake the others on a link that is behind: urgent orders and alarms, and their ends.

After an outage a neighbour may miss a day's routine; what is urgent must not wait behind it.  Rows of one class
keep their order, P0 goes before P1, and both before the rest.  A row that overtook is not sent again on that link;
on the next link it is, and changes nothing there.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence

from gateway.journal import Journal, Row
from signaling.ids import NodeCode, Seq
from signaling.records import AlarmRaised, AnyRecord, DeliveryAdvanced, DirectiveIssued, Urgency
from signaling.routing import Router

BEHIND_ROWS = 50
"""A link with fewer rows to send than this is not behind: order is kept, and nothing is looked for."""

CLASSES: Sequence[Urgency] = (Urgency.P0, Urgency.P1)


class Express:
    """Where the urgent rows for each neighbour are: 8 bytes each.

    Construct before anything is appended, after ``router`` follows the journal.
    """

    def __init__(self, journal: Journal, router: Router) -> None:
        self._router = router
        self._rows: dict[tuple[NodeCode, Urgency], array[int]] = {}
        self._urgent: dict[str, Urgency] = {}
        """Urgent directives and alarms by id: what is said of them later is as urgent."""
        journal.follow(self._fold, ("directive:", "alarm:", "escalation:"))

    def _fold(self, rows: Sequence[Row]) -> None:
        for row in rows:
            urgency = self._class_of(row.record)
            if urgency is not None:
                for peer in self._router.onward(row.record, row.via):
                    self.rows(peer, urgency).append(row.seq)

    def _class_of(self, record: AnyRecord) -> Urgency | None:
        match record:
            case DirectiveIssued(directive=subject, urgency=urgency) | AlarmRaised(alarm=subject, urgency=urgency):
                if urgency in CLASSES:
                    self._urgent[subject] = urgency
                return self._urgent.get(subject)
            case DeliveryAdvanced():
                return None  # how it goes on is not the news
            case _:
                return self._urgent.get(str(getattr(record, "directive", getattr(record, "alarm", ""))))

    def rows(self, peer: NodeCode, urgency: Urgency) -> array[int]:
        """Return the rows of one class that go to ``peer``, in order."""
        return self._rows.setdefault((peer, urgency), array("q"))

    def lane(self, peer: NodeCode) -> Lane:
        """Return the state of one link."""
        return Lane({urgency: self.rows(peer, urgency) for urgency in CLASSES})


class Lane:
    """How far the urgent rows have overtaken on one link."""

    def __init__(self, rows: dict[Urgency, array[int]]) -> None:
        self._rows = rows
        self._gone = dict.fromkeys(CLASSES, Seq(0))

    def waits(self, sent: Seq) -> bool:
        """Return whether an urgent row comes after ``sent``, the link's own place in the journal."""
        return any(rows and rows[-1] > max(sent, self._gone[urgency]) for urgency, rows in self._rows.items())

    def ahead(self, sent: Seq, data: Callable[[Seq], bytes], most_bytes: int) -> list[bytes]:
        """Take the next urgent rows to send before their turn, most urgent first; at least one if there is one.

        Args:
            sent: The link's own place in the journal.
            data: Reads a row.
            most_bytes: What the rows after the first may fill together with it.
        """
        taken: list[bytes] = []
        room = most_bytes
        for urgency, rows in self._rows.items():
            for place in range(bisect_right(rows, max(sent, self._gone[urgency])), len(rows)):
                row = data(Seq(rows[place]))
                room -= len(row)
                if taken and room < 0:
                    return taken
                taken.append(row)
                self._gone[urgency] = Seq(rows[place])
        return taken

    def overtook(self, seq: Seq) -> bool:
        """Return whether row ``seq`` went ahead of its turn on this link."""
        for urgency, rows in self._rows.items():
            if seq <= self._gone[urgency]:
                place = bisect_left(rows, seq)
                if rows[place] == seq:
                    return True
        return False
