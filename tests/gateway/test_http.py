"""The HTTP port: every error is a problem document, every answer is guarded, every body is bounded."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from gateway import bodies, http, problems, telemetry
from gateway.http import GUARDS, Page, pages
from signaling.errors import MalformedMessage, Refused
from tests.support.edge import serving, settings

LIMITS = bodies.Limits(json_bytes=1024, sdp_bytes=2048, alarm_bytes=65_536, deadline_s=5)
JSON = {"Content-Type": "application/json"}


class Form(msgspec.Struct, forbid_unknown_fields=True):
    """A body for tests."""

    name: str
    inner: dict[str, Any] = {}


async def take_json(request: web.Request) -> web.StreamResponse:
    form = await bodies.read_json(request, Form, LIMITS)
    return web.json_response({"name": form.name})


async def take_sdp(request: web.Request) -> web.StreamResponse:
    return web.Response(text=str(len(await bodies.read_sdp(request, LIMITS))))


async def take_alarm(request: web.Request) -> web.StreamResponse:
    form, snapshot = await bodies.read_alarm(request, Form, LIMITS)
    return web.json_response({"name": form.name, "snapshot": None if snapshot is None else len(snapshot)})


def failing(error: BaseException) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def fail(request: web.Request) -> web.StreamResponse:
        raise error

    return fail


ROUTES = [
    web.post("/api/json", take_json),
    web.post("/api/sdp", take_sdp),
    web.post("/api/alarm", take_alarm),
    web.get("/api/refused", failing(Refused("not-permitted", "may not"))),
    web.get("/api/unknown", failing(Refused("unknown-directive", "none"))),
    web.get("/api/late", failing(Refused("directive-recalled", "late"))),
    web.get("/api/malformed", failing(MalformedMessage("what"))),
    web.get("/api/bug", failing(RuntimeError("secret inside"))),
    web.get("/api/slow", failing(TimeoutError())),
]


def story(tmp_path: Path, tell: Callable[[str, aiohttp.ClientSession], Awaitable[None]], **sections: Any) -> None:
    async def run() -> None:
        async with serving(settings(tmp_path, **sections), api=ROUTES) as port, aiohttp.ClientSession() as client:
            await tell(f"http://127.0.0.1:{port}", client)

    asyncio.run(run())


async def problem(answer: aiohttp.ClientResponse) -> tuple[int, str]:
    """Return (status, code) of an answer that must be a whole problem document."""
    assert answer.content_type == problems.CONTENT_TYPE
    document = json.loads(await answer.read())
    assert set(document) == {"type", "title", "status", "detail", "code"}
    assert document["type"] == problems.BASE + document["code"]
    assert document["status"] == answer.status
    return answer.status, document["code"]


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/nowhere", (404, "not-found")),
        ("DELETE", "/api/json", (405, "method-not-allowed")),
        ("GET", "/api/refused", (403, "not-permitted")),
        ("GET", "/api/unknown", (404, "unknown-directive")),
        ("GET", "/api/late", (409, "directive-recalled")),
        ("GET", "/api/malformed", (400, "malformed-message")),
        ("GET", "/api/slow", (504, "timeout")),
        ("GET", "/healthz?token=abc", (400, "secret-in-url")),
        ("GET", "/healthz?access_token=abc", (400, "secret-in-url")),
    ],
)
def test_errors_are_problem_documents(tmp_path: Path, method: str, path: str, expected: tuple[int, str]) -> None:
    async def tell(base: str, client: aiohttp.ClientSession) -> None:
        before = telemetry.value("http_problems", code=expected[1], status=str(expected[0]))
        async with client.request(method, base + path) as answer:
            assert await problem(answer) == expected
        assert telemetry.value("http_problems", code=expected[1], status=str(expected[0])) == before + 1

    story(tmp_path, tell)


def test_our_own_fault_is_logged_and_not_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def tell(base: str, client: aiohttp.ClientSession) -> None:
        async with client.get(f"{base}/api/bug") as answer:
            text = await answer.text()
            assert await problem(answer) == (500, "internal-error")
            assert "secret inside" not in text
        async with client.get(f"{base}/healthz") as answer:
            assert answer.status == 200

    with caplog.at_level(logging.ERROR):
        story(tmp_path, tell)
    assert "secret inside" in caplog.text


BODIES: dict[str, tuple[str, dict[str, str], bytes, tuple[int, str]]] = {
    "not JSON": ("/api/json", JSON, b"{", (400, "malformed-json")),
    "not UTF-8": ("/api/json", JSON, b'{"name": "\xff"}', (400, "malformed-json")),
    "a field too many": ("/api/json", JSON, b'{"name": "x", "nmae": 1}', (422, "invalid-value")),
    "the wrong type": ("/api/json", JSON, b'{"name": 7}', (422, "invalid-value")),
    "nothing": ("/api/json", JSON, b"", (422, "invalid-value")),
    "too large": ("/api/json", JSON, b'{"name": "' + b"x" * 2000 + b'"}', (413, "too-large")),
    "no content type": ("/api/json", {"Content-Type": "text/plain"}, b"{}", (415, "unsupported-media-type")),
    "packed": (
        "/api/json",
        {**JSON, "Content-Encoding": "gzip"},
        gzip.compress(b"{}"),
        (415, "unsupported-media-type"),
    ),
    "SDP too large": ("/api/sdp", {"Content-Type": "application/sdp"}, b"v" * 3000, (413, "too-large")),
    "SDP not UTF-8": ("/api/sdp", {"Content-Type": "application/sdp"}, b"\xff", (400, "sdp-malformed")),
    "SDP as JSON": ("/api/sdp", JSON, b"{}", (415, "unsupported-media-type")),
    "a form without boundary": (
        "/api/alarm",
        {"Content-Type": "multipart/form-data"},
        b"x",
        (400, "malformed-multipart"),
    ),
    "a form that is none": (
        "/api/alarm",
        {"Content-Type": "multipart/form-data; boundary=b"},
        b"nothing of the kind",
        (400, "malformed-multipart"),
    ),
    "a form without alarm": (
        "/api/alarm",
        {"Content-Type": "multipart/form-data; boundary=b"},
        b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n--b--\r\n',
        (422, "invalid-value"),
    ),
    "a nameless part": (
        "/api/alarm",
        {"Content-Type": "multipart/form-data; boundary=b"},
        b"--b\r\nContent-Type: text/plain\r\n\r\n1\r\n--b--\r\n",
        (400, "malformed-multipart"),
    ),
    "the same part twice": (
        "/api/alarm",
        {"Content-Type": "multipart/form-data; boundary=b"},
        b'--b\r\nContent-Disposition: form-data; name="alarm"\r\n\r\n{"name":"x"}\r\n' * 2 + b"--b--\r\n",
        (400, "malformed-multipart"),
    ),
    "forms within forms": (
        "/api/alarm",
        {"Content-Type": "multipart/form-data; boundary=b"},
        b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\n1\r\n--c--\r\n--b--\r\n",
        (400, "malformed-multipart"),
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_bad_bodies_are_refused_with_a_code(tmp_path: Path, name: str) -> None:
    path, headers, body, expected = BODIES[name]

    async def tell(base: str, client: aiohttp.ClientSession) -> None:
        async with client.post(base + path, data=body, headers=headers) as answer:
            assert await problem(answer) == expected
        async with client.post(f"{base}/api/json", data=b'{"name": "still here"}', headers=JSON) as answer:
            assert await answer.json() == {"name": "still here"}

    story(tmp_path, tell)


def test_ten_thousand_levels_of_json_are_a_typed_error() -> None:
    deep = b"[" * 10_000 + b"]" * 10_000
    for kind in (Form, dict[str, Any], list[Any]):
        with pytest.raises(problems.ProblemError) as error:
            bodies.parse_json(deep if kind is not Form else b'{"name":"x","inner":{"a":' + deep + b"}}", kind)
        assert error.value.problem.code in ("malformed-json", "invalid-value")


def test_a_body_without_length_is_counted_as_it_comes(tmp_path: Path) -> None:
    async def endless() -> Any:
        while True:
            yield b"x" * 512

    async def tell(base: str, client: aiohttp.ClientSession) -> None:
        try:
            async with client.post(f"{base}/api/json", data=endless(), headers=JSON) as answer:
                assert await problem(answer) == (413, "too-large")
        except aiohttp.ClientConnectionError:
            pass  # the answer may be lost when the gateway closes on a sender that never stops
        async with client.get(f"{base}/healthz") as answer:
            assert answer.status == 200

    story(tmp_path, tell)


def test_an_alarm_comes_with_or_without_its_picture(tmp_path: Path) -> None:
    async def tell(base: str, client: aiohttp.ClientSession) -> None:
        form = aiohttp.FormData()
        form.add_field("alarm", '{"name": "smoke"}', content_type="application/json", filename="alarm.json")
        form.add_field("snapshot", b"\xff\xd8\xff" + b"\0" * 40_000, content_type="image/jpeg", filename="s.jpg")
        async with client.post(f"{base}/api/alarm", data=form) as answer:
            assert await answer.json() == {"name": "smoke", "snapshot": 40_003}
        async with client.post(f"{base}/api/alarm", json={"name": "text only"}) as answer:
            assert await answer.json() == {"name": "text only", "snapshot": None}
        large = aiohttp.FormData()
        large.add_field("alarm", '{"name": "smoke"}')
        large.add_field("snapshot", b"\xff" * 70_000, content_type="image/jpeg", filename="s.jpg")
        async with client.post(f"{base}/api/alarm", data=large) as answer:
            assert await problem(answer) == (413, "too-large")

    story(tmp_path, tell)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS on the plain port
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 300 + b"\r\n",
        b"POST /api/json HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/json HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"FOO\x7f / HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_not_http_gets_a_problem_and_the_port_lives(tmp_path: Path, request_bytes: bytes) -> None:
    async def run() -> None:
        async with serving(settings(tmp_path), api=ROUTES) as port, aiohttp.ClientSession() as client:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request_bytes)
            answer = await asyncio.wait_for(reader.read(), 60)
            writer.close()
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.")
            assert head.split()[1] == b"400"
            assert b"\r\nserver:" not in head.lower()
            assert json.loads(body)["code"] == "malformed-request"
            async with client.get(f"http://127.0.0.1:{port}/healthz") as alive:
                assert alive.status == 200

    asyncio.run(run())


@pytest.mark.parametrize("path", ["/healthz", "/nowhere", "/readyz", "/metrics", "/"])
def test_every_answer_is_guarded_and_has_no_banner(tmp_path: Path, path: str) -> None:
    async def tell(base: str, client: aiohttp.ClientSession) -> None:
        async with client.get(base + path) as answer:
            assert "Server" not in answer.headers
            for name in GUARDS:
                assert name in answer.headers, name
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]

    story(tmp_path, tell)


def test_readiness_names_each_check(tmp_path: Path) -> None:
    checks = {"journal": "", "bus": "Redis does not answer"}

    async def run() -> None:
        async with (
            serving(settings(tmp_path), readiness=lambda: checks) as port,
            aiohttp.ClientSession() as client,
        ):
            url = f"http://127.0.0.1:{port}/readyz"
            async with client.get(url) as answer:
                assert answer.status == 503
                wrong = {"ready": False, "checks": {"journal": "ok", "bus": "Redis does not answer"}}
                assert await answer.json() == wrong
            checks["bus"] = ""
            async with client.get(url) as answer:
                assert (answer.status, await answer.json()) == (
                    200,
                    {"ready": True, "checks": {"journal": "ok", "bus": "ok"}},
                )

    asyncio.run(run())


def test_requests_are_counted_by_route_not_by_address(tmp_path: Path) -> None:
    async def tell(base: str, client: aiohttp.ClientSession) -> None:
        for index in range(5):
            async with client.get(f"{base}/nowhere/{index}") as answer:
                assert answer.status == 404
        async with client.get(f"{base}/metrics") as answer:
            text = await answer.text()
        assert 'wuji_http_requests_total{route="none",status="404"}' in text
        assert "/nowhere/" not in text

    story(tmp_path, tell)


# ---- pages ---------------------------------------------------------------------------------------


def test_a_page_that_was_not_built_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "console_files", dict)

    async def tell(base: str, client: aiohttp.ClientSession) -> None:
        for path in ("/", "/terminal.html"):
            async with client.get(base + path) as answer:
                assert answer.status == 503
                assert "make console" in await answer.text()

    story(tmp_path, tell)


def files() -> dict[str, Page]:
    html = b"<!doctype html>" + b" " * 2000
    return {
        "/index.html": Page(html, gzip.compress(html), "text/html; charset=utf-8", '"e1"', immutable=False),
        "/assets/app-1a2b.js": Page(b"1", b"", "text/javascript; charset=utf-8", '"e2"', immutable=True),
    }


def test_pages_come_from_a_table_with_policy_and_caching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "console_files", files)

    async def tell(base: str, client: aiohttp.ClientSession) -> None:
        async with client.get(f"{base}/") as answer:
            assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["Cache-Control"] == "no-cache"
            assert answer.headers["Content-Encoding"] == "gzip"
            assert (await answer.read()).startswith(b"<!doctype")
        async with client.get(f"{base}/index.html", headers={"If-None-Match": '"e1"'}) as answer:
            assert answer.status == 304
        async with client.get(f"{base}/assets/app-1a2b.js") as answer:
            assert "immutable" in answer.headers["Cache-Control"]

    story(tmp_path, tell)


@pytest.mark.parametrize(
    "path",
    [
        "/../pyproject.toml",
        "/assets/../../pyproject.toml",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/assets/%2e%2e%2fapi.py",
        "/assets/..%5c..%5capi.py",
        "/assets/app-1a2b.js%00.html",
        "//etc/passwd",
        "/assets/" + "a" * 300,
        "/api/v1/blobs/../../../etc/passwd",
    ],
)
def test_no_path_leads_out_of_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """S18: nothing but the table's own names is ever served."""
    monkeypatch.setattr(http, "console_files", files)

    async def run() -> None:
        async with serving(settings(tmp_path)) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
            answer = await asyncio.wait_for(reader.read(), 60)
            writer.close()
            assert answer.split()[1] in (b"404", b"400")

    asyncio.run(run())


def test_the_built_console_has_no_symbolic_links(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("x")
    (tmp_path / "out").symlink_to("/etc/hostname")
    assert [path.name for path in http._regular_files(tmp_path)] == ["index.html"]
    assert [str(route.path) for route in pages(files())] == ["/", "/index.html", "/assets/app-1a2b.js"]
