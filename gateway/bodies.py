"""Request bodies, bounded before they are read: JSON, SDP and an alarm with its picture."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from aiohttp import BodyPartReader, web

from . import problems
from .problems import ProblemError

T = TypeVar("T")

JSON = "application/json"
SDP = "application/sdp"
CAP = "application/cap+xml"
XML = (CAP, "application/xml", "text/xml")
CSV = "text/csv"
MULTIPART = "multipart/form-data"
MAX_PARTS = 8


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes and seconds a body may take."""

    json_bytes: int
    sdp_bytes: int
    alarm_bytes: int
    deadline_s: float


async def read_json(request: web.Request, kind: type[T], limits: Limits) -> T:
    """Return the body as a ``kind``; an absent body counts as ``{}``.

    Raises:
        ProblemError: 400 malformed-json, 408, 413, 415 or 422 invalid-value.
    """
    if request.body_exists:
        _expect(request, JSON)
    return parse_json(await read(request, limits.json_bytes, limits.deadline_s) or b"{}", kind)


async def read_sdp(request: web.Request, limits: Limits) -> str:
    """Return the body as SDP text, not parsed.

    Raises:
        ProblemError: 400, 408, 413 or 415.
    """
    _expect(request, SDP)
    data = await read(request, limits.sdp_bytes, limits.deadline_s)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ProblemError(problems.of_code("sdp-malformed", "not UTF-8")) from None


async def read_cap(request: web.Request, limit: int, limits: Limits) -> bytes:
    """Return the body as XML of at most ``limit`` bytes, not parsed.

    Raises:
        ProblemError: 408, 413 or 415.
    """
    _expect(request, *XML)
    return await read(request, limit, limits.deadline_s)


async def read_csv(request: web.Request, limits: Limits) -> str:
    """Return the body as CSV text, not parsed; it may be as long as an alarm with its picture.

    Raises:
        ProblemError: 400, 408, 413 or 415.
    """
    _expect(request, CSV)
    data = await read(request, limits.alarm_bytes, limits.deadline_s)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ProblemError(problems.of_code("bad-csv", "not UTF-8", 422)) from None


async def read_alarm(request: web.Request, kind: type[T], limits: Limits) -> tuple[T, bytes | None]:
    """Return (``alarm`` part, ``snapshot`` part or None) of a multipart form, or a plain JSON alarm.

    Raises:
        ProblemError: 400, 408, 413, 415 or 422.
    """
    if request.content_type == JSON:
        return await read_json(request, kind, limits), None
    _expect(request, MULTIPART)
    _refuse_length(request, limits.alarm_bytes)
    try:
        async with asyncio.timeout(limits.deadline_s):
            parts = await _parts(request, limits.alarm_bytes)
    except TimeoutError:
        raise ProblemError(problems.of_status(408, "the body was not whole in time")) from None
    except (ValueError, LookupError, RuntimeError, web.RequestPayloadError) as error:
        raise ProblemError(problems.of_code("malformed-multipart", str(error)[:200], 400)) from None
    if "alarm" not in parts:
        raise ProblemError(problems.of_code("invalid-value", "part `alarm` is missing", 422))
    return parse_json(parts["alarm"], kind), parts.get("snapshot")


async def read(request: web.Request, limit: int, deadline_s: float) -> bytes:
    """Return the whole body, at most ``limit`` bytes."""
    _refuse_length(request, limit)
    pieces, size = [], 0
    try:
        async with asyncio.timeout(deadline_s):
            while piece := await request.content.readany():
                size += len(piece)
                if size > limit:
                    raise ProblemError(_too_large(limit))
                pieces.append(piece)
    except TimeoutError:
        raise ProblemError(problems.of_status(408, "the body was not whole in time")) from None
    except web.RequestPayloadError:
        raise ProblemError(problems.of_status(400, "the body ended early or its framing is wrong")) from None
    return b"".join(pieces)


def parse_json(data: bytes, kind: type[T]) -> T:
    """Return ``data`` as a ``kind``.

    Raises:
        ProblemError: 400 malformed-json (not JSON, too deep), 422 invalid-value (names the place in it).
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise ProblemError(problems.of_code("invalid-value", str(error), 422)) from None
    except RecursionError:
        raise ProblemError(problems.of_code("malformed-json", "nested too deeply", 400)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProblemError(problems.of_code("malformed-json", str(error)[:200], 400)) from None


def _expect(request: web.Request, *content_types: str) -> None:
    if request.content_type not in content_types:
        accept = ", ".join(content_types)
        raise ProblemError(problems.of_status(415, f"send {accept}", {"Accept": accept}))


def _refuse_length(request: web.Request, limit: int) -> None:
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise ProblemError(problems.of_status(415, "send the body without Content-Encoding"))
    if request.content_length is not None and request.content_length > limit:
        raise ProblemError(_too_large(limit))


def _too_large(limit: int) -> problems.Problem:
    return problems.of_status(413, f"the body may have {limit} bytes")


async def _parts(request: web.Request, limit: int) -> dict[str, bytes]:
    """Return the form's parts by name.  All of them together have at most ``limit`` bytes."""
    parts: dict[str, bytes] = {}
    room = limit
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader) or part.name is None:
            raise ValueError("parts need a name and may not nest")
        if part.headers.get("Content-Encoding") or part.headers.get("Content-Transfer-Encoding"):
            raise ValueError("parts are sent as they are, without an encoding")
        if part.name in parts or len(parts) >= MAX_PARTS:
            raise ValueError("a part comes twice, or there are too many")
        data = bytearray()
        while piece := await part.read_chunk():
            data += piece
            if len(data) > room:
                raise ProblemError(_too_large(limit))
        room -= len(data)
        parts[part.name] = bytes(data)
    return parts
