"""What a peer offers, read from SDP (RFC 8866, RFC 9429).

Pure and bounded: 64 KiB, 2,000 lines, 80 sections.  Whatever the bytes are, the outcome is an ``Offer``
or an ``SdpError`` with a stable code.  Every string that an answer may echo has been matched against a
grammar here, so nothing a peer writes can add a line to what we write.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

MAX_BYTES = 65_536
MAX_LINES = 2_000
MAX_SECTIONS = 80
MAX_RIDS = 3
MAX_STREAMS = 8

Code = Literal["sdp-too-large", "sdp-malformed", "sdp-unsupported", "sdp-no-fingerprint", "sdp-no-ice", "sdp-changed"]
Direction = Literal["sendonly", "recvonly", "sendrecv", "inactive"]
Setup = Literal["active", "passive", "actpass"]

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]{1,64}")
_PROTOCOL = re.compile(r"[A-Za-z0-9/]{1,64}")
_RID = re.compile(r"[A-Za-z0-9]{1,16}")
_UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}")
_PWD = re.compile(r"[A-Za-z0-9+/]{22,256}")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_DIGEST_BYTES = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
_SETUPS: Mapping[str, Setup] = {"active": "active", "passive": "passive", "actpass": "actpass"}
_DIRECTIONS: tuple[Direction, ...] = ("sendonly", "recvonly", "sendrecv", "inactive")

Attributes = Mapping[str, Sequence[str]]


class SdpError(ValueError):
    """The peer's description cannot be used.  ``code`` is stable; ``text`` is for people, one line."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code: Code = code
        self.text = text


@dataclass(frozen=True, slots=True)
class Format:
    """One payload type of a section.  ``name`` is lower case and empty when no rtpmap says it."""

    pt: int
    name: str
    clock: int
    parameters: Mapping[str, str]
    feedback: frozenset[str]


@dataclass(frozen=True, slots=True)
class Section:
    """One m= section.  ICE and DTLS values fall back to those of the session.

    ``streams`` are (ssrc, rtx_ssrc) the peer says it will send; ``rids`` the simulcast layers it will
    send, in its order.
    """

    kind: str
    port: int
    protocol: str
    fmt: tuple[str, ...]
    mid: str | None
    direction: Direction
    formats: tuple[Format, ...]
    extensions: tuple[tuple[int, str], ...]
    streams: tuple[tuple[int, int | None], ...]
    rids: tuple[str, ...]
    rtcp_mux: bool
    rtcp_rsize: bool
    bundle_only: bool
    mixed_extensions: bool
    ufrag: str | None
    pwd: str | None
    fingerprints: tuple[tuple[str, str], ...]
    setup: Setup


@dataclass(frozen=True, slots=True)
class Offer:
    """A whole offer.  ``bundle`` holds the mids of its BUNDLE group, in order."""

    sections: tuple[Section, ...]
    bundle: tuple[str, ...]
    ice_lite: bool
    mixed_extensions: bool


def parse_offer(text: str) -> Offer:
    """Read an offer.

    Raises:
        SdpError: sdp-too-large, sdp-malformed or sdp-unsupported.
    """
    blocks = _blocks(_lines(text))
    session = _attributes(blocks[0])
    sections = tuple(_section(block, session) for block in blocks[1:])
    if not sections:
        raise SdpError("sdp-malformed", "no m= section")
    mids = [section.mid for section in sections if section.mid is not None]
    if len(set(mids)) != len(mids):
        raise SdpError("sdp-malformed", "two sections have one mid")
    bundle = _bundle(session)
    _check_shared_numbers([s for s in sections if s.mid in bundle])
    return Offer(sections, bundle, "ice-lite" in session, "extmap-allow-mixed" in session)


def _lines(text: str) -> list[str]:
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise SdpError("sdp-too-large", f"more than {MAX_BYTES} bytes")
    if text.count("\n") > MAX_LINES:
        raise SdpError("sdp-too-large", f"more than {MAX_LINES} lines")
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    if not lines or lines[0] != "v=0":
        raise SdpError("sdp-malformed", "the first line is not v=0")
    for number, line in enumerate(lines, 1):
        if len(line) < 2 or line[1] != "=" or not "a" <= line[0] <= "z" or _CONTROL.search(line):
            raise SdpError("sdp-malformed", f"line {number} is not of the form x=value")
    return lines


def _blocks(lines: list[str]) -> list[list[str]]:
    """Cut lines into the session block and one block for each m= line."""
    blocks: list[list[str]] = [[]]
    for line in lines:
        if line.startswith("m="):
            if len(blocks) > MAX_SECTIONS:
                raise SdpError("sdp-too-large", f"more than {MAX_SECTIONS} sections")
            blocks.append([])
        blocks[-1].append(line)
    return blocks


