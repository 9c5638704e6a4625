"""CAP 1.2: directives and alarms for other systems, and other systems' alerts as alarms."""

from __future__ import annotations

from aiohttp import web

from gateway import bodies, forms
from gateway.calls import BASE, ID, Call, Endpoint, as_json
from signaling import cap
from signaling.ids import AlarmId, DirectiveId


async def _directive(call: Call) -> web.Response:
    return _document(call.services.interchange.directive(DirectiveId(call.id()), call.actor))


async def _alarm(call: Call) -> web.Response:
    return _document(call.services.interchange.alarm(AlarmId(call.id()), call.actor))


async def _take(call: Call) -> web.Response:
    data = await bodies.read_cap(call.request, cap.MAX_BYTES, call.services.limits)
    received, made = await call.services.interchange.take(call.actor, data)
    body = {"effect": received.effect, "alarm": received.alarm, "note": received.note, "exercise": received.exercise}
    return as_json(body, 201 if made else 200)


async def _release_directive(call: Call) -> web.Response:
    await call.form(forms.EmptyForm)
    return as_json(await call.services.releases.directive(DirectiveId(call.id()), call.actor))


async def _release_alarm(call: Call) -> web.Response:
    await call.form(forms.EmptyForm)
    return as_json(await call.services.releases.alarm(AlarmId(call.id()), call.actor))


async def _released_directive(call: Call) -> web.Response:
    return as_json(call.services.releases.of_directive(DirectiveId(call.id()), call.actor))


async def _released_alarm(call: Call) -> web.Response:
    return as_json(call.services.releases.of_alarm(AlarmId(call.id()), call.actor))


def _document(data: bytes) -> web.Response:
    return web.Response(body=data, content_type=bodies.CAP, charset="utf-8")


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET", f"{BASE}/directives/{{id:{ID}}}/cap", "A directive as a CAP 1.2 message", _directive, gives=bodies.CAP
    ),
    Endpoint("GET", f"{BASE}/alarms/{{id:{ID}}}/cap", "An alarm as a CAP 1.2 message", _alarm, gives=bodies.CAP),
    Endpoint(
        "POST",
        f"{BASE}/directives/{{id:{ID}}}/release",
        "Let a directive out to the public",
        _release_directive,
        200,
        forms.EmptyForm,
        "identifier, outcome, receipts",
    ),
    Endpoint(
        "GET",
        f"{BASE}/directives/{{id:{ID}}}/release",
        "What the public was told of a directive",
        _released_directive,
        gives="may, why, ways, released",
    ),
    Endpoint(
        "GET",
        f"{BASE}/alarms/{{id:{ID}}}/release",
        "What the public was told of an alarm",
        _released_alarm,
        gives="may, why, ways, released",
    ),
    Endpoint(
        "POST",
        f"{BASE}/alarms/{{id:{ID}}}/release",
        "Let a confirmed alarm out to the public",
        _release_alarm,
        200,
        forms.EmptyForm,
        "identifier, outcome, receipts",
    ),
    Endpoint(
        "POST",
        f"{BASE}/cap",
        "Give a CAP 1.2 message of another system",
        _take,
        201,
        "cap",
        "effect, alarm, note, exercise",
    ),
)
