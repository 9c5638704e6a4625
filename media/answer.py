"""What we answer to an offer: which sections we take, with which codecs, and the text that says so.

Pure.  We are ICE-lite (RFC 8445 section 2.5) and put our candidates in every section, since some stacks look
only there.  Payload types and extension ids are the offerer's (RFC 3264 section 6.1, RFC 8285 section 6).  A section
that the peer sends is an *upstream*; one it receives is a *slot*, which any source may feed; what we cannot
use gets port 0.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal

from .sdp import Format, Offer, SdpError, Section

Kind = Literal["audio", "video"]
Codec = Literal["opus", "vp8", "h264", "vp9", "av1"]
Extension = Literal[
    "mid",
    "rid",
    "repaired_rid",
    "audio_level",
    "abs_send_time",
    "twcc",
    "video_orientation",
    "playout_delay",
    "dependency_descriptor",
]
Label = Literal["audio", "camera", "content"]
Role = Literal["client", "server"]

URIS: Mapping[str, Extension] = {
    "urn:ietf:params:rtp-hdrext:sdes:mid": "mid",
    "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id": "rid",
    "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id": "repaired_rid",
    "urn:ietf:params:rtp-hdrext:ssrc-audio-level": "audio_level",
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time": "abs_send_time",
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01": "twcc",
    "urn:3gpp:video-orientation": "video_orientation",
    "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay": "playout_delay",
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension": "dependency_descriptor",
}
PROTOCOLS = frozenset({"UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "TCP/TLS/RTP/SAVPF", "RTP/SAVPF"})
FEEDBACK = ("nack", "nack pli", "ccm fir", "transport-cc")
LABELS: Mapping[Kind, tuple[Label, ...]] = {"audio": ("audio",), "video": ("camera", "content")}
LAYER_ORDER = "qhf"  # our terminals' names, lowest first; other names keep the peer's order
CODECS: Mapping[Kind, tuple[tuple[Codec, int], ...]] = {
    "audio": (("opus", 48_000),),
    "video": (("vp8", 90_000), ("h264", 90_000), ("vp9", 90_000), ("av1", 90_000)),
}
VOICE_BPS = 24_000
"""Speech needs no more of Opus, and on the narrowest line of a tree each voice counts; browsers send 32,000."""
PROFILES: Mapping[Codec, str] = {
    "opus": f"minptime=10;useinbandfec=1;maxaveragebitrate={VOICE_BPS}",
    "vp9": "profile-id=0",
    "av1": "profile=0",
}
H264_PROFILES = ("42e01f", "42c01f", "42001f")
CANDIDATE_PRIORITY = 2_130_706_431  # host, first component: RFC 8445 section 5.1.2.1 with local preference 65535
TCP_PRIORITY = 1_671_430_143  # type preference 99, passive, below all UDP: RFC 6544 section 4.2


@dataclass(frozen=True, slots=True)
class Payload:
    """A codec with the peer's payload type for it, and for its repair.

    ``repair``: of pictures, retransmissions on an SSRC of their own (RTX, RFC 4588); of sound, packets that
    carry earlier frames along (RED, RFC 2198).
    """

    codec: Codec
    pt: int
    repair: int | None
    profile: str
    feedback: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Taken:
    """A section we use.  ``label`` is set when the peer sends, ``slot`` is true when it receives."""

    section: Section
    kind: Kind
    payloads: tuple[Payload, ...]
    label: Label | None
    slot: bool

    @property
    def rids(self) -> tuple[str, ...]:
        """Simulcast layers, lowest first."""
        if self.label is None or "rid" not in extensions_of(self.section).values():
            return ()
        rids = self.section.rids
        if all(rid in LAYER_ORDER and len(rid) == 1 for rid in rids):
            return tuple(sorted(rids, key=LAYER_ORDER.index))
        return rids


@dataclass(frozen=True, slots=True)
class Plan:
    """What of an offer we take: one entry per section, None where it is rejected."""

    offer: Offer
    entries: tuple[Taken | None, ...]
    ufrag: str
    pwd: str
    fingerprints: tuple[tuple[str, str], ...]
    role: Role
    extensions: tuple[tuple[Extension, int], ...]

    def continues(self, before: "Plan") -> bool:
        """Whether this is ``before`` with new ICE credentials: the same certificate, sections and streams."""
        return (
            self.fingerprints == before.fingerprints
            and (self.ufrag, self.pwd) != (before.ufrag, before.pwd)
            and self.extensions == before.extensions
            and [_shape(entry) for entry in self.entries] == [_shape(entry) for entry in before.entries]
        )

    @property
    def taken(self) -> tuple[Taken, ...]:
        return tuple(entry for entry in self.entries if entry is not None)


def _shape(entry: Taken | None) -> object:
    return entry and (entry.section.mid, entry.kind, entry.payloads, entry.label, entry.slot, entry.rids)


@dataclass(frozen=True, slots=True)
class Local:
    """Our side: ICE credentials, sha-256 fingerprint, (address, port) candidates; ``tcp``: passive ones.

    ``version`` counts the answers of one session (RFC 8866 section 5.2).
    """

    session: int
    ufrag: str
    pwd: str
    fingerprint: str
    candidates: Sequence[tuple[str, int]]
    tcp: Sequence[tuple[str, int]] = ()
    version: int = 1


def plan(offer: Offer, max_slots: int) -> Plan:
    """Choose what to take of ``offer``.

    Raises:
        SdpError: sdp-unsupported, sdp-no-ice or sdp-no-fingerprint.
    """
    if offer.ice_lite:
        raise SdpError("sdp-unsupported", "both sides are ICE-lite: nobody would send checks")
    labels = {kind: list(names) for kind, names in LABELS.items()}
    entries: list[Taken | None] = []
    for section in offer.sections:
        slots = sum(entry.slot for entry in entries if entry is not None)
        usable = _bundled(section, offer, entries) and _usable(section)
        entries.append(_take(section, labels, slots < max_slots) if usable else None)
    taken = [entry.section for entry in entries if entry is not None]
    if not taken:
        raise SdpError("sdp-unsupported", "no section with Opus, VP8, H.264, VP9 or AV1 over DTLS-SRTP with rtcp-mux")
    first = taken[0]
    if first.ufrag is None or first.pwd is None:
        raise SdpError("sdp-no-ice", "no ICE user fragment and password")
    if not first.fingerprints:
        raise SdpError("sdp-no-fingerprint", "no certificate fingerprint with sha-256, sha-384 or sha-512")
    role: Role = "client" if first.setup == "passive" else "server"
    shared = {name: number for section in taken for number, name in extensions_of(section).items()}
    return Plan(offer, tuple(entries), first.ufrag, first.pwd, first.fingerprints, role, tuple(shared.items()))


def extensions_of(section: Section) -> dict[int, Extension]:
    """Header extensions of a section that we understand, by id; the first id of a URI counts.

    A dependency descriptor can be longer than the one-byte form allows: it takes a peer that mixes forms (RFC 8285).
    """
    found: dict[Extension, int] = {}
    for number, uri in section.extensions:
        name = URIS.get(uri)
        if name is not None and (name != "dependency_descriptor" or section.mixed_extensions):
            found.setdefault(name, number)
    return {number: name for name, number in found.items()}


def _bundled(section: Section, offer: Offer, before: Sequence[Taken | None]) -> bool:
    """Tell whether a section shares our one transport: in the bundle, or alone before any other."""
    if section.mid is not None and section.mid in offer.bundle:
        return True
    return not offer.bundle and not any(before)


def _usable(section: Section) -> bool:
    open_ = section.port != 0 or section.bundle_only
    return open_ and section.rtcp_mux and section.protocol in PROTOCOLS and section.kind in LABELS


def _take(section: Section, labels: dict[Kind, list[Label]], room: bool) -> Taken | None:
    kind: Kind = "audio" if section.kind == "audio" else "video"
    slot = section.direction in ("recvonly", "sendrecv") and room
    payloads = _payloads(section, kind, slot)
    sends = section.direction in ("sendonly", "sendrecv") and bool(labels[kind])
    if not payloads or not (sends or slot):
        return None
    return Taken(section, kind, payloads, labels[kind].pop(0) if sends else None, slot)


def _payloads(section: Section, kind: Kind, slot: bool) -> tuple[Payload, ...]:
    """Codecs both sides know, in the offerer's order of preference; one payload type for each."""
    order = {item.pt: place for place, item in enumerate(section.formats)}
    found = []
    for codec, clock in CODECS[kind]:
        offered = [item for item in section.formats if (item.name, item.clock) == (codec, clock) and _profile_0(item)]
        if codec == "h264":
            offered = _h264_by_preference(offered, slot)
        if offered:
            first = min(order[item.pt] for item in offered)
            found.append((first, _payload(codec, offered[0], section)))
    return tuple(payload for _, payload in sorted(found, key=lambda pair: pair[0]))


