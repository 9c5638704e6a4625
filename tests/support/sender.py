"""What the links of a node send from: ``Links`` without sockets."""

from collections.abc import Iterator, Sequence

from gateway.batches import Batches
from gateway.express import Express
from gateway.journal import Journal, Row
from gateway.ways import Ways
from signaling.ids import NodeCode, Seq
from signaling.messages import LinkRecords
from signaling.routing import Router

START = Seq(0)


class Sender:
    """Wired as ``Links`` is; construct before anything is appended."""

    def __init__(self, journal: Journal, router: Router) -> None:
        self.journal = journal
        self.router = router
        journal.follow(self._note)
        self.ways = Ways(journal, router)
        self.express = Express(journal, router)
        journal.subscribe(self._grew)

    def _note(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self.router.note(row.record)

    def _grew(self, rows: Sequence[Row]) -> None:
        self.ways.grew(rows)

    def drain(self, peer: NodeCode, after: Seq = START) -> Iterator[LinkRecords]:
        """Yield what a link to ``peer`` sends until nothing is left."""
        batches = Batches(self, peer, after)
        while (batch := batches.ahead() or batches.next()) is not None:
            yield batch
