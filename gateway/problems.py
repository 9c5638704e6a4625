"""Every error answer of the HTTP port: RFC 9457 problem documents with stable codes.

``type`` is ``https://wuji.invalid/problems/<code>``; ``code`` repeats it for machines that branch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from aiohttp import web

from signaling.errors import MalformedMessage, RemoteError

BASE = "https://wuji.invalid/problems/"
CONTENT_TYPE = "application/problem+json"
MAX_DETAIL = 500

TITLES: Mapping[int, str] = {
    400: "The request is not understood",
    401: "Sign in first",
    403: "Not permitted",
    404: "Not found",
    405: "The address does not do that",
    408: "The request took too long to arrive",
    409: "Not possible in this state",
    411: "The length is missing",
    413: "Too large",
    415: "Not this kind of content",
    422: "A value is not allowed",
    429: "Too many at once",
    431: "The headers are too large",
    500: "The gateway made a mistake",
    501: "Not offered by this gateway",
    503: "Not now",
    504: "Somebody else did not answer",
}

BY_STATUS: Mapping[int, str] = {
    400: "malformed-request",
    404: "not-found",
    405: "method-not-allowed",
    408: "request-timeout",
    411: "length-required",
    413: "too-large",
    415: "unsupported-media-type",
    417: "expectation-failed",
    431: "headers-too-large",
    500: "internal-error",
    503: "unavailable",
    504: "timeout",
}

_BY_CODE: Mapping[str, int] = {
    "protocol-error": 400,
    "malformed-message": 400,
    "sdp-malformed": 400,
    "sdp-too-large": 413,
    "picture-too-large": 413,
    "scope-too-large": 422,
    "empty-scope": 422,
    "bad-record": 422,
    "reason-needed": 422,
    "note-needed": 422,
    "unit-elsewhere": 422,
    "not-above": 422,
    "bad-csv": 422,
    "bad-camera": 422,
    "no-camera": 404,
    "camera-busy": 503,
    "blob-too-large": 413,
    "blob-space": 503,
    "attachment-kind": 415,
    "bad-attachment": 422,
    "bad-field": 422,
    "bad-feedback": 422,
    "post-conflict": 422,
    "foreign-draft": 403,
    "own-directive": 403,
    "not-on-duty": 403,
    "not-a-recipient": 403,
    "unknown-message": 400,
    "bad-text": 422,
    "cap-own": 409,
    "cap-too-large": 413,
    "cap-xml": 400,
    "record-too-large": 413,
    "link-invalid": 401,
    "sign-in-wrong": 401,
    "sign-in-locked": 429,
    "sign-in-busy": 429,
    "not-permitted": 403,
    "blob-pending": 404,
    "no-picture": 404,
    "peer-limit": 503,
    "node-busy": 503,
    "media-full": 503,
    "picture-timeout": 503,
    "picture-busy": 503,
}
_BY_PREFIX: tuple[tuple[str, int], ...] = (
    ("cap-", 422),
    ("token-", 401),
    ("unknown-", 404),
    ("too-many", 429),
    ("already-", 409),
    ("not-", 409),
    ("sdp-", 422),
    ("picture-", 422),
    ("invalid-", 422),
)


@dataclass(frozen=True, slots=True)
class Problem:
    """An answer that is not what was hoped for."""

    status: int
    code: str
    detail: str
    headers: Mapping[str, str] | None = None


class ProblemError(Exception):
    """Ends a handler; ``http.py`` answers with ``problem``."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.status} {problem.code}: {problem.detail}")
        self.problem = problem


def status_of(code: str) -> int:
    """Return the HTTP status for a code of the drivers; 409 for lawful refusals with no better one."""
    if code in _BY_CODE:
        return _BY_CODE[code]
    return next((status for prefix, status in _BY_PREFIX if code.startswith(prefix)), 409)


def of_remote(error: RemoteError) -> Problem:
    """Return the problem for an error of the pure modules and the drivers."""
    status = 400 if isinstance(error, MalformedMessage) else status_of(error.code)
    return of_code(error.code, str(error), status)


def of_code(code: str, detail: str, status: int | None = None) -> Problem:
    """Return the problem for ``code``."""
    status = status_of(code) if status is None else status
    headers: dict[str, str] = {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status in (429, 503):
        headers["Retry-After"] = "5"
    return Problem(status, code, detail, headers)


def of_status(status: int, detail: str = "", headers: Mapping[str, str] | None = None) -> Problem:
    """Return the problem for an error of HTTP itself."""
    return Problem(status, BY_STATUS.get(status, f"http-{status}"), detail, headers)


def body(problem: Problem) -> bytes:
    """Return the JSON document of ``problem``."""
    document = {
        "type": BASE + problem.code,
        "title": TITLES.get(problem.status, "Error"),
        "status": problem.status,
        "detail": problem.detail[:MAX_DETAIL],
        "code": problem.code,
    }
    return msgspec.json.encode(document)


def response(problem: Problem) -> web.Response:
    """Return the response for ``problem``."""
    headers = {"Cache-Control": "no-store", **(problem.headers or {})}
    return web.Response(status=problem.status, body=body(problem), content_type=CONTENT_TYPE, headers=headers)


def raw(problem: Problem) -> bytes:
    """Return ``problem`` as a whole HTTP/1.1 answer, for connections no handler serves."""
    document = body(problem)
    head = (
        f"HTTP/1.1 {problem.status} {TITLES.get(problem.status, 'Error')}\r\n"
        f"Content-Type: {CONTENT_TYPE}\r\nContent-Length: {len(document)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + document
