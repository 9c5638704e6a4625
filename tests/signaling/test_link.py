"""The machine of one link, as sentences; and two of them over a line that loses the connection."""

import json
from collections.abc import Callable

import msgspec
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
    DOUBT_S,
    FORGIVEN,
    PING_S,
    STUCK_S,
    WINDOW,
    Acked,
    Handle,
    Line,
    Link,
    Phase,
    Prove,
    Say,
    backoff_s,
)
from signaling.messages import VERSION, LinkAck, LinkFailure, LinkHello, LinkPing, LinkPong, LinkRecords
from signaling.session import Close, CloseCode, Count

START = Monotonic(50.0)
OURS, THEIRS = Epoch("ours"), Epoch("theirs")
HELLO = LinkHello(version=VERSION, node=NodeCode("430423100000"), token="t", epoch=OURS, seq=Seq(7))


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
    hello = LinkHello(version=VERSION, node=NodeCode("n"), token="t", epoch=epoch, seq=Seq(seq))
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
    assert link.tick(Monotonic(now + 2 * PING_S)) == (Say(LinkPing(number=3)),)
    assert closes(link.tick(Monotonic(START + DEAD_S))) == [CloseCode.DEAD]
    assert DEAD_S < 5


def doubts(link: Link, *lines: Line) -> list[bool]:
    """Tick ``link`` on time over ``lines``; return whether its peer was in doubt after each."""
    found = []
    for line in lines:
        deadline = link.deadline()
        assert deadline is not None
        link.tick(deadline, line)
        found.append(link.doubtful)
    return found


def test_a_peer_that_is_silent_for_long_is_in_doubt_until_it_is_heard() -> None:
    link = up()
    assert doubts(link, Line(), Line(), Line()) == [False, False, True]
    link.receive(encode(LinkPing(number=1)), Monotonic(START + 3.2))
    assert not link.doubtful


def test_a_peer_that_takes_what_waits_is_not_in_doubt_nor_one_for_whom_this_node_stood_still() -> None:
    link = up()
    assert not any(doubts(link, *(Line(taken=taken, waiting=True) for taken in range(30))))
    link.tick(Monotonic(START + 39.9), Line(taken=30))
    assert not link.doubtful


def test_a_slow_answer_of_a_far_peer_is_no_reason_for_doubt() -> None:
    assert DOUBT_S > PING_S + 1.2


Lines = Callable[[float], Line]


def life(link: Link, lines: Lines, limit_s: float) -> tuple[float, CloseCode | None]:
    """Tick ``link`` on time for ``limit_s`` seconds over a line; return when it closed, and how."""
    while (deadline := link.deadline()) is not None and deadline <= START + limit_s:
        if closed := closes(link.tick(deadline, lines(deadline - START))):
            return deadline - START, closed[0]
    return limit_s, None


def frozen(after_s: float) -> Line:
    """A neighbour that stopped at once, whose kernel takes the little we say; now and then that is on the way."""
    return Line(silent_s=after_s, taken=round(after_s * 300), waiting=False)


def full(after_s: float) -> Line:
    """A neighbour that stopped at once while much was sent to it: its kernel is full."""
    return Line(silent_s=after_s, taken=65_536, waiting=True)


def slow_to_take(after_s: float) -> Line:
    """A megabyte at 64 kbit/s to a neighbour that has nothing to say until it has it, after 131 s."""
    return Line(silent_s=after_s, taken=round(min(after_s, 131) * 8_000), waiting=after_s < 131)


def slow_to_come(after_s: float) -> Line:
    """Half a message, a packet of which comes each 200 ms."""
    return Line(silent_s=after_s % 0.2)


def talks_and_never_reads(after_s: float) -> Line:
    return Line(silent_s=0.3, taken=4_096, waiting=True)


@pytest.mark.parametrize("line", [frozen, full])
def test_a_frozen_neighbour_is_noticed_within_five_seconds(line: Lines) -> None:
    assert life(up(), line, 60) == (DEAD_S, CloseCode.DEAD)


