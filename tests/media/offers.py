"""Offers by other stacks (``tests/vectors/sdp``) and ways to spoil them."""

import random
from pathlib import Path

VECTORS = Path(__file__).parents[1] / "vectors" / "sdp"
NAMES = tuple(sorted(path.stem for path in VECTORS.glob("*.sdp")))


def offer(name: str) -> str:
    return (VECTORS / f"{name}.sdp").read_bytes().decode()


def without(text: str, prefix: str) -> str:
    """Drop every line that begins with ``prefix``."""
    return "\n".join(line for line in text.splitlines() if not line.startswith(prefix)) + "\n"


def mutate(text: str, rng: random.Random) -> str:
    """Spoil an offer in one to six places: bytes, words, numbers, lines."""
    for _ in range(rng.randint(1, 6)):
        text = rng.choice(SPOILERS)(text, rng)
    return text


def _character(text: str, rng: random.Random) -> str:
    place = rng.randrange(len(text) + 1)
    return (
        text[:place]
        + chr(rng.choice((0, 10, 13, 32, 37, 47, 58, 59, 0x85, 0x2028, 0xD800, 0x1F600, rng.randrange(256))))
        + text[place + rng.randint(0, 1) :]
    )


def _cut(text: str, rng: random.Random) -> str:
    start = rng.randrange(len(text) + 1)
    return text[:start] + text[start + rng.randint(0, 200) :]


def _lines(text: str, rng: random.Random) -> str:
    lines = text.split("\n")
    match rng.randrange(4):
        case 0:
            lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
        case 1:
            del lines[rng.randrange(len(lines))]
        case 2:
            one, two = rng.randrange(len(lines)), rng.randrange(len(lines))
            lines[one], lines[two] = lines[two], lines[one]
        case _:
            lines.insert(rng.randrange(len(lines) + 1), rng.choice(HOSTILE))
    return "\n".join(lines)


def _word(text: str, rng: random.Random) -> str:
    words = text.split(" ")
    words[rng.randrange(len(words))] = rng.choice(WORDS)
    return " ".join(words)


def _repeat(text: str, rng: random.Random) -> str:
    start = rng.randrange(len(text) + 1)
    return text[:start] + text[start : start + 80] * rng.choice((2, 3, 500)) + text[start:]


SPOILERS = (_character, _cut, _lines, _word, _repeat)
WORDS = (
    "",
    "0",
    "-1",
    "128",
    "65536",
    "4294967296",
    "9" * 400,
    "١٢",
    "\u00b2",
    "nan",
    "send",
    "~",
    ";;",
    "%s",
    "A" * 3000,
)
HOSTILE = (
    "m=audio",
    "m=video 9 UDP/TLS/RTP/SAVPF",
    "m=video 9/2 UDP/TLS/RTP/SAVPF 96",
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
    "a=rtpmap:96",
    "a=rtpmap:96 /",
    "a=rtpmap:96 VP8/0",
    "a=fmtp:96 ;;=;a==b",
    "a=extmap:0 urn:x",
    "a=extmap:1",
    "a=extmap:1/sendonly urn:ietf:params:rtp-hdrext:sdes:mid",
    "a=simulcast:send",
    "a=simulcast:send ;",
    "a=simulcast:send q;h;f;g recv a",
    "a=rid:",
    "a=ssrc:0 cname:x",
    "a=ssrc:",
    "a=ssrc-group:FID 1 2 3",
    "a=ssrc-group:FID",
    "a=fingerprint:sha-256 zz",
    "a=fingerprint:md5 00",
    "a=setup:holdconn",
    "a=group:BUNDLE",
    "a=mid:\u2028",
    "a=ice-lite",
    "a",
    "==",
    "",
)
