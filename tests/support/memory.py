"""A journal whose disk is a list, and whose power can be cut between any two appends.

Same promises as ``gateway.journal.Journal``; ``flush`` is the moment things become durable.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence

from gateway.journal import Cursor, Row
from signaling import records
from signaling.ids import Epoch, NodeCode, Seq
from signaling.records import AnyRecord


class Disk:
    """What survives a power cut."""

    def __init__(self, node: NodeCode) -> None:
        self.epoch = Epoch(f"e-{node}")
        self.rows: list[Row] = []
        self.keys: set[str] = set()
        self.cursors: dict[NodeCode, tuple[Epoch, Seq]] = {}


class MemoryJournal:
    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.epoch = disk.epoch
        self._waiting: list[tuple[tuple[AnyRecord, ...], NodeCode | None, Cursor | None, asyncio.Future[Seq]]] = []
        self._listeners: list[Callable[[Sequence[Row]], None]] = []

    @property
    def head(self) -> Seq:
        return Seq(len(self.disk.rows))

    def append(
        self, *entries: AnyRecord, via: NodeCode | None = None, cursor: Cursor | None = None
    ) -> asyncio.Future[Seq]:
        done: asyncio.Future[Seq] = asyncio.get_running_loop().create_future()
        self._waiting.append((entries, via, cursor, done))
        return done

    def flush(self, count: int | None = None, *, tell: bool = True) -> None:
        """Make the first ``count`` waiting appends durable; ``tell=False``: the power goes before anybody hears."""
        count = len(self._waiting) if count is None else count
        flushed, self._waiting = self._waiting[:count], self._waiting[count:]
        rows = [row for entries, via, cursor, _ in flushed for row in self._write(entries, via, cursor)]
        if not tell:
            return
        for listener in self._listeners if rows else ():
            listener(rows)
        for *_, done in flushed:
            if not done.done():
                done.set_result(self.head)

    def _write(self, entries: tuple[AnyRecord, ...], via: NodeCode | None, cursor: Cursor | None) -> Iterator[Row]:
        for record in entries:
            key = records.key(record)
            if key not in self.disk.keys:
                self.disk.keys.add(key)
                row = Row(Seq(self.head + 1), key, record.at, via, records.encode(record), record)
                self.disk.rows.append(row)
                yield row
        if cursor is not None:
            self.disk.cursors[cursor[0]] = cursor[1:]

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def cut(self) -> None:
        """What was not durable never was; nobody hears of it."""
        for *_, done in self._waiting:
            done.cancel()
        self._waiting = []

    def follow(self, listener: Callable[[Sequence[Row]], None], prefixes: tuple[str, ...] = ("",)) -> None:
        for row in self.disk.rows:
            if row.key.startswith(prefixes):
                listener((row,))
        self._listeners.append(listener)

    def replay(self) -> Iterator[Row]:
        return iter(list(self.disk.rows))

    def cursor(self, peer: NodeCode) -> tuple[Epoch | None, Seq]:
        return self.disk.cursors.get(peer, (None, Seq(0)))