def test_a_slow_line_is_no_dead_neighbour_until_it_has_taken_all() -> None:
    assert life(up(), slow_to_take, 131) == (131, None)
    ended, code = life(up(), slow_to_take, 300)
    assert code is CloseCode.DEAD
    assert 131 < ended < 131 + DEAD_S + PING_S
    assert life(up(), slow_to_come, 300) == (300, None)


def test_no_ping_is_queued_behind_what_waits() -> None:
    link = up()
    assert link.tick(Monotonic(START + PING_S), Line(PING_S, taken=0, waiting=True)) == ()
    assert link.tick(Monotonic(START + 2 * PING_S), Line(2 * PING_S, taken=9, waiting=False)) == (
        Say(LinkPing(number=1)),
    )


def test_a_neighbour_that_talks_and_never_reads_is_closed_as_too_slow() -> None:
    ended, code = life(up(), talks_and_never_reads, 60)
    assert code is CloseCode.TOO_SLOW
    assert STUCK_S <= ended <= STUCK_S + 2 * PING_S


def test_a_node_that_stood_still_itself_asks_before_it_gives_a_neighbour_up() -> None:
    link = up()
    woken = Monotonic(START + 3_600)
    assert closes(link.tick(woken)) == []
    assert link.tick(Monotonic(woken + PING_S)) == (Say(LinkPing(number=1)),)
    assert life(link, lambda after_s: Line(silent_s=after_s), 4_000) == (3_600 + DEAD_S, CloseCode.DEAD)


def test_an_answered_ping_gives_the_round_trip_and_new_patience() -> None:
    link = up()
    link.tick(Monotonic(START + PING_S))
    link.receive(encode(LinkPong(number=1)), Monotonic(START + PING_S + 0.2))
    assert link.rtt_s == pytest.approx(0.2)
    link.tick(Monotonic(START + 2 * PING_S))
    assert closes(link.tick(Monotonic(START + DEAD_S))) == []


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
        hello = LinkHello(version=VERSION, node=NodeCode("n"), token="t", epoch=OURS, seq=Seq(len(received)))
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


def test_what_a_newer_neighbour_says_for_a_moment_is_passed_over_and_counted() -> None:
    link = up(msgspec.structs.replace(HELLO, version=VERSION + 1, oldest=VERSION))
    for _ in range(3 * FORGIVEN):
        assert link.receive(b'{"type":"link_weather","rain":3}', START) == (Count("unknown-message"),)
        assert link.receive(b'{"type":"link_ping","number":1,"why":"new"}', START) == (Count("malformed-message"),)
    assert link.phase is Phase.UP


@pytest.mark.parametrize("nonsense", [b'{"type":"link_records","items":[]}', b'{"type":"link_ack","upto":3}', b"{"])
def test_what_carries_records_may_not_change_and_ends_the_link_of_a_newer_neighbour(nonsense: bytes) -> None:
    link = up(msgspec.structs.replace(HELLO, version=VERSION + 1, oldest=VERSION))
    effects = [link.receive(nonsense, START) for _ in range(FORGIVEN)]
    assert closes(effects[-1]) == [CloseCode.MALFORMED]


def test_the_hello_of_a_later_version_can_be_read_whatever_it_adds() -> None:
    told = json.loads(encode(HELLO)) | {"version": 99, "oldest": 98, "compass": "north"}
    (effect,) = Link(OURS, START).receive(json.dumps(told).encode(), START)
    assert isinstance(effect, Prove)
    assert (effect.hello.version, effect.hello.oldest) == (99, 98)


def test_a_hello_that_needs_nothing_of_later_versions_is_the_hello_of_the_first() -> None:
    assert set(json.loads(encode(HELLO))) == {"type", "version", "node", "token", "epoch", "seq"}


@pytest.mark.parametrize("stopped_s", [5, 30, 120])
def test_a_node_that_stood_still_ends_no_link_for_it_and_hears_the_dead_as_soon_as_any(stopped_s: float) -> None:
    link = up()
    woken = Monotonic(START + stopped_s)
    assert closes(link.tick(woken)) == []
    assert link.lively(woken)
    silent = Monotonic(woken + DEAD_S)
    while (due := link.deadline()) is not None and due < silent:
        assert closes(link.tick(due)) == []
    assert closes(link.tick(silent)) == [CloseCode.DEAD]
