"""Lists of what is overdue of alarms: read, and taken in hand."""

from __future__ import annotations

from aiohttp import web

from gateway import forms
from gateway.calls import BASE, ID, Call, Endpoint, as_json, plain


async def _lists(call: Call) -> web.Response:
    found = call.services.overdue.list(call.actor)
    return as_json({"overdue": [plain(view, view.overdue) for view in found]})


async def _list(call: Call) -> web.Response:
    view = call.services.overdue.view(call.id(), call.actor)
    return as_json(plain(view, view.overdue))


async def _acknowledge(call: Call) -> web.Response:
    form = await call.form(forms.DoneForm)
    await call.services.overdue.acknowledge(call.actor, call.id(), form.note)
    return await _list(call)


_OVERDUE = f"{BASE}/overdue/{{id:{ID}}}"

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", f"{BASE}/overdue", "What ran out for me or below me", _lists, gives="overdue"),
    Endpoint("GET", _OVERDUE, "One such list, with what was done meanwhile", _list, gives="the list"),
    Endpoint("POST", f"{_OVERDUE}/acknowledge", "Take it in hand", _acknowledge, 200, forms.DoneForm, "the list"),
)
