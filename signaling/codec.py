"""Bytes off a WebSocket to one typed message, and back.  ``Any`` ends here.

Whatever arrives, the answer is a message or a ``MalformedMessage`` with a stable code:
``message-too-large``, ``unknown-message`` (a type this version does not know) or ``malformed-message``.
"""

from __future__ import annotations

import typing

import msgspec

from .errors import MalformedMessage
from .messages import (
    MAX_LINK_MESSAGE_BYTES,
    MAX_MESSAGE_BYTES,
    ClientMessage,
    GatewayMessage,
    LinkMessage,
    Message,
)

REASON_CHARACTERS = 200
"""How much of the parser's sentence goes back: it may quote what the peer sent."""


class MessageTooLarge(MalformedMessage):
    """More bytes than this socket accepts in one message."""

    code = "message-too-large"


class UnknownMessage(MalformedMessage):
    """Well-formed JSON of a type this version does not know: a newer or an older peer."""

    code = "unknown-message"


class _Tagged(msgspec.Struct):
    type: str


_M = typing.TypeVar("_M")

_CLIENT: msgspec.json.Decoder[ClientMessage] = msgspec.json.Decoder(ClientMessage)
_GATEWAY: msgspec.json.Decoder[GatewayMessage] = msgspec.json.Decoder(GatewayMessage)
_LINK: msgspec.json.Decoder[LinkMessage] = msgspec.json.Decoder(LinkMessage)
_TAGGED = msgspec.json.Decoder(_Tagged)
_ENCODER = msgspec.json.Encoder()


def _tags(union: object) -> frozenset[str]:
    return frozenset(member.__struct_config__.tag for member in typing.get_args(union))


CLIENT_TAGS = _tags(ClientMessage)
GATEWAY_TAGS = _tags(GatewayMessage)
LINK_TAGS = _tags(LinkMessage)


def decode_client(data: bytes) -> ClientMessage:
    """Return what a terminal or console said; at most MAX_MESSAGE_BYTES.

    Raises:
        MalformedMessage: Not a message of this version.
    """
    return _decode(_CLIENT, CLIENT_TAGS, data, MAX_MESSAGE_BYTES)


def decode_gateway(data: bytes) -> GatewayMessage:
    """Return what a gateway said to a terminal: for terminals written in Python, and tests."""
    return _decode(_GATEWAY, GATEWAY_TAGS, data, MAX_LINK_MESSAGE_BYTES)


def decode_link(data: bytes) -> LinkMessage:
    """Return what a neighbouring gateway said; at most MAX_LINK_MESSAGE_BYTES.

    Raises:
        MalformedMessage: Not a message of this version.
    """
    return _decode(_LINK, LINK_TAGS, data, MAX_LINK_MESSAGE_BYTES)


def encode(message: Message) -> bytes:
    """Return the one text frame that carries ``message``."""
    return _ENCODER.encode(message)


def kind(data: bytes) -> str | None:
    """Return the ``type`` of a JSON object, known here or not; None when it is none that has one."""
    return _tag(data)


def _decode(decoder: msgspec.json.Decoder[_M], tags: frozenset[str], data: bytes, limit: int) -> _M:
    if len(data) > limit:
        raise MessageTooLarge(f"{len(data)} bytes, limit {limit}")
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeError, ValueError) as error:
        text = str(error)[:REASON_CHARACTERS]
    tag = _tag(data)
    if tag is not None and tag not in tags:
        raise UnknownMessage(f"type {tag[:40]!r} is not known here")
    raise MalformedMessage(text)


def _tag(data: bytes) -> str | None:
    try:
        return _TAGGED.decode(data).type
    except (msgspec.DecodeError, RecursionError, UnicodeError, ValueError):
        return None