def _profile_0(item: Format) -> bool:
    """Tell whether a VP9 or AV1 format has 8 bits and 4:2:0, which everybody decodes (RFC 9628, AV1 RTP section 7)."""
    name = {"vp9": "profile-id", "av1": "profile"}.get(item.name)
    return name is None or item.parameters.get(name, "0") == "0"


def _h264_by_preference(offered: Iterable[Format], slot: bool) -> list[Format]:
    """Constrained baseline in packetization mode 1 first; mode 0 only for what we receive.

    The engine fragments nothing: it passes on what the source sent, which is mode 1 as a rule.
    """

    def rank(item: Format) -> tuple[bool, int]:
        profile = _profile(item)
        place = H264_PROFILES.index(profile) if profile in H264_PROFILES else len(H264_PROFILES)
        return (item.parameters.get("packetization-mode") != "1", place)

    usable = [item for item in offered if not slot or item.parameters.get("packetization-mode") == "1"]
    return sorted(usable, key=rank)


def _profile(item: Format) -> str:
    text = item.parameters.get("profile-level-id", "42e01f").lower()
    return text if len(text) == 6 and all(c in "0123456789abcdef" for c in text) else "42e01f"


def _payload(codec: Codec, item: Format, section: Section) -> Payload:
    repair = _red(item, section) if codec == "opus" else _rtx(item, section)
    feedback = tuple(name for name in FEEDBACK if name in item.feedback)
    if "transport-cc" not in feedback and "goog-remb" in item.feedback:
        feedback += ("goog-remb",)
    profile = ""
    if codec == "h264":
        mode = "1" if item.parameters.get("packetization-mode") == "1" else "0"
        profile = f"level-asymmetry-allowed=1;packetization-mode={mode};profile-level-id={_profile(item)}"
    else:
        profile = PROFILES.get(codec, "")
    return Payload(codec, item.pt, repair, profile, feedback)


