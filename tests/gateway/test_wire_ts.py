"""The console's types are the gateway's messages, not a memory of them."""

import typing

from gateway import wire_ts
from signaling import messages


def test_the_committed_types_are_what_the_messages_say() -> None:
    assert wire_ts.TARGET.read_text(encoding="utf-8") == wire_ts.render()


def test_every_message_of_the_socket_has_an_interface() -> None:
    text = wire_ts.render()
    for member in typing.get_args(messages.ClientMessage) + typing.get_args(messages.GatewayMessage):
        assert f"export interface {member.__name__} {{" in text


def test_what_a_client_may_leave_out_is_optional_and_what_the_gateway_sends_is_not() -> None:
    text = wire_ts.render()
    assert "  client?: string\n" in text
    assert "  speaker: string | null\n" in text
