"""A way out that is a folder: CAP 1.2 files for a program that hands them on to 12379 or 应急广播.

Those systems have interfaces of their own, under contract; this is an example that interoperates by files.  What
the other program finds is whole: ``NAME.xml`` is put there first, ``NAME.json`` last, both by renaming what is
already on the disk.  Its receipts are files in ``receipts/``: ``{"identifier", "status", "detail"}``.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import stamina

from gateway import whole
from gateway.adapters import Notice
from gateway.outbound import CallFailed
from signaling import cap
from signaling.cap import Alert, CapError, Status

log = logging.getLogger(__name__)

RECEIPTS = "receipts"
DONE, BAD = "done", "bad"
"""Where receipts go that were written down, and files that are none."""
MAX_RECEIPT_BYTES = 16_384
MAX_RECEIPTS = 500
"""Looked at in one go; the others wait for the next."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,119}")

Compose = Callable[[Notice], Alert]
"""Gives the message of a notice; raises CallFailed."""


class Receipt(msgspec.Struct, frozen=True):
    """What the far side says of one message; further fields are its own affair."""

    identifier: Annotated[str, msgspec.Meta(min_length=1, max_length=cap.MAX_NAME)]
    status: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
    detail: Annotated[str, msgspec.Meta(max_length=500)] = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A file of ``receipts/``; ``receipt`` None: it is none."""

    path: Path
    receipt: Receipt | None


class FileDrop:
    """Puts messages into ``folder``; everybody hears them."""

    name = "filedrop"
    public = True

    def __init__(self, folder: Path, compose: Compose, attempts: int = 5) -> None:
        self._folder = folder
        self._compose = compose
        self._attempts = attempts

    async def send(self, notice: Notice) -> None:
        """Put the notice's message into the folder; the same again changes nothing.  Raises CallFailed.

        Codes: ``exercise`` (never written, whoever asks), ``folder-unusable``, ``cap-…``.
        """
        if notice.exercise:
            raise CallFailed("exercise", "an exercise leaves by no adapter")
        alert = self._compose(notice)
        if alert.status is not Status.ACTUAL:
            raise CallFailed("exercise", f"{alert.identifier} is {alert.status}")
        try:
            data = cap.render(alert)
            name, beside = file_name(alert.identifier), sidecar(notice, alert, data)
            async for attempt in stamina.retry_context(on=OSError, attempts=self._attempts, wait_max=8.0, timeout=None):
                with attempt:
                    await asyncio.to_thread(self._write, name, data, beside)
        except CapError as error:
            raise CallFailed(error.code, str(error)) from None
        except OSError as error:
            raise CallFailed("folder-unusable", str(error)) from None

    def _write(self, name: str, data: bytes, beside: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for suffix, content in ((".xml", data), (".json", beside)):
            whole.put(self._folder / f"{name}{suffix}", content)

    def receipts(self) -> Iterator[Found]:
        """Yield the receipts that lie there, oldest name first.  Blocking: not for the event loop."""
        folder = self._folder / RECEIPTS
        try:
            with os.scandir(folder) as entries:
                names = sorted(e.name for e in entries if e.name.endswith(".json") and e.is_file(follow_symlinks=False))
        except FileNotFoundError:
            return
        for name in names[:MAX_RECEIPTS]:
            yield Found(folder / name, _receipt(folder / name))

    def put_away(self, found: Found) -> None:
        """Move a receipt that was seen to where it is not seen again.  Blocking."""
        target = found.path.parent / (BAD if found.receipt is None else DONE)
        target.mkdir(exist_ok=True)
        found.path.rename(target / found.path.name)


def file_name(identifier: str) -> str:
    """Return what the files of a message are called: its identifier where that is a plain name."""
    return identifier if _NAME.fullmatch(identifier) else hashlib.sha256(identifier.encode()).hexdigest()


def sidecar(notice: Notice, alert: Alert, data: bytes) -> bytes:
    """Return what stands beside a message, for programs that read no XML."""
    return msgspec.json.encode(
        {
            "identifier": alert.identifier,
            "notice": notice.id,
            "kind": notice.kind,
            "subject": notice.subject,
            "message": alert.msg_type,
            "references": [reference.identifier for reference in alert.references],
            "urgency": notice.urgency,
            "title": notice.title,
            "text": notice.text,
            "places": notice.places,
            "sent": alert.sent,
            "file": f"{file_name(alert.identifier)}.xml",
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
    )


def _receipt(path: Path) -> Receipt | None:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_RECEIPT_BYTES + 1)
        if len(data) > MAX_RECEIPT_BYTES:
            return None
        return msgspec.json.decode(data, type=Receipt)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
