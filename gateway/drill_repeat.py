"""Holds the exercises of a series one after the other, until it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from gateway.asking import AskError, Target, asking
from gateway.clock import Clock
from gateway.drill import BEIJING, hold
from gateway.drill_report import lines, plain
from gateway.drill_series import Kept, Series, Task
from signaling.ids import UtcMs
from signaling.records import Urgency

LOOK_S = 30.0
"""The wall clock may be put right while one waits."""
AGAIN_MS = 60_000
"""After the gateway did not answer."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """``wait_s``: how long villages may take, from the exercise's own time on."""

    target: Callable[[], Target]
    kept: Kept
    series: Series
    clock: Clock
    urgency: Urgency
    wait_s: float
    say: Callable[[str], None]

    async def run(self) -> None:
        """Hold every exercise until SIGINT or SIGTERM; one that this cuts in two goes on at the next start."""
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        while not stop.is_set():
            task = self.kept.task(self.series, self.clock.at())
            if task is None:
                at = self.series.next(self.clock.at())
                self.say(f"next: {datetime.fromtimestamp(at / 1_000, BEIJING).isoformat()}")
            else:
                done = await self._unless(stop, task)
                at = UtcMs(self.clock.at() + (0 if done else AGAIN_MS))
            await self._until(at, stop)

    async def step(self, task: Task) -> bool:
        """Do what ``task`` needs and keep its report; return whether it is done."""
        if task.missed:
            self.kept.end(task.at, {"missed": True})
            return True
        over = asyncio.Event()
        left_s = max(0.0, (task.at - self.clock.at()) / 1_000 + self.wait_s)
        timer = asyncio.get_running_loop().call_later(left_s, over.set)
        try:
            name = self.kept.begin(task.at)
            async with asking(self.target()) as client:
                found = await hold(client, self.clock, self.urgency, self.wait_s, over, name)
        except AskError as error:
            self.say(str(error))
            return False
        finally:
            timer.cancel()
        self.kept.end(task.at, plain(found))
        for line in lines(found):
            self.say(line)
        return True

    async def _unless(self, stop: asyncio.Event, task: Task) -> bool:
        working, waiting = asyncio.create_task(self.step(task)), asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
            return working.result() if working.done() else False
        finally:
            for one in (working, waiting):
                one.cancel()
            await asyncio.gather(working, waiting, return_exceptions=True)

    async def _until(self, at: UtcMs, stop: asyncio.Event) -> None:
        while not stop.is_set() and (left_s := (at - self.clock.at()) / 1_000) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left_s, LOOK_S)):
                    await stop.wait()
