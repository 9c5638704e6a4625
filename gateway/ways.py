"""Which rows of the journal go to which neighbour: each row is routed once, for all of them.

The journal is looked at in pages.  The newest grows with it; an older one is read when a link is that far behind, and
is then known to every other that is.  A row takes 8 bytes for each neighbour it goes to.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.journal import Journal, Row
from signaling.ids import NodeCode, Seq
from signaling.link import BATCH_ROWS
from signaling.routing import Router

PAGE_ROWS = BATCH_ROWS
LOOK_ROWS = 10 * PAGE_ROWS
MOST_WEIGHT = 4_000_000
"""Of the pages in memory, those last asked for, in words of 8 bytes.  Another is read again when it is asked for again,
in some milliseconds; a page of reports, which go to one neighbour or none, weighs next to nothing."""
PAGE_WEIGHT, WAY_WEIGHT = 60, 30
"""Of an empty page, and of the first row to a neighbour in it."""
NONE: Sequence[int] = ()


@dataclass(slots=True)
class _Page:
    """``upto``: the last row of it that is routed."""

    upto: Seq
    toward: dict[NodeCode, array[int]] = field(default_factory=dict)
    weight: int = PAGE_WEIGHT


class Ways:
    """The ways of all rows.  Construct before anything is appended, after ``router`` follows the journal."""

    def __init__(self, journal: Journal, router: Router) -> None:
        self.head = journal.head
        """As far as ``grew`` was told."""
        self._journal = journal
        self._router = router
        self._pages: OrderedDict[int, _Page] = OrderedDict()
        self._weight = 0

    def grew(self, rows: Sequence[Row]) -> set[NodeCode]:
        """Route durable rows that were just appended; return the neighbours they go to."""
        concerned: set[NodeCode] = set()
        for row in rows:
            page = self._page(self.head)
            concerned.update(self._route(row, page))
            self.head = row.seq
        return concerned

    def after(self, peer: NodeCode, seq: Seq) -> tuple[Sequence[int], Seq]:
        """Return the next rows that go to ``peer``, and the row up to which there are no others; ``seq`` < ``head``.

        Both are of the page ``seq + 1`` is on, so that a call takes no longer than routing one page.
        """
        page = self._page(seq)
        rows = page.toward.get(peer, NONE)
        return rows[bisect_right(rows, seq) :], page.upto

    def waiting(self, peer: NodeCode, seq: Seq, most: int) -> int:
        """Return how many of the LOOK_ROWS rows after ``seq`` go to ``peer``; counted no further than ``most``."""
        count, end = 0, min(self.head, seq + LOOK_ROWS)
        while seq < end and count < most:
            rows, seq = self.after(peer, seq)
            count += len(rows)
        return min(count, most)

    def _page(self, seq: Seq) -> _Page:
        """Return the page of the row after ``seq``, routed as far as the journal goes."""
        number = seq // PAGE_ROWS
        page = self._pages.get(number)
        if page is None:
            page = self._pages[number] = _Page(Seq(number * PAGE_ROWS))
            self._weight += page.weight
            there = min(self.head, Seq(page.upto + PAGE_ROWS)) - page.upto
            for row in self._journal.read(page.upto, there) if there else ():
                self._route(row, page)
            self._make_room()
        self._pages.move_to_end(number)
        return page

    def _make_room(self) -> None:
        """Let pages go that were not asked for lately; the newest asked for stays."""
        while self._weight > MOST_WEIGHT and len(self._pages) > 1:
            _, gone = self._pages.popitem(last=False)
            self._weight -= gone.weight

    def _route(self, row: Row, page: _Page) -> frozenset[NodeCode]:
        concerned = self._router.onward(row.record, row.via)
        before = len(page.toward)
        for peer in concerned:
            page.toward.setdefault(peer, array("q")).append(row.seq)
        weight = len(concerned) + WAY_WEIGHT * (len(page.toward) - before)
        page.weight += weight
        self._weight += weight
        page.upto = row.seq
        return concerned