def _attributes(block: list[str]) -> Attributes:
    """Group the a= lines of one block by name; flags have the value ""."""
    found: dict[str, list[str]] = {}
    for line in block:
        if line.startswith("a="):
            name, _, value = line[2:].partition(":")
            found.setdefault(name, []).append(value.strip())
    return found


def _section(block: list[str], session: Attributes) -> Section:
    words = block[0][2:].split()
    if len(words) < 4 or not all(map(_TOKEN.fullmatch, [words[0], *words[3:]])):
        raise SdpError("sdp-malformed", "an m= line is not kind, port, protocol, formats")
    if not _PROTOCOL.fullmatch(words[2]):
        raise SdpError("sdp-malformed", "an m= line has no valid protocol")
    own = _attributes(block)
    media = words[0] in ("audio", "video")
    return Section(
        kind=words[0],
        port=_number(words[1].partition("/")[0], 0, 65_535, "port"),
        protocol=words[2],
        fmt=tuple(words[3:]),
        mid=_one(own, "mid", _TOKEN),
        direction=_direction(own, session),
        formats=_formats(words[3:], own) if media else (),
        extensions=_extensions(own, session),
        streams=_streams(own) if media else (),
        rids=_rids(own),
        rtcp_mux="rtcp-mux" in own,
        rtcp_rsize="rtcp-rsize" in own,
        bundle_only="bundle-only" in own,
        mixed_extensions="extmap-allow-mixed" in own or "extmap-allow-mixed" in session,
        ufrag=_one(own, "ice-ufrag", _UFRAG) or _one(session, "ice-ufrag", _UFRAG),
        pwd=_one(own, "ice-pwd", _PWD) or _one(session, "ice-pwd", _PWD),
        fingerprints=_fingerprints(own) or _fingerprints(session),
        setup=_setup(own, session),
    )


