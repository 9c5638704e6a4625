"""The queue of one socket."""

import asyncio

import pytest

from gateway import outgoing
from gateway.outgoing import MAX_ROWS, TURN_MESSAGES, Outgoing
from signaling.ids import Epoch, NodeCode, Seq
from signaling.messages import Done, LinkAck, LinkPresence, NodeView
from tests.support.loop import on_loop


def drain(queue: Outgoing) -> list[bytes]:
    found = []
    while (data := queue.pop()) is not None:
        found.append(data)
    return found


@on_loop
async def test_the_newest_of_a_kind_takes_the_place_of_the_older() -> None:
    queue = Outgoing()
    queue.put(LinkAck(epoch=Epoch("e"), seq=Seq(1)), "ack")
    queue.put(Done(request=1))
    queue.put(LinkAck(epoch=Epoch("e"), seq=Seq(2)), "ack")
    assert [b"link_ack" in data for data in drain(queue)] == [True, False]
    queue.put(LinkAck(epoch=Epoch("e"), seq=Seq(3)), "ack")
    assert b":3" in drain(queue)[0]


@on_loop
async def test_what_waits_goes_before_what_is_drawn() -> None:
    queue = Outgoing()
    queue.feed(iter([Done(request=1), Done(request=2)]))
    queue.put(Done(request=0))
    assert [b":%d" % number in data for number, data in enumerate(drain(queue))] == [True, True, True]


@on_loop
async def test_too_many_or_too_much_overflows_and_nothing_more_is_kept() -> None:
    many = Outgoing(max_messages=3)
    for number in range(4):
        many.put(Done(request=number))
    much = Outgoing(max_bytes=100)
    for _ in range(10):
        much.put(Done(request=1))
    for queue in (many, much):
        assert queue.overflowed
        queue.put(Done(request=9))
        assert drain(queue) == []


@on_loop
async def test_what_may_be_replaced_waits_in_any_number_and_does_not_hide_what_may_not() -> None:
    queue = Outgoing(max_messages=3)
    for number in range(1_000):
        queue.put(NodeView(node=NodeCode(f"n{number}"), online=True, terminals=0), ("node", number))
    for number in range(3):
        queue.put(Done(request=number))
    assert not queue.overflowed
    assert len(drain(queue)) == 1_003
    for number in range(4):
        assert not queue.overflowed, "those that were sent count no more"
        queue.put(Done(request=number))
    assert queue.overflowed


@on_loop
async def test_replacing_does_not_grow_the_count_of_bytes() -> None:
    queue = Outgoing(max_bytes=200)
    for number in range(1_000):
        queue.put(NodeView(node=NodeCode("n"), online=True, terminals=number), "node")
    assert not queue.overflowed
    assert len(drain(queue)) == 1


@on_loop
async def test_a_message_its_reader_would_not_take_is_not_sent() -> None:
    queue = Outgoing(longest=1_000)
    queue.put(LinkPresence(online={NodeCode(f"{number:012}"): 0 for number in range(1_000)}))
    queue.put(Done(request=1))
    assert len(drain(queue)) == 1


@on_loop
async def test_a_row_is_made_when_all_else_is_written_as_it_stands_then() -> None:
    queue, stands = Outgoing(), {"a": 1, "b": 1}

    def row(name: str) -> NodeView:
        return NodeView(node=NodeCode(name), online=True, terminals=stands[name])

    for name in ("a", "b", "a"):
        queue.put_row(lambda name=name: row(name), name)
    queue.feed(iter([Done(request=2)]))
    queue.put(Done(request=1))
    stands["a"] = 7
    told = drain(queue)
    assert [b":1" in told[0], b":2" in told[1], b":7" in told[2], b'"b"' in told[3]] == [True] * 4
    assert len(told) == 4, "of a row only how it stands"


@on_loop
async def test_rows_come_in_lots_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "ROWS_REST_S", 3_600.0)
    queue = Outgoing()
    for number in range(TURN_MESSAGES + 1):
        queue.put_row(lambda: Done(request=1), number)
    for _ in range(TURN_MESSAGES):
        await queue.next()
    resting = asyncio.create_task(queue.next())
    for _ in range(3):
        await asyncio.sleep(0)
    assert not resting.done()
    resting.cancel()
    for number in range(MAX_ROWS + 1):
        assert not queue.overflowed
        queue.put_row(lambda: Done(request=1), number)
    assert queue.overflowed
    assert await queue.next() is None


@on_loop
async def test_a_reader_that_takes_all_it_is_given_leaves_the_loop_its_turns() -> None:
    queue, drawn, turns = Outgoing(), list[bytes](), list[int]()
    count = 9 * TURN_MESSAGES + 1

    async def read() -> None:
        while (data := await queue.next()) is not None:
            drawn.append(data)

    async def look() -> None:
        while True:
            turns.append(len(drawn))
            await asyncio.sleep(0)

    for number in range(count):
        queue.put(NodeView(node=NodeCode(f"n{number}"), online=True, terminals=0), ("node", number))
    reading, looking = asyncio.create_task(read()), asyncio.create_task(look())
    while len(drawn) < count:
        await asyncio.sleep(0)
    most = max(after - before for before, after in zip([0, *turns], turns, strict=False))
    assert most <= TURN_MESSAGES
    queue.put(Done(request=1))
    while len(drawn) == count:
        await asyncio.sleep(0)
    for number in range(3_000):
        queue.put(Done(request=number))
    await reading
    assert queue.overflowed
    looking.cancel()
