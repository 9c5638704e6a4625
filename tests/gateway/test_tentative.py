"""States decided and not yet durable."""

import asyncio

from gateway.tentative import Tentative
from tests.support.loop import on_loop


@on_loop
async def test_a_key_is_held_until_the_last_append_for_it_has_resolved() -> None:
    held: Tentative[str, int] = Tentative()
    loop = asyncio.get_running_loop()
    first, second, other = (loop.create_future() for _ in range(3))
    held.hold("a", 1, first)
    held.hold("a", 2, second)
    held.hold("b", 3, other)
    assert (held.get("a"), held.get("b"), held.get("c")) == (2, 3, None)
    first.set_result(None)
    await asyncio.sleep(0)
    assert held.get("a") == 2
    second.cancel()
    other.set_exception(OSError("disk"))
    await asyncio.sleep(0)
    assert len(held) == 0
    assert isinstance(other.exception(), OSError)
