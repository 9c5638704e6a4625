"""Directives: issued at once or from drafts, read, signed for, fed back, ended."""

from __future__ import annotations

import msgspec
from aiohttp import web

from gateway import bodies, forms
from gateway.calls import BASE, ID, Call, Endpoint, as_json, plain
from signaling.attachment import MAX_ATTACHMENT_BYTES, MAX_FILE_NAME
from signaling.ids import DirectiveId
from signaling.messages import DraftView
from signaling.records import DirectiveIssued, DirectiveRequest

# ---- issued ----------------------------------------------------------------------------------------


async def _issue(call: Call) -> web.Response:
    issued, made = await call.services.directives.issue(call.actor, await call.form(DirectiveRequest))
    return _issued(issued, made=made)


def _issued(issued: DirectiveIssued, *, made: bool) -> web.Response:
    body = {
        "id": issued.directive,
        "number": issued.number,
        "recipients": len(issued.recipients),
        "issued_at": issued.at,
        "expires_at": issued.expires_at,
        "countersign_by": issued.countersign_by,
    }
    return as_json(body, 201 if made else 200, Location=f"{BASE}/directives/{issued.directive}")


async def _supersede(call: Call) -> web.Response:
    """Issue what takes the place of this directive: one append ends the old and begins the new."""
    request = msgspec.structs.replace(await call.form(DirectiveRequest), supersedes=DirectiveId(call.id()))
    issued, made = await call.services.directives.issue(call.actor, request)
    return _issued(issued, made=made)


async def _countersign(call: Call) -> web.Response:
    await call.form(forms.EmptyForm)
    await call.services.directives.countersign(call.actor, DirectiveId(call.id()))
    return await _directive(call)


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
    await call.services.directives.feedback(call.actor, DirectiveId(call.id()), form.values, form.note, form.answers)
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


# ---- drafts ----------------------------------------------------------------------------------------


def _draft_body(view: DraftView, status: int = 200) -> web.Response:
    return as_json(plain(view, view.directive), status)


async def _draft(call: Call) -> web.Response:
    return _draft_body(await call.services.directives.draft(call.actor, await call.form(DirectiveRequest)), 201)


async def _drafts(call: Call) -> web.Response:
    found = call.services.directives.drafts(call.actor)
    return as_json({"drafts": [plain(view, view.directive) for view in found]})


async def _one_draft(call: Call) -> web.Response:
    return _draft_body(call.services.directives.draft_view(DirectiveId(call.id()), call.actor))


async def _edit(call: Call) -> web.Response:
    form = await call.form(forms.EditForm)
    directives = call.services.directives
    return _draft_body(await directives.edit(call.actor, DirectiveId(call.id()), form.request, form.revision))


async def _submit(call: Call) -> web.Response:
    form = await call.form(forms.RevisionForm)
    return _draft_body(await call.services.directives.submit(call.actor, DirectiveId(call.id()), form.revision))


async def _approve(call: Call) -> web.Response:
    form = await call.form(forms.RevisionForm)
    directives = call.services.directives
    return _issued(await directives.approve(call.actor, DirectiveId(call.id()), form.revision), made=False)


async def _give_back(call: Call) -> web.Response:
    form = await call.form(forms.ReturnForm)
    directives = call.services.directives
    return _draft_body(await directives.give_back(call.actor, DirectiveId(call.id()), form.revision, form.reason))


async def _issue_draft(call: Call) -> web.Response:
    await call.form(forms.EmptyForm)
    return _issued(await call.services.directives.issue_draft(call.actor, DirectiveId(call.id())), made=False)


# ---- the table -------------------------------------------------------------------------------------


async def _upload(call: Call) -> web.Response:
    """Keep a file for a directive to come; its kind is what its first bytes say."""
    name = call.request.query.get("name", "")[: MAX_FILE_NAME + 1]
    limits = call.services.limits
    data = await bodies.read(call.request, MAX_ATTACHMENT_BYTES, limits.deadline_s)
    return as_json(await call.services.directives.upload(call.actor, data, name), 201)


_DIRECTIVE = f"{BASE}/directives/{{id:{ID}}}"
_DRAFT = f"{BASE}/drafts/{{id:{ID}}}"

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "POST", f"{BASE}/directives", "Issue a directive", _issue, 201, DirectiveRequest, "id, number, recipients"
    ),
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
    Endpoint(
        "POST",
        f"{_DIRECTIVE}/supersede",
        "Issue a directive that takes the place of this one",
        _supersede,
        201,
        DirectiveRequest,
        "id, number, recipients",
    ),
    Endpoint(
        "POST",
        f"{_DIRECTIVE}/countersign",
        "Countersign what was issued first",
        _countersign,
        200,
        forms.EmptyForm,
        "the directive",
    ),
    Endpoint("POST", f"{_DIRECTIVE}/close", "Close a directive", _close, 200, forms.EmptyForm, "the directive"),
    Endpoint(
        "POST",
        f"{BASE}/attachments",
        "Keep a file for a directive to come",
        _upload,
        201,
        "file",
        "sha256, size, media, name",
        query={"name": "what people call it"},
    ),
    Endpoint("POST", f"{BASE}/drafts", "Keep a draft", _draft, 201, DirectiveRequest, "the draft"),
    Endpoint("GET", f"{BASE}/drafts", "Drafts of mine, or mine to approve", _drafts, gives="drafts"),
    Endpoint("GET", _DRAFT, "One draft", _one_draft, gives="the draft"),
    Endpoint("POST", f"{_DRAFT}/edit", "Change a draft of mine", _edit, 200, forms.EditForm, "the draft"),
    Endpoint("POST", f"{_DRAFT}/submit", "Ask for approval", _submit, 200, forms.RevisionForm, "the draft"),
    Endpoint(
        "POST",
        f"{_DRAFT}/approve",
        "Approve somebody else's draft, which issues it",
        _approve,
        200,
        forms.RevisionForm,
        "id, number, recipients",
    ),
    Endpoint(
        "POST", f"{_DRAFT}/return", "Return a draft to its author", _give_back, 200, forms.ReturnForm, "the draft"
    ),
    Endpoint(
        "POST",
        f"{_DRAFT}/issue",
        "Issue a draft of mine",
        _issue_draft,
        200,
        forms.EmptyForm,
        "id, number, recipients",
    ),
)
