"""Tasks that end when they are told to, also when a library loses the message.

redis-py 8 swallows a cancel that comes while it connects or sends: the call returns as if nothing had been,
and a loop around it would go on for ever.  So such loops ask ``cancelled``, and whoever ends tasks insists.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import threading
from collections.abc import Iterable
from typing import Any

log = logging.getLogger(__name__)

INSIST_S = 0.1
"""How long a cancelled task has before it is cancelled again."""


def cancelled() -> bool:
    """Return whether the running task was asked to end, whatever became of the CancelledError."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def end_all(tasks: Iterable[asyncio.Task[Any]], within_s: float) -> bool:
    """Cancel ``tasks`` until they have ended; return whether all have within ``within_s`` seconds."""
    left = {task for task in tasks if not task.done()}
    try:
        async with asyncio.timeout(within_s):
            while left:
                for task in left:
                    task.cancel()
                _, left = await asyncio.wait(left, timeout=INSIST_S)
    except TimeoutError:
        left = {task for task in left if not task.done()}
        log.error("tasks do not end", extra={"tasks": sorted(task.get_name() for task in left)})
    return not left


def end_process_within(seconds: float) -> None:
    """End this process after ``seconds`` unless it has ended by then, with status 1 and every thread's stack.

    For whoever was told to end and has kept all it must keep: a library that hangs is no reason to stay.
    """
    timer = threading.Timer(seconds, _give_up, (seconds,))
    timer.daemon = True
    timer.start()


def _give_up(seconds: float) -> None:
    log.critical("not ended in time; ends now", extra={"seconds": seconds})
    faulthandler.dump_traceback()
    os._exit(1)
