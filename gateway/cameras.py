"""Driver of cameras: an alarm that comes without a picture gets one of the camera that looks at its source.

The alarm does not wait for it.  Only so many cameras are open at a time, none twice; alarms of one camera that wait
together get one picture.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from gateway.camera_ways import Ways
from gateway.clock import Clock
from gateway.journal import Journal
from gateway.refusals import Refusals
from gateway.settings import CamerasSection
from gateway.telemetry import Telemetry
from media.camera import CameraError, still
from media.snapshot import PictureError, Pictures
from signaling.division import Tree
from signaling.errors import Refused
from signaling.ids import AlarmId, NodeCode, UtcMs
from signaling.permission import Action, permit
from signaling.records import Actor, AlarmRaised, SourceLooked

log = logging.getLogger(__name__)

TOGETHER = 64
"""Alarms of one camera that may wait for its next picture."""
CONNECT_S = 5.0
AGAIN_MS = 60_000
"""After a restart an alarm so young gets its picture yet; later it would show something else."""
TAKEN = "taken"


class Registry(Protocol):
    """What is known of sources: ``gateway/sources.py``."""

    def camera(self, place: NodeCode, source: str) -> str: ...
    def may_picture(self, place: NodeCode, source: str) -> bool: ...


Give = Callable[[AlarmId, Pictures], Awaitable[object]]
"""Attach a picture to an alarm: ``Alarms.picture``."""
Take = Callable[..., Awaitable[Pictures]]
"""``media.camera.still``."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of the last attempt at a camera: "taken", or the code of what was wrong."""

    at: UtcMs
    code: str


class Cameras:
    """The cameras of one node.  Run ``run`` in a task group."""

    def __init__(
        self,
        node: NodeCode,
        tree: Tree,
        journal: Journal,
        clock: Clock,
        telemetry: Telemetry,
        refusals: Refusals,
        registry: Registry,
        give: Give,
        ways: Ways,
        settings: CamerasSection,
        take: Take = still,
    ) -> None:
        self._node = node
        self._tree = tree
        self._journal = journal
        self._refusals = refusals
        self._ways = ways
        self._registry = registry
        self._give = give
        self._settings = settings
        self._clock = clock
        self._telemetry = telemetry
        self._take = take
        self._waiting: dict[str, list[AlarmId]] = {}
        self._open: set[str] = set()
        self._changed = asyncio.Event()
        self._outcomes: dict[str, Outcome] = {}

    # ---- for alarms ------------------------------------------------------------------------------

    def look(self, raised: AlarmRaised) -> None:
        """An alarm came without a picture: have one taken, if a camera looks at its source.  Does not wait."""
        address = self._registry.camera(raised.place, raised.source)
        if not address:
            return
        if not self._registry.may_picture(raised.place, raised.source):
            self._telemetry.count("pictures_throttled")
            return
        alarms = self._waiting.get(address)
        if len(self._waiting) >= self._settings.waiting if alarms is None else len(alarms) >= TOGETHER:
            self._count("camera-busy")
            return
        self._waiting.setdefault(address, []).append(raised.alarm)
        self._changed.set()

    def resume(self, unpictured: Callable[[UtcMs], Iterable[AlarmRaised]]) -> None:
        """Look again for alarms that still waited for a picture when this node ended.  Call before ``run``.

        Args:
            unpictured: ``Alarms.unpictured``.
        """
        for raised in unpictured(UtcMs(self._clock.at() - AGAIN_MS)):
            self.look(raised)

    async def run(self) -> None:
        """Take the pictures that are waited for, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                while (address := self._next()) is not None:
                    self._open.add(address)
                    tasks.create_task(self._serve(address, self._waiting.pop(address)))
                self._changed.clear()
                await self._changed.wait()

    def _next(self) -> str | None:
        """Return an address that somebody waits for and that may be opened now."""
        if len(self._open) >= self._settings.at_once:
            return None
        return next((address for address in self._waiting if address not in self._open), None)

    async def _serve(self, address: str, alarms: list[AlarmId]) -> None:
        try:
            pictures = await self._picture(address)
            for alarm in alarms:
                await self._give(alarm, pictures)
        except (CameraError, PictureError, Refused) as error:
            log.warning("no picture of a camera", extra={"alarm": alarms[0], "code": error.code})
        except OSError as error:
            log.warning("picture not kept", extra={"alarm": alarms[0], "error": error.strerror})
        finally:
            self._close(address)

    def _close(self, address: str) -> None:
        self._open.discard(address)
        self._changed.set()

    # ---- one picture -----------------------------------------------------------------------------

    async def now(self, actor: Actor, place: NodeCode, source: str) -> Pictures:
        """Take a picture at once, for somebody who looks on; that they did is a record, the picture is not kept.

        Raises:
            Refused: ``not-permitted``, ``no-camera``, ``camera-busy``, or with the code of what is wrong with it.
        """
        try:
            permit(actor, Action.SNAPSHOT, place, self._tree)
        except Refused as error:
            self._refusals.answer(actor, Action.SNAPSHOT, source, error)
            raise
        address = self._registry.camera(place, source)
        if not address:
            raise Refused("no-camera", "no camera looks at this source")
        if address in self._open or len(self._open) >= self._settings.at_once:
            self._count("camera-busy")
            raise Refused("camera-busy", "it is being looked through, or too many others are; ask again soon")
        self._open.add(address)
        try:
            await self._journal.append(
                SourceLooked(node=self._node, at=self._clock.at(), place=place, source=source, by=actor)
            )
            return await self._picture(address)
        except (CameraError, PictureError) as error:
            raise Refused(error.code, "the camera gives no picture") from None
        finally:
            self._close(address)

    def outcome(self, place: NodeCode, source: str) -> Outcome | None:
        """Return what came of the last attempt at a source's camera, None if there was none."""
        return self._outcomes.get(self._registry.camera(place, source))

    async def _picture(self, address: str) -> Pictures:
        """Take a picture; raises CameraError, PictureError or Refused, and remembers what came of it."""
        code = "camera-failed"
        try:
            pictures = await self._through(address)
            code = TAKEN
            return pictures
        except (CameraError, PictureError, Refused) as error:
            code = error.code
            raise
        finally:
            self._count(code)
            self._outcomes[address] = Outcome(self._clock.at(), code)

    async def _through(self, address: str) -> Pictures:
        try:
            async with asyncio.timeout(min(CONNECT_S, self._settings.deadline_s)):
                connection, view = await self._ways.dial(address)
            with contextlib.closing(connection):
                return await self._take(connection, view, self._settings.deadline_s)
        except TimeoutError:
            raise CameraError("camera-timeout", "nobody answers there") from None
        except OSError as error:  # no process, no descriptor: of this machine, not of the camera
            raise CameraError("camera-failed", error.strerror or "") from None

    def _count(self, code: str) -> None:
        self._telemetry.count("camera_pictures", outcome=code)
