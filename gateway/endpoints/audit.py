"""What auditors read, each time with a reason."""

from __future__ import annotations

from aiohttp import web

from gateway.audit import MAX_PAGE
from gateway.calls import BASE, Call, Endpoint, as_json
from signaling.ids import Seq
from signaling.permission import Action, permit

MAX_REASON = 500


def _reason(call: Call) -> str:
    return call.request.query.get("reason", "")[:MAX_REASON]


async def _audit_records(call: Call) -> web.Response:
    after, limit = call.number("after", 0, 2**53), call.number("limit", 100, MAX_PAGE)
    page = await call.services.audit.records(call.actor, Seq(after), limit, _reason(call))
    return as_json({"records": page.lines, "next": page.next, "head": page.head})


async def _audit_sessions(call: Call) -> web.Response:
    return as_json({"sessions": await call.services.audit.sessions(call.actor, _reason(call))})


async def _audit_chain(call: Call) -> web.Response:
    return as_json(await call.services.audit.chain(call.actor, _reason(call)))


async def _recordings(call: Call) -> web.Response:
    """List recordings: there are none while this version does not record."""
    permit(call.actor, Action.READ_AUDIT, call.actor.division, call.services.tree)
    return as_json({"recordings": []})


_PAGE = {"after": "sequence number to continue from", "limit": f"at most {MAX_PAGE}", "reason": "why you are looking"}

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET", f"{BASE}/audit/records", "The record of what happened", _audit_records, gives="records", query=_PAGE
    ),
    Endpoint(
        "GET",
        f"{BASE}/audit/sessions",
        "Meetings and who attended",
        _audit_sessions,
        gives="sessions",
        query={"reason": _PAGE["reason"]},
    ),
    Endpoint(
        "GET",
        f"{BASE}/audit/chain",
        "Whether the journal is whole",
        _audit_chain,
        gives="whole, count, chain",
        query={"reason": _PAGE["reason"]},
    ),
    Endpoint("GET", f"{BASE}/recordings", "Recordings", _recordings, gives="recordings"),
)
