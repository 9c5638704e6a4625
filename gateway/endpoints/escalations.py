"""Lists of those who were not reached: read, and taken in hand."""

from __future__ import annotations

from aiohttp import web

from gateway import forms
from gateway.calls import BASE, ID, Call, Endpoint, as_json, plain


async def _escalations(call: Call) -> web.Response:
    found = call.services.escalations.list(call.actor)
    return as_json({"escalations": [plain(view, view.escalation) for view in found]})


async def _escalation(call: Call) -> web.Response:
    view = call.services.escalations.view(call.id(), call.actor)
    return as_json(plain(view, view.escalation))


async def _acknowledge(call: Call) -> web.Response:
    form = await call.form(forms.DoneForm)
    await call.services.escalations.acknowledge(call.actor, call.id(), form.note)
    return await _escalation(call)


_ESCALATION = f"{BASE}/escalations/{{id:{ID}}}"

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", f"{BASE}/escalations", "Lists of those not reached", _escalations, gives="escalations"),
    Endpoint("GET", _ESCALATION, "One list, with who was reached meanwhile", _escalation, gives="the list"),
    Endpoint(
        "POST", f"{_ESCALATION}/acknowledge", "Take a list in hand", _acknowledge, 200, forms.DoneForm, "the list"
    ),
)