def _rtx(item: Format, section: Section) -> int | None:
    rtx = (f.pt for f in section.formats if f.name == "rtx" and f.parameters.get("apt") == str(item.pt))
    return next(rtx, None)


def _red(item: Format, section: Section) -> int | None:
    """RED whose blocks are all of this payload type: ``a=fmtp:63 111/111`` (RFC 2198 section 5)."""
    wanted = {str(item.pt)}
    for red in section.formats:
        blocks = next(iter(red.parameters), "").split("/")
        if red.name == "red" and red.clock == item.clock and set(blocks) == wanted:
            return red.pt
    return None


def render(plan: Plan, local: Local, ssrcs: Mapping[int, tuple[int, int | None]]) -> str:
    """Write the answer.

    Args:
        ssrcs: For each section index that is a slot, the (ssrc, rtx_ssrc) we shall send in it.
    """
    entries = list(zip(plan.offer.sections, plan.entries, strict=True))
    group = [section.mid for section, entry in entries if entry is not None and section.mid is not None]
    lines = ["v=0", f"o=- {local.session} {local.version} IN IP4 127.0.0.1", "s=-", "t=0 0", "a=ice-lite"]
    if plan.offer.bundle:
        lines.append("a=group:BUNDLE " + " ".join(group))
    if plan.offer.mixed_extensions:
        lines.append("a=extmap-allow-mixed")
    lines.append("a=msid-semantic: WMS *")
    for index, (section, entry) in enumerate(entries):
        lines += _rejected(section) if entry is None else _accepted(entry, plan, local, ssrcs.get(index))
    return "\r\n".join(lines) + "\r\n"


