"""The HTTP interface under /api/v1, and WHIP and WHEP: a table of endpoints and one small handler each.

Handlers read a body, ask a driver, and say what came of it.  What is permitted is decided by the
drivers; errors leave as problem documents (``http.py``).  ``openapi.py`` describes this very table.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from media.snapshot import Pictures, jpeg_from_keyframe, sanitise_jpeg
from signaling.errors import Refused
from signaling.ids import AlarmId, ConferenceId, DirectiveId, ParticipantId, Seq, Sha256
from signaling.permission import Action, permit
from signaling.records import Actor, AlarmState

from . import bodies, forms, problems, telemetry
from .alarms import AlarmRequest
from .audit import MAX_PAGE
from .auth import Auth, SignIn
from .calls import Call, Endpoint, Services, as_json, bearer, plain
from .directives import DirectiveRequest
from .problems import ProblemError

__all__ = ["BASE", "ENDPOINTS", "Endpoint", "Services", "bearer", "routes"]

BASE = "/api/v1"
MAX_REASON = 500
_ID = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,79}"
"""What generated ids look like: nothing else reaches a handler."""


def routes(services: Services) -> list[web.RouteDef]:
    """Return all routes of the interface."""
    table = [web.route(endpoint.method, endpoint.path, _handler(endpoint, services)) for endpoint in ENDPOINTS]
    return [*table, web.post(f"{BASE}/session", _sign_in(services)), web.get(f"{BASE}/openapi.json", _describe)]


def _handler(endpoint: Endpoint, services: Services) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await endpoint.answer(Call(services, request, bearer(request, services.auth)))

    return handle


# ---- signing in ----------------------------------------------------------------------------------


def _sign_in(services: Services) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def sign_in(request: web.Request) -> web.StreamResponse:
        form = await bodies.read_json(request, forms.SignInForm, services.limits)
        address = request.remote or ""
        way = "link" if form.code is not None else "password"
        try:
            made = await _prove(form, services.auth, address)
        except Refused as error:
            telemetry.count("sign_ins", way=way, outcome=error.code)
            raise
        telemetry.count("sign_ins", way=way, outcome="ok")
        return as_json(_session(made.who, services, made))

    return sign_in


async def _prove(form: forms.SignInForm, auth: Auth, address: str) -> SignIn:
    if form.code is not None and form.name is None and form.password is None:
        return await auth.redeem(form.code, address)
    if form.code is None and form.name is not None and form.password is not None:
        return await auth.login(form.name, form.password, address)
    raise ProblemError(problems.of_code("invalid-value", "send either code, or name and password", 422))


def _session(who: Actor, services: Services, made: SignIn | None = None) -> dict[str, Any]:
    node = services.node
    session = {
        "who": who,
        "node": node,
        "node_name": services.config.node.name or services.tree.name(node),
        "division_name": services.tree.name(who.division) if who.division in services.tree else who.division,
    }
    return session if made is None else {"token": made.token, "expires_at": made.expires_at, **session}


async def _me(call: Call) -> web.Response:
    return as_json(_session(call.actor, call.services))


async def _describe(request: web.Request) -> web.Response:
    from .openapi import document

    return as_json(document())


# ---- places and templates ------------------------------------------------------------------------


async def _nodes(call: Call) -> web.Response:
    services = call.services
    tree, online = services.tree, services.presence.online()
    codes = [*reversed(tree.path_up(services.node)[1:]), *tree.subtree(services.node)]
    rows = []
    for code in codes:
        place = tree.get(code)
        rows.append(
            {
                "code": code,
                "name": place.name,
                "tier": place.tier,
                "parent": place.parent,
                "longitude": place.longitude,
                "latitude": place.latitude,
                "online": code == services.node or code in online,
                "terminals": online.get(code, 0),
            }
        )
    return as_json({"self": services.node, "nodes": rows})


async def _templates(call: Call) -> web.Response:
    return as_json({"templates": call.services.templates})


# ---- conferences ---------------------------------------------------------------------------------


async def _convene(call: Call) -> web.Response:
    form = await call.form(forms.ConveneForm)
    meeting, made = await call.services.conferences.convene(
        call.actor, form.title, form.scope, form.exercise, form.click_id
    )
    body = {"id": meeting.conference, "title": meeting.title, "sites": len(meeting.sites), "exercise": meeting.exercise}
    return as_json(body, 201 if made else 200, Location=f"{BASE}/conferences/{meeting.conference}")


async def _conferences(call: Call) -> web.Response:
    found = call.services.conferences.list(call.actor)
    return as_json({"conferences": [plain(view, view.conference) for view in found]})


async def _conference(call: Call) -> web.Response:
    view = call.services.conferences.view(call.actor, ConferenceId(call.id()))
    return as_json(plain(view, view.conference))


async def _end_conference(call: Call) -> web.Response:
    await call.form(forms.EmptyForm)
    await call.services.conferences.end(call.actor, ConferenceId(call.id()))
    return as_json({"id": call.id(), "ended": True})


async def _participants(call: Call) -> web.Response:
    conference = call.request.query.get("conference", "")
    view = call.services.conferences.view(call.actor, ConferenceId(conference[:80]))
    return as_json({"conference": view.conference, "participants": view.participants, "speaker": view.speaker})


async def _snapshot(call: Call) -> web.Response:
    """Turn a participant's newest keyframe into a picture, and that into an alarm."""
    form = await call.form(forms.SnapshotForm)
    services, conference, participant = call.services, ConferenceId(call.id()), ParticipantId(call.id("participant"))
    seen = next(
        (p for p in services.conferences.view(call.actor, conference).participants if p.participant == participant),
        None,
    )
    if seen is None:
        raise Refused("unknown-participant", "nobody of that name is in this meeting here")
    codec, frame = await services.conferences.keyframe(call.actor, conference, participant)
    pictures = await jpeg_from_keyframe(codec, frame)
    place = seen.division if services.tree.is_within(seen.division, call.actor.division) else call.actor.division
    request = AlarmRequest(
        kind=form.kind,
        text=form.text,
        urgency=form.urgency,
        source=seen.name,
        place=place,
        exercise=form.exercise,
        event=form.event,
    )
    raised, made = await services.alarms.raise_alarm(call.actor, request)
    await _picture(call, raised.alarm, pictures, made=made)
    return as_json({"alarm": raised.alarm}, 201 if made else 200, Location=f"{BASE}/alarms/{raised.alarm}")


