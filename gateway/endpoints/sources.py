"""Collection points: load them, list them, arm and disarm them."""

from __future__ import annotations

from aiohttp import web

from gateway import bodies, forms
from gateway.calls import BASE, Call, Endpoint, as_json
from gateway.sources import Point, Wanted
from signaling.ids import NodeCode, UtcMs

MAX_PAGE = 1_000
MAX_TEXT = 60
MIN_MS = 60_000
MAX_SILENT_MIN = 366 * 24 * 60


async def _load(call: Call) -> web.Response:
    text = await bodies.read_csv(call.request, call.services.limits)
    total, changed = await call.services.sources.load(call.actor, text)
    return as_json({"sources": total, "changed": changed})


async def _list(call: Call) -> web.Response:
    after, limit = call.number("after", 0, 2**53), call.number("limit", 200, MAX_PAGE)
    silent = call.number("silent_min", 0, MAX_SILENT_MIN)
    since = UtcMs(call.services.clock.at() - silent * MIN_MS) if silent else None
    wanted = Wanted(call.request.query.get("text", "")[:MAX_TEXT], since)
    found, count = call.services.sources.list(call.actor, after, limit, wanted)
    return as_json({"sources": [_row(call, point) for point in found], "count": count})


def _row(call: Call, point: Point) -> dict[str, object]:
    """Return what is told of a point; of its camera only whether there is one, and how it fared last."""
    known = point.registered
    outcome = call.services.cameras.outcome(known.place, known.source)
    return {
        "source": known.source,
        "place": known.place,
        "kind": known.kind,
        "longitude": known.longitude,
        "latitude": known.latitude,
        "armed": point.armed,
        "last_seen": point.seen,
        "camera": bool(call.services.sources.camera(known.place, known.source)),
        "camera_at": outcome.at if outcome else None,
        "camera_outcome": outcome.code if outcome else "",
    }


async def _arm(call: Call) -> web.Response:
    form = await call.form(forms.ArmForm)
    await call.services.sources.arm(call.actor, NodeCode(form.place), form.source, form.armed, form.reason)
    return as_json({"source": form.source, "place": form.place, "armed": form.armed})


async def _picture(call: Call) -> web.Response:
    """The policy headers are ``http.py``'s (sandbox, nosniff)."""
    form = await call.form(forms.SourceForm)
    picture = await call.services.cameras.now(call.actor, NodeCode(form.place), form.source)
    return web.Response(body=picture.jpeg, content_type="image/jpeg", headers={"Cache-Control": "no-store"})


_PART = {
    "after": "how many to pass over",
    "limit": f"at most {MAX_PAGE}",
    "text": "in its name, kind or place",
    "silent_min": "only of which nothing was heard for so many minutes, or ever",
}

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("POST", f"{BASE}/sources", "Register collection points", _load, 200, "csv", "sources, changed"),
    Endpoint("GET", f"{BASE}/sources", "Collection points and when they were last heard of", _list, query=_PART),
    Endpoint(
        "POST",
        f"{BASE}/sources/picture",
        "Take a picture of the camera that looks at one, now",
        _picture,
        200,
        forms.SourceForm,
        "image/jpeg",
    ),
    Endpoint("POST", f"{BASE}/sources/arm", "Arm or disarm one", _arm, 200, forms.ArmForm, "source, armed"),
)
