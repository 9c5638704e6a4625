"""Directives: issued, read, signed for, fed back, ended."""

from __future__ import annotations

from aiohttp import web

from gateway import forms
from gateway.calls import BASE, ID, Call, Endpoint, as_json, plain
from gateway.directives import DirectiveRequest
from signaling.ids import DirectiveId


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


async def _annotate(call: Call) -> web.Response:
    form = await call.form(forms.AnnotateForm)
    await call.services.directives.annotate(call.actor, DirectiveId(call.id()), form.note)
    return await _directive(call)


async def _close(call: Call) -> web.Response:
    await call.form(forms.EmptyForm)
    await call.services.directives.close(call.actor, DirectiveId(call.id()))
    return await _directive(call)


_DIRECTIVE = f"{BASE}/directives/{{id:{ID}}}"

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("POST", f"{BASE}/directives", "Issue a directive", _issue, 201, DirectiveRequest, "id, recipients"),
    Endpoint("GET", f"{BASE}/directives", "Directives I may read", _directives, gives="directives"),
    Endpoint("GET", _DIRECTIVE, "One directive with its sign-off matrix", _directive, gives="header, recipients"),
    Endpoint("POST", f"{_DIRECTIVE}/sign", "Sign for a directive", _sign, 200, forms.SignForm, "the directive"),
    Endpoint(
        "POST", f"{_DIRECTIVE}/feedback", "Feed numbers back", _feedback, 200, forms.FeedbackForm, "the directive"
    ),
    Endpoint("POST", f"{_DIRECTIVE}/done", "Say it is carried out", _done, 200, forms.DoneForm, "the directive"),
    Endpoint("POST", f"{_DIRECTIVE}/recall", "Take a directive back", _recall, 200, forms.RecallForm, "the directive"),
    Endpoint(
        "POST", f"{_DIRECTIVE}/annotate", "Add a word on the way", _annotate, 200, forms.AnnotateForm, "the directive"
    ),
    Endpoint("POST", f"{_DIRECTIVE}/close", "Close a directive", _close, 200, forms.EmptyForm, "the directive"),
)
