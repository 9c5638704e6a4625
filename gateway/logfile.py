"""The file a journal is kept in: records in order, each chained to the one before by SHA-256.

Synchronous; ``journal.py`` calls it from its writer thread.  SQLite in WAL mode with ``synchronous=FULL``: when
``commit`` returns, what it wrote survives a power cut.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.clock import Clock
from signaling import records
from signaling.errors import MalformedMessage
from signaling.ids import Epoch, NodeCode, RecordKey, Seq, UtcMs
from signaling.records import AnyRecord

FORMAT = "1"
NO_CHAIN = bytes(32)
BUSY_S = 10.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS records (
  seq INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, at INTEGER NOT NULL, via TEXT, data BLOB NOT NULL,
  chain BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS cursors (peer TEXT PRIMARY KEY, epoch TEXT NOT NULL, seq INTEGER NOT NULL) WITHOUT ROWID;
"""

Cursor = tuple[NodeCode, Epoch, Seq]
"""How far a peer's journal has been read: the peer, which journal of its, its last record that is durable here."""


class JournalError(Exception):
    """The journal cannot be used: in use by another process, damaged, another node's, or the disk failed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record on its way into the log."""

    key: RecordKey
    via: NodeCode | None
    data: bytes
    record: AnyRecord


@dataclass(frozen=True, slots=True)
class Row:
    """One record as it stands in the log.  ``via`` is the neighbour it came by, None if born here."""

    seq: Seq
    key: RecordKey
    at: UtcMs
    via: NodeCode | None
    data: bytes
    record: AnyRecord


@dataclass(frozen=True, slots=True)
class Verification:
    """What walking the chain found.

    ``count`` rows follow one from the other; ``chain`` is the hash after the last of them; ``broken_at`` is the
    first row that does not follow, None if all do.
    """

    count: int
    chain: bytes
    broken_at: Seq | None


class LogFile:
    """Exclusive: one process, and in it one thread at a time, may hold a node's log."""

    def __init__(self, path: Path, node: NodeCode, clock: Clock) -> None:
        """Open or make the log of ``node``.

        Raises:
            JournalError: Another process holds it, it is another node's, or it is no log of this format.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._lock = _lock(path)
        try:
            self._connection = connect(path)
            self.epoch = _prepare(self._connection, node, clock)
            last = self._connection.execute("SELECT seq, chain FROM records ORDER BY seq DESC LIMIT 1").fetchone()
        except sqlite3.Error as error:
            os.close(self._lock)
            raise JournalError(f"{path}: {error}") from error
        except JournalError:
            os.close(self._lock)
            raise
        self.head, self._chain = (Seq(last[0]), bytes(last[1])) if last else (Seq(0), NO_CHAIN)

    def commit(self, entries: Iterable[Entry], cursors: Iterable[Cursor]) -> list[Row]:
        """Write the entries whose key is new, and the cursors, in one transaction; return the new rows.

        Raises:
            sqlite3.Error: Nothing of this was written.
        """
        head, chain, rows = self.head, self._chain, []
        with self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            for entry in entries:
                after, at = records.chain(chain, entry.data), entry.record.at
                written = connection.execute(
                    "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
                    (head + 1, entry.key, at, entry.via, entry.data, after),
                )
                if not written.rowcount:
                    continue
                head, chain = Seq(head + 1), after
                rows.append(Row(head, entry.key, at, entry.via, entry.data, entry.record))
            connection.executemany("INSERT OR REPLACE INTO cursors VALUES (?, ?, ?)", cursors)
        self.head, self._chain = head, chain
        return rows

    def cursors(self) -> Iterator[Cursor]:
        yield from self._connection.execute("SELECT peer, epoch, seq FROM cursors")

    def close(self) -> None:
        self._connection.close()
        os.close(self._lock)


def rename(path: Path, epoch: Epoch) -> None:
    """Write that the log at ``path`` has another epoch.  It may be in use.

    Raises:
        sqlite3.Error: It was not written.
    """
    with contextlib.closing(connect(path)) as connection, connection:
        connection.execute("UPDATE meta SET value = ? WHERE name = 'epoch'", (epoch,))


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection any one thread at a time may use; transactions are begun by hand."""
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def read(connection: sqlite3.Connection, after: Seq, upto: Seq, limit: int) -> list[Row]:
    """Return up to ``limit`` rows with after < seq <= upto, in order."""
    found = connection.execute(
        "SELECT seq, key, at, via, data FROM records WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
        (after, upto, limit),
    )
    return [Row(seq, key, at, via, data, records.decode(data)) for seq, key, at, via, data in found]


def data(connection: sqlite3.Connection, seq: Seq) -> bytes:
    """Return the canonical bytes of a row that is there."""
    (found,) = connection.execute("SELECT data FROM records WHERE seq = ?", (seq,)).fetchone()
    return bytes(found)


def scan(connection: sqlite3.Connection, upto: Seq, prefixes: tuple[str, ...]) -> Iterator[Row]:
    """Yield the rows up to ``upto`` whose key begins with one of ``prefixes``; the others are not even decoded."""
    for seq, key, at, via, data in connection.execute(
        "SELECT seq, key, at, via, data FROM records WHERE seq <= ? ORDER BY seq", (upto,)
    ):
        if key.startswith(prefixes):
            yield Row(seq, key, at, via, data, records.decode(data))


def verify(path: Path) -> Verification:
    """Walk the chain of the log at ``path`` from its first record.  The log may be in use.

    Raises:
        JournalError: It is no log.
    """
    if not path.is_file():
        raise JournalError(f"{path}: no such file")
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=BUSY_S)
    try:
        return walk(connection.execute("SELECT seq, key, data, chain FROM records ORDER BY seq"))
    except sqlite3.Error as error:
        raise JournalError(f"{path}: {error}") from error
    finally:
        connection.close()


def walk(rows: Iterable[Sequence[object]]) -> Verification:
    """Check that rows (seq, key, data, chain) are numbered 1, 2, … and that each follows from the one before."""
    count, chain = 0, NO_CHAIN
    for seq, key, data, told in rows:
        expected = records.chain(chain, bytes(data)) if isinstance(data, bytes) else NO_CHAIN
        if seq != count + 1 or told != expected or key != _key_of(data):
            return Verification(count, chain, Seq(count + 1))
        count, chain = count + 1, expected
    return Verification(count, chain, None)


def _key_of(data: object) -> RecordKey | None:
    try:
        return records.key(records.decode(data)) if isinstance(data, bytes) else None
    except MalformedMessage:
        return None


def _lock(path: Path) -> int:
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise JournalError(f"{path}: in use by another process") from None
    return descriptor


def _prepare(connection: sqlite3.Connection, node: NodeCode, clock: Clock) -> Epoch:
    """Make the tables if there are none, check whose log it is, and return its epoch."""
    connection.executescript(_SCHEMA)
    new = {"format": FORMAT, "node": node, "epoch": clock.new_id("e"), "created_at": str(clock.at())}
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT OR IGNORE INTO meta VALUES (?, ?)", new.items())
    found: dict[str, str] = dict(connection.execute("SELECT name, value FROM meta"))
    if found["format"] != FORMAT:
        raise JournalError(f"journal format {found['format']}, this program writes {FORMAT}")
    if found["node"] != node:
        raise JournalError(f"journal of node {found['node']}, not of {node}")
    return Epoch(found["epoch"])
