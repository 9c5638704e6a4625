"""Meetings: convened, listed, ended, and who is in them."""

from __future__ import annotations

from aiohttp import web

from gateway import forms
from gateway.calls import BASE, ID, Call, Endpoint, as_json, plain
from signaling.ids import ConferenceId


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


_CONFERENCE = f"{BASE}/conferences/{{id:{ID}}}"

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("POST", f"{BASE}/conferences", "Convene a meeting", _convene, 201, forms.ConveneForm, "id, sites"),
    Endpoint("GET", f"{BASE}/conferences", "Meetings I may join", _conferences, gives="conferences"),
    Endpoint("GET", _CONFERENCE, "One meeting", _conference, gives="the meeting and who is in it"),
    Endpoint("POST", f"{_CONFERENCE}/end", "End a meeting", _end_conference, 200, forms.EmptyForm, "id, ended"),
    Endpoint(
        "GET",
        f"{BASE}/participants",
        "Who is in a meeting",
        _participants,
        gives="participants, speaker",
        query={"conference": "id of the meeting"},
    ),
)
