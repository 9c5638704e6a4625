"""The HTTP port: what stands between a stranger and a handler, and the pages themselves.

Handlers come from ``api.py`` (HTTP), and from the two WebSocket modules through ``application``.
Every error leaves as a problem document, every answer with the same guarding headers.
"""

from __future__ import annotations

import asyncio
import functools
import gzip
import hashlib
import logging
import mimetypes
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from aiohttp import hdrs, web

from media.peer import PeerLimit
from media.sdp import SdpError
from media.snapshot import PictureError
from signaling.errors import RemoteError

from . import problems, telemetry
from .config import Config
from .problems import Problem, ProblemError

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Readiness = Callable[[], Mapping[str, str]]
"""Check name to what is wrong, "" when it is well."""

PAGE_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self' ws: wss:; "
    "style-src 'self' 'unsafe-inline'; script-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
ANSWER_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"
GUARDS: Mapping[str, str] = {
    "Content-Security-Policy": ANSWER_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self), geolocation=(self)",
}
PRINTED = "/print/directive/{id:[A-Za-z0-9][A-Za-z0-9._:-]{0,79}}"
"""A directive and its sign-off sheet for paper; the page asks for it by the id in its own address."""
SECRET_PARAMETERS = frozenset({"token", "access_token", "jwt", "password", "code"})
HIDDEN_FOR_S = 31_536_000
NOT_BUILT = "The console has not been built: run `make console`.\n控制台尚未构建：请运行 make console。\n"


def application(
    config: Config, *, api: Iterable[web.AbstractRouteDef], ws: Handler, link: Handler, readiness: Readiness
) -> web.Application:
    """Return the whole HTTP surface.

    Args:
        api: Routes of ``api.routes``.
        ws: Serves a terminal's or console's WebSocket; its Origin is checked here.
        link: Serves a child gateway's WebSocket.
        readiness: Asked at every ``/readyz``.
    """
    app = web.Application(middlewares=[_guard], client_max_size=config.http.alarm_bytes)
    app.on_response_prepare.append(_guarding(secure=config.http.tls_cert is not None))
    app.add_routes(
        [
            web.get("/healthz", _healthz),
            web.get("/readyz", _readyz(readiness)),
            web.get("/metrics", _metrics(readiness)),
            web.get("/ws", _same_origin(ws, frozenset(map(str.lower, config.http.allowed_origins)))),
            web.get("/link", _no_page(link)),
        ]
    )
    app.add_routes(api)
    app.add_routes(pages(console_files()))
    return app


# ---- around every request ------------------------------------------------------------------------


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    loop = asyncio.get_running_loop()
    started = loop.time()
    try:
        if SECRET_PARAMETERS & request.query.keys():
            raise ProblemError(problems.of_code("secret-in-url", "secrets do not belong into an address", 400))
        response = await handler(request)
    except ProblemError as error:
        response = _refusal(request, error.problem)
    except RemoteError as error:
        response = _refusal(request, problems.of_remote(error))
    except web.HTTPException as error:
        response = _refusal(request, _of_http(error))
    except (PictureError, SdpError) as error:
        response = _refusal(request, problems.of_code(error.code, str(error)))
    except PeerLimit:
        response = _refusal(request, problems.of_code("peer-limit", "the gateway serves as many as it can"))
    except TimeoutError:
        response = _refusal(request, problems.of_status(504, "somebody else did not answer in time"))
    except (ConnectionError, asyncio.CancelledError):
        raise
    except Exception:
        log.exception("request failed", extra={"method": request.method, "route": _route(request)})
        response = problems.response(problems.of_status(500, "the gateway's fault; it is in its log"))
    route = _route(request)
    telemetry.count("http_requests", route=route, status=response.status)
    telemetry.observe("http_seconds", loop.time() - started, route=route)
    return response


def _refusal(request: web.Request, problem: Problem) -> web.Response:
    telemetry.count("http_problems", code=problem.code, status=problem.status)
    log.debug("refused", extra={"route": _route(request), "status": problem.status, "code": problem.code})
    return problems.response(problem)


def _of_http(error: web.HTTPException) -> Problem:
    """Return the problem for an error aiohttp's router or parser raised."""
    details = {404: "no such address", 405: "the address exists, the method does not"}
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
    return problems.of_status(error.status, details.get(error.status, ""), headers)


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "none"


def _guarding(*, secure: bool) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    async def prepare(request: web.Request, response: web.StreamResponse) -> None:
        for name, value in GUARDS.items():
            response.headers.setdefault(name, value)
        if secure:
            response.headers.setdefault("Strict-Transport-Security", f"max-age={HIDDEN_FOR_S}")
        if request.path.startswith("/api/"):
            response.headers.setdefault("Cache-Control", "no-store")
        response.headers.popall(hdrs.SERVER, None)

    return prepare


# ---- WebSockets ----------------------------------------------------------------------------------