async def _picture(call: Call, alarm: AlarmId, pictures: Pictures, *, made: bool) -> None:
    """Give an alarm its picture; a repeat brings it only when the first attempt did not come so far."""
    alarms = call.services.alarms
    if made or not alarms.pictured(alarm):
        await alarms.picture(alarm, pictures)


# ---- directives ----------------------------------------------------------------------------------


async def _issue(call: Call) -> web.Response:
    issued, made = await call.services.directives.issue(call.actor, await call.form(DirectiveRequest))
    body = {
        "id": issued.directive,
        "recipients": len(issued.recipients),
        "issued_at": issued.at,
        "expires_at": issued.expires_at,
    }
    return as_json(body, 201 if made else 200, Location=f"{BASE}/directives/{issued.directive}")


async def _directives(call: Call) -> web.Response:
    found = call.services.directives.list(call.actor)
    return as_json({"directives": [plain(view, view.directive) for view in found]})


async def _directive(call: Call) -> web.Response:
    view = call.services.directives.view(DirectiveId(call.id()), call.actor)
    return as_json(plain(view, view.directive))


async def _sign(call: Call) -> web.Response:
    form = await call.form(forms.SignForm)
    await call.services.directives.sign(call.actor, DirectiveId(call.id()), form.name or call.actor.name)
    return await _directive(call)


async def _feedback(call: Call) -> web.Response:
    form = await call.form(forms.FeedbackForm)
    await call.services.directives.feedback(call.actor, DirectiveId(call.id()), form.values, form.note)
    return await _directive(call)


async def _done(call: Call) -> web.Response:
    form = await call.form(forms.DoneForm)
    await call.services.directives.done(call.actor, DirectiveId(call.id()), form.note)
    return await _directive(call)


async def _recall(call: Call) -> web.Response:
    form = await call.form(forms.RecallForm)
    await call.services.directives.recall(call.actor, DirectiveId(call.id()), form.reason)
    return await _directive(call)


async def _close(call: Call) -> web.Response:
    await call.form(forms.EmptyForm)
    await call.services.directives.close(call.actor, DirectiveId(call.id()))
    return await _directive(call)


# ---- alarms --------------------------------------------------------------------------------------


