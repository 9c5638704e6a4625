"""One TOML file and ``WUJI__SECTION__KEY`` variables become a ``Config``, or all their mistakes at once.

Relative paths in the file are meant from the file's directory, those in the environment from the
working directory.  The environment outranks the file.
"""

from __future__ import annotations

import ipaddress
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from . import settings

PREFIX = "WUJI__"
WEAK_MARKERS = ("demo", "change-me", "changeme", "example", "secret-secret", "password")
"""Whoever reads our documents knows secrets with these words in them."""


class ConfigError(Exception):
    """The settings cannot be used; ``mistakes`` are sentences ``origin: key = value: what is wrong``."""

    def __init__(self, mistakes: tuple[str, ...]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class Config(BaseSettings):
    """All settings of one gateway.  Frozen; a section per concern."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=False,
    )

    node: settings.NodeSection
    directives: settings.DirectivesSection = Field(default_factory=settings.DirectivesSection)
    duty: settings.DutySection = Field(default_factory=settings.DutySection)
    http: settings.HttpSection = Field(default_factory=settings.HttpSection)
    media: settings.MediaSection = Field(default_factory=settings.MediaSection)
    load: settings.LoadSection = Field(default_factory=settings.LoadSection)
    uplink: settings.UplinkSection = Field(default_factory=settings.UplinkSection)
    tree: settings.TreeSection = Field(default_factory=settings.TreeSection)
    keys: settings.KeysSection = Field(default_factory=settings.KeysSection)
    auth: settings.AuthSection = Field(default_factory=settings.AuthSection)
    bus: settings.BusSection = Field(default_factory=settings.BusSection)
    alarms: settings.AlarmsSection = Field(default_factory=settings.AlarmsSection)
    cameras: settings.CamerasSection = Field(default_factory=settings.CamerasSection)
    mqtt: settings.MqttSection = Field(default_factory=settings.MqttSection)
    adapters: settings.AdaptersSection = Field(default_factory=settings.AdaptersSection)
    auditor: settings.AuditorSection = Field(default_factory=settings.AuditorSection)
    log: settings.LogSection = Field(default_factory=settings.LogSection)
    demo: settings.DemoSection = Field(default_factory=settings.DemoSection)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings

    @property
    def media_port(self) -> int:
        """The UDP port asked for; equals the TCP port unless set."""
        return self.media.port or self.http.port

    @property
    def loopback(self) -> bool:
        """Whether nobody but this machine can reach the gateway."""
        return all(is_loopback(host) for host in (self.http.host, *self.media.hosts))


def is_loopback(host: str) -> bool:
    """Return whether ``host`` (name or literal) is this machine and nothing else."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def load(path: Path) -> Config:
    """Return the settings in ``path`` and the environment.

    Raises:
        ConfigError: With every mistake found, not only the first.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError((f"{path}: cannot be read: {error}",)) from None
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError((f"{path}: not TOML: {error}",)) from None
    return build(table, str(path), path.parent)


def build(table: dict[str, Any], origin: str, base: Path) -> Config:
    """Return the settings in ``table``, whose relative paths are meant from ``base``."""
    mistakes = list(_foreign_variables(os.environ))
    try:
        config = Config(**_anchor(table, base))
    except ValidationError as error:
        mistakes += [_sentence(detail, origin) for detail in error.errors()]
        raise ConfigError(tuple(mistakes)) from None
    mistakes += [f"{_origin(key.split('.'), origin)}: {key}: {text}" for key, text in _contradictions(config)]
    if mistakes:
        raise ConfigError(tuple(mistakes))
    return config


def fields() -> Iterator[tuple[str, str, Any]]:
    """Yield (section, key, pydantic FieldInfo) of every setting, in order."""
    for section, info in Config.model_fields.items():
        model = cast("type[settings.Section]", info.annotation)
        for key, field in model.model_fields.items():
            yield section, key, field


def _anchor(table: Mapping[str, Any], base: Path) -> dict[str, Any]:
    paths = {(section, key) for section, key, field in fields() if field.annotation in (Path, Path | None)}
    given = {name: dict(value) if isinstance(value, dict) else value for name, value in table.items()}
    for section, key in paths:
        values = given.get(section)
        if isinstance(values, dict) and isinstance(values.get(key), str):
            values[key] = Path(os.path.normpath(base / values[key]))
        elif not isinstance(values, dict):
            values = given.setdefault(section, {}) if values is None else {}
        if isinstance(values, dict) and key not in values:
            _anchor_default(values, section, key, base)
    return {name: value for name, value in given.items() if value != {} or name in table}


def _anchor_default(values: dict[str, Any], section: str, key: str, base: Path) -> None:
    default = cast("type[settings.Section]", Config.model_fields[section].annotation).model_fields[key].default
    if isinstance(default, Path):
        values[key] = Path(os.path.normpath(base / default))


def _foreign_variables(environ: Mapping[str, str]) -> Iterator[str]:
    known = {f"{PREFIX}{section}__{key}".upper() for section, key, _ in fields()}
    for name in sorted(environ):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            yield f"environment: {name}: unknown setting"


def _variable(where: list[str]) -> str | None:
    """Return the environment variable that set the key ``where``, if one did."""
    name = PREFIX + "__".join(where[:2]).upper()
    return next((key for key in os.environ if key.upper() == name), None)


def _origin(where: list[str], origin: str) -> str:
    variable = _variable(where)
    return f"environment: {variable}" if variable else origin


def _sentence(detail: ErrorDetails, origin: str) -> str:
    where = [str(part) for part in detail["loc"]]
    key = ".".join(where)
    secret = "secret" in key
    value = (
        "" if detail["type"] == "missing" or secret or isinstance(detail["input"], dict) else f" = {detail['input']}"
    )
    return f"{_origin(where, origin)}: {key}{value}: {_complaint(detail)}"


def _complaint(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            return "unknown key"
        case "missing":
            return "missing"
        case "greater_than_equal" | "less_than_equal":
            low, high = _bounds([str(part) for part in detail["loc"]])
            return f"not in {low}..{high}"
        case "string_pattern_mismatch":
            return f"does not match {context.get('pattern')}"
        case "int_parsing" | "int_type" | "int_from_float":
            return "not a whole number"
        case "float_parsing" | "float_type":
            return "not a number"
        case _:
            return detail["msg"][0].lower() + detail["msg"][1:]


def _bounds(where: list[str]) -> tuple[object, object]:
    field = next(field for section, key, field in fields() if [section, key] == where[:2])
    low = next((item.ge for item in field.metadata if hasattr(item, "ge")), "")
    high = next((item.le for item in field.metadata if hasattr(item, "le")), "")
    return low, high


def _contradictions(config: Config) -> Iterator[tuple[str, str]]:
    """Yield (key, sentence) for settings that are fine alone and wrong together."""
    keys, http = config.keys, config.http
    secret = keys.token_secret.get_secret_value() if keys.token_secret else ""
    if keys.token_algorithm is settings.Algorithm.HS256 and not secret:
        yield "keys.token_secret", "missing, and keys.token_algorithm is HS256"
    if bool(http.tls_cert) != bool(http.tls_key):
        yield ("http.tls_key" if http.tls_cert else "http.tls_cert"), "missing: TLS needs both tls_cert and tls_key"
    if config.uplink.parent == config.node.code:
        yield "uplink.parent", "is this node itself"
    for url, proof in (("webhook_url", "webhook_secret"), ("sms_url", "sms_token")):
        given = [getattr(config.adapters, name) is not None for name in (url, proof)]
        if any(given) and not all(given):
            yield f"adapters.{proof if given[0] else url}", f"missing: {url} and {proof} go together"
    if not config.loopback:
        yield from _unsafe_in_public(config, secret)


def _unsafe_in_public(config: Config, secret: str) -> Iterator[tuple[str, str]]:
    host = next(host for host in (config.http.host, *config.media.hosts) if not is_loopback(host))
    if any(marker in secret.lower() for marker in WEAK_MARKERS):
        yield (
            "keys.token_secret",
            f"is a published example, and the gateway listens on {host}; draw one: openssl rand -base64 48",
        )
    if config.demo.reusable_links:
        yield "demo.reusable_links", f"is for loopback only, and the gateway listens on {host}"
