"""What a handler of the HTTP interface is given, and how it answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
from aiohttp import web

from signaling.division import Tree
from signaling.errors import Refused
from signaling.ids import ConferenceId, NodeCode, ParticipantId
from signaling.messages import ConferenceView
from signaling.records import Actor, ConferenceConvened, ScopeItem

from . import bodies, problems
from .alarms import Alarms
from .audit import Audit
from .auth import Auth
from .bodies import Limits
from .cameras import Cameras
from .circulars import Circulars
from .clock import Clock
from .config import Config
from .directives import Directives
from .escalations import Escalations
from .groups import Group
from .interchange import Interchange
from .overdue_lists import OverdueLists
from .people import People
from .problems import ProblemError
from .releases import Releases
from .rosters import Rosters
from .sources import Sources
from .templates import Template
from .units import Units

BASE = "/api/v1"
ID = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,79}"
"""What generated ids look like: nothing else reaches a handler."""


class Conferences(Protocol):
    """What the interface needs of ``gateway/conferences.py``."""

    async def convene(
        self, actor: Actor, title: str, scope: tuple[ScopeItem, ...], exercise: bool, click_id: str
    ) -> tuple[ConferenceConvened, bool]: ...
    async def end(self, actor: Actor, conference: ConferenceId) -> None: ...
    def view(self, actor: Actor, conference: ConferenceId) -> ConferenceView: ...
    def list(self, actor: Actor) -> Iterable[ConferenceView]: ...
    def whip(self, actor: Actor, conference: ConferenceId, sdp: str, name: str) -> tuple[str, str]: ...
    def whep(
        self, actor: Actor, conference: ConferenceId, participant: ParticipantId | None, sdp: str
    ) -> tuple[str, str]: ...
    def hang_up(self, resource: str, actor: Actor) -> None: ...
    async def keyframe(
        self, actor: Actor, conference: ConferenceId, participant: ParticipantId
    ) -> tuple[str, bytes]: ...


class Presence(Protocol):
    """What the interface needs of ``gateway/presence.py``."""

    def online(self) -> Mapping[NodeCode, int]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything a handler may ask."""

    config: Config
    clock: Clock
    auth: Auth
    tree: Tree
    directives: Directives
    escalations: Escalations
    alarms: Alarms
    overdue: OverdueLists
    sources: Sources
    cameras: Cameras
    circulars: Circulars
    rosters: Rosters
    people: People
    interchange: Interchange
    releases: Releases
    audit: Audit
    conferences: Conferences
    presence: Presence
    templates: tuple[Template, ...] = ()
    units: Units = field(default_factory=Units)
    groups: tuple[Group, ...] = ()

    @property
    def node(self) -> NodeCode:
        return self.auth.node

    @property
    def limits(self) -> Limits:
        http = self.config.http
        return Limits(http.json_bytes, http.sdp_bytes, http.alarm_bytes, http.body_deadline_s)


@dataclass(frozen=True, slots=True)
class Call:
    """One request whose sender is known."""

    services: Services
    request: web.Request
    actor: Actor

    def id(self, name: str = "id") -> str:
        return self.request.match_info[name]

    def number(self, name: str, default: int, high: int) -> int:
        """Return the query's number ``name``, 0..``high``.

        Raises:
            ProblemError: 422 ``invalid-value``.
        """
        text = self.request.query.get(name, str(default))
        if not (text.isascii() and text.isdigit() and len(text) <= 18) or int(text) > high:
            raise ProblemError(problems.of_code("invalid-value", f"{name}: not in 0..{high}", 422))
        return int(text)

    async def form(self, kind: type[bodies.T]) -> bodies.T:
        return await bodies.read_json(self.request, kind, self.services.limits)


Answer = Callable[[Call], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of the interface.

    ``body``: the form, or "sdp", "cap" or "alarm"; ``gives``: what a success carries, in words;
    ``query``: parameter to meaning.
    """

    method: str
    path: str
    summary: str
    answer: Answer
    status: int = 200
    body: type[msgspec.Struct] | str | None = None
    gives: str = "JSON object"
    query: Mapping[str, str] = field(default_factory=dict)


def bearer(request: web.Request, auth: Auth) -> Actor:
    """Return who sent ``request``.

    Raises:
        Refused: With a ``token-...`` code.
    """
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Refused("token-missing", "sign in first: Authorization: Bearer")
    return auth.verify(token.strip())


def as_json(value: object, status: int = 200, **headers: str) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(value), status=status, content_type="application/json", headers=headers
    )


def plain(view: msgspec.Struct, identity: str) -> dict[str, Any]:
    """Return a view as a JSON object: its fields, ``id``, and no message ``type``."""
    fields: dict[str, Any] = msgspec.to_builtins(view)
    fields.pop("type", None)
    return {"id": identity, **fields}
