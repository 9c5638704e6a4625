"""Files that go with a directive: which kinds, how large, how they are told.

Pure.  A kind is what the first bytes say, never what a name or a header says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from . import text
from .errors import Refused
from .ids import Sha256

MAX_ATTACHMENTS = 8
MAX_ATTACHMENT_BYTES = 4 << 20
MAX_FILE_NAME = 120
SNIFFED_BYTES = 64
"""So many first bytes tell the kind."""

PDF, JPEG, PNG, OGG, WEBM = "application/pdf", "image/jpeg", "image/png", "audio/ogg", "audio/webm"
MEDIA = frozenset({PDF, JPEG, PNG, OGG, WEBM})
VOICES = frozenset({OGG, WEBM})
"""What a browser records a voice into: Ogg with Opus, or WebM with Opus where it writes no Ogg."""

_BEGINNINGS: Mapping[bytes, str] = {
    b"%PDF-": PDF,
    b"\xff\xd8\xff": JPEG,
    b"\x89PNG\r\n\x1a\n": PNG,
    b"\x1a\x45\xdf\xa3": WEBM,
}
_OGG_PAGE = b"OggS"
_OPUS_HEAD = b"OpusHead"


class Attachment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A file known by its SHA-256.  ``media`` is its type, ``name`` what people call it."""

    sha256: Sha256
    size: int
    media: str
    name: str


def media_of(beginning: bytes) -> str:
    """Return the type of a file from its first SNIFFED_BYTES bytes.

    Raises:
        Refused: ``attachment-kind``: not one that may be attached.
    """
    for mark, media in _BEGINNINGS.items():
        if beginning.startswith(mark):
            return media
    if beginning.startswith(_OGG_PAGE) and _OPUS_HEAD in beginning[:SNIFFED_BYTES]:  # RFC 7845 section 5.1
        return OGG
    raise Refused("attachment-kind", "not PDF, JPEG, PNG, or an Opus voice in Ogg or WebM")


def is_sha256(value: Sha256 | str) -> bool:
    """Return whether ``value`` is 64 lower-case hexadecimal digits."""
    return len(value) == 64 and all(c in "0123456789abcdef" for c in value)


def check_attachments(attachments: Sequence[Attachment], voice: Sha256 | str) -> None:
    """Return if the files may go with a directive and ``voice`` ("": none) is one of them.

    Raises:
        Refused: ``bad-attachment`` or ``bad-text``.
    """
    if len(attachments) > MAX_ATTACHMENTS or len({a.sha256 for a in attachments}) != len(attachments):
        raise Refused("bad-attachment", f"{len(attachments)} attachments, limit {MAX_ATTACHMENTS}, or one twice")
    for attachment in attachments:
        text.line(attachment.name, "attachments.name", MAX_FILE_NAME)
        if not is_sha256(attachment.sha256) or attachment.media not in MEDIA:
            raise Refused("bad-attachment", "sha256: not 64 hexadecimal digits, or media: not one that may be attached")
        if not 0 < attachment.size <= MAX_ATTACHMENT_BYTES:
            raise Refused("bad-attachment", f"size: {attachment.size}, not in 1..{MAX_ATTACHMENT_BYTES}")
    if voice and not any(a.sha256 == voice and a.media in VOICES for a in attachments):
        raise Refused("bad-attachment", "voice: not a recorded voice among the attachments")
