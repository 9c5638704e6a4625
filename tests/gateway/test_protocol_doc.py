"""The protocol's page says what the code does."""

import typing

from gateway import protocol_doc
from signaling import messages, records
from signaling.session import CloseCode


def test_the_tables_are_current() -> None:
    text = protocol_doc.TARGET.read_text(encoding="utf-8")
    assert protocol_doc.render(text) == text


def test_every_message_record_and_close_code_is_described() -> None:
    text = protocol_doc.TARGET.read_text(encoding="utf-8")
    unions = (messages.ClientMessage, messages.GatewayMessage, messages.LinkMessage, records.AnyRecord)
    for union in unions:
        for member in typing.get_args(union):
            assert f"### `{member.__struct_config__.tag}`\n" in text
    for code in CloseCode:
        assert f"| {int(code)} |" in text


def test_limits_are_those_of_the_code() -> None:
    text = protocol_doc.TARGET.read_text(encoding="utf-8")
    kib = messages.MAX_MESSAGE_BYTES // 1024
    mib = messages.MAX_LINK_MESSAGE_BYTES // 1024 // 1024
    assert f"| longest message | {kib} KiB | {mib} MiB |" in text
