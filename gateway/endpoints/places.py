"""The places around this node, and what its buttons say."""

from __future__ import annotations

from aiohttp import web

from gateway import forms
from gateway.calls import BASE, Call, Endpoint, as_json
from gateway.rosters import AHEAD_MS
from signaling.ids import NodeCode


async def _nodes(call: Call) -> web.Response:
    services = call.services
    tree, online = services.tree, services.presence.online()
    codes = [*reversed(tree.path_up(services.node)[1:]), *tree.subtree(services.node)]
    rows = []
    for code in codes:
        place = tree.get(code)
        rows.append(
            {
                "code": code,
                "name": place.name,
                "tier": place.tier,
                "parent": place.parent,
                "longitude": place.longitude,
                "latitude": place.latitude,
                "online": code == services.node or code in online,
                "terminals": online.get(code, 0),
            }
        )
    return as_json({"self": services.node, "nodes": rows})


async def _templates(call: Call) -> web.Response:
    approval = call.services.config.directives.approval
    return as_json({"templates": call.services.templates, "approval": approval})


async def _groups(call: Call) -> web.Response:
    return as_json({"groups": call.services.groups})


async def _roster(call: Call) -> web.Response:
    division = NodeCode(call.request.query.get("division", call.actor.division)[:20])
    return as_json(_roster_of(call, division))


async def _board(call: Call) -> web.Response:
    """Every place of the reader's, for the coming day."""
    return as_json({"ahead_ms": AHEAD_MS, "places": call.services.rosters.board(call.actor)})


def _roster_of(call: Call, division: NodeCode) -> dict[str, object]:
    rosters = call.services.rosters
    return {
        "division": division,
        "roster": rosters.lines(call.actor, division),
        "shifts": rosters.shifts(call.actor, division),
        "phones": call.services.people.numbers(call.actor, division),
    }


async def _set_roster(call: Call) -> web.Response:
    form = await call.form(forms.RosterForm)
    await call.services.rosters.set(
        call.actor, form.division, form.post, form.person, form.starts_at, form.ends_at, form.change
    )
    return as_json(_roster_of(call, form.division), 201)


async def _set_phone(call: Call) -> web.Response:
    form = await call.form(forms.PhoneForm)
    await call.services.people.keep(call.actor, form.division, form.person, form.phone)
    return as_json(_roster_of(call, form.division))


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", f"{BASE}/nodes", "The places above and below this node", _nodes, gives="self, nodes"),
    Endpoint("GET", f"{BASE}/templates", "One-click directive templates", _templates, gives="templates, approval"),
    Endpoint("GET", f"{BASE}/groups", "Named circles of recipients", _groups, gives="groups"),
    Endpoint(
        "GET",
        f"{BASE}/roster",
        "Who is on duty at a place",
        _roster,
        gives="division, roster, shifts, phones",
        query={"division": "code of the place; mine by default"},
    ),
    Endpoint(
        "POST",
        f"{BASE}/roster",
        "Put somebody on duty",
        _set_roster,
        201,
        forms.RosterForm,
        "division, roster, shifts, phones",
    ),
    Endpoint(
        "POST",
        f"{BASE}/roster/phone",
        "Keep or forget the number of somebody on a roster",
        _set_phone,
        200,
        forms.PhoneForm,
        "division, roster, shifts, phones",
    ),
    Endpoint(
        "GET", f"{BASE}/roster/board", "Who is on duty now, and who is missing soon", _board, gives="ahead_ms, places"
    ),
)
