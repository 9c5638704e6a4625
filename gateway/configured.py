"""The parts a node's settings ask for by themselves: read, opened and checked.

Each raises ConfigError with the key or file that is wrong.
"""

from __future__ import annotations

import ssl

from media.engine import Engine
from signaling import division
from signaling.division import Tree
from signaling.ids import NodeCode
from signaling.records import Urgency

from . import contacts, telemetry, templates
from .camera_ways import Ways
from .clock import Clock
from .config import Config, ConfigError
from .connection import fitting
from .dialling import Uplink
from .heartbeat import AuditorWatch
from .issuing import Rules
from .reserve import Reserve


def reserve(config: Config) -> Reserve:
    try:
        return Reserve(config.node.data_dir / "reserve", config.node.reserve_bytes)
    except OSError as error:
        raise ConfigError((f"node.reserve_bytes: {config.node.data_dir}: {error}",)) from None


def tree(config: Config) -> Tree:
    try:
        tree = division.parse(config.tree.file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError((f"{config.tree.file}: {error}",)) from None
    if config.node.code not in tree:
        raise ConfigError((f"{config.tree.file}: no division {config.node.code}, which is node.code",))
    return tree


def auditor_watch(config: Config, clock: Clock) -> AuditorWatch | None:
    if not config.auditor.watched:
        return None
    return AuditorWatch(config.node.data_dir, clock, config.auditor.silent_s, telemetry.default)


def contacts_file(config: Config) -> contacts.Contacts:
    try:
        return contacts.read(config.adapters.contacts_file)
    except ValueError as error:
        raise ConfigError((str(error),)) from None


def texts(config: Config) -> tuple[templates.Template, ...]:
    try:
        return templates.read(config.tree.templates_file)
    except ValueError as error:
        raise ConfigError((str(error),)) from None


def rules(config: Config, tree: Tree) -> Rules:
    prefix = config.directives.document_prefix or f"{config.node.name or tree.name(NodeCode(config.node.code))}应急令"
    return Rules(prefix, frozenset(map(Urgency, config.directives.approval)))


def camera_ways(config: Config) -> Ways:
    try:
        ca = config.cameras.ca.read_text(encoding="ascii") if config.cameras.ca is not None else ""
    except (OSError, ValueError) as error:
        raise ConfigError((f"cameras.ca: {config.cameras.ca}: {error}",)) from None
    return Ways(config.cameras.networks, local=config.cameras.local, ca=ca)


def uplink(config: Config, tree: Tree) -> Uplink | None:
    if config.uplink.url is None:
        return None
    parent = tree.parent(NodeCode(config.node.code))
    if parent is None:
        raise ConfigError(("uplink.url: this node is the top of the tree",))
    if config.uplink.parent not in (None, parent):
        raise ConfigError((f"uplink.parent = {config.uplink.parent}: {config.tree.file} says {parent}",))
    context = None
    if config.uplink.ca is not None:
        try:
            context = ssl.create_default_context(cafile=config.uplink.ca)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError((f"{config.uplink.ca}: {error}",)) from None
    return Uplink(config.uplink.url, parent, context)


def engine(config: Config) -> Engine:
    media = config.media
    try:
        return Engine.open(
            media.hosts,
            config.media_port,
            gather_us=media.gather_us,
            cache_packets=media.cache_packets,
            max_ssrcs=media.max_ssrcs,
            max_sinks=media.max_sinks,
            max_transports=media.max_transports,
            silent_ms=media.silent_ms,
            packet_rate=media.packet_rate,
            source_rate=media.source_rate,
            max_streams=min(media.max_streams, fitting() // 8),
            streams_per_address=config.http.connections_per_address,
            workers=media.workers,
        )
    except (OSError, ValueError) as error:
        raise ConfigError((f"media {', '.join(media.hosts)} port {config.media_port}: {error}",)) from None
