"""The addresses of cameras, logins included: a file of this node that only its own user may read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gateway import private_table
from signaling.ids import NodeCode

Key = tuple[NodeCode, str]
"""Place and name of the collection point."""

_TABLE = (
    "CREATE TABLE IF NOT EXISTS camera (place TEXT, source TEXT, address TEXT NOT NULL, PRIMARY KEY (place, source)) "
    "WITHOUT ROWID"
)


class CameraBook:
    """Which camera looks at which collection point."""

    def __init__(self, path: Path) -> None:
        self._table = private_table.opened(path, _TABLE)
        rows = self._table.execute("SELECT place, source, address FROM camera")
        self._addresses: dict[Key, str] = {(NodeCode(place), source): address for place, source, address in rows}

    def get(self, key: Key) -> str:
        """Return the address, "" where there is no camera."""
        return self._addresses.get(key, "")

    def write(self, addresses: Mapping[Key, str]) -> None:
        """Keep ``addresses``, all or none; "" takes one away.  Blocking: use a thread."""
        kept = [(*key, address) for key, address in addresses.items() if address]
        gone = [key for key, address in addresses.items() if not address]
        self._table.execute("BEGIN")
        self._table.executemany("INSERT OR REPLACE INTO camera VALUES (?, ?, ?)", kept)
        self._table.executemany("DELETE FROM camera WHERE place = ? AND source = ?", gone)
        self._table.execute("COMMIT")
        self._addresses = {key: to for key, to in {**self._addresses, **addresses}.items() if to}

    def close(self) -> None:
        self._table.close()
