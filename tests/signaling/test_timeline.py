"""What an auditor sees."""

import pytest

from signaling import timeline
from signaling.admission import Facts
from signaling.ids import ConferenceId, DirectiveId, NodeCode, ParticipantId, Seq, UtcMs
from signaling.records import (
    AlarmState,
    AnyRecord,
    AuditRead,
    ConferenceConvened,
    ConferenceEnded,
    DirectiveClosed,
    DirectiveExpired,
    DirectiveIssued,
    ParticipantJoined,
    ParticipantLeft,
    RefusalRecorded,
    Stage,
)
from tests.support.facts import (
    approved,
    countersigned,
    drafted,
    order,
    pictured,
    raised,
    recall,
    relayed,
    returned,
    rostered,
    step,
    submitted,
    superseded,
    word,
)
from tests.support.places import (
    COUNTY,
    OTHER_TOWNSHIP,
    PROVINCE,
    TOWNSHIP,
    TREE,
    VILLAGE,
    auditor,
    commander,
    terminal,
)

CONFERENCE, PARTICIPANT = ConferenceId("c-1"), ParticipantId("p-1")
CONVENED = ConferenceConvened(
    node=COUNTY,
    at=UtcMs(1),
    conference=CONFERENCE,
    title="调度会",
    by=commander(),
    scope=(),
    sites=(TOWNSHIP,),
    exercise=False,
)
RECORDS: list[AnyRecord] = [
    order(),
    recall(),
    DirectiveClosed(node=COUNTY, at=UtcMs(1), directive=order().directive),
    DirectiveExpired(node=COUNTY, at=UtcMs(1), directive=order().directive),
    superseded(),
    countersigned(),
    drafted(by=commander(TOWNSHIP)),
    submitted(by=commander(TOWNSHIP)),
    approved(by=commander(TOWNSHIP)),
    returned(by=commander(TOWNSHIP)),
    rostered(),
    word(Stage.SIGNED),
    relayed(),
    raised(),
    pictured(),
    step(AlarmState.CONFIRMED, note="属实"),
    CONVENED,
    ConferenceEnded(node=COUNTY, at=UtcMs(1), conference=CONFERENCE, by=commander()),
    ParticipantJoined(node=COUNTY, at=UtcMs(1), conference=CONFERENCE, participant=PARTICIPANT, who=terminal(TOWNSHIP)),
    ParticipantLeft(node=COUNTY, at=UtcMs(1), conference=CONFERENCE, participant=PARTICIPANT, reason="left"),
    AuditRead(node=COUNTY, at=UtcMs(1), by=auditor(TOWNSHIP), what="records", reason="年检"),
    RefusalRecorded(
        node=COUNTY, at=UtcMs(1), by=commander(TOWNSHIP), action="issue", target="d", code="not-permitted", via=""
    ),
]


class Known(Facts):
    def issued(self, directive: DirectiveId) -> DirectiveIssued | None:
        return order() if directive == order().directive else None

    def convened(self, conference: ConferenceId) -> ConferenceConvened | None:
        return CONVENED if conference == CONFERENCE else None


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: type(r).__name__)
def test_every_record_has_a_line_that_says_when_where_and_about_what(record: AnyRecord) -> None:
    line = timeline.line(Seq(7), record, TREE)
    assert (line.seq, line.at, line.node, line.node_name) == (7, record.at, record.node, TREE.name(record.node))
    assert line.kind
    assert line.about


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: type(r).__name__)
@pytest.mark.parametrize("division", [PROVINCE, COUNTY, TOWNSHIP, OTHER_TOWNSHIP])
def test_an_auditor_reads_what_was_done_in_or_to_the_own_subtree(record: AnyRecord, division: NodeCode) -> None:
    """Every sample is about the township or its village; most were made at the county."""
    assert timeline.concerns(record, division, TREE, Known()) == (division != OTHER_TOWNSHIP)


def test_the_line_of_a_signature_names_the_place_and_the_person() -> None:
    line = timeline.line(Seq(1), word(Stage.SIGNED), TREE)
    assert line.text == f"{TREE.name(VILLAGE)}: signed"
    assert line.by == terminal(VILLAGE)


def test_a_node_that_is_in_no_table_is_shown_by_its_code() -> None:
    assert timeline.line(Seq(1), order(node="999999999999"), TREE).node_name == "999999999999"
