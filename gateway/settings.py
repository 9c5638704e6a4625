"""Every setting: its name, unit, default, range and trade-off.  ``config.py`` reads them.

The description of a field is what ``configs/reference.toml`` says about it; the file is generated.
"""

from __future__ import annotations

import enum
import ipaddress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints

Code = Annotated[str, StringConstraints(pattern=r"^[0-9]{12}$")]
Port = Annotated[int, Field(ge=0, le=65_535)]
Network = Annotated[str, AfterValidator(lambda text: str(ipaddress.ip_network(text)))]
Origin = Annotated[str, StringConstraints(pattern=r"^https?://[^/\s]+$")]


class Section(BaseModel):
    """One table of the file.  Unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NodeSection(Section):
    """Which place of the tree this gateway is."""

    code: Code = Field(description="12-digit division code this gateway serves; a row of tree.file.")
    name: str = Field(
        default="", max_length=60, description="Name people see. Empty: the division's name from tree.file."
    )
    data_dir: Path = Field(
        default=Path("data"),
        description=(
            "Directory of the journal, pictures and sign-in links. One gateway each; put it on a disk that "
            "honours fsync."
        ),
    )
    reserve_bytes: int = Field(
        default=16_777_216,
        ge=0,
        le=17_179_869_184,
        description=(
            "Bytes kept in data_dir for directives, alarms and audit when the disk is full; 16 MiB is some 5000 "
            "directives. While less than as much again is free, no pictures are kept."
        ),
    )


class DirectivesSection(Section):
    """How this gateway issues directives."""

    document_prefix: str = Field(
        default="",
        max_length=30,
        description=(
            "What a directive's number begins with, before its year: 衡山应急令〔2026〕0001号. Empty: the name people "
            "see and 应急令. The count goes on when it changes."
        ),
    )
    approval: tuple[Literal["P1", "P2", "P3"], ...] = Field(
        default=(),
        description=(
            "Urgencies that somebody else must approve before they are issued. None: one click issues. P0 never "
            "waits: it is countersigned within 30 minutes."
        ),
    )


Post = Annotated[str, Field(min_length=1, max_length=20)]


class DutySection(Section):
    """Which posts must have somebody on duty at all times, at this place and at every one below it."""

    posts: tuple[Post, ...] = Field(
        default=("带班领导", "值班长", "值班员"),
        max_length=10,
        description=(
            "Posts of every place but villages; one named twice needs two people at once. The console says who is "
            "missing in the coming 24 hours."
        ),
    )
    village_posts: tuple[Post, ...] = Field(default=("值班员",), max_length=10, description="Posts of villages.")


class HttpSection(Section):
    """The TCP port: pages, API, WebSockets, WHIP and WHEP."""

    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description=(
            "Address to listen on. Anything but loopback needs real secrets and should have TLS: browsers "
            "give no camera over plain http."
        ),
    )
    port: Port = Field(default=8800, description="TCP port. 0: any free one, printed at start (for tests).")
    tls_cert: Path | None = Field(
        default=None, description="PEM certificate chain. With tls_key: https. `wuji pki` makes one."
    )
    tls_key: Path | None = Field(default=None, description="PEM private key of tls_cert, readable by the service only.")
    allowed_origins: tuple[Origin, ...] = Field(
        default=(),
        description="Further pages that may open /ws, as scheme://host[:port]. The gateway's own page always may.",
    )
    header_deadline_s: float = Field(
        default=10.0,
        ge=0.1,
        le=120,
        description="Seconds for a request's headers to arrive whole. Satellite links need more than 2.",
    )
    idle_s: float = Field(default=60.0, ge=1, le=3600, description="Seconds a connection may stay without a request.")
    body_deadline_s: float = Field(
        default=60.0, ge=1, le=600, description="Seconds for a request's body. 1 MiB at 256 kbit/s takes 33."
    )
    connections_per_address: int = Field(
        default=64,
        ge=1,
        le=100_000,
        description=(
            "Open TCP connections of one address. When full, its oldest connection without a whole request "
            "gives way. Raise it where many terminals share one NAT address."
        ),
    )
    json_bytes: int = Field(default=65_536, ge=1024, le=1_048_576, description="Largest JSON body, bytes.")
    sdp_bytes: int = Field(default=65_536, ge=4096, le=1_048_576, description="Largest SDP body, bytes.")
    alarm_bytes: int = Field(
        default=5_242_880, ge=65_536, le=67_108_864, description="Largest alarm upload with its picture, bytes."
    )
    shutdown_s: float = Field(
        default=1.0, ge=0, le=300, description="Seconds requests in progress may still take after SIGTERM."
    )


class MediaSection(Section):
    """The UDP port: ICE, DTLS and SRTP."""

    hosts: tuple[str, ...] = Field(
        default=("127.0.0.1",), min_length=1, description="IPv4 or IPv6 literals to bind for media."
    )
    port: Port = Field(
        default=0, description="UDP port. 0: the number of http.port, so that one firewall rule names both."
    )
    advertise: tuple[str, ...] = Field(
        default=(),
        description="Addresses put into answers, when they differ from hosts (behind NAT, or when hosts is 0.0.0.0).",
    )
    advertise_port: Port = Field(
        default=0,
        description=("Port put into answers, when a router maps another one to this gateway. 0: the port listened on."),
    )
    tcp: bool = Field(
        default=True,
        description=(
            "Take media over TCP too (ICE-TCP), on http.port, where a firewall lets no UDP through. Slower on "
            "lossy lines."
        ),
    )
    gather_us: int = Field(
        default=1000,
        ge=0,
        le=20_000,
        description="Microseconds packets wait to be sent together. More saves CPU, adds delay.",
    )
    cache_packets: int = Field(
        default=1024,
        ge=64,
        le=32_768,
        description="Packets kept per source for retransmission. 1024 is 2 s of a 5 Mbit/s camera.",
    )
    max_ssrcs: int = Field(
        default=16,
        ge=4,
        le=256,
        description="Streams one connection may bring in; further ones are dropped and counted.",
    )
    max_sinks: int = Field(
        default=128,
        ge=4,
        le=1024,
        description="Streams one connection may be sent. A link takes two for a picture that it carries in two sizes.",
    )
    max_transports: int = Field(default=10_000, ge=1, le=100_000, description="Media connections of this gateway.")
    silent_ms: int = Field(
        default=3_000,
        ge=500,
        le=60_000,
        description="Milliseconds without an authentic packet until a peer counts as gone.",
    )
    packet_rate: int = Field(
        default=20_000,
        ge=100,
        le=1_000_000,
        description=(
            "Packets per second one connection may bring in; more are dropped. A link full of 60 pictures of "
            "1.7 Mbit/s is 12000, a terminal below 1000."
        ),
    )
    source_rate: int = Field(
        default=3_000,
        ge=100,
        le=1_000_000,
        description=(
            "Packets per second of one picture or voice that go on to its viewers; more are dropped. A camera of "
            "4 Mbit/s in three layers is below 1000; what one terminal may send too much, each viewer would be sent."
        ),
    )
    max_streams: int = Field(
        default=1_024,
        ge=0,
        le=100_000,
        description="Media connections over TCP; http.connections_per_address of them may be of one address.",
    )
    workers: int = Field(
        default=0,
        ge=0,
        le=64,
        description=(
            "Threads that forward media; 0: one per processor, at most 2. A conference is one thread's until it has "
            "48 terminals here, then all may serve it; that costs up to a tenth more on each packet and carries more "
            "only where each thread has a core of its own."
        ),
    )


class LoadSection(Section):
    """When this gateway has enough to do: pictures become smaller, then nobody new is let in."""

    worker_share: float = Field(
        default=0.85,
        ge=0.05,
        le=1,
        description=(
            "Share of a core the busiest packet worker may use until pictures become smaller. "
            "Joins are refused from 1.1 times this on."
        ),
    )
    lag_ms: int = Field(
        default=1_500,
        ge=20,
        le=60_000,
        description="Milliseconds the event loop may run late, smoothed, until the same happens.",
    )


class UplinkSection(Section):
    """The parent gateway.  Leave url away at the top of the tree."""

    url: str | None = Field(
        default=None,
        pattern=r"^wss?://[^\s]+$",
        description=(
            "The parent's link address, e.g. wss://city.example/link. Dialled outbound; no inbound port is needed here."
        ),
    )
    parent: Code | None = Field(
        default=None, description="The parent's code, when it is not the nearest one of tree.file."
    )
    ca: Path | None = Field(
        default=None, description="PEM certificates that vouch for a wss parent. Without it: the system's."
    )


class TreeSection(Section):
    """The divisions this gateway knows."""

    file: Path = Field(
        default=Path("divisions.csv"),
        description="CSV of divisions: code12,name,parent,tier,lon_gcj02,lat_gcj02. The parent column is the tree.",
    )
    groups_file: Path | None = Field(
        default=None, description="TOML of named circles of recipients ([[group]] id, name, scope = [{ node, mode }])."
    )
    templates_file: Path | None = Field(
        default=None, description="TOML of one-click directive templates ([[template]] id, title, text, urgency)."
    )
    units_file: Path | None = Field(
        default=None,
        description="TOML of departments and teams that can be sent to alarms ([[unit]] id, name, place, kind, phone).",
    )


class Algorithm(enum.StrEnum):
    """How sign-in tokens are signed.  One per gateway, pinned."""

    EDDSA = "EdDSA"
    HS256 = "HS256"


class KeysSection(Section):
    """Who this gateway is, provably, and how it knows the others.  `wuji pki` makes the files."""

    private_key_file: Path = Field(
        default=Path("node.key"),
        description="PEM Ed25519 private key of this node. Signs directives and links; mode 0600.",
    )
    public_keys_file: Path = Field(
        default=Path("public_keys.toml"),
        description="TOML of every node's public key: [keys] code = base64 of 32 bytes.",
    )
    token_algorithm: Algorithm = Field(
        default=Algorithm.EDDSA,
        description=(
            "EdDSA: tokens signed with the node key (verify 0.12 ms). HS256: with token_secret (0.04 ms), "
            "for outside issuers."
        ),
    )
    token_secret: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="HS256 secret, at least 32 characters. Per gateway: a county token is worth nothing at the city.",
    )


class AuthSection(Section):
    """Signing in."""

    accounts_file: Path | None = Field(
        default=None, description="TOML of accounts: [[account]] name, role, division, password (from `wuji password`)."
    )
    token_ttl_s: int = Field(
        default=43_200, ge=60, le=2_678_400, description="Seconds a sign-in lasts. A 12-hour duty shift."
    )
    link_ttl_s: int = Field(
        default=259_200, ge=60, le=2_678_400, description="Seconds a one-time sign-in link may wait to be used."
    )
    attempts: int = Field(
        default=5, ge=1, le=100, description="Wrong passwords per account and address before it is locked out."
    )
    lockout_s: int = Field(default=300, ge=1, le=86_400, description="Seconds of a lock-out.")
    address_attempts: int = Field(
        default=50,
        ge=1,
        le=100_000,
        description="Wrong sign-ins of one address, any account, before it waits lockout_s. Many share a NAT.",
    )
    hash_workers: int = Field(
        default=1, ge=1, le=16, description="Password checks at a time; each takes a core for about 60 ms."
    )


class BusSection(Section):
    """Redis: rings and presence.  The journal is the truth; Redis gone loses nothing."""

    url: str | None = Field(
        default=None,
        pattern=r"^(redis|rediss|unix)://[^\s]+$",
        description="redis:// or unix:// address. Without it a private server is started on a unix socket in data_dir.",
    )


class AdaptersSection(Section):
    """Systems of others that are told of what nobody signed for.  No exercise ever leaves by them."""

    webhook_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s]+$",
        description="Address notices are POSTed to as JSON. Needs webhook_secret.",
    )
    webhook_secret: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="Signs each body: X-Wuji-Signature: t=<ms>,v1=<hex HMAC-SHA256 over '<ms>.<body>'>.",
    )
    sms_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s]+$",
        description='Gateway of short messages: POST {"id", "text", "to": [numbers]}. Needs sms_token.',
    )
    sms_token: SecretStr | None = Field(default=None, min_length=8, description="Bearer token of sms_url.")
    contacts_file: Path | None = Field(
        default=None,
        description=(
            "TOML of whom to call: [[contact]] ref, division, phone. Records name people by ref; numbers stay here. "
            "At a place it does not name, those on duty are called who left a number with the roster."
        ),
    )
    filedrop_dir: Path | None = Field(
        default=None,
        description=(
            "Folder that gets, as CAP 1.2, what a commander releases to the public: NAME.xml, then NAME.json. Some "
            "program hands it on to 12379 or 应急广播, and leaves receipts in receipts/."
        ),
    )
    timeout_s: float = Field(default=10.0, ge=0.5, le=120, description="Seconds one attempt may take.")
    attempts: int = Field(default=5, ge=1, le=20, description="Attempts per notice, at growing distances up to 8 s.")
    local: bool = Field(
        default=False,
        description="Loopback and link-local addresses may be called: for a translator on the same machine.",
    )


class AuditorSection(Section):
    """`wuji auditor`: a process of its own that recomputes every timer, and watches this gateway as it is watched."""

    watched: bool = Field(
        default=False, description="This gateway has an auditor beside it: /readyz and consoles say when it is silent."
    )
    silent_s: float = Field(default=10.0, ge=2, le=3600, description="Seconds without a heartbeat until it is said.")
    grace_s: float = Field(default=5.0, ge=0.5, le=600, description="Seconds a timer may be late until it is missed.")
    notify: bool = Field(default=False, description="The auditor's alarms also go to adapters.webhook_url.")


class AlarmsSection(Section):
    """What sources of alarms may send."""

    pictures_per_min: float = Field(
        default=30,
        gt=0,
        le=6_000,
        description="Pictures a minute that are kept of one source; its alarms are all kept.",
    )
    pictures_burst: int = Field(default=20, ge=1, le=1_000, description="Pictures of one source that may come at once.")


class CamerasSection(Section):
    """Cameras that are asked for a picture when an alarm of theirs comes without one."""

    networks: tuple[Network, ...] = Field(
        default=(),
        description=(
            "Networks cameras may stand in, e.g. 10.20.0.0/16. None: no camera is opened. Their addresses come with "
            "the registry of sources (column camera: rtsp:// or rtsps://) and stay in data_dir."
        ),
    )
    local: bool = Field(
        default=False, description="Loopback and link-local addresses within networks may be dialled, too."
    )
    ca: Path | None = Field(default=None, description="PEM certificates that vouch for rtsps cameras.")
    at_once: int = Field(default=2, ge=1, le=16, description="Cameras open at a time; each takes a process.")
    waiting: int = Field(
        default=64, ge=1, le=10_000, description="Cameras that may wait to be opened; of more, alarms go without."
    )
    deadline_s: float = Field(
        default=15.0, ge=1, le=120, description="Seconds one camera may take to give its first whole picture."
    )


class MqttSection(Section):
    """A broker whose messages are alarms."""

    url: str | None = Field(
        default=None,
        pattern=r"^mqtts?://[^\s/@]+$",
        description="mqtt:// or mqtts:// host[:port] of the broker. Without it none is listened to.",
    )
    topic: str = Field(
        default="wuji/alarms/#",
        min_length=1,
        max_length=256,
        description="Topics subscribed to, QoS 1. The last level names the source where the message does not.",
    )
    username: str | None = Field(default=None, max_length=256, description="Of this gateway at the broker.")
    password: SecretStr | None = Field(default=None, description="Of this gateway at the broker.")
    ca: Path | None = Field(default=None, description="PEM certificates that vouch for an mqtts broker.")


class LogSection(Section):
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="debug writes one line per message."
    )
    format: Literal["json", "console"] = Field(
        default="json", description="json: one object per line, for collectors. console: for people."
    )


class DemoSection(Section):
    """Only for demonstrations on one machine."""

    reusable_links: bool = Field(
        default=False, description="Sign-in links may be used again and again. Refused unless http.host is loopback."
    )
