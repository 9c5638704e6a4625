"""Collection points: load them, list them, arm and disarm them."""

from __future__ import annotations

from aiohttp import web

from gateway import bodies, forms
from gateway.calls import BASE, Call, Endpoint, as_json
from signaling.ids import NodeCode

MAX_PAGE = 1_000


async def _load(call: Call) -> web.Response:
    text = await bodies.read_csv(call.request, call.services.limits)
    total, changed = await call.services.sources.load(call.actor, text)
    return as_json({"sources": total, "changed": changed})


async def _list(call: Call) -> web.Response:
    after, limit = call.number("after", 0, 2**53), call.number("limit", 200, MAX_PAGE)
    found, count = call.services.sources.list(call.actor, after, limit)
    rows = [
        {
            "source": point.registered.source,
            "place": point.registered.place,
            "kind": point.registered.kind,
            "longitude": point.registered.longitude,
            "latitude": point.registered.latitude,
            "armed": point.armed,
            "last_seen": point.seen,
        }
        for point in found
    ]
    return as_json({"sources": rows, "count": count})


async def _arm(call: Call) -> web.Response:
    form = await call.form(forms.ArmForm)
    await call.services.sources.arm(call.actor, NodeCode(form.place), form.source, form.armed, form.reason)
    return as_json({"source": form.source, "place": form.place, "armed": form.armed})


_PART = {"after": "how many to pass over", "limit": f"at most {MAX_PAGE}"}

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("POST", f"{BASE}/sources", "Register collection points", _load, 200, "csv", "sources, changed"),
    Endpoint("GET", f"{BASE}/sources", "Collection points and when they were last heard of", _list, query=_PART),
    Endpoint("POST", f"{BASE}/sources/arm", "Arm or disarm one", _arm, 200, forms.ArmForm, "source, armed"),
)
