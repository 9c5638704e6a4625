"""Signing in, and who one is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from gateway import bodies, forms, problems, telemetry
from gateway.auth import Auth, SignIn
from gateway.calls import BASE, Call, Endpoint, Services, as_json
from gateway.problems import ProblemError
from signaling.errors import Refused
from signaling.records import Actor


def sign_in(services: Services) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        form = await bodies.read_json(request, forms.SignInForm, services.limits)
        address = request.remote or ""
        way = "link" if form.code is not None else "password"
        try:
            made = await _prove(form, services.auth, address)
        except Refused as error:
            telemetry.count("sign_ins", way=way, outcome=error.code)
            raise
        telemetry.count("sign_ins", way=way, outcome="ok")
        return as_json(_session(made.who, services, made))

    return answer


async def _prove(form: forms.SignInForm, auth: Auth, address: str) -> SignIn:
    if form.code is not None and form.name is None and form.password is None:
        return await auth.redeem(form.code, address)
    if form.code is None and form.name is not None and form.password is not None:
        return await auth.login(form.name, form.password, address)
    raise ProblemError(problems.of_code("invalid-value", "send either code, or name and password", 422))


def _session(who: Actor, services: Services, made: SignIn | None = None) -> dict[str, Any]:
    node = services.node
    session = {
        "who": who,
        "node": node,
        "node_name": services.config.node.name or services.tree.name(node),
        "division_name": services.tree.name(who.division) if who.division in services.tree else who.division,
    }
    return session if made is None else {"token": made.token, "expires_at": made.expires_at, **session}


async def _me(call: Call) -> web.Response:
    return as_json(_session(call.actor, call.services))


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", f"{BASE}/me", "Who am I", _me, gives="who, node, node_name, division_name"),
)

SESSION = Endpoint(
    "POST",
    f"{BASE}/session",
    "Sign in with a link's code, or with name and password",
    _me,
    200,
    forms.SignInForm,
    "token, expires_at, who, node, node_name, division_name",
)
"""Asked without a token: described with the others, routed apart."""
