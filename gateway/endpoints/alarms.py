"""Alarms and their pictures, a participant's picture among them."""

from __future__ import annotations

import msgspec
from aiohttp import web

from gateway import bodies, forms, telemetry
from gateway.calls import BASE, ID, Call, Endpoint, as_json, plain
from gateway.forms import AlarmRequest
from gateway.waiting import URGENT
from media.snapshot import PictureError, Pictures, check_jpeg, jpeg_from_keyframe, sanitise_jpeg
from signaling.errors import Refused
from signaling.ids import AlarmId, ConferenceId, ParticipantId, Sha256, UtcMs
from signaling.permission import Action, permit
from signaling.records import AlarmRaised, AlarmState


async def _raise_alarm(call: Call) -> web.Response:
    """Raise an alarm; what does not even look like a picture stops it before anything is raised.

    The words go out first: decoding a picture takes its time, after an earthquake minutes.
    """
    services = call.services
    request, snapshot = await bodies.read_alarm(call.request, AlarmRequest, services.limits)
    permit(call.actor, Action.RAISE_ALARM, request.place or call.actor.division, services.tree)
    if snapshot is not None:
        check_jpeg(snapshot)
    raised, made = await services.alarms.raise_alarm(call.actor, request, pictured=snapshot is not None)
    picture = ""
    if snapshot is not None and not raised.disarmed:
        picture = await _throttled(call, raised, snapshot, made=made)
    body = {"id": raised.alarm, "disarmed": raised.disarmed, "picture": picture}
    return as_json(body, 201 if made else 200, Location=f"{BASE}/alarms/{raised.alarm}")


async def _throttled(call: Call, raised: AlarmRaised, snapshot: bytes, *, made: bool) -> str:
    """Keep the picture unless its source has had its share; return ``kept``, ``throttled`` or why it could not be.

    The alarm stands.  A source that has a name for the event is answered with the problem, since it may say the same
    event again; from one that has none that would be another alarm.
    """
    if not made and call.services.alarms.pictured(raised.alarm):
        return "kept"
    if not call.services.sources.may_picture(raised.place, raised.source):
        telemetry.count("pictures_throttled")
        return "throttled"
    try:
        pictures = await sanitise_jpeg(snapshot, urgent=raised.urgency in URGENT)
    except PictureError as error:
        telemetry.count("pictures_refused", urgency=raised.urgency, code=error.code)
        if error.code in OURS:
            call.services.sources.pictured_not(raised.place, raised.source)
        if raised.event:
            raise
        return error.code
    await _picture(call, raised.alarm, pictures, made=made)
    return "kept"


async def _alarms(call: Call) -> web.Response:
    return as_json({"alarms": [plain(view, view.alarm) for view in call.services.alarms.incidents.list(call.actor)]})


async def _alarm(call: Call) -> web.Response:
    view = call.services.alarms.incidents.view(AlarmId(call.id()), call.actor)
    return as_json(plain(view, view.alarm))


async def _advance_alarm(call: Call) -> web.Response:
    form = await call.form(forms.AdvanceForm)
    await call.services.alarms.advance(call.actor, AlarmId(call.id()), AlarmState(form.state), form.note)
    return await _alarm(call)


async def _group_alarm(call: Call) -> web.Response:
    form = await call.form(forms.GroupForm)
    await call.services.alarms.group(call.actor, AlarmId(call.id()), AlarmId(form.incident))
    return await _alarm(call)


async def _dispatch_alarm(call: Call) -> web.Response:
    form, units = await call.form(forms.DispatchForm), call.services.units
    lead, assist = units.get(form.lead).unit, tuple(units.get(unit).unit for unit in form.assist)
    await call.services.alarms.dispatch(call.actor, AlarmId(call.id()), lead, assist, form.within_ms, form.note)
    return await _alarm(call)


async def _unit_reports(call: Call) -> web.Response:
    """A unit speaks for its own place, wherever its node's own file of units knows it from."""
    form, unit = await call.form(forms.UnitForm), call.id("unit")
    alarm, incidents = AlarmId(call.id()), call.services.alarms.incidents
    sent = next((d for d in incidents.view(alarm, call.actor).dispatches if d.unit == unit), None)
    if sent is None:
        raise Refused("unknown-unit", f"{unit[:40]} was not sent there")
    await call.services.alarms.report(call.actor, alarm, unit, sent.place, form.state, form.note)
    return await _alarm(call)


async def _call_up(call: Call) -> web.Response:
    form = await call.form(forms.CallForm)
    made = await call.services.alarms.call(call.actor, AlarmId(call.id()), form.to, form.department, form.note)
    return as_json({"id": made}, 201)


async def _answer_call(call: Call) -> web.Response:
    form = await call.form(forms.CallAnswerForm)
    await call.services.alarms.answer(call.actor, call.id("call"), form.note)
    return await _alarm(call)


async def _units(call: Call) -> web.Response:
    """The units this node can send to what the asker commands, and where each is needed now."""
    services = call.services
    rows = []
    for team in services.units.all():
        if not services.tree.is_within(team.place, call.actor.division) and not services.tree.is_within(
            call.actor.division, team.place
        ):
            continue
        busy = services.alarms.incidents.busy(team.id)
        state = "standby" if busy is None else busy[1] or "called"
        rows.append({**msgspec.to_builtins(team), "state": state, "alarm": busy[0] if busy else None})
    return as_json({"units": rows})


async def _members(call: Call) -> web.Response:
    after, limit = call.number("after", 0, 2**53), call.number("limit", 100, MAX_PAGE)
    found, count = call.services.alarms.incidents.members(AlarmId(call.id()), call.actor, after, limit)
    return as_json({"alarms": [plain(raised, raised.alarm) for raised in found], "count": count})


