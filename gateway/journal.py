"""The truth of a node: an append-only, hash-chained log (``logfile.py``), written by one thread.

The writer commits whatever has gathered (group commit); an ``append`` resolves when its records are on the
disk, never before.  The order of calls is the order in the log.  A record whose key is known is not written
again.  The cursor of a link moves in the transaction of the records it brought.

Listeners see every durable row once, in order, before the ``append`` that wrote it resolves: state is a fold
over them, and ``replay`` at start feeds the same fold.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from gateway import logfile
from gateway.clock import Clock
from gateway.logfile import Cursor, Entry, JournalError, LogFile, Row, Verification
from gateway.reserve import Reserve
from signaling import records
from signaling.ids import Epoch, NodeCode, Seq
from signaling.records import AnyRecord

__all__ = ["Cursor", "Journal", "JournalError", "Listener", "Row", "Verification"]

log = logging.getLogger(__name__)

MAX_GROUP = 1_000
"""Once so many appends are gathered no more are taken: bounds how long the first of them waits."""

RECENT_ROWS = 4_096
"""Rows kept in memory, so that links that follow closely never touch the disk."""

Listener = Callable[[Sequence[Row]], None]


@dataclass(frozen=True, slots=True)
class _Request:
    entries: list[Entry]
    cursor: Cursor | None
    done: asyncio.Future[Seq]


class Journal:
    """Make it with ``Journal.open`` on the running loop that will use it; ``close`` writes what was appended."""

    def __init__(self, file: LogFile, reserve: Reserve | None = None) -> None:
        self._file = file
        self._reserve = reserve
        self._loop = asyncio.get_running_loop()
        self._reader = logfile.connect(file.path)
        self._cursors = {peer: (epoch, seq) for peer, epoch, seq in file.cursors()}
        self._recent: deque[Row] = deque(maxlen=RECENT_ROWS)
        self._listeners: list[Listener] = []
        self._failure: asyncio.Future[BaseException] = self._loop.create_future()
        self._requests: queue.SimpleQueue[list[_Request] | None] = queue.SimpleQueue()
        self._gathered: list[_Request] = []
        """Appended in this turn of the loop: handed to the writer together, and so written together."""
        self._thread = threading.Thread(target=self._write_forever, name="journal", daemon=True)
        self.epoch: Epoch = file.epoch
        self.head: Seq = file.head
        self._thread.start()

    @classmethod
    def open(cls, path: Path, node: NodeCode, clock: Clock, reserve: Reserve | None = None) -> Journal:
        """Open or make the journal of ``node``; ``reserve`` is given up piece by piece when the disk is full.

        Raises:
            JournalError: Another process holds it, it is another node's, or it is damaged.
        """
        return cls(LogFile(path, node, clock), reserve)

    # ---- writing ---------------------------------------------------------------------------------

    def append(
        self, *entries: AnyRecord, via: NodeCode | None = None, cursor: Cursor | None = None
    ) -> asyncio.Future[Seq]:
        """Write ``entries`` after everything appended before; resolves with the head once they are durable.

        Known keys are skipped.  With no entries, only ``cursor`` moves, in its turn.  The future raises
        JournalError when the disk failed; it may be dropped, ``failure`` tells it too.
        """
        done: asyncio.Future[Seq] = self._loop.create_future()
        done.add_done_callback(_retrieved)
        if self._failure.done():
            done.set_exception(JournalError("the journal has failed"))
            return done
        made = [Entry(records.key(record), via, records.encode(record), record) for record in entries]
        if not self._gathered:
            self._loop.call_soon(self._hand_over)
        self._gathered.append(_Request(made, cursor, done))
        return done

    def _hand_over(self) -> None:
        if self._gathered:
            self._requests.put(self._gathered)
            self._gathered = []

    def subscribe(self, listener: Listener) -> None:
        """Call ``listener`` with the durable rows of each commit, in order, from the next commit on."""
        self._listeners.append(listener)

    def follow(self, listener: Listener, prefixes: tuple[str, ...] = ("",)) -> None:
        """Call ``listener`` with the durable rows there are, in order, and then as ``subscribe`` does.

        Args:
            prefixes: What the keys of past rows it needs begin with (``records.key``); decoding the rest would be
                most of the time a restart takes.
        """
        for row in logfile.scan(self._reader, self.head, prefixes):
            listener((row,))
        self.subscribe(listener)

    @property
    def failed(self) -> bool:
        """Whether a write has failed: nothing is accepted any more."""
        return self._failure.done()

    async def failure(self) -> NoReturn:
        """Wait until a write fails, then raise.  Run it in the process's task group.

        Raises:
            JournalError: The process must end: it can no longer keep its word.
        """
        error = await asyncio.shield(self._failure)
        raise JournalError(f"{self._file.path}: {error}") from error

    async def close(self) -> None:
        """Write what was appended, then let go of the file."""
        self._hand_over()
        self._requests.put(None)
        await asyncio.to_thread(self._thread.join)
        self._reader.close()
        self._file.close()

    # ---- reading ---------------------------------------------------------------------------------

    def read(self, after: Seq, limit: int) -> list[Row]:
        """Return up to ``limit`` durable rows after ``after``, in order."""
        if self._recent and self._recent[0].seq <= after + 1:
            start = after + 1 - self._recent[0].seq
            return [self._recent[i] for i in range(start, min(start + limit, len(self._recent)))]
        return logfile.read(self._reader, after, self.head, limit)

    def data(self, seq: Seq) -> bytes:
        """Return the canonical bytes of the durable row ``seq``."""
        if self._recent and self._recent[0].seq <= seq:
            return self._recent[seq - self._recent[0].seq].data
        return logfile.data(self._reader, seq)

    def replay(self, batch: int = 500) -> Iterator[Row]:
        """Yield every durable row from the first."""
        after = Seq(0)
        while rows := self.read(after, batch):
            yield from rows
            after = rows[-1].seq

    def cursor(self, peer: NodeCode) -> tuple[Epoch | None, Seq]:
        """Return how far ``peer``'s journal is durable here: (its epoch, None if never read; sequence number)."""
        return self._cursors.get(peer, (None, Seq(0)))

    async def renew(self, epoch: Epoch) -> None:
        """Give the journal another name: every neighbour reads it anew from the start, and its repeats change nothing.

        Raises:
            sqlite3.Error: It has the name it had.
        """
        await asyncio.to_thread(logfile.rename, self._file.path, epoch)
        self.epoch = epoch

    async def verify(self) -> Verification:
        """Walk the whole chain, in a thread."""
        return await asyncio.to_thread(logfile.verify, self._file.path)

    # ---- the writer thread -----------------------------------------------------------------------

    def _write_forever(self) -> None:
        group: list[_Request] = []
        try:
            while group := self._gather():
                self._loop.call_soon_threadsafe(self._committed, self._commit(group), group)
        except Exception as error:
            log.exception("journal write failed", extra={"path": str(self._file.path)})
            self._loop.call_soon_threadsafe(self._failed, error, group)

    def _commit(self, group: Sequence[_Request]) -> list[Row]:
        """Write ``group``, with room from the reserve when there is none else."""
        cursors = [request.cursor for request in group if request.cursor is not None]
        while True:
            try:
                return self._file.commit((entry for request in group for entry in request.entries), cursors)
            except sqlite3.OperationalError as error:
                full = error.sqlite_errorcode == sqlite3.SQLITE_FULL
                if self._reserve is None or not full or not self._reserve.release():
                    raise
                log.error("disk full; written from the reserve", extra={"reserve": self._reserve.held})

    def _gather(self) -> list[_Request]:
        """Return the requests waiting now, at least one; none when it is time to close."""
        group = list(self._requests.get() or ())
        while group and len(group) < MAX_GROUP and not self._requests.empty():
            more = self._requests.get()
            if more is None:
                self._requests.put(None)
                break
            group += more
        return group

    # ---- back on the loop ------------------------------------------------------------------------

    def _committed(self, rows: Sequence[Row], group: Sequence[_Request]) -> None:
        for request in group:
            if request.cursor is not None:
                peer, epoch, seq = request.cursor
                self._cursors[peer] = (epoch, seq)
        if rows:
            self._recent.extend(rows)
            self.head = rows[-1].seq
            for listener in self._listeners:
                listener(rows)
        for request in group:
            if not request.done.done():
                request.done.set_result(self.head)

    def _failed(self, error: Exception, group: Sequence[_Request]) -> None:
        self._failure.set_result(error)
        self._hand_over()
        waiting = list(group)
        while not self._requests.empty():
            waiting += self._requests.get() or ()
        for request in waiting:
            if not request.done.done():
                request.done.set_exception(JournalError(str(error)))


def _retrieved(done: asyncio.Future[Seq]) -> None:
    """Mark the outcome as seen: whoever does not wait for an append learns of a failure from ``failure``."""
    if not done.cancelled():
        done.exception()