def origin_allowed(headers: Mapping[str, str], allowed: frozenset[str]) -> bool:
    """Return whether a WebSocket may be opened by whoever sent ``headers`` (RFC 6455 section 10.2).

    A page says where it is from: it must be ours (the Host it asked) or in ``allowed``.  No Origin
    at all is a program, unless it otherwise looks like a browser.
    """
    origin = headers.get(hdrs.ORIGIN)
    if origin is not None:
        parts = urlsplit(origin)
        ours = parts.scheme in ("http", "https") and parts.netloc.lower() == headers.get(hdrs.HOST, "").lower() != ""
        return ours or origin.lower() in allowed
    fetched = any(name.lower().startswith("sec-fetch-") for name in headers)
    return not fetched and "mozilla" not in headers.get(hdrs.USER_AGENT, "").lower()


def _same_origin(handler: Handler, allowed: frozenset[str]) -> Handler:
    async def checked(request: web.Request) -> web.StreamResponse:
        if not origin_allowed(request.headers, allowed):
            telemetry.count("http_refused", reason="origin")
            raise ProblemError(problems.of_code("origin-foreign", "this page may not connect here", 403))
        return await handler(request)

    return checked


def _no_page(handler: Handler) -> Handler:
    async def checked(request: web.Request) -> web.StreamResponse:
        if hdrs.ORIGIN in request.headers:
            telemetry.count("http_refused", reason="origin")
            raise ProblemError(problems.of_code("origin-foreign", "pages have no business here", 403))
        return await handler(request)

    return checked


# ---- health --------------------------------------------------------------------------------------


async def _healthz(request: web.Request) -> web.Response:
    return web.json_response({"alive": True})


def _readyz(readiness: Readiness) -> Handler:
    async def ready(request: web.Request) -> web.StreamResponse:
        checks = dict(readiness())
        wrong = {name: reason for name, reason in checks.items() if reason}
        document = {"ready": not wrong, "checks": {name: reason or "ok" for name, reason in checks.items()}}
        return web.Response(
            status=503 if wrong else 200, body=msgspec.json.encode(document), content_type="application/json"
        )

    return ready


def _metrics(readiness: Readiness) -> Handler:
    async def scrape(request: web.Request) -> web.StreamResponse:
        for name, reason in readiness().items():
            telemetry.gauge("ready", 0 if reason else 1, check=name)
        return web.Response(body=telemetry.render(), headers={"Content-Type": telemetry.CONTENT_TYPE})

    return scrape


# ---- pages ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Page:
    """One file of the console, ready to send."""

    data: bytes
    packed: bytes
    content_type: str
    etag: str
    immutable: bool


def console_files() -> dict[str, Page]:
    """Return the built console by URL path; empty when it was not built."""
    directory = Path(str(resources.files("gateway"))) / "console" / "dist"
    if not (directory / "index.html").is_file():
        return {}
    return {f"/{path.relative_to(directory).as_posix()}": _page(path) for path in _regular_files(directory)}


def _regular_files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file() and not path.is_symlink())


def _page(path: Path) -> Page:
    data = path.read_bytes()
    content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if content_type.startswith("text/") or content_type in ("application/javascript", "application/json"):
        content_type += "; charset=utf-8"
    packed = _packed(data)
    etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    return Page(
        data, packed if len(packed) < 0.9 * len(data) else b"", content_type, etag, path.parent.name == "assets"
    )


@functools.lru_cache(maxsize=64)
def _packed(data: bytes) -> bytes:
    """Return ``data`` as gzip; a process with several gateways packs the one console once."""
    return gzip.compress(data, 6, mtime=0)


def pages(files: Mapping[str, Page]) -> list[web.RouteDef]:
    """Return the routes of the console.  Names come from a table made at start: no path is ever opened."""
    if not files:
        return [web.get("/", _not_built), web.get("/terminal.html", _not_built)]
    routes = [web.get(path, _serve(page)) for path, page in files.items()]
    if "/print.html" in files:
        routes.append(web.get(PRINTED, _serve(files["/print.html"])))
    return [web.get("/", _serve(files["/index.html"])), *routes]


def _serve(page: Page) -> Handler:
    caching = f"public, max-age={HIDDEN_FOR_S}, immutable" if page.immutable else "no-cache"

    async def serve(request: web.Request) -> web.StreamResponse:
        headers = {
            "Content-Security-Policy": PAGE_POLICY,
            "Cache-Control": caching,
            "Content-Type": page.content_type,
            "ETag": page.etag,
            "Vary": "Accept-Encoding",
        }
        if request.headers.get("If-None-Match") == page.etag:
            return web.Response(status=304, headers=headers)
        if page.packed and "gzip" in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=page.packed, headers={**headers, "Content-Encoding": "gzip"})
        return web.Response(body=page.data, headers=headers)

    return serve


async def _not_built(request: web.Request) -> web.Response:
    return web.Response(status=503, text=NOT_BUILT)
