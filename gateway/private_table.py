"""Tables of a node that stand in no record: records are kept for ever and read by others."""

from __future__ import annotations

import sqlite3
from pathlib import Path


def opened(path: Path, table: str) -> sqlite3.Connection:
    """Return the database at ``path``, made if need be, with ``table`` in it.

    Only the node's own user may read the file, and what is deleted leaves no trace in it.  Each statement is durable
    when it returns, unless a transaction is begun; any thread may use the connection, one at a time.

    Args:
        table: A ``CREATE TABLE IF NOT EXISTS``.
    """
    path.touch(mode=0o600)
    path.chmod(0o600)
    found = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    found.execute("PRAGMA secure_delete = ON")
    found.execute(table)
    return found
