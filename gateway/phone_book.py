"""The telephone numbers of people on duty rosters: a file of this node that only its own user may read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gateway import private_table
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
        self._table = private_table.opened(path, _TABLE)
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
        self._table.execute(
            "INSERT OR REPLACE INTO phone VALUES (?, ?, ?, ?)", (division, person, entry.ref, entry.number)
        )
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
        people = self._places.setdefault(division, {})
        before = people.get(person)
        self._numbers[entry.ref] = entry.number
        people[person] = entry
        if before is not None:  # last: the loop reads while a thread writes
            del self._numbers[before.ref]
