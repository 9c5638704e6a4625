"""Circulars to places beside one: told, read, answered."""

from __future__ import annotations

from aiohttp import web

from gateway import forms
from gateway.calls import BASE, ID, Call, Endpoint, as_json, plain
from gateway.circulars import CircularRequest
from signaling.ids import CircularId
from signaling.permission import Action, permitted


async def _send(call: Call) -> web.Response:
    sent, made = await call.services.circulars.send(call.actor, await call.form(CircularRequest))
    body = {"id": sent.circular, "places": len(sent.to)}
    return as_json(body, 201 if made else 200, Location=f"{BASE}/circulars/{sent.circular}")


async def _circulars(call: Call) -> web.Response:
    return as_json({"circulars": [plain(view, view.circular) for view in call.services.circulars.list(call.actor)]})


async def _peers(call: Call) -> web.Response:
    tree, own = call.services.tree, call.actor.division
    beside = [code for code in tree.beside(own) if permitted(call.actor, Action.NOTIFY, code, tree)]
    return as_json({"peers": [{"code": code, "name": tree.name(code)} for code in beside]})


async def _circular(call: Call) -> web.Response:
    view = call.services.circulars.view(CircularId(call.id()), call.actor)
    return as_json(plain(view, view.circular))


async def _answer(call: Call) -> web.Response:
    form = await call.form(forms.AnswerForm)
    await call.services.circulars.answer(call.actor, CircularId(call.id()), form.text)
    return await _circular(call)


_CIRCULAR = f"{BASE}/circulars/{{id:{ID}}}"

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("POST", f"{BASE}/circulars", "Tell places beside mine", _send, 201, CircularRequest, "id, places"),
    Endpoint("GET", f"{BASE}/circulars", "Circulars I may read", _circulars, gives="circulars"),
    Endpoint("GET", f"{BASE}/circulars/peers", "Places I may tell things", _peers, gives="peers"),
    Endpoint("GET", _CIRCULAR, "One circular and who has read it", _circular, gives="the circular"),
    Endpoint("POST", f"{_CIRCULAR}/answer", "Read or answer it", _answer, 200, forms.AnswerForm, "the circular"),
)
