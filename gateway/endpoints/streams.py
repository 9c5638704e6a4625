"""WHIP (RFC 9725) and WHEP: media by one offer and one answer."""

from __future__ import annotations

from aiohttp import web

from gateway import bodies
from gateway.calls import ID, Call, Endpoint
from signaling.ids import ConferenceId, ParticipantId


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


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "POST", f"/whip/{{conference:{ID}}}", "Send media into a meeting (WHIP)", _whip, 201, "sdp", "application/sdp"
    ),
    Endpoint(
        "POST",
        f"/whep/{{conference:{ID}}}",
        "Receive the current speaker (WHEP)",
        _whep,
        201,
        "sdp",
        "application/sdp",
    ),
    Endpoint(
        "POST",
        f"/whep/{{conference:{ID}}}/{{participant:{ID}}}",
        "Receive one participant (WHEP)",
        _whep,
        201,
        "sdp",
        "application/sdp",
    ),
    Endpoint("DELETE", f"/whip/resource/{{resource:{ID}}}", "Stop sending", _hang_up, gives="nothing"),
    Endpoint("DELETE", f"/whep/resource/{{resource:{ID}}}", "Stop receiving", _hang_up, gives="nothing"),
)
