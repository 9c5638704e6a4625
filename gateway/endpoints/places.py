"""The places around this node, and what its buttons say."""

from __future__ import annotations

from aiohttp import web

from gateway.calls import BASE, Call, Endpoint, as_json


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
    return as_json({"templates": call.services.templates})


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", f"{BASE}/nodes", "The places above and below this node", _nodes, gives="self, nodes"),
    Endpoint("GET", f"{BASE}/templates", "One-click directive templates", _templates, gives="templates"),
)
