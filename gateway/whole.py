"""Files that are there whole or not at all, also when the power goes."""

from __future__ import annotations

import os
from pathlib import Path


def put(path: Path, data: bytes, part: Path | None = None, mode: int = 0o644) -> None:
    """Have ``data`` at ``path``, in place of what was there; it is on the disk when this returns.  Blocking.

    Args:
        part: Where it is written first, in the same file system; a leftover of it means nothing.
    """
    part = part or path.with_name(f".{path.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
    sync(path.parent)


def sync(directory: Path) -> None:
    """Return when the names in ``directory`` are on the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
