"""The machine of one link, as sentences; and two of them over a line that loses the connection."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.codec import encode
from signaling.errors import LocalError
from signaling.ids import Epoch, Monotonic, NodeCode, Seq
from signaling.link import (
    BACKOFF_FIRST_S,
    BACKOFF_LAST_S,
    DEAD_S,
    FORGIVEN,
    PING_S,
    WINDOW,
    Acked,
    Close,
    Handle,
    Link,
    Phase,
    Prove,
    Say,
    backoff_s,
)
from signaling.messages import LinkAck, LinkFailure, LinkHello, LinkPing, LinkPong, LinkRecords
from signaling.session import CloseCode

START = Monotonic(50.0)
OURS, THEIRS = Epoch("ours"), Epoch("theirs")
HELLO = LinkHello(version=1, node=NodeCode("430423100000"), token="t", epoch=OURS, seq=Seq(7))


def up(hello: LinkHello = HELLO, head: int = 100) -> Link:
    link = Link(OURS, START)
    assert link.receive(encode(hello), START) == (Prove(hello),)
    link.accepted(hello, Seq(head), START)
    return link


def closes(effects: tuple[object, ...]) -> list[CloseCode]:
    return [effect.code for effect in effects if isinstance(effect, Close)]


def test_a_peer_that_read_our_journal_is_sent_what_follows() -> None:
    link = Link(OURS, START)
    link.receive(encode(HELLO), START)
    assert link.accepted(HELLO, Seq(100), START) == 7


@pytest.mark.parametrize(
    ("epoch", "seq", "head"), [(THEIRS, 7, 100), (None, 0, 100), (OURS, 101, 100), (OURS, -1, 100)]
)
def test_a_cursor_that_is_not_in_our_journal_means_from_the_start(epoch: Epoch | None, seq: int, head: int) -> None:
    hello = LinkHello(version=1, node=NodeCode("n"), token="t", epoch=epoch, seq=Seq(seq))
    link = Link(OURS, START)
    link.receive(encode(hello), START)
    assert link.accepted(hello, Seq(head), START) == 0


def test_records_before_proof_close_the_link() -> None:
    effects = Link(OURS, START).receive(encode(LinkRecords(epoch=THEIRS, last=Seq(1), items=())), START)
    assert not [effect for effect in effects if isinstance(effect, Handle)]
    assert closes(effects) == [CloseCode.MALFORMED]


def test_the_window_closes_after_eight_batches_and_an_ack_opens_it() -> None:
    link = up()
    for last in range(10, 10 + WINDOW):
        link.sent(Seq(last))
    assert not link.window_open
    with pytest.raises(LocalError):
        link.sent(Seq(99))
    assert link.receive(encode(LinkAck(epoch=OURS, seq=Seq(12))), START) == (Acked(Seq(7), Seq(12)),)
    assert link.window_open


def test_a_repeated_ack_changes_nothing() -> None:
    link = up()
    link.sent(Seq(12))
    ack = encode(LinkAck(epoch=OURS, seq=Seq(12)))
    link.receive(ack, START)
    assert link.receive(ack, START) == ()


def test_an_ack_of_what_was_never_sent_moves_no_cursor() -> None:
    link = up()
    link.sent(Seq(12))
    effects = link.receive(encode(LinkAck(epoch=OURS, seq=Seq(13))), START)
    assert not [effect for effect in effects if isinstance(effect, Acked)]


def test_a_quiet_link_is_asked_and_a_dead_one_is_closed_on_time() -> None:
    link = up()
    now = Monotonic(START + PING_S)
    assert link.tick(now) == (Say(LinkPing(number=1)),)
    assert link.tick(Monotonic(now + 0.1)) == ()
    assert link.tick(Monotonic(now + PING_S)) == (Say(LinkPing(number=2)),)
    assert closes(link.tick(Monotonic(START + DEAD_S))) == [CloseCode.DEAD]


def test_an_answered_ping_gives_the_round_trip_and_new_patience() -> None:
    link = up()
    link.tick(Monotonic(START + PING_S))
    link.receive(encode(LinkPong(number=1)), Monotonic(START + PING_S + 0.2))
    assert link.rtt_s == pytest.approx(0.2)
    assert link.deadline() == pytest.approx(START + 2 * PING_S + 0.2)


def test_a_ping_is_answered_with_its_number() -> None:
    assert up().receive(encode(LinkPing(number=77)), START) == (Say(LinkPong(number=77)),)


def test_what_we_do_not_understand_is_passed_over_until_the_third() -> None:
    link = up()
    for strike in range(1, FORGIVEN + 1):
        assert closes(link.receive(b"{}", START)) == ([CloseCode.MALFORMED] if strike == FORGIVEN else [])


def test_a_refusal_by_the_peer_closes_and_is_passed_on() -> None:
    link = Link(OURS, START)
    failure = LinkFailure(code="unknown-node", text="")
    effects = link.receive(encode(failure), START)
    assert effects[0] == Handle(failure)
    assert closes(effects) == [CloseCode.REFUSED]
    assert link.phase is Phase.CLOSED


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_waits_between_dials_stay_between_half_a_second_and_fifteen(attempt: int, draw: float) -> None:
    assert BACKOFF_FIRST_S <= backoff_s(attempt, draw) <= BACKOFF_LAST_S


def test_the_first_waits_are_short_enough_for_a_restarted_neighbour() -> None:
    assert max(backoff_s(attempt, 1.0) for attempt in range(15)) <= 1.5
    assert backoff_s(60, 1.0) == BACKOFF_LAST_S


@given(st.lists(st.tuples(st.integers(1, 5), st.booleans(), st.booleans()), max_size=30))
def test_whatever_connections_are_lost_every_record_arrives_and_in_order(steps: list[tuple[int, bool, bool]]) -> None:
    """Each step: the sender's journal grows, a batch is or is not received, its ack is or is not."""
    journal: list[int] = []
    received: list[int] = []

    def connect() -> tuple[Link, int]:
        link = Link(OURS, START)
        hello = LinkHello(version=1, node=NodeCode("n"), token="t", epoch=OURS, seq=Seq(len(received)))
        link.receive(encode(hello), START)
        return link, link.accepted(hello, Seq(len(journal)), START)

    link, cursor = connect()
    for grows, arrives, acknowledged in [*steps, (0, True, True)]:
        journal += range(len(journal), len(journal) + grows)
        if link.window_open and cursor < len(journal):
            link.sent(Seq(len(journal)))
            batch, cursor = journal[cursor:], len(journal)
            if arrives:
                received += batch
            if arrives and acknowledged:
                link.receive(encode(LinkAck(epoch=OURS, seq=Seq(cursor))), START)
        if not (arrives and acknowledged):
            link, cursor = connect()
    assert received == journal