async def _statistics(call: Call) -> web.Response:
    hours = call.number("hours", 24, MAX_HOURS)
    now = call.services.clock.at()
    since = UtcMs(now - hours * 3_600_000)
    exercise = call.request.query.get("exercise", "") == "true"
    figures = call.services.alarms.incidents.scores(call.actor, since, now, exercise=exercise)
    return as_json({"since": since, "until": now, **msgspec.to_builtins(figures)})


async def _overdue(call: Call) -> web.Response:
    found = call.services.alarms.incidents.overdue(call.actor, call.services.clock.at())[:MAX_PAGE]
    rows = [{"alarm": alarm, "kind": one.kind, "subject": one.subject, "due": one.due} for alarm, one in found]
    return as_json({"overdue": rows})


async def _blob(call: Call) -> web.Response:
    """Give a picture of an alarm, or a file of a directive, that the asker may read.

    The policy headers are ``http.py``'s (sandbox, nosniff).
    """
    sha256, media = Sha256(call.id("sha256")), "image/jpeg"
    if call.services.directives.attached(sha256):
        data, media = await call.services.directives.attachment(call.actor, sha256)
    else:
        data = await call.services.alarms.blob(call.actor, sha256)
    return web.Response(body=data, content_type=media, headers={"Cache-Control": "private, max-age=86400"})


async def _snapshot(call: Call) -> web.Response:
    """Turn a participant's newest keyframe into a picture, and that into an alarm."""
    form = await call.form(forms.SnapshotForm)
    services, conference, participant = call.services, ConferenceId(call.id()), ParticipantId(call.id("participant"))
    seen = next(
        (p for p in services.conferences.view(call.actor, conference).participants if p.participant == participant),
        None,
    )
    if seen is None:
        raise Refused("unknown-participant", "nobody of that name is in this meeting here")
    codec, frame = await services.conferences.keyframe(call.actor, conference, participant)
    pictures = await jpeg_from_keyframe(codec, frame)
    place = seen.division if services.tree.is_within(seen.division, call.actor.division) else call.actor.division
    request = AlarmRequest(
        kind=form.kind,
        text=form.text,
        urgency=form.urgency,
        source=seen.name,
        place=place,
        exercise=form.exercise,
        event=form.event,
    )
    raised, made = await services.alarms.raise_alarm(call.actor, request, pictured=True)
    await _picture(call, raised.alarm, pictures, made=made)
    return as_json({"alarm": raised.alarm}, 201 if made else 200, Location=f"{BASE}/alarms/{raised.alarm}")


async def _picture(call: Call, alarm: AlarmId, pictures: Pictures, *, made: bool) -> None:
    """Give an alarm its picture; a repeat brings it only when the first attempt did not come so far."""
    alarms = call.services.alarms
    if made or not alarms.pictured(alarm):
        await alarms.picture(alarm, pictures)


OURS = frozenset({"picture-busy", "picture-timeout"})
"""Why a picture could not be had, through no fault of its source."""

_ALARM = f"{BASE}/alarms/{{id:{ID}}}"
_CONFERENCE = f"{BASE}/conferences/{{id:{ID}}}"

MAX_PAGE = 500
MAX_HOURS = 24 * 366
_WINDOW = {"hours": "the last so many; 24", "exercise": "true: of exercises instead"}
_PART = {"after": "how many to pass over", "limit": f"at most {MAX_PAGE}"}

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("POST", f"{BASE}/alarms", "Raise an alarm", _raise_alarm, 201, "alarm", "id"),
    Endpoint("GET", f"{BASE}/alarms", "Alarms I am told of", _alarms, gives="alarms"),
    Endpoint(
        "GET",
        f"{BASE}/alarms/statistics",
        "How the 1-3-5 clocks were kept",
        _statistics,
        gives="alarms, cards, clocks, golden",
        query=_WINDOW,
    ),
    Endpoint("GET", f"{BASE}/alarms/overdue", "Clocks, units and calls that ran out", _overdue, gives="overdue"),
    Endpoint("GET", _ALARM, "One alarm", _alarm, gives="the alarm's card"),
    Endpoint(
        "POST", f"{_ALARM}/advance", "Take an alarm a step on", _advance_alarm, 200, forms.AdvanceForm, "the card"
    ),
    Endpoint("GET", f"{_ALARM}/members", "Every alarm of a card", _members, gives="alarms, count", query=_PART),
    Endpoint("POST", f"{_ALARM}/group", "Put an alarm on another card", _group_alarm, 200, forms.GroupForm, "the card"),
    Endpoint("POST", f"{_ALARM}/dispatch", "Send units", _dispatch_alarm, 200, forms.DispatchForm, "the card"),
    Endpoint(
        "POST",
        f"{_ALARM}/units/{{unit:{ID}}}",
        "A unit says how far it is",
        _unit_reports,
        200,
        forms.UnitForm,
        "the card",
    ),
    Endpoint("POST", f"{_ALARM}/calls", "Call a department above", _call_up, 201, forms.CallForm, "id"),
    Endpoint(
        "POST",
        f"{_ALARM}/calls/{{call:{ID}}}/answer",
        "Say what the department does",
        _answer_call,
        200,
        forms.CallAnswerForm,
        "the card",
    ),
    Endpoint("GET", f"{BASE}/units", "Units that can be sent, and their state", _units, gives="units"),
    Endpoint("GET", f"{BASE}/blobs/{{sha256:[0-9a-f]{{64}}}}", "A picture or file", _blob, gives="image/jpeg"),
    Endpoint(
        "POST",
        f"{_CONFERENCE}/participants/{{participant:{ID}}}/snapshot",
        "Raise an alarm with a participant's picture",
        _snapshot,
        201,
        forms.SnapshotForm,
        "alarm",
    ),
)