def _number(text: str, low: int, high: int, what: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 10 and low <= int(text) <= high:
        return int(text)
    raise SdpError("sdp-malformed", f"{what} is not in {low}..{high}")


def _one(attributes: Attributes, name: str, grammar: re.Pattern[str]) -> str | None:
    values = attributes.get(name)
    if not values:
        return None
    if len(set(values)) > 1 or not grammar.fullmatch(values[0]):
        raise SdpError("sdp-malformed", f"a={name} is repeated or not well formed")
    return values[0]


def _direction(own: Attributes, session: Attributes) -> Direction:
    for attributes in (own, session):
        said = [direction for direction in _DIRECTIONS if direction in attributes]
        if len(said) > 1:
            raise SdpError("sdp-malformed", "a section has two directions")
        if said:
            return said[0]
    return "sendrecv"


def _setup(own: Attributes, session: Attributes) -> Setup:
    value = (own.get("setup") or session.get("setup") or ["active"])[0]
    if value not in _SETUPS:
        raise SdpError("sdp-unsupported", "a=setup is not active, passive or actpass")
    return _SETUPS[value]


def _formats(numbers: Sequence[str], own: Attributes) -> tuple[Format, ...]:
    """Join rtpmap, fmtp and rtcp-fb for the payload types of an m= line, in its order."""
    maps = _by_first_word(own, "rtpmap")
    parameters = _by_first_word(own, "fmtp")
    feedback = _by_first_word(own, "rtcp-fb")
    formats = []
    for number in dict.fromkeys(numbers):
        pt = _number(number, 0, 127, "payload type")
        name, _, rest = maps.get(number, [""])[0].partition("/")
        clock = rest.partition("/")[0]
        formats.append(
            Format(
                pt=pt,
                name=name.lower(),
                clock=_number(clock, 1, 10_000_000, "clock rate") if clock else 0,
                parameters=_parameters(parameters.get(number, [""])[0]),
                feedback=frozenset([*feedback.get(number, ()), *feedback.get("*", ())]),
            )
        )
    return tuple(formats)


def _by_first_word(own: Attributes, name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for value in own.get(name, ()):
        first, _, rest = value.partition(" ")
        found.setdefault(first, []).append(rest.strip())
    return found


def _parameters(text: str) -> dict[str, str]:
    pairs = (part.strip().partition("=") for part in text.split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs if name}


def _extensions(own: Attributes, session: Attributes) -> tuple[tuple[int, str], ...]:
    """Header extensions as (id, URI); an id used twice for different URIs is malformed (RFC 8285)."""
    found: dict[int, str] = {}
    for value in [*session.get("extmap", ()), *own.get("extmap", ())]:
        words = value.split()
        if len(words) < 2:
            raise SdpError("sdp-malformed", "a=extmap has no URI")
        number = _number(words[0].partition("/")[0], 1, 4_351, "extension id")
        if found.setdefault(number, words[1]) != words[1]:
            raise SdpError("sdp-malformed", "an extension id is used twice")
    return tuple((number, uri) for number, uri in found.items() if number <= 255)


def _streams(own: Attributes) -> tuple[tuple[int, int | None], ...]:
    """Pair the declared SSRCs with their retransmission SSRCs (RFC 5576, RFC 4588)."""
    ssrcs = dict.fromkeys(_ssrc(value.partition(" ")[0]) for value in own.get("ssrc", ()))
    repairs: dict[int, int] = {}
    for value in own.get("ssrc-group", ()):
        words = value.split()
        if words and words[0] == "FID" and len(words) == 3:
            repairs[_ssrc(words[1])] = _ssrc(words[2])
    repairing = set(repairs.values())
    streams = [(ssrc, repairs.get(ssrc)) for ssrc in ssrcs if ssrc not in repairing]
    if len(streams) > MAX_STREAMS:
        raise SdpError("sdp-unsupported", f"a section declares more than {MAX_STREAMS} streams")
    return tuple(streams)


def _ssrc(text: str) -> int:
    return _number(text, 1, 0xFFFF_FFFF, "SSRC")


def _rids(own: Attributes) -> tuple[str, ...]:
    """Layers of ``a=simulcast:send``, first alternative of each, paused or not (RFC 8853)."""
    declared = {words[0] for words in map(str.split, own.get("rid", ())) if len(words) > 1 and words[1] == "send"}
    for value in own.get("simulcast", ()):
        words = value.replace("rid=", "").split()
        for direction, layers in zip(words[::2], words[1::2], strict=False):
            if direction == "send":
                return _layers(layers, declared)
    return ()


def _layers(text: str, declared: set[str]) -> tuple[str, ...]:
    rids = [layer.partition(",")[0].removeprefix("~") for layer in text.split(";")]
    if not all(_RID.fullmatch(rid) and rid in declared for rid in rids) or len(set(rids)) != len(rids):
        raise SdpError("sdp-malformed", "a=simulcast names a layer that a=rid does not")
    if len(rids) > MAX_RIDS:
        raise SdpError("sdp-unsupported", f"more than {MAX_RIDS} simulcast layers")
    return tuple(rids)


def _fingerprints(attributes: Attributes) -> tuple[tuple[str, str], ...]:
    """(hash, digest) pairs with a hash we know; the digest is upper-case hexadecimal with colons."""
    found = []
    for value in attributes.get("fingerprint", ()):
        words = value.split()
        if len(words) != 2:
            raise SdpError("sdp-malformed", "a=fingerprint is not a hash and a digest")
        size = _DIGEST_BYTES.get(words[0].lower())
        if size is None:
            continue
        if not re.fullmatch(rf"[0-9A-Fa-f]{{2}}(:[0-9A-Fa-f]{{2}}){{{size - 1}}}", words[1]):
            raise SdpError("sdp-malformed", "a=fingerprint has a digest of the wrong size")
        found.append((words[0].lower(), words[1].upper()))
    return tuple(found)


def _bundle(session: Attributes) -> tuple[str, ...]:
    groups = [words[1:] for words in map(str.split, session.get("group", ())) if words and words[0] == "BUNDLE"]
    if len(groups) > 1:
        raise SdpError("sdp-unsupported", "more than one BUNDLE group")
    return tuple(groups[0]) if groups else ()


def _check_shared_numbers(sections: Sequence[Section]) -> None:
    """Within a bundle a payload type and an extension id mean one thing (RFC 9143 section 9.1)."""
    formats: dict[int, tuple[str, int]] = {}
    extensions: dict[int, str] = {}
    for section in sections:
        for item in section.formats:
            if item.name and formats.setdefault(item.pt, (item.name, item.clock)) != (item.name, item.clock):
                raise SdpError("sdp-malformed", f"payload type {item.pt} means two codecs")
        for number, uri in section.extensions:
            if extensions.setdefault(number, uri) != uri:
                raise SdpError("sdp-malformed", f"extension id {number} means two extensions")


def link_parameters(ufrag: str, pwd: str, fingerprint: str) -> tuple[str, str]:
    """Check what a neighbouring gateway says of its transport; returns its fingerprint as (hash, digest).

    Raises:
        SdpError: sdp-no-ice or sdp-no-fingerprint.
    """
    if not _UFRAG.fullmatch(ufrag) or not _PWD.fullmatch(pwd):
        raise SdpError("sdp-no-ice", "ICE user fragment or password is not well formed")
    found = _fingerprints({"fingerprint": [fingerprint]})
    if not found:
        raise SdpError("sdp-no-fingerprint", "no fingerprint with sha-256, sha-384 or sha-512")
    return found[0]
