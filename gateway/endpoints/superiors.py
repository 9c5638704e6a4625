"""Lists a superior is told of, who was not reached and what is overdue: read, and taken in hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from gateway import forms
from gateway.calls import BASE, ID, Call, Endpoint, as_json, plain
from gateway.superiors import SuperiorLists

Lists = Callable[[Call], SuperiorLists[Any]]


def _endpoints(kind: str, key: str, lists: Lists, all_of_them: str, one_of_them: str) -> tuple[Endpoint, ...]:
    """Return the three of one kind.  ``kind``: its path; ``key``: what names a list in its view."""

    def shown(view: Any) -> dict[str, Any]:
        return plain(view, getattr(view, key))

    async def listed(call: Call) -> web.Response:
        return as_json({kind: [shown(view) for view in lists(call).list(call.actor)]})

    async def read(call: Call) -> web.Response:
        return as_json(shown(lists(call).view(call.id(), call.actor)))

    async def acknowledge(call: Call) -> web.Response:
        form = await call.form(forms.DoneForm)
        await lists(call).acknowledge(call.actor, call.id(), form.note)
        return await read(call)

    path = f"{BASE}/{kind}"
    one = f"{path}/{{id:{ID}}}"
    return (
        Endpoint("GET", path, all_of_them, listed, gives=kind),
        Endpoint("GET", one, one_of_them, read, gives="the list"),
        Endpoint("POST", f"{one}/acknowledge", "Take it in hand", acknowledge, 200, forms.DoneForm, "the list"),
    )


ENDPOINTS: tuple[Endpoint, ...] = (
    *_endpoints(
        "escalations",
        "escalation",
        lambda call: call.services.escalations,
        "Lists of those not reached",
        "One list, with who was reached meanwhile",
    ),
    *_endpoints(
        "overdue",
        "overdue",
        lambda call: call.services.overdue,
        "What ran out for me or below me",
        "One such list, with what was done meanwhile",
    ),
)