def _rejected(section: Section) -> list[str]:
    lines = [f"m={section.kind} 0 {section.protocol} {' '.join(section.fmt)}", "c=IN IP4 0.0.0.0", "a=inactive"]
    return lines + ([f"a=mid:{section.mid}"] if section.mid is not None else [])


def _accepted(entry: Taken, plan: Plan, local: Local, ssrc: tuple[int, int | None] | None) -> list[str]:
    section = entry.section
    pts = [str(pt) for payload in entry.payloads for pt in (payload.pt, payload.repair) if pt is not None]
    host, port = local.candidates[0]
    lines = [f"m={section.kind} {port} {section.protocol} {' '.join(pts)}", f"c=IN {_family(host)} {host}"]
    if section.mid is not None:
        lines.append(f"a=mid:{section.mid}")
    lines += ["a=rtcp-mux", f"a={_answered_direction(entry)}"]
    if section.rtcp_rsize:
        lines.append("a=rtcp-rsize")
    lines += _transport(plan, local)
    lines += [f"a=extmap:{number} {_uri(name)}" for number, name in extensions_of(section).items()]
    for payload in entry.payloads:
        lines += _payload_lines(payload)
    if entry.rids:
        offered = [rid for rid in section.rids if rid in entry.rids]
        lines += [*(f"a=rid:{rid} recv" for rid in offered), "a=simulcast:recv " + ";".join(offered)]
    if ssrc is not None:
        lines += _slot_lines(section.mid or "0", ssrc, local.session)
    return lines


def _family(host: str) -> str:
    return f"IP{ip_address(host).version}"


def _answered_direction(entry: Taken) -> str:
    if entry.label is None:
        return "sendonly"
    return "sendrecv" if entry.slot else "recvonly"


def _transport(plan: Plan, local: Local) -> list[str]:
    candidates = [
        f"a=candidate:{place} 1 udp {CANDIDATE_PRIORITY - 256 * (place - 1)} {host} {port} typ host"
        for place, (host, port) in enumerate(local.candidates, 1)
    ]
    candidates += [
        f"a=candidate:t{place} 1 tcp {TCP_PRIORITY - 256 * place} {host} {port} typ host tcptype passive"
        for place, (host, port) in enumerate(local.tcp)
    ]
    return [
        f"a=ice-ufrag:{local.ufrag}",
        f"a=ice-pwd:{local.pwd}",
        f"a=fingerprint:sha-256 {local.fingerprint}",
        "a=setup:active" if plan.role == "client" else "a=setup:passive",
        *candidates,
        "a=end-of-candidates",
    ]


def _uri(name: Extension) -> str:
    return next(uri for uri, known in URIS.items() if known == name)


def _payload_lines(payload: Payload) -> list[str]:
    name = "opus/48000/2" if payload.codec == "opus" else f"{payload.codec.upper()}/90000"
    lines = [f"a=rtpmap:{payload.pt} {name}"]
    lines += [f"a=rtcp-fb:{payload.pt} {name}" for name in payload.feedback]
    if payload.profile:
        lines.append(f"a=fmtp:{payload.pt} {payload.profile}")
    repair = payload.repair
    if repair is not None and payload.codec == "opus":
        lines += [f"a=rtpmap:{repair} red/48000/2", f"a=fmtp:{repair} {payload.pt}/{payload.pt}"]
    elif repair is not None:
        lines += [f"a=rtpmap:{repair} rtx/90000", f"a=fmtp:{repair} apt={payload.pt}"]
    return lines


def _slot_lines(mid: str, ssrc: tuple[int, int | None], session: int) -> list[str]:
    """Name the stream of a slot; each slot is its own stream, since sources move between slots."""
    media, repair = ssrc
    lines = [f"a=msid:slot-{mid} track-{mid}"]
    if repair is not None:
        lines.append(f"a=ssrc-group:FID {media} {repair}")
    return lines + [f"a=ssrc:{number} cname:{cname(session)}" for number in (media, repair) if number is not None]


def cname(session: int) -> str:
    """The RTCP canonical name of everything we send on one transport (RFC 3550 section 6.5.1)."""
    return f"wuji-{session}"
