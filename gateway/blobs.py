"""Pictures, kept under the SHA-256 of their bytes.

``put`` returns once the bytes survive a power cut.  What is known by hash but not yet here is in the registry:
records say which neighbour has it, somebody wants it, a link fetches it.  Links and alarms meet only here.
"""

from __future__ import annotations

import asyncio
import enum
import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway import whole
from gateway.reserve import FULL
from signaling.attachment import is_sha256
from signaling.errors import Refused
from signaling.ids import NodeCode, Sha256

log = logging.getLogger(__name__)

MAX_BLOB_BYTES = 4 << 20
DEFAULT_SPACE_BYTES = 4 << 30


class Rank(enum.IntEnum):
    """What is fetched before what; of one rank what was wanted first.  After an earthquake thousands wait."""

    FLASH = 0  # thumbnail of a P0
    URGENT = 1  # thumbnail of a P1
    ASKED = 2  # what somebody waits for: a full picture, a file
    ROUTINE = 3  # thumbnail of any other alarm


_PARTIAL = ".part"


@dataclass(frozen=True, slots=True)
class Known:
    """A blob that records speak of: its size, and the neighbour they came by (None: made here)."""

    sha256: Sha256
    size: int
    via: NodeCode | None


class Blobs:
    """One directory.  Names are hashes, so no name off the wire ever reaches the file system.

    Args:
        directory: Made if missing.
        space_bytes: All blobs together; beyond, ``put`` is refused.
        admits: Whether the disk has room for so many bytes of something that can be done without.
    """

    def __init__(
        self,
        directory: Path,
        space_bytes: int = DEFAULT_SPACE_BYTES,
        admits: Callable[[int], bool] = lambda _: True,
    ) -> None:
        self._directory = directory
        self._admits = admits
        self._space = space_bytes
        self._sizes: dict[Sha256, int] = _scan(directory)
        self._used = sum(self._sizes.values())
        self._known: dict[Sha256, Known] = {}
        self._wanted: dict[Sha256, Rank] = {}
        self._writing: dict[Sha256, asyncio.Task[None]] = {}
        self._arrived: list[Callable[[Sha256], None]] = []
        self._asked: list[Callable[[Known], None]] = []
        self._parts = 0

    # ---- bytes -----------------------------------------------------------------------------------

    async def put(self, data: bytes) -> Sha256:
        """Keep ``data`` durably and return its hash.  Keeping it twice changes nothing.

        Raises:
            Refused: ``blob-too-large`` or ``blob-space``.
        """
        if not 0 < len(data) <= MAX_BLOB_BYTES:
            raise Refused("blob-too-large", f"{len(data)} bytes, not in 1..{MAX_BLOB_BYTES}")
        sha256 = Sha256(await asyncio.to_thread(_digest, data))
        if sha256 not in self._sizes:
            writing = self._writing.get(sha256) or self._start(sha256, data)
            await asyncio.shield(writing)
        self._wanted.pop(sha256, None)
        for arrived in self._arrived:
            arrived(sha256)
        return sha256

    def _start(self, sha256: Sha256, data: bytes) -> asyncio.Task[None]:
        if self._used + len(data) > self._space:
            raise Refused("blob-space", f"{self._used} of {self._space} bytes used")
        if not self._admits(len(data)):
            raise Refused("blob-space", "the disk is nearly full")
        self._used += len(data)
        writing = self._writing[sha256] = asyncio.create_task(self._keep(sha256, data), name="blob write")
        return writing

    async def _keep(self, sha256: Sha256, data: bytes) -> None:
        """Write the file; only then is the blob here."""
        part = self._part(sha256)
        try:
            await asyncio.to_thread(self._write, sha256, data, part)
        except BaseException as error:
            self._used -= len(data)
            part.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno in FULL:
                raise Refused("blob-space", "the disk is full") from error
            raise
        else:
            self._sizes[sha256] = len(data)
        finally:
            del self._writing[sha256]

    def drop(self, sha256: Sha256) -> None:
        """Forget a blob that nothing names."""
        size = self._sizes.pop(sha256, None)
        if size is not None:
            self._used -= size
            self.path(sha256).unlink(missing_ok=True)

    def has(self, sha256: Sha256) -> bool:
        return sha256 in self._sizes

    def size(self, sha256: Sha256) -> int | None:
        """Return the bytes of a blob that is here, else None."""
        return self._sizes.get(sha256)

    def path(self, sha256: Sha256) -> Path:
        """Return where the blob is or would be.

        Raises:
            Refused: ``unknown-blob``: not a hash.
        """
        if not is_sha256(sha256):
            raise Refused("unknown-blob", "not 64 lower-case hexadecimal digits")
        return self._directory / sha256[:2] / sha256

    async def get(self, sha256: Sha256) -> bytes | None:
        """Return the bytes, or None if they are not here."""
        if not self.has(sha256):
            return None
        return await asyncio.to_thread(self.path(sha256).read_bytes)

    async def read(self, sha256: Sha256, offset: int, limit: int) -> bytes:
        """Return up to ``limit`` bytes from ``offset``; empty when they are not here."""
        if not self.has(sha256) or offset < 0:
            return b""
        return await asyncio.to_thread(_read_part, self.path(sha256), offset, limit)

    def _part(self, sha256: Sha256) -> Path:
        self._parts += 1
        return self._directory / f"{sha256}.{self._parts}{_PARTIAL}"

    def _write(self, sha256: Sha256, data: bytes, part: Path) -> None:
        path = self.path(sha256)
        path.parent.mkdir(exist_ok=True)
        whole.put(path, data, part)
        whole.sync(self._directory)

    # ---- the registry ----------------------------------------------------------------------------

    def know(self, sha256: Sha256, size: int, via: NodeCode | None) -> None:
        """Remember what records say: this blob exists, and the neighbour it can be had from."""
        self._known.setdefault(sha256, Known(sha256, size, via))

    def known(self, sha256: Sha256) -> Known | None:
        return self._known.get(sha256)

    def want(self, sha256: Sha256, rank: Rank = Rank.ASKED) -> bool:
        """Ask the neighbour that has it, or ask sooner.  Return whether it is known, remote and not here."""
        known = self._known.get(sha256)
        if known is None or known.via is None or self.has(sha256):
            return False
        before = self._wanted.get(sha256)
        if before is None or rank < before:
            self._wanted[sha256] = rank
            for asked in self._asked:
                asked(known)
        return True

    def wanted(self, neighbour: NodeCode) -> tuple[Known, ...]:
        """Return what is to be fetched from ``neighbour``, oldest wish first."""
        return tuple(self._known[s] for s in self._wanted if self._known[s].via == neighbour)

    def rank(self, sha256: Sha256) -> Rank | None:
        """Return how soon a blob is to be fetched, None when it is not wanted, or here."""
        return self._wanted.get(sha256)

    def forget(self, sha256: Sha256) -> None:
        """Stop wanting a blob: what came was not it."""
        self._wanted.pop(sha256, None)

    def on_wanted(self, callback: Callable[[Known], None]) -> None:
        """Call ``callback`` when a blob begins to be wanted, or is wanted sooner."""
        self._asked.append(callback)

    def on_blob(self, callback: Callable[[Sha256], None]) -> None:
        """Call ``callback`` when a blob is durably here."""
        self._arrived.append(callback)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _scan(directory: Path) -> dict[Sha256, int]:
    """Return the blobs in ``directory``; remove what a power cut left half written."""
    directory.mkdir(parents=True, exist_ok=True)
    for part in directory.glob(f"*{_PARTIAL}"):
        part.unlink()
    found = (path for path in directory.glob("??/*") if is_sha256(path.name) and path.is_file())
    return {Sha256(path.name): path.stat().st_size for path in found}


def _read_part(path: Path, offset: int, limit: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(limit)
