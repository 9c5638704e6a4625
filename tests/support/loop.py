"""Running a coroutine test, and waiting for a condition instead of a time."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import ParamSpec

P = ParamSpec("P")

LIMIT_S = 300.0


def on_loop(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run the coroutine test on a fresh loop, for at most LIMIT_S seconds."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def limited() -> None:
            async with asyncio.timeout(LIMIT_S):
                await test(*args, **kwargs)

        asyncio.run(limited())

    return run


async def eventually(condition: Callable[[], object], limit_s: float = 60.0) -> None:
    """Return once ``condition`` holds, looking again at every turn of the loop."""
    try:
        async with asyncio.timeout(limit_s):
            while not condition():
                await asyncio.sleep(0.001)
    except TimeoutError:
        raise AssertionError(f"not within {limit_s} s: {condition}") from None
