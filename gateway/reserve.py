"""Room on the disk that is kept for what must still be written when there is none: a file that holds nothing.

The journal's writer gives it back in pieces when a commit finds the disk full, so directives, alarms and audit go on
being written long after pictures are refused.  It is taken again once there is room.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from pathlib import Path

PIECES = 16
"""Parts in which it is given back: a person has the time of all of them to make room."""
FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the kernel says when there is no room."""


class Reserve:
    """Used by the journal's thread and by the loop."""

    def __init__(self, path: Path, size: int) -> None:
        """Take ``size`` bytes at ``path`` as far as there is room; 0: none is kept."""
        self.path = path
        self.size = size
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if self.held > size:
            os.ftruncate(self._descriptor, size)
        self.fill()

    @property
    def held(self) -> int:
        """Bytes it keeps now."""
        return os.fstat(self._descriptor).st_size

    def fill(self) -> None:
        """Take what is missing, if the disk has room for all of it."""
        with self._lock:
            held = self.held
            if held >= self.size:
                return
            try:
                os.posix_fallocate(self._descriptor, held, self.size - held)
            except OSError as error:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._descriptor, held)
                if error.errno not in FULL:
                    raise

    def release(self) -> bool:
        """Give a piece back to the disk; False when nothing is left."""
        with self._lock:
            held = self.held
            if held == 0:
                return False
            os.ftruncate(self._descriptor, max(0, held - max(1, self.size // PIECES)))
            return True

    def close(self) -> None:
        os.close(self._descriptor)
