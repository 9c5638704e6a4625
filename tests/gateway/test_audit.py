"""Auditors: their subtree only, with a reason, and seen by those they audit."""

from pathlib import Path

import pytest

from signaling.errors import Refused
from signaling.ids import ConferenceId, ParticipantId, Seq, UtcMs
from signaling.records import (
    AuditRead,
    ConferenceConvened,
    ConferenceEnded,
    DirectiveRequest,
    ParticipantJoined,
    ParticipantLeft,
    RefusalRecorded,
    ScopeItem,
    Urgency,
)
from tests.support.loop import on_loop
from tests.support.nodes import Node, until_quiet
from tests.support.places import (
    COUNTY,
    OTHER_TOWNSHIP,
    OTHER_VILLAGE,
    TOWNSHIP,
    VILLAGE,
    auditor,
    commander,
    terminal,
)


async def issue(node: Node, place: str, click: str) -> None:
    scope = (ScopeItem(node=place),)  # type: ignore[arg-type]
    request = DirectiveRequest(click_id=click, urgency=Urgency.P3, title=click, text="x", scope=scope)
    await node.directives.issue(commander(node.code), request)


@on_loop
async def test_reading_is_a_record_before_anything_is_shown(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path)
    await issue(county, VILLAGE, "one")
    page = await county.audit.records(auditor(COUNTY), Seq(0), 100, "年度检查")
    assert [(line.seq, line.kind) for line in page.lines] == [(1, "directive_issued"), (2, "audit_read")]
    assert (page.next, page.head) == (2, 2)
    (read,) = [row.record for row in county.journal.replay() if isinstance(row.record, AuditRead)]
    assert (read.by, read.reason) == (auditor(COUNTY), "年度检查")
    await county.close()


@on_loop
async def test_those_below_see_who_looked_and_why(tmp_path: Path) -> None:
    county, township, village = (Node(c, tmp_path) for c in (COUNTY, TOWNSHIP, VILLAGE))
    await county.audit.records(auditor(COUNTY), Seq(0), 10, "群众反映")
    await until_quiet(county, township, village)
    page = await village.audit.records(auditor(COUNTY), Seq(0), 10, "自查")
    assert [(line.node, line.kind, line.text) for line in page.lines] == [
        (COUNTY, "audit_read", "群众反映"),
        (VILLAGE, "audit_read", "自查"),
    ]
    reads = [row.record for row in village.journal.replay() if isinstance(row.record, AuditRead)]
    assert [(r.node, r.reason) for r in reads] == [(COUNTY, "群众反映"), (VILLAGE, "自查")]
    for node in (county, township, village):
        await node.close()


@on_loop
async def test_an_auditor_reads_the_own_subtree_only(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path)
    await issue(county, VILLAGE, "mine")
    await issue(county, OTHER_VILLAGE, "theirs")
    page = await county.audit.records(auditor(TOWNSHIP), Seq(0), 100, "检查")
    assert [line.text for line in page.lines if line.kind == "directive_issued"] == ["P3 mine (1)"]
    for actor, reason, code in (
        (commander(COUNTY), "想看", "not-permitted"),
        (terminal(VILLAGE), "想看", "not-permitted"),
        (auditor(COUNTY), " ", "reason-needed"),
        (auditor(COUNTY), "a\nb", "bad-text"),
    ):
        with pytest.raises(Refused) as refused:
            await county.audit.records(actor, Seq(0), 10, reason)
        assert refused.value.code == code
    with pytest.raises(Refused) as refused:
        await county.audit.records(auditor(COUNTY), Seq(0), 501, "检查")
    assert refused.value.code == "bad-record"
    await county.close()


@on_loop
async def test_pages_go_on_where_the_last_one_ended(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path)
    for number in range(30):
        await issue(county, VILLAGE if number % 3 else OTHER_VILLAGE, f"{number}")
    seen: list[str] = []
    after = Seq(0)
    while True:
        page = await county.audit.records(auditor(TOWNSHIP), after, 7, "检查")
        issued = [line.text for line in page.lines if line.kind == "directive_issued"]
        if not issued:
            break
        seen += issued
        after = page.next
    assert seen == [f"P3 {n} (1)" for n in range(30) if n % 3]
    await county.close()


@on_loop
async def test_the_register_holds_meetings_and_who_came(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path)
    conference = ConferenceId("c-1")
    come = {"p-1": terminal(VILLAGE), "p-2": terminal(OTHER_VILLAGE)}
    await county.journal.append(
        ConferenceConvened(
            node=COUNTY,
            at=UtcMs(1),
            conference=conference,
            title="调度会",
            by=commander(),
            scope=(),
            sites=(COUNTY, TOWNSHIP, OTHER_TOWNSHIP),
            exercise=False,
        ),
        *(
            ParticipantJoined(node=COUNTY, at=UtcMs(2), conference=conference, participant=ParticipantId(p), who=who)
            for p, who in come.items()
        ),
        ParticipantLeft(
            node=COUNTY, at=UtcMs(3), conference=conference, participant=ParticipantId("p-1"), reason="left"
        ),
        ConferenceEnded(node=COUNTY, at=UtcMs(4), conference=conference, by=commander()),
    )
    county = await county.restart()
    (session,) = await county.audit.sessions(auditor(COUNTY), "检查")
    assert (session.title, session.sites, session.convened_at, session.ended_at) == ("调度会", 3, 1, 4)
    assert [(a.who, a.joined_at, a.left_at) for a in session.attendance] == [
        (come["p-1"], 2, 3),
        (come["p-2"], 2, None),
    ]
    (partial,) = await county.audit.sessions(auditor(TOWNSHIP), "检查")
    assert [a.who for a in partial.attendance] == [come["p-1"]]
    assert await county.audit.sessions(auditor(VILLAGE), "检查") == []
    await county.close()


@on_loop
async def test_the_chain_is_walked_and_a_change_is_located(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path)
    await issue(county, VILLAGE, "one")
    chain = await county.audit.chain(auditor(COUNTY), "检查")
    assert (chain.whole, chain.count, chain.broken_at) == (True, 2, None)
    assert len(chain.chain) == 64
    await county.close()


@on_loop
async def test_a_refusal_is_seen_one_tier_up_and_cannot_be_made_up_elsewhere(tmp_path: Path) -> None:
    county, township = Node(COUNTY, tmp_path), Node(TOWNSHIP, tmp_path)
    with pytest.raises(Refused):
        await issue(township, COUNTY, "upwards")
    await until_quiet(county, township)
    page = await county.audit.records(auditor(COUNTY), Seq(0), 10, "检查")
    assert (page.lines[0].node, page.lines[0].kind) == (TOWNSHIP, "refusal_recorded")
    fake = RefusalRecorded(node=VILLAGE, at=UtcMs(1), by=None, action="x", target="", code="y", via="")
    read = AuditRead(node=TOWNSHIP, at=UtcMs(1), by=auditor(TOWNSHIP), what="x", reason="yy")
    for record in (fake, read):
        county.clock.advance(1)
        county.audit.receive(record, TOWNSHIP)
    await county.settle()
    refused = [row.record for row in county.journal.replay() if isinstance(row.record, RefusalRecorded)]
    assert [r.code for r in refused if r.node == COUNTY] == ["wrong-direction", "wrong-direction"]
    for node in (county, township):
        await node.close()
