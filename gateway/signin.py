"""One-time sign-in links: a code on paper or in a chat, good once, over restarts too.

Only the SHA-256 of a code is stored.  ``redeemed_at`` is set in the same statement that reads the
row, and is on the disk before anybody is let in.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from pathlib import Path

import msgspec

from signaling.errors import Refused
from signaling.ids import UtcMs
from signaling.records import Actor

from .clock import Clock

CODE_BYTES = 16
MAX_CODE = 64
_SCHEMA = """
CREATE TABLE IF NOT EXISTS links (
    code_sha256 BLOB PRIMARY KEY,
    actor TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    reusable INTEGER NOT NULL,
    redeemed_at INTEGER
) WITHOUT ROWID
"""
_REDEEM = """
UPDATE links SET redeemed_at = :at
WHERE code_sha256 = :code AND expires_at > :at AND (redeemed_at IS NULL OR (reusable AND :reusable))
RETURNING actor
"""


class SignInLinks:
    """The codes of one gateway.  Calls block on the disk: run them in a thread."""

    def __init__(self, path: Path, clock: Clock, *, reusable: bool) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._clock = clock
        self._reusable = reusable
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute(_SCHEMA)

    def create(self, who: Actor, ttl_s: int, *, reusable: bool = False) -> str:
        """Return a new code that signs ``who`` in, once, within ``ttl_s`` seconds."""
        code, at = self._clock.token(CODE_BYTES), self._clock.at()
        row = (_digest(code), msgspec.json.encode(who).decode(), at + ttl_s * 1000, reusable and self._reusable)
        with self._lock:
            self._database.execute("DELETE FROM links WHERE expires_at < ?", (at - 86_400_000,))
            self._database.execute("INSERT INTO links VALUES (?, ?, ?, ?, NULL)", row)
        return code

    def redeem(self, code: str) -> Actor:
        """Return whom ``code`` signs in, and make it worthless.

        Raises:
            Refused: ``link-invalid``: never made, used before, or too old; which one is not told.
        """
        if len(code) > MAX_CODE:
            raise Refused("link-invalid", "no such sign-in link")
        values = {"code": _digest(code), "at": self._clock.at(), "reusable": self._reusable}
        with self._lock:
            row = self._database.execute(_REDEEM, values).fetchone()
        if row is None:
            raise Refused("link-invalid", "the sign-in link is unknown, used or too old; ask for a new one")
        return msgspec.json.decode(row[0], type=Actor)

    def forget(self, older_than: UtcMs) -> None:
        """Drop the codes that expired before ``older_than``."""
        with self._lock:
            self._database.execute("DELETE FROM links WHERE expires_at < ?", (older_than,))

    def close(self) -> None:
        with self._lock:
            self._database.close()


def _digest(code: str) -> bytes:
    return hashlib.sha256(code.encode("utf-8", "surrogatepass")).digest()
