"""``wuji doctor``: what to know about a machine before a gateway goes into service on it."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from signaling import division
from signaling.ids import NodeCode

from . import http
from .clock import Clock
from .config import Config, is_loopback
from .embedded import EmbeddedServerError, find_binary
from .keys import KeyFileError, NodeKeys

FILES_WANTED = 4_096
FSYNC_WARN_MS = 20.0
DISK_WANTED_MB = 500
UDP_BUFFER_WANTED = 4 << 20
UDP_SEGMENT = 103
"""Linux' name for generic segmentation offload, udp(7); the socket module has none."""
SEGMENT_BYTES = 1_200
DAY_MS = 86_400_000
CERTIFICATE_WARN_DAYS = 30


@dataclass(frozen=True, slots=True)
class Finding:
    """``verdict`` is ok, warn or fail; ``text`` says what was seen and, unless ok, what to do."""

    check: str
    verdict: str
    text: str


def examine(config: Config) -> list[Finding]:
    """Return what every check found, in order."""
    checks: tuple[Callable[[Config], Iterator[Finding]], ...] = (
        _keys,
        _tree,
        _ports,
        _disk,
        _limits,
        _bus,
        _certificate,
        _console,
        _native,
        _exposure,
    )
    return [finding for check in checks for finding in check(config)]


def _keys(config: Config) -> Iterator[Finding]:
    private = config.keys.private_key_file
    try:
        keys = NodeKeys.load(NodeCode(config.node.code), private, config.keys.public_keys_file)
    except KeyFileError as error:
        yield Finding("keys", "fail", str(error))
        return
    yield Finding("keys", "ok", f"node key of {keys.node}; {len(keys.public)} nodes known")
    if stat.S_IMODE(private.stat().st_mode) & 0o077:
        yield Finding("keys", "fail", f"{private}: others may read it; chmod 600 it")


def _tree(config: Config) -> Iterator[Finding]:
    try:
        tree = division.parse(config.tree.file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        yield Finding("tree", "fail", f"{config.tree.file}: {error}")
        return
    node = NodeCode(config.node.code)
    if node not in tree:
        yield Finding("tree", "fail", f"{config.tree.file}: no division {node}")
        return
    below = sum(1 for _ in tree.subtree(node)) - 1
    yield Finding("tree", "ok", f"{tree.name(node)}, tier {tree.tier(node)}, {below} divisions below")
    if tree.parent(node) is not None and config.uplink.url is None:
        yield Finding("tree", "warn", "there is a tier above, and uplink.url is not set: this node is an island")


def _ports(config: Config) -> Iterator[Finding]:
    wanted = [(config.http.host, config.http.port, socket.SOCK_STREAM, "tcp")]
    wanted += [(host, config.media_port, socket.SOCK_DGRAM, "udp") for host in config.media.hosts]
    for host, port, kind, word in wanted:
        try:
            family = socket.getaddrinfo(host, port, type=kind)[0][0]
            with socket.socket(family, kind) as probe:
                if kind == socket.SOCK_STREAM:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
        except OSError as error:
            yield Finding("ports", "fail", f"{host} {port}/{word}: {error.strerror}; is the gateway running already?")
        else:
            yield Finding("ports", "ok", f"{host} {port}/{word} is free")


def _disk(config: Config) -> Iterator[Finding]:
    directory = config.node.data_dir
    try:
        directory.mkdir(parents=True, exist_ok=True)
        slowest_ms = max(_fsync_ms(directory) for _ in range(5))
        free_mb = shutil.disk_usage(directory).free // 1_000_000
    except OSError as error:
        yield Finding("disk", "fail", f"{directory}: {error.strerror}")
        return
    verdict = "ok" if slowest_ms <= FSYNC_WARN_MS else "warn"
    yield Finding("disk", verdict, f"{directory}: fsync {slowest_ms:.1f} ms at worst; every directive waits for one")
    verdict = "ok" if free_mb >= DISK_WANTED_MB else "fail"
    yield Finding("disk", verdict, f"{directory}: {free_mb} MB free, want {DISK_WANTED_MB}")


def _fsync_ms(directory: Path) -> float:
    clock = Clock()
    with tempfile.TemporaryFile(dir=directory) as file:
        file.write(b"x" * 4096)
        file.flush()
        started = clock.now()
        os.fsync(file.fileno())
        return (clock.now() - started) * 1000


def _limits(config: Config) -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    verdict = "ok" if soft >= FILES_WANTED else "warn"
    yield Finding(
        "limits", verdict, f"{soft} open files (at most {hard}), want {FILES_WANTED}: LimitNOFILE in the unit"
    )
    path = Path("/proc/sys/net/core/rmem_max")
    if path.exists():
        size = int(path.read_text())
        verdict = "ok" if size >= UDP_BUFFER_WANTED else "warn"
        yield Finding("limits", verdict, f"net.core.rmem_max {size}, want {UDP_BUFFER_WANTED} for bursts of media")


def _bus(config: Config) -> Iterator[Finding]:
    if config.bus.url is not None:
        yield Finding("bus", "ok", "bus.url is set; /readyz says whether it answers")
        return
    try:
        yield Finding("bus", "ok", f"private server: {find_binary()}")
    except EmbeddedServerError as error:
        yield Finding("bus", "fail", str(error))


def _certificate(config: Config) -> Iterator[Finding]:
    if config.http.tls_cert is None:
        return
    try:
        certificate = x509.load_pem_x509_certificate(config.http.tls_cert.read_bytes())
    except (OSError, ValueError) as error:
        yield Finding("tls", "fail", f"{config.http.tls_cert}: {error}")
        return
    days = (certificate.not_valid_after_utc.timestamp() * 1000 - Clock().at()) / DAY_MS
    verdict = "fail" if days <= 0 else "warn" if days < CERTIFICATE_WARN_DAYS else "ok"
    yield Finding("tls", verdict, f"{config.http.tls_cert}: ends in {days:.0f} days")


def _console(config: Config) -> Iterator[Finding]:
    files = http.console_files()
    if files:
        yield Finding("console", "ok", f"{len(files)} files")
    else:
        yield Finding("console", "fail", "not built: make console")


def _native(config: Config) -> Iterator[Finding]:
    try:
        import media.engine
    except ImportError as error:
        yield Finding("engine", "fail", f"the native module does not load: {error}")
    else:
        yield Finding("engine", "ok", media.engine.__name__)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, SEGMENT_BYTES)
        except OSError as error:
            yield Finding(
                "engine", "warn", f"no UDP GSO ({error.strerror}): media takes two to three times the processor"
            )
        else:
            yield Finding("engine", "ok", "UDP GSO: packets leave many at a time")


def _exposure(config: Config) -> Iterator[Finding]:
    if is_loopback(config.http.host):
        yield Finding("exposure", "ok", "loopback only")
    elif config.http.tls_cert is None:
        yield Finding("exposure", "warn", "http without TLS beyond this machine: browsers will give no camera")
    else:
        yield Finding("exposure", "ok", f"https on {config.http.host}")
