"""The disk of ``disk.c``: what it would hold had the power gone at any moment, unsynced writes lost."""

from __future__ import annotations

import functools
import os
import random
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = Path(__file__).with_name("disk.c")
HEADER = struct.Struct("<cHQI")
SECTOR = 512
"""A write that was under way when the power went may be there in part, by sectors."""


@functools.cache
def library() -> Path:
    """Compile the preloaded library; a machine without a C compiler fails here, and must: cargo needs one too.

    Raises:
        RuntimeError: No compiler, or it refuses.
    """
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise RuntimeError("no C compiler (cc, gcc or clang): crash points of the journal cannot be proved without")
    made = Path(tempfile.mkdtemp(prefix="wuji-disk-")) / "disk.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(made), str(SOURCE), "-ldl", "-lpthread"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    return made


def environment(root: Path, *, trace: Path | None = None, room: int | None = None) -> dict[str, str]:
    """Return what a process needs so that ``root`` lies on such a disk, with ``room`` bytes in all."""
    found = {**os.environ, "LD_PRELOAD": str(library()), "WUJI_DISK": str(root)}
    if trace is not None:
        found["WUJI_DISK_TRACE"] = str(trace)
    if room is not None:
        found["WUJI_DISK_BYTES"] = str(room)
    return found


@dataclass(frozen=True, slots=True)
class Change:
    """One record of the trace; see ``disk.c`` for ``what``."""

    what: str
    path: str
    offset: int = 0
    data: bytes = b""


def read_trace(file: Path) -> Iterator[Change]:
    raw, at = file.read_bytes(), 0
    while at < len(raw):
        what, name, offset, length = HEADER.unpack_from(raw, at)
        at += HEADER.size
        path = raw[at : at + name].decode()
        at += name
        size = length if what in b"WA" else 0
        yield Change(what.decode(), path, offset, raw[at : at + size])
        at += size


def apply(content: bytes | None, change: Change, upto: int | None = None) -> bytes | None:
    """Return a file after ``change``, of which only the first ``upto`` bytes arrived; None: there is no file."""
    old = content or b""
    match change.what:
        case "W":
            data = change.data if upto is None else change.data[:upto]
            return old[: change.offset].ljust(change.offset, b"\0") + data + old[change.offset + len(data) :]
        case "T":
            return old[: change.offset].ljust(change.offset, b"\0")
        case "U":
            return None
        case _:
            return content


@dataclass
class Disk:
    """Replays a trace.  ``synced`` is what certainly survives, ``pending`` what was written to each file since."""

    synced: dict[str, bytes | None] = field(default_factory=dict)
    pending: dict[str, list[Change]] = field(default_factory=dict)
    _asked: dict[str, int] = field(default_factory=dict)

    def take(self, change: Change) -> None:
        match change.what:
            case "B":
                for path in self._of(change.path):
                    self._asked[path] = len(self.pending[path])
            case "S":
                for path in self._of(change.path):
                    self._settle(path, self._asked.pop(path, 0), names_only=path != change.path)
            case "A":
                pass
            case _:
                self.pending.setdefault(change.path, []).append(change)

    def _of(self, path: str) -> list[str]:
        """Return what a sync of ``path`` is about: a file itself, a directory the names in it."""
        return [known for known in self.pending if path in (known, str(Path(known).parent))]

    def _settle(self, path: str, count: int, *, names_only: bool) -> None:
        """The first ``count`` changes of ``path`` are durable; of a directory's names, up to the last unlink."""
        waiting = self.pending[path]
        if names_only:
            count = max((n + 1 for n, change in enumerate(waiting[:count]) if change.what == "U"), default=0)
        for done in waiting[:count]:
            self.synced[path] = apply(self.synced.get(path), done)
        del waiting[:count]

    def after_power_cut(self, draw: random.Random | None) -> Mapping[str, bytes]:
        """Return the files that are left: of what was not synced nothing, or with ``draw`` any part of it."""
        left: dict[str, bytes] = {}
        for path in self.synced.keys() | self.pending.keys():
            content = self.synced.get(path)
            for change in self.pending.get(path, ()) if draw else ():
                assert draw is not None
                fate = draw.random()
                if fate < 0.4:
                    content = apply(content, change)
                elif fate < 0.6 and change.what == "W":
                    content = apply(content, change, SECTOR * draw.randint(0, len(change.data) // SECTOR))
            if content is not None:
                left[path] = content
        return left
