"""Settings: every mistake at once, with its origin; the reference file tells the truth."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from gateway import reference
from gateway.config import Config, ConfigError, fields, load

CONFIGS = Path(__file__).parents[2] / "configs"
GOOD = '[node]\ncode = "430423100000"\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "township.toml"
    path.write_text(text, encoding="utf-8")
    return path


def mistakes(path: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as error:
        load(path)
    return error.value.mistakes


def test_all_mistakes_are_told_at_once_with_file_and_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(
        tmp_path,
        '[node]\ncode = "12"\n[media]\nport = 70000\ncache_packets = 1.5\n[http]\nprot = 1\n[uplink]\nurl = "http://x"\n[odd]\n',
    )
    monkeypatch.setenv("WUJI__HTTP__IDLE_S", "soon")
    monkeypatch.setenv("WUJI__HTTP__PROT", "1")
    assert set(mistakes(path)) == {
        "environment: WUJI__HTTP__PROT: unknown setting",
        "environment: WUJI__HTTP__IDLE_S: http.idle_s = soon: not a number",
        "environment: WUJI__HTTP__PROT: http.prot = 1: unknown key",
        f"{path}: node.code = 12: does not match ^[0-9]{{12}}$",
        f"{path}: media.port = 70000: not in 0..65535",
        f"{path}: media.cache_packets = 1.5: not a whole number",
        f"{path}: uplink.url = http://x: does not match ^wss?://[^\\s]+$",
        f"{path}: odd: unknown key",
    }


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    assert mistakes(write(tmp_path, "[node]\n")) == (f"{tmp_path}/township.toml: node.code: missing",)
    assert mistakes(write(tmp_path, "")) == (f"{tmp_path}/township.toml: node.code: missing",)


def test_a_file_that_is_no_toml_or_not_there_is_one_mistake(tmp_path: Path) -> None:
    assert "not TOML" in mistakes(write(tmp_path, "[node\n"))[0]
    assert "cannot be read" in mistakes(tmp_path / "none.toml")[0]
    (tmp_path / "township.toml").write_bytes(b"\xff\xfe")
    assert "cannot be read" in mistakes(tmp_path / "township.toml")[0]


def test_the_environment_outranks_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, GOOD + "[http]\nport = 9001\nidle_s = 30\n")
    monkeypatch.setenv("WUJI__HTTP__PORT", "9002")
    config = load(path)
    assert (config.http.port, config.http.idle_s) == (9002, 30)


def test_paths_are_meant_from_the_file(tmp_path: Path) -> None:
    config = load(write(tmp_path, GOOD + '[keys]\nprivate_key_file = "../k/node.key"\n'))
    assert config.keys.private_key_file == tmp_path.parent / "k/node.key"
    assert config.keys.public_keys_file == tmp_path / "public_keys.toml"
    assert config.node.data_dir == tmp_path / "data"
    assert config.http.tls_cert is None


def test_published_secrets_and_reusable_links_stay_on_loopback(tmp_path: Path) -> None:
    weak = '[keys]\ntoken_algorithm = "HS256"\ntoken_secret = "change-me-change-me-change-me-change-me"\n'
    demo = "[demo]\nreusable_links = true\n"
    assert load(write(tmp_path, GOOD + weak + demo)).demo.reusable_links
    for public in ('[http]\nhost = "0.0.0.0"\n', '[media]\nhosts = ["::"]\n', '[http]\nhost = "county.example"\n'):
        told = mistakes(write(tmp_path, GOOD + weak + demo + public))
        assert len(told) == 2
        assert "keys.token_secret: is a published example" in told[0]
        assert "demo.reusable_links: is for loopback only" in told[1]
        assert "change-me-change" not in "".join(told)


def test_settings_that_contradict_each_other_are_mistakes(tmp_path: Path) -> None:
    told = mistakes(
        write(
            tmp_path,
            GOOD + '[http]\ntls_cert = "c.pem"\n[keys]\ntoken_algorithm = "HS256"\n[uplink]\nparent = "430423100000"\n',
        )
    )
    assert [sentence.split(": ")[1] for sentence in told] == ["keys.token_secret", "http.tls_key", "uplink.parent"]


def test_a_short_secret_is_a_mistake_and_is_not_shown(tmp_path: Path) -> None:
    told = mistakes(write(tmp_path, GOOD + '[keys]\ntoken_secret = "hunter2"\n'))
    assert "at least 32" in told[0]
    assert "hunter2" not in told[0]


def test_the_media_port_is_the_http_port_unless_set(tmp_path: Path) -> None:
    assert load(write(tmp_path, GOOD + "[http]\nport = 9001\n")).media_port == 9001
    assert load(write(tmp_path, GOOD + "[http]\nport = 9001\n[media]\nport = 9002\n")).media_port == 9002


def test_the_reference_file_holds_every_setting_with_its_default() -> None:
    path = CONFIGS / "reference.toml"
    text = path.read_text(encoding="utf-8")
    assert text == reference.render(), "run: wuji config reference > configs/reference.toml"
    table = tomllib.loads(text)
    for section, key, field in fields():
        if field.is_required():
            assert key in table[section]
        elif field.default is None:
            assert re.search(rf"^# {key} = ", text, re.MULTILINE), f"{section}.{key}"
        else:
            assert table[section][key] == tomllib.loads(f"x = {reference.toml_value(field.default)}")["x"]
        assert field.description, f"{section}.{key} has no description"


def test_the_reference_file_means_the_defaults() -> None:
    told = load(CONFIGS / "reference.toml").model_dump()
    plain = load_plain()
    for section, values in plain.items():
        assert told[section] == values, section


def load_plain() -> dict[str, object]:
    from gateway.config import build

    return build({"node": {"code": "430423000000"}}, "test", CONFIGS).model_dump()


@pytest.mark.parametrize("tier", ["province", "city", "county", "township", "village"])
def test_the_demo_settings_load(tier: str) -> None:
    config = load(CONFIGS / "demo" / f"{tier}.toml")
    assert isinstance(config, Config)
    assert config.loopback
    assert (config.uplink.url is None) == (tier == "province")


def test_what_show_tells_names_origins_and_hides_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, GOOD + f'[keys]\ntoken_secret = "{"s3" * 20}"\n')
    monkeypatch.setenv("WUJI__HTTP__PORT", "9002")
    rows = {key: (value, origin) for key, value, origin in reference.effective(load(path), path)}
    assert rows["http.port"] == ("9002", "environment")
    assert rows["node.code"] == ('"430423100000"', "file")
    assert rows["http.idle_s"] == ("60.0", "default")
    assert rows["keys.token_secret"] == ("(hidden)", "file")


def test_a_way_out_needs_its_address_and_its_secret(tmp_path: Path) -> None:
    for given, missing in (
        ('webhook_url = "https://a.example/"', "webhook_secret"),
        ('sms_token = "t-t-t-t-t-t"', "sms_url"),
    ):
        (told,) = mistakes(write(tmp_path, GOOD + f"[adapters]\n{given}\n"))
        assert f"adapters.{missing}: missing" in told
