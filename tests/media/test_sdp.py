"""Offers are read within bounds; whatever the bytes, the outcome is an Offer or an SdpError (S08)."""

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.answer import Local, plan, render
from media.sdp import MAX_BYTES, SdpError, link_parameters, parse_offer

from .offers import HOSTILE, NAMES, mutate, offer, without

TERMINAL = offer("chromium-terminal")
LOCAL = Local(7, "abcd", "x" * 24, ":".join(["AB"] * 32), [("192.0.2.1", 8805), ("2001:db8::1", 8805)])


def code_of(text: str) -> str:
    with pytest.raises(SdpError) as caught:
        plan(parse_offer(text), 64)
    assert "\n" not in str(caught.value)
    return caught.value.code


def test_a_terminals_offer_is_read_whole() -> None:
    parsed = parse_offer(TERMINAL)
    assert [section.mid for section in parsed.sections] == [str(n) for n in range(10)]
    assert parsed.bundle == tuple(str(n) for n in range(10))
    camera = parsed.sections[1]
    assert (camera.kind, camera.direction, camera.rids) == ("video", "sendonly", ("q", "h", "f"))
    vp8 = camera.formats[0]
    assert (vp8.pt, vp8.name, vp8.clock) == (96, "vp8", 90_000)
    assert {"nack", "nack pli", "ccm fir", "transport-cc"} <= vp8.feedback
    assert parsed.sections[0].fingerprints[0][0] == "sha-256"


def test_declared_streams_are_paired_with_their_repair() -> None:
    parsed = parse_offer(offer("whip-h264-passive"))
    assert parsed.sections[1].streams == ((2384001, 2384002),)
    assert parsed.sections[1].setup == "passive"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "sdp-malformed"),
        ("hello", "sdp-malformed"),
        ("v=0\n", "sdp-malformed"),
        ("v=0\nm=audio 9\n", "sdp-malformed"),
        ("v=0\n" + "a=x\n" * 2_001, "sdp-too-large"),
        ("v=0\na=" + "x" * MAX_BYTES, "sdp-too-large"),
        ("v=0\na=" + "\u6c34" * 30_000, "sdp-too-large"),
        ("v=0\n" + "m=audio 9 UDP/TLS/RTP/SAVPF 111\n" * 81, "sdp-too-large"),
        ("v=0\ns=a\rb\nm=audio 9 UDP/TLS/RTP/SAVPF 111\n", "sdp-malformed"),
        (TERMINAL.replace("a=mid:3", "a=mid:2"), "sdp-malformed"),
        (TERMINAL.replace("VP8/90000", "VP9/90000", 1), "sdp-malformed"),
        (without(TERMINAL, "a=fingerprint"), "sdp-no-fingerprint"),
        (TERMINAL.replace("sha-256 ", "sha-1 "), "sdp-no-fingerprint"),
        (without(TERMINAL, "a=ice-ufrag"), "sdp-no-ice"),
        (without(TERMINAL, "a=ice-pwd"), "sdp-no-ice"),
        (without(TERMINAL, "a=rtcp-mux"), "sdp-unsupported"),
        (TERMINAL.replace("v=0", "v=0\na=ice-lite", 1), "sdp-unsupported"),
        (TERMINAL.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"), "sdp-unsupported"),
        (TERMINAL.replace("setup:actpass", "setup:holdconn"), "sdp-unsupported"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_code(text: str, code: str) -> None:
    assert code_of(text) == code


@pytest.mark.parametrize("line", HOSTILE)
@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_line_anywhere_is_survived(name: str, line: str) -> None:
    lines = offer(name).splitlines()
    for place in range(0, len(lines) + 1, 1 + len(lines) // 40):
        answer_or_error("\n".join([*lines[:place], line, *lines[place:]]))


def answer_or_error(text: str) -> str | None:
    try:
        accepted = plan(parse_offer(text), 64)
    except SdpError:
        return None
    ssrcs = {i: (i + 1, i + 1000) for i, entry in enumerate(accepted.entries) if entry is not None and entry.slot}
    return render(accepted, LOCAL, ssrcs)


def assert_clean(answer: str) -> None:
    """An answer has only lines that we meant to write."""
    for line in answer.removesuffix("\r\n").split("\r\n"):
        assert line[1] == "=", line
        assert line[0] in "vostacm", line
        assert line.isprintable(), line


@pytest.mark.parametrize("rounds", [1_500, pytest.param(100_000, marks=[pytest.mark.long, pytest.mark.timeout(3_600)])])
def test_mutated_offers_give_an_answer_or_a_typed_error_quickly(rounds: int) -> None:
    """p99 of parsing, planning and answering is below 20 ms."""
    rng = random.Random(8)
    originals = [offer(name) for name in NAMES]
    took, answered = [], 0
    for _ in range(rounds):
        text = mutate(rng.choice(originals), rng)
        began = time.thread_time()
        answer = answer_or_error(text)
        took.append(time.thread_time() - began)
        if answer is not None:
            answered += 1
            assert_clean(answer)
    took.sort()
    assert rounds // 50 < answered < rounds, "mutation neither spoils everything nor nothing"
    assert took[int(rounds * 0.99)] < 0.020


@given(st.text(max_size=400))
def test_arbitrary_text_is_refused_with_a_type(text: str) -> None:
    assert answer_or_error(text) is None


@given(st.lists(st.sampled_from(TERMINAL.splitlines() + list(HOSTILE)), max_size=60))
def test_lines_in_any_order_are_survived(lines: list[str]) -> None:
    answer = answer_or_error("\n".join(["v=0", *lines]))
    if answer is not None:
        assert_clean(answer)


def test_what_is_too_large_is_refused_at_once() -> None:
    huge = "v=0\r\n" + "a=ssrc:1 cname:x\r\n" * 2_000_000
    began = time.thread_time()
    assert code_of(huge) == "sdp-too-large"
    assert time.thread_time() - began < 0.050


@pytest.mark.parametrize(
    ("ufrag", "pwd", "fingerprint", "code"),
    [
        ("abc", "x" * 24, "sha-256 " + LOCAL.fingerprint, "sdp-no-ice"),
        ("abcd", "x" * 21, "sha-256 " + LOCAL.fingerprint, "sdp-no-ice"),
        ("abcd\r\na=x", "x" * 24, "sha-256 " + LOCAL.fingerprint, "sdp-no-ice"),
        ("abcd", "x" * 24, "sha-1 00", "sdp-no-fingerprint"),
        ("abcd", "x" * 24, "sha-256 00", "sdp-malformed"),
        ("abcd", "x" * 24, "", "sdp-malformed"),
    ],
)
def test_a_neighbours_parameters_are_checked(ufrag: str, pwd: str, fingerprint: str, code: str) -> None:
    with pytest.raises(SdpError) as caught:
        link_parameters(ufrag, pwd, fingerprint)
    assert caught.value.code == code
