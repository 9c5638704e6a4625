"""Files of directives: taken in here, known by hash, fetched from above, given to whoever may read the directive.

A file is uploaded before the directive that names it; until then it is loose, and loose files are bounded in number
of bytes and in time.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.blobs import Blobs
from gateway.clock import Clock
from signaling.attachment import MAX_ATTACHMENT_BYTES, SNIFFED_BYTES, Attachment, media_of
from signaling.errors import Refused
from signaling.ids import DirectiveId, Monotonic, NodeCode, Sha256
from signaling.records import DirectiveIssued

MAX_LOOSE_BYTES = 64 << 20
LOOSE_S = 3_600.0


class Attachments:
    """Which directives a file belongs to.  None for ``blobs``: a node without a store attaches nothing."""

    def __init__(self, blobs: Blobs | None, clock: Clock) -> None:
        self._blobs = blobs
        self._clock = clock
        self._of: dict[Sha256, tuple[Attachment, list[DirectiveId]]] = {}
        self._loose: dict[Sha256, tuple[Monotonic, int]] = {}

    async def upload(self, data: bytes, name: str) -> Attachment:
        """Keep a file that a directive is about to name.

        Raises:
            Refused: ``attachment-kind``, ``blob-too-large``, ``blob-space`` or ``too-many-uploads``.
        """
        media = media_of(data[:SNIFFED_BYTES])
        if self._blobs is None or len(data) > MAX_ATTACHMENT_BYTES:
            raise Refused("blob-too-large", f"{len(data)} bytes, limit {MAX_ATTACHMENT_BYTES}")
        self._forget_old()
        if sum(size for _, size in self._loose.values()) + len(data) > MAX_LOOSE_BYTES:
            raise Refused("too-many-uploads", f"{len(self._loose)} files wait to be attached")
        sha256 = await self._blobs.put(data)
        if sha256 not in self._of and self._blobs.known(sha256) is None:
            self._loose[sha256] = (self._clock.now(), len(data))
        return Attachment(sha256=sha256, size=len(data), media=media, name=name)

    def _forget_old(self) -> None:
        now = self._clock.now()
        for sha256, (at, _) in list(self._loose.items()):
            if now - at > LOOSE_S:
                del self._loose[sha256]
                if self._blobs is not None:
                    self._blobs.drop(sha256)

    def check(self, files: Sequence[Attachment]) -> None:
        """Return if every file is here, and is what it is said to be.

        Raises:
            Refused: ``unknown-attachment`` or ``bad-attachment``.
        """
        for file in files:
            size = None if self._blobs is None else self._blobs.size(file.sha256)
            if size is None or self._blobs is None:
                raise Refused("unknown-attachment", f"{file.name[:40]!r} has not been uploaded")
            with self._blobs.path(file.sha256).open("rb") as kept:
                media = media_of(kept.read(SNIFFED_BYTES))
            if (size, media) != (file.size, file.media):
                raise Refused("bad-attachment", f"{file.name[:40]!r} is {size} bytes of {media}")

    def hold(self, files: Sequence[Attachment]) -> None:
        """A draft names ``files``: they stay."""
        for file in files:
            self._loose.pop(file.sha256, None)

    def learn(self, issued: DirectiveIssued, via: NodeCode | None) -> None:
        """A directive names its files: fetch what is not here, the voice first."""
        self.hold(issued.attachments)
        for file in sorted(issued.attachments, key=lambda file: file.sha256 != issued.voice):
            _, directives = self._of.setdefault(file.sha256, (file, []))
            directives.append(issued.directive)
            if self._blobs is not None:
                self._blobs.know(file.sha256, file.size, via)
                self._blobs.want(file.sha256)

    def directives(self, sha256: Sha256) -> tuple[DirectiveId, ...]:
        """Return the directives that name a file; none for what is no attachment."""
        known = self._of.get(sha256)
        return tuple(known[1]) if known else ()

    async def read(self, sha256: Sha256) -> tuple[bytes, str]:
        """Return a file's bytes and its type.

        Raises:
            Refused: ``unknown-blob``, or ``blob-pending``: ask again soon.
        """
        known = self._of.get(sha256)
        if known is None or self._blobs is None:
            raise Refused("unknown-blob", "no directive has this file")
        data = await self._blobs.get(sha256)
        if data is None:
            self._blobs.want(sha256)
            raise Refused("blob-pending", "the file is on its way")
        return data, known[0].media
