"""Whatever bytes arrive, the answer is a message or a typed error with a stable code."""

import contextlib
import typing

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling import codec, messages
from signaling.errors import MalformedMessage
from signaling.ids import DirectiveId, Epoch, Seq
from signaling.messages import Hello, LinkAck, Receipt
from signaling.records import Stage


def test_a_message_comes_back_as_it_was_said() -> None:
    said = Receipt(directive=DirectiveId("d1"), stage=Stage.SHOWN)
    assert codec.decode_client(codec.encode(said)) == said


def test_the_type_comes_first_on_the_wire() -> None:
    assert codec.encode(Hello(version=1, token="t")).startswith(b'{"type":"hello"')


def test_a_type_of_another_version_is_named_unknown_and_not_merely_malformed() -> None:
    with pytest.raises(codec.UnknownMessage) as caught:
        codec.decode_client(b'{"type":"teleport","to":"moon"}')
    assert caught.value.code == "unknown-message"


def test_a_link_message_is_unknown_to_a_session() -> None:
    with pytest.raises(codec.UnknownMessage):
        codec.decode_client(codec.encode(LinkAck(epoch=Epoch("e"), seq=Seq(1))))


def test_one_byte_too_many_is_too_large_even_when_it_is_lawful_json() -> None:
    body = b'{"type":"leave","request":1}'
    padded = body + b" " * (messages.MAX_MESSAGE_BYTES - len(body))
    assert codec.decode_client(padded) == messages.Leave(request=1)
    with pytest.raises(codec.MessageTooLarge) as caught:
        codec.decode_client(padded + b" ")
    assert caught.value.code == "message-too-large"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b'"hello"',
        b"{}",
        b"\xff\xfe",
        b'{"type":"hello"}',
        b'{"type":"hello","version":"1","token":"t"}',
        b'{"type":"hello","version":1,"token":"t","extra":1}',
        b'{"type":"hello","version":1,"token":"' + b"x" * 5000 + b'"}',
        b'{"type":"watch","request":1,"slot":64,"participant":null}',
        b'{"type":"watch","request":1,"slot":-1,"participant":null}',
        b'{"type":"leave","request":' + b"9" * 5000 + b"}",
        b'{"type":"leave","request":1e400}',
        b'{"type":7}',
        b'{"type":"leave","request":1}{"type":"leave","request":1}',
    ],
)
def test_what_is_not_a_message_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        codec.decode_client(data)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"type":"leave","request":[', b'{"type":"x","a":['])
def test_ten_thousand_levels_of_nesting_are_malformed(opening: bytes) -> None:
    with pytest.raises(MalformedMessage):
        codec.decode_client(opening + b"[" * 10_000)
    with pytest.raises(MalformedMessage):
        codec.decode_link(opening + b"[" * 100_000 + b"]" * 100_000)


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    for decode in (codec.decode_client, codec.decode_link, codec.decode_gateway):
        with contextlib.suppress(MalformedMessage):
            decode(data)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_no_json_raises_anything_else(value: object) -> None:
    for tag in sorted(codec.CLIENT_TAGS | codec.LINK_TAGS):
        body = {"type": tag, **(value if isinstance(value, dict) else {"value": value})}
        try:
            codec.decode_link(msgspec.json.encode(body))
        except MalformedMessage:
            continue


def test_every_message_has_a_tag_of_its_own() -> None:
    members = [*typing.get_args(messages.ClientMessage), *typing.get_args(messages.GatewayMessage)]
    members += typing.get_args(messages.LinkMessage)
    tags = [member.__struct_config__.tag for member in members]
    assert len(tags) == len(set(tags))
