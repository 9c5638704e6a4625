"""The telephone numbers of people on duty rosters: a file of this node that only its own user may read.

They stand in no record: records are kept for ever and read by others.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from signaling.ids import NodeCode

_TABLE = (
    "CREATE TABLE IF NOT EXISTS phone (division TEXT, person TEXT, ref TEXT NOT NULL UNIQUE, number TEXT NOT NULL, "
    "PRIMARY KEY (division, person)) WITHOUT ROWID"
)


@dataclass(frozen=True, slots=True)
class Entry:
    """``ref`` names the person in records and says nothing of them; ``number`` is digits, perhaps after a plus."""

    ref: str
    number: str


class PhoneBook:
    """Numbers by place and person."""

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600)
        path.chmod(0o600)
        self._table = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._table.execute("PRAGMA secure_delete = ON")
        self._table.execute(_TABLE)
        self._places: dict[NodeCode, dict[str, Entry]] = {}
        self._numbers: dict[str, str] = {}
        for division, person, ref, number in self._table.execute("SELECT division, person, ref, number FROM phone"):
            self._note(NodeCode(division), person, Entry(ref, number))

    def at(self, division: NodeCode) -> dict[str, Entry]:
        """Return those of ``division`` who have a number, by name."""
        return dict(self._places.get(division, {}))

    def number(self, ref: str) -> str:
        """Return the number of ``ref``, "" when nobody has it."""
        return self._numbers.get(ref, "")

    def write(self, division: NodeCode, person: str, entry: Entry) -> None:
        """Keep the number of ``person``, in the place of an earlier one.  Blocking: use a thread."""
        self._table.execute("INSERT OR REPLACE INTO phone VALUES (?, ?, ?, ?)", (division, person, *_columns(entry)))
        self._note(division, person, entry)

    def forget(self, division: NodeCode, person: str) -> None:
        """Keep no number of ``person``; no trace of it stays in the file.  Blocking: use a thread."""
        self._table.execute("DELETE FROM phone WHERE division = ? AND person = ?", (division, person))
        gone = self._places.get(division, {}).pop(person, None)
        if gone is not None:
            del self._numbers[gone.ref]

    def close(self) -> None:
        self._table.close()

    def _note(self, division: NodeCode, person: str, entry: Entry) -> None:
        before = self._places.setdefault(division, {}).get(person)
        if before is not None:
            del self._numbers[before.ref]
        self._places[division][person] = entry
        self._numbers[entry.ref] = entry.number


def _columns(entry: Entry) -> tuple[str, str]:
    return entry.ref, entry.number
