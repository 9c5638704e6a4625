"""The machine of one terminal's socket."""

import pytest

from signaling.codec import encode
from signaling.errors import LocalError
from signaling.ids import Monotonic
from signaling.messages import Failure, Hello, Leave
from signaling.session import (
    BURST,
    FORGIVEN,
    HELLO_S,
    RATE_PER_S,
    Authenticate,
    Close,
    CloseCode,
    Count,
    Handle,
    Phase,
    Say,
    Session,
)

START = Monotonic(100.0)
HELLO = Hello(version=1, token="token")


def live() -> Session:
    session = Session(START)
    session.receive(encode(HELLO), START)
    session.accepted()
    return session


def closes(effects: tuple[object, ...]) -> list[CloseCode]:
    return [effect.code for effect in effects if isinstance(effect, Close)]


def test_a_session_begins_with_a_token_to_check() -> None:
    session = Session(START)
    assert session.receive(encode(HELLO), START) == (Authenticate(HELLO),)
    session.accepted()
    assert session.receive(encode(Leave(request=1)), START) == (Handle(Leave(request=1)),)
    assert session.deadline() is None


def test_a_socket_that_says_nothing_for_ten_seconds_is_closed() -> None:
    session = Session(START)
    assert session.tick(Monotonic(START + HELLO_S - 0.01)) == ()
    assert closes(session.tick(Monotonic(START + HELLO_S))) == [CloseCode.HELLO_TIMEOUT]


def test_a_command_before_hello_is_answered_and_not_carried_out() -> None:
    effects = Session(START).receive(encode(Leave(request=1)), START)
    assert not [effect for effect in effects if isinstance(effect, Handle)]
    assert [
        effect.message.code for effect in effects if isinstance(effect, Say) if isinstance(effect.message, Failure)
    ] == ["unexpected-message"]


def test_a_second_hello_does_not_change_who_speaks() -> None:
    effects = live().receive(encode(HELLO), START)
    assert not [effect for effect in effects if isinstance(effect, Authenticate)]


def test_a_version_we_do_not_speak_is_refused_with_a_code() -> None:
    effects = Session(START).receive(encode(Hello(version=9, token="t")), START)
    assert effects[0] == Count("version-mismatch")
    assert closes(effects) == [CloseCode.REFUSED]


def test_the_third_malformed_message_closes_and_each_is_answered_and_counted() -> None:
    session = live()
    for strike in range(1, FORGIVEN + 1):
        effects = session.receive(b"{", START)
        assert effects[0] == Count("malformed-message")
        assert isinstance(effects[1], Say)
        assert closes(effects) == ([CloseCode.MALFORMED] if strike == FORGIVEN else [])
    assert session.phase is Phase.CLOSED


def test_nothing_follows_a_close() -> None:
    session = live()
    session.refused("token-expired", "expired")
    assert session.receive(encode(Leave(request=1)), START) == ()
    assert session.tick(Monotonic(START + 1000)) == ()


def test_fifty_messages_a_second_pass_forever_and_a_flood_is_closed() -> None:
    session = live()
    now = START
    for _ in range(500):
        now = Monotonic(now + 1 / RATE_PER_S)
        assert closes(session.receive(encode(Leave(request=1)), now)) == []
    replies = [session.receive(encode(Leave(request=1)), now) for _ in range(int(BURST) + 2)]
    assert [code for effects in replies for code in closes(effects)] == [CloseCode.TOO_FAST]
    assert len([effects for effects in replies if effects and isinstance(effects[0], Handle)]) <= BURST


def test_a_token_cannot_be_accepted_that_nobody_showed() -> None:
    with pytest.raises(LocalError):
        Session(START).accepted()


def test_a_session_ends_with_its_token_and_says_so() -> None:
    session = Session(START)
    session.receive(encode(HELLO), START)
    session.accepted(Monotonic(START + 60))
    assert session.deadline() == START + 60
    assert session.tick(Monotonic(START + 59)) == ()
    effects = session.tick(Monotonic(START + 60))
    assert effects[0] == Count("token-expired")
    assert closes(effects) == [CloseCode.REFUSED]
