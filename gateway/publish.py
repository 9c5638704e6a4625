"""A media file as a participant of a conference: WHIP (RFC 9725), and again whenever the gateway comes back."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urljoin

import aiohttp

from gateway.clock import Clock
from media.answer import Kind
from media.ingest import FileReader, Player
from media.peer import Caller, Receive

log = logging.getLogger(__name__)

ANSWER_BYTES = 65_536
HTTP_S = 10.0
RETRY_FIRST_S = 0.5
RETRY_GROWTH = 1.4
RETRY_SOON_S = 1.5  # the longest pause while the gateway may just be starting again
RETRY_LATE_S = 15.0
STARTING_S = 15.0
STEADY_S = 10.0  # a call that held so long starts the back-off afresh
CONNECT_S = 15.0
DEAF_S = 3.0  # without a report from the gateway; ICE itself would notice after 30 s
LOOK_S = 0.5
FATAL = frozenset({400, 401, 403, 405, 406, 413, 415, 422})


class PublishError(Exception):
    """The gateway will not have us, now or later: wrong token, no right, unusable offer."""


class _Unavailable(Exception):
    """Not now."""


async def publish(file: Path, url: str, token: str, loop: bool = False, name: str = "") -> None:
    """Send ``file`` to the WHIP address ``url`` until its end, for ever with ``loop``, or until SIGTERM or cancelled.

    Raises:
        PublishError: The gateway refuses for good.
        UnusableFile: ``file`` cannot be sent.
    """
    await asyncio.to_thread(FileReader, file, loop)
    task = asyncio.current_task()
    assert task is not None
    running = asyncio.get_running_loop()
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        task.cancel()

    with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # not in the main thread
        running.add_signal_handler(signal.SIGTERM, stop)
    try:
        await _keep_calling(file, url, token, loop, name)
    except asyncio.CancelledError:
        if not stopped:
            raise
        log.info("publisher stopped")
    finally:
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            running.remove_signal_handler(signal.SIGTERM)


async def _keep_calling(file: Path, url: str, token: str, loop: bool, name: str) -> None:
    clock = Clock()
    delay, down_since = RETRY_FIRST_S, clock.now()
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=HTTP_S)) as http:
        while True:
            began = clock.now()
            try:
                if await _call(http, file, url, loop, name):
                    return
                log.warning("call lost")
            except (_Unavailable, aiohttp.ClientError, TimeoutError, OSError) as error:
                log.warning("gateway unavailable", extra={"why": str(error) or type(error).__name__})
            if clock.now() - began > STEADY_S:
                delay, down_since = RETRY_FIRST_S, clock.now()
            await asyncio.sleep(delay * (0.5 + clock.random()))
            longest = RETRY_SOON_S if clock.now() - down_since < STARTING_S else RETRY_LATE_S
            delay = min(longest, delay * RETRY_GROWTH)


async def _call(http: aiohttp.ClientSession, file: Path, url: str, loop: bool, name: str) -> bool:
    """Make one call; True when the file came to its end, False when the call was lost."""
    reader = await asyncio.to_thread(FileReader, file, loop)
    player = Player(reader)
    finished = asyncio.Event()

    def track(kind: Kind) -> Receive:
        async def receive() -> object:
            media = await player.next(kind)
            if media is None and kind == "video":
                finished.set()
            return media

        return receive

    caller = Caller({kind: track(kind) for kind in reader.kinds}, reader.codec)
    try:
        async with _seat(http, caller, url, name):
            log.info("publishing", extra={"file": file.name, "codec": reader.codec, "encoded": not reader.passes})
            return await _until_over(caller, finished)
    finally:
        await caller.close()


@contextlib.asynccontextmanager
async def _seat(http: aiohttp.ClientSession, caller: Caller, url: str, name: str) -> AsyncIterator[None]:
    """POST our offer, take the answer, and DELETE the resource in the end."""
    offer = await caller.offer()
    parameters = {"name": name} if name else {}
    headers = {"Content-Type": "application/sdp"}
    async with http.post(url, data=offer, params=parameters, headers=headers) as answer:
        body = (await answer.content.read(ANSWER_BYTES + 1)).decode(errors="replace")
        if answer.status in FATAL:
            raise PublishError(f"{url} answers {answer.status}: {body[:200]}")
        if answer.status != 201 or len(body) > ANSWER_BYTES or "Location" not in answer.headers:
            raise _Unavailable(f"status {answer.status}")
        resource = urljoin(str(answer.url), answer.headers["Location"])
    try:
        try:
            await caller.answered(body)
        except ValueError as error:
            raise _Unavailable(str(error)) from error
        yield
    finally:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
            async with http.delete(resource):
                log.debug("resource deleted")


async def _until_over(caller: Caller, finished: asyncio.Event) -> bool:
    """Wait for the end of the file (True) or of the call (False)."""
    ends = [asyncio.ensure_future(event.wait()) for event in (finished, caller.ended)]
    heard, deaf_s = 0, 0.0
    try:
        while deaf_s < (DEAF_S if heard else CONNECT_S):
            done, _ = await asyncio.wait(ends, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
            if done:
                break
            before, heard = heard, await caller.heard()
            deaf_s = 0.0 if heard > before else deaf_s + LOOK_S
    finally:
        for end in ends:
            end.cancel()
    return finished.is_set()