async def _raise_alarm(call: Call) -> web.Response:
    """Raise an alarm; a picture that is none stops it before anything is raised."""
    services = call.services
    request, snapshot = await bodies.read_alarm(call.request, AlarmRequest, services.limits)
    permit(call.actor, Action.RAISE_ALARM, request.place or call.actor.division, services.tree)
    pictures: Pictures | None = None if snapshot is None else await sanitise_jpeg(snapshot)
    raised, made = await services.alarms.raise_alarm(call.actor, request)
    if pictures is not None:
        await _picture(call, raised.alarm, pictures, made=made)
    return as_json({"id": raised.alarm}, 201 if made else 200, Location=f"{BASE}/alarms/{raised.alarm}")


async def _alarms(call: Call) -> web.Response:
    return as_json({"alarms": [plain(view, view.alarm) for view in call.services.alarms.list(call.actor)]})


async def _alarm(call: Call) -> web.Response:
    view = call.services.alarms.view(AlarmId(call.id()), call.actor)
    return as_json(plain(view, view.alarm))


async def _advance_alarm(call: Call) -> web.Response:
    form = await call.form(forms.AdvanceForm)
    await call.services.alarms.advance(call.actor, AlarmId(call.id()), AlarmState(form.state), form.note)
    return await _alarm(call)


async def _blob(call: Call) -> web.Response:
    """Give a picture of an alarm the asker is told of; the policy headers are ``http.py``'s (sandbox, nosniff)."""
    data = await call.services.alarms.blob(call.actor, Sha256(call.id("sha256")))
    return web.Response(body=data, content_type="image/jpeg", headers={"Cache-Control": "private, max-age=86400"})


# ---- audit ---------------------------------------------------------------------------------------


def _reason(call: Call) -> str:
    return call.request.query.get("reason", "")[:MAX_REASON]


def _number(call: Call, name: str, default: int, high: int) -> int:
    text = call.request.query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 18) or int(text) > high:
        raise ProblemError(problems.of_code("invalid-value", f"{name}: not in 0..{high}", 422))
    return int(text)


async def _audit_records(call: Call) -> web.Response:
    after, limit = _number(call, "after", 0, 2**53), _number(call, "limit", 100, MAX_PAGE)
    page = await call.services.audit.records(call.actor, Seq(after), limit, _reason(call))
    return as_json({"records": page.lines, "next": page.next, "head": page.head})


async def _audit_sessions(call: Call) -> web.Response:
    return as_json({"sessions": await call.services.audit.sessions(call.actor, _reason(call))})


async def _audit_chain(call: Call) -> web.Response:
    return as_json(await call.services.audit.chain(call.actor, _reason(call)))


async def _recordings(call: Call) -> web.Response:
    """List recordings: there are none while this version does not record."""
    permit(call.actor, Action.READ_AUDIT, call.actor.division, call.services.tree)
    return as_json({"recordings": []})


# ---- WHIP and WHEP -------------------------------------------------------------------------------


def _created(resource: str, kind: str, sdp: str) -> web.Response:
    headers = {"Location": f"/{kind}/resource/{resource}"}
    return web.Response(status=201, body=sdp.encode(), content_type=bodies.SDP, headers=headers)


async def _whip(call: Call) -> web.Response:
    """RFC 9725: one offer in, one answer out; the resource ends with DELETE or with its media."""
    offer = await bodies.read_sdp(call.request, call.services.limits)
    conference, name = ConferenceId(call.id("conference")), call.request.query.get("name", call.actor.name)
    resource, answer = call.services.conferences.whip(call.actor, conference, offer, name)
    return _created(resource, "whip", answer)


async def _whep(call: Call) -> web.Response:
    offer = await bodies.read_sdp(call.request, call.services.limits)
    wanted = call.request.match_info.get("participant")
    conference, participant = ConferenceId(call.id("conference")), ParticipantId(wanted) if wanted else None
    resource, answer = call.services.conferences.whep(call.actor, conference, participant, offer)
    return _created(resource, "whep", answer)


async def _hang_up(call: Call) -> web.Response:
    call.services.conferences.hang_up(call.id("resource"), call.actor)
    return web.Response(status=200)


# ---- the table -----------------------------------------------------------------------------------

