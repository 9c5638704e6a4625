"""Counters that cannot grow without bound, and a log that keeps secrets and lines apart."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from gateway import telemetry
from gateway.telemetry import MAX_SERIES, Reading, Telemetry, one_line, redact, start_logging
from signaling.errors import LocalError

JWT = "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiI0MzA0MjMwMDAwMDAiLCJhdWQiOiI0MzA0In0.c2lnbmF0dXJl-_x"
FINGERPRINT = ":".join(f"{value:02X}" for value in range(32))


def test_counters_appear_as_scraped() -> None:
    ours = Telemetry()
    ours.count("refused", code="not-permitted")
    ours.count("refused", 2, code="not-permitted")
    ours.gauge("http_connections", 7)
    ours.observe("http_seconds", 0.02, route="/ws")
    page = ours.render().decode()
    assert 'wuji_refused_total{code="not-permitted"} 3.0' in page
    assert "wuji_http_connections 7.0" in page
    assert 'wuji_http_seconds_bucket{le="0.025",route="/ws"} 1.0' in page
    assert ours.value("refused", code="not-permitted") == 3
    assert ours.value("never") == 0


def test_label_values_off_the_wire_do_not_grow_the_page() -> None:
    ours = Telemetry()
    for index in range(10_000):
        ours.count("refused", code=f"code-{index}" + "x" * 1000)
    page = ours.render().decode()
    assert page.count("wuji_refused_total{") == MAX_SERIES + 1
    assert ours.value("refused", code="other") == 10_000 - MAX_SERIES
    assert max(map(len, page.splitlines())) < 200


def test_a_metric_keeps_its_kind_and_labels() -> None:
    ours = Telemetry()
    ours.count("refused", code="x")
    with pytest.raises(LocalError):
        ours.count("refused", reason="x")
    with pytest.raises(LocalError):
        ours.gauge("refused", 1, code="x")


def test_readings_are_asked_for_at_each_scrape() -> None:
    ours = Telemetry()
    packets = iter((5, 9))

    def read() -> Iterator[Reading]:
        yield "engine_packets_total", {"direction": "in"}, next(packets)
        yield "engine_transports", {}, 2

    ours.on_scrape(read)
    assert 'wuji_engine_packets_total{direction="in"} 5.0' in ours.render().decode()
    page = ours.render().decode()
    assert 'wuji_engine_packets_total{direction="in"} 9.0' in page
    assert "wuji_engine_transports 2.0" in page


def test_the_module_counts_on_one_instance() -> None:
    before = telemetry.value("malformed", where="test", code="x")
    telemetry.default.count("malformed", where="test", code="x")
    telemetry.count("malformed", where="test", code="x")
    assert telemetry.value("malformed", where="test", code="x") == before + 2


SECRET_LINES = {
    "a token": JWT,
    "a bearer": f"Authorization: Bearer {JWT}",
    "an opaque bearer": "authorization: bearer s3cr3t-value.x",
    "a password in JSON": '{"name": "x", "password": "s3cr3t value"}',
    "a password in escaped JSON": '{"event": "{\\"password\\": \\"s3cr3t value\\"}"}',
    "a password in a repr": "{'password': 's3cr3t value'}",
    "a password assigned": "password=s3cr3t",
    "a token assigned": "token=s3cr3t&x=1",
    "an ICE password": "a=ice-pwd:s3cr3tICEpwd0123456789\r\n",
    "a link's ICE password": '{"ufrag":"u","pwd":"s3cr3tICE","fingerprint":"sha-256 s3cr3t"}',
    "a fingerprint": f"a=fingerprint:sha-256 {FINGERPRINT}",
    "a bare fingerprint": FINGERPRINT,
    "a sign-in link": "http://127.0.0.1:8803/#code=s3cr3t-code_x",
    "a Redis password": "error connecting to redis://wuji:s3cr3t@10.0.0.9:6379/0",
    "a key": "-----BEGIN PRIVATE KEY-----\ns3cr3t\n-----END PRIVATE KEY-----",
}


@pytest.mark.parametrize("name", SECRET_LINES)
def test_secrets_do_not_survive(name: str) -> None:
    line = redact(SECRET_LINES[name])
    for secret in ("s3cr3t", JWT.split(".")[1], JWT.split(".")[2], FINGERPRINT[:40]):
        assert secret not in line


@pytest.mark.parametrize(
    "line",
    [
        '{"event": "link up", "peer": "430423000000", "rtt_ms": 12}',
        '{"event": "refused", "code": "token-expired", "status": 401}',
        "directive issued d-01jz recipients=166",
    ],
)
def test_ordinary_lines_stay_as_they_are(line: str) -> None:
    assert redact(line) == line


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield io.StringIO()
    root.handlers[:], level = before
    root.setLevel(level)


@pytest.mark.parametrize("format", ["json", "console"])
def test_a_hostile_name_is_one_line_and_a_traceback_is_clean(log: io.StringIO, format: str) -> None:
    start_logging("debug", format, log)
    logger = logging.getLogger("tests.hostile")
    logger.info("session up", extra={"client": "张三\nlevel=error fake line\u202e", "token": JWT})
    text = log.getvalue()
    assert text.count("\n") == 1
    assert JWT not in text
    try:
        raise ValueError(f"offer has a=ice-pwd:s3cr3tICEpwd and {JWT}")
    except ValueError:
        logger.exception("offer refused")
    assert "s3cr3t" not in log.getvalue()
    assert "ValueError" in log.getvalue()


def test_json_lines_are_json_with_level_logger_and_time(log: io.StringIO) -> None:
    start_logging("info", "json", log)
    logging.getLogger("gateway.links").info("link up", extra={"peer": "430423000000", "rtt_ms": 3})
    logging.getLogger("gateway.links").debug("not this")
    line = json.loads(log.getvalue())
    assert line.pop("at_ms") > 1_700_000_000_000
    assert line == {
        "event": "link up",
        "level": "info",
        "logger": "gateway.links",
        "peer": "430423000000",
        "rtt_ms": 3,
    }


def test_control_characters_are_spelled_out() -> None:
    assert one_line("a\r\nb\x1b[31m\u2028") == "a\\u000d\\u000ab\\u001b[31m\\u2028"