_PAGE = {"after": "sequence number to continue from", "limit": f"at most {MAX_PAGE}", "reason": "why you are looking"}
_CONFERENCE = f"{BASE}/conferences/{{id:{_ID}}}"
_DIRECTIVE = f"{BASE}/directives/{{id:{_ID}}}"
_ALARM = f"{BASE}/alarms/{{id:{_ID}}}"

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", f"{BASE}/me", "Who am I", _me, gives="who, node, node_name, division_name"),
    Endpoint("GET", f"{BASE}/nodes", "The places above and below this node", _nodes, gives="self, nodes"),
    Endpoint("GET", f"{BASE}/templates", "One-click directive templates", _templates, gives="templates"),
    Endpoint("POST", f"{BASE}/conferences", "Convene a meeting", _convene, 201, forms.ConveneForm, "id, sites"),
    Endpoint("GET", f"{BASE}/conferences", "Meetings I may join", _conferences, gives="conferences"),
    Endpoint("GET", _CONFERENCE, "One meeting", _conference, gives="the meeting and who is in it"),
    Endpoint("POST", f"{_CONFERENCE}/end", "End a meeting", _end_conference, 200, forms.EmptyForm, "id, ended"),
    Endpoint(
        "POST",
        f"{_CONFERENCE}/participants/{{participant:{_ID}}}/snapshot",
        "Raise an alarm with a participant's picture",
        _snapshot,
        201,
        forms.SnapshotForm,
        "alarm",
    ),
    Endpoint(
        "GET",
        f"{BASE}/participants",
        "Who is in a meeting",
        _participants,
        gives="participants, speaker",
        query={"conference": "id of the meeting"},
    ),
    Endpoint("POST", f"{BASE}/directives", "Issue a directive", _issue, 201, DirectiveRequest, "id, recipients"),
    Endpoint("GET", f"{BASE}/directives", "Directives I may read", _directives, gives="directives"),
    Endpoint("GET", _DIRECTIVE, "One directive with its sign-off matrix", _directive, gives="header, recipients"),
    Endpoint("POST", f"{_DIRECTIVE}/sign", "Sign for a directive", _sign, 200, forms.SignForm, "the directive"),
    Endpoint(
        "POST", f"{_DIRECTIVE}/feedback", "Feed numbers back", _feedback, 200, forms.FeedbackForm, "the directive"
    ),
    Endpoint("POST", f"{_DIRECTIVE}/done", "Say it is carried out", _done, 200, forms.DoneForm, "the directive"),
    Endpoint("POST", f"{_DIRECTIVE}/recall", "Take a directive back", _recall, 200, forms.RecallForm, "the directive"),
    Endpoint("POST", f"{_DIRECTIVE}/close", "Close a directive", _close, 200, forms.EmptyForm, "the directive"),
    Endpoint("POST", f"{BASE}/alarms", "Raise an alarm", _raise_alarm, 201, "alarm", "id"),
    Endpoint("GET", f"{BASE}/alarms", "Alarms I am told of", _alarms, gives="alarms"),
    Endpoint("GET", _ALARM, "One alarm", _alarm, gives="the alarm's card"),
    Endpoint(
        "POST", f"{_ALARM}/advance", "Take an alarm a step on", _advance_alarm, 200, forms.AdvanceForm, "the card"
    ),
    Endpoint("GET", f"{BASE}/blobs/{{sha256:[0-9a-f]{{64}}}}", "A picture", _blob, gives="image/jpeg"),
    Endpoint(
        "GET", f"{BASE}/audit/records", "The record of what happened", _audit_records, gives="records", query=_PAGE
    ),
    Endpoint(
        "GET",
        f"{BASE}/audit/sessions",
        "Meetings and who attended",
        _audit_sessions,
        gives="sessions",
        query={"reason": _PAGE["reason"]},
    ),
    Endpoint(
        "GET",
        f"{BASE}/audit/chain",
        "Whether the journal is whole",
        _audit_chain,
        gives="whole, count, chain",
        query={"reason": _PAGE["reason"]},
    ),
    Endpoint("GET", f"{BASE}/recordings", "Recordings", _recordings, gives="recordings"),
    Endpoint(
        "POST", f"/whip/{{conference:{_ID}}}", "Send media into a meeting (WHIP)", _whip, 201, "sdp", "application/sdp"
    ),
    Endpoint(
        "POST",
        f"/whep/{{conference:{_ID}}}",
        "Receive the current speaker (WHEP)",
        _whep,
        201,
        "sdp",
        "application/sdp",
    ),
    Endpoint(
        "POST",
        f"/whep/{{conference:{_ID}}}/{{participant:{_ID}}}",
        "Receive one participant (WHEP)",
        _whep,
        201,
        "sdp",
        "application/sdp",
    ),
    Endpoint("DELETE", f"/whip/resource/{{resource:{_ID}}}", "Stop sending", _hang_up, gives="nothing"),
    Endpoint("DELETE", f"/whep/resource/{{resource:{_ID}}}", "Stop receiving", _hang_up, gives="nothing"),
)
