"""What may cross a link: hostile records of every kind, against properties that must hold of all that enter."""

from typing import Any

import msgspec
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from signaling import admission
from signaling.admission import Facts, admit
from signaling.attachment import Attachment
from signaling.errors import Refused
from signaling.forms import FieldKind, FieldSpec
from signaling.ids import AlarmId, ConferenceId, DirectiveId, NodeCode, ParticipantId, Sha256, UtcMs
from signaling.records import (
    MAX_TOGETHER,
    Actor,
    AlarmAdvanced,
    AlarmPictured,
    AlarmRaised,
    AlarmState,
    AnyRecord,
    AuditRead,
    ConferenceConvened,
    ConferenceEnded,
    DeliveryAdvanced,
    DirectiveApproved,
    DirectiveClosed,
    DirectiveCountersigned,
    DirectiveDrafted,
    DirectiveExpired,
    DirectiveIssued,
    DirectiveRecalled,
    DirectiveReturned,
    DirectiveSubmitted,
    DirectiveSuperseded,
    ParticipantJoined,
    ParticipantLeft,
    RefusalRecorded,
    Role,
    RosterSet,
    ScopeItem,
    Stage,
    Urgency,
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
    request,
    returned,
    rostered,
    step,
    submitted,
    superseded,
    word,
)
from tests.support.places import (
    CITY,
    COUNTY,
    OTHER_TOWNSHIP,
    OTHER_VILLAGE,
    PROVINCE,
    SIBLING,
    TOWNSHIP,
    TREE,
    VILLAGE,
    commander,
)

HERE = TOWNSHIP
NEIGHBOURS = (COUNTY, VILLAGE, SIBLING)
PLACES = (
    COUNTY,
    COUNTY,
    VILLAGE,
    VILLAGE,
    PROVINCE,
    CITY,
    TOWNSHIP,
    OTHER_TOWNSHIP,
    SIBLING,
    OTHER_VILLAGE,
    NodeCode("x"),
)
CONVENED = ConferenceConvened(
    node=COUNTY,
    at=UtcMs(1),
    conference=ConferenceId("c-1"),
    title="调度会",
    by=commander(),
    scope=(),
    sites=(TOWNSHIP, VILLAGE),
    exercise=False,
)


class Known(Facts):
    def issued(self, directive: DirectiveId) -> DirectiveIssued | None:
        return order(VILLAGE, OTHER_VILLAGE) if directive == "d-1" else None

    def has_recipient(self, directive: DirectiveId, recipient: NodeCode) -> bool:
        return directive == "d-1" and recipient in (VILLAGE, OTHER_VILLAGE)

    def raised(self, alarm: AlarmId) -> AlarmRaised | None:
        return raised() if alarm == "a-1" else None

    def convened(self, conference: ConferenceId) -> ConferenceConvened | None:
        return CONVENED if conference == "c-1" else None


places = st.sampled_from(PLACES)
texts = st.sampled_from(["ok"] * 16 + ["", "a\nb", "x" * 5_000, "\u202e"])
times = st.integers(0, 9).map(UtcMs)
actors = st.builds(Actor, name=st.sampled_from(["王"] * 8 + ["", "a\r\n"]), role=st.sampled_from(Role), division=places)
lists = st.lists(places, max_size=4).map(tuple)
scopes = st.lists(st.builds(ScopeItem, node=places), max_size=2).map(tuple)
directive_ids = st.sampled_from(["d-1", "d-1", "d-1", "d-2", "", "../x", "d" * 65]).map(DirectiveId)
alarm_ids = st.sampled_from(["a-1", "a-1", "a-2", "a b"]).map(AlarmId)
conferences = st.sampled_from(["c-1", "c-1", "c-2", ""]).map(ConferenceId)
participants = st.just(ParticipantId("p"))
hashes = st.sampled_from(["0" * 64, "0" * 64, "A" * 64, "../../x"]).map(Sha256)
sizes = st.sampled_from([1, 2, 60_000, -1, 0, 10**9])
degrees = st.sampled_from([None, 0.0, 1.0, 1e9, float("inf")])
flags = st.booleans()
ones = st.sampled_from([1, 2, 0])
common: dict[str, Any] = {"node": places, "at": times}
kinds: list[st.SearchStrategy[Any]] = [
    st.builds(
        DirectiveIssued,
        **common,
        directive=directive_ids,
        click_id=texts,
        issuer=actors,
        urgency=st.sampled_from(Urgency),
        title=texts,
        text=texts,
        scope=scopes,
        recipients=lists,
        exercise=flags,
        expires_at=times,
        number=texts,
        capacity=texts,
        template=texts,
        plan=texts,
        level=st.sampled_from([0, 4, 5, -1]),
        fields=st.lists(
            st.builds(
                FieldSpec,
                name=texts,
                kind=st.sampled_from(FieldKind),
                low=st.sampled_from([0, 5, 10**12]),
                choices=st.sampled_from([(), ("是", "否"), ("是", "是"), ("",)]),
            ),
            max_size=2,
        ).map(tuple),
        attachments=st.lists(
            st.builds(
                Attachment, sha256=hashes, size=sizes, media=st.sampled_from(["image/png", "text/html"]), name=texts
            ),
            max_size=2,
        ).map(tuple),
        texts=st.dictionaries(texts, texts, max_size=2),
        voice=st.none() | hashes,
        posts=st.dictionaries(places, texts, max_size=2),
        supersedes=st.none() | directive_ids,
        approved_by=st.none() | actors,
        countersign_by=st.none() | times,
    ),
    st.builds(DirectiveRecalled, **common, directive=directive_ids, by=actors, reason=texts),
    st.builds(DirectiveClosed, **common, directive=directive_ids, by=st.none() | actors),
    st.builds(DirectiveExpired, **common, directive=directive_ids),
    st.builds(DirectiveSuperseded, **common, directive=directive_ids, successor=directive_ids, by=actors),
    st.builds(DirectiveCountersigned, **common, directive=directive_ids, by=actors),
    st.builds(
        DirectiveDrafted, **common, directive=directive_ids, by=actors, request=st.just(request()), revision=ones
    ),
    st.builds(DirectiveSubmitted, **common, directive=directive_ids, by=actors, revision=ones),
    st.builds(DirectiveApproved, **common, directive=directive_ids, by=actors, revision=ones),
    st.builds(DirectiveReturned, **common, directive=directive_ids, by=actors, revision=ones, reason=texts),
    st.builds(
        RosterSet, **common, division=places, post=texts, person=texts, starts_at=times, ends_at=times, by=actors
    ),
    st.builds(
        DeliveryAdvanced,
        **common,
        directive=directive_ids,
        recipient=places,
        stage=st.sampled_from(Stage),
        by=st.none() | actors,
        values=st.dictionaries(texts, st.sampled_from([1, 10**12]), max_size=2),
        note=texts,
    ),
    st.builds(
        AlarmRaised,
        **common,
        alarm=alarm_ids,
        by=actors,
        source=texts,
        place=places,
        kind=texts,
        urgency=st.sampled_from(Urgency),
        text=texts,
        longitude=degrees,
        latitude=degrees,
        exercise=flags,
    ),
    st.builds(
        AlarmPictured,
        **common,
        alarm=alarm_ids,
        place=places,
        picture=hashes,
        picture_bytes=sizes,
        thumbnail=hashes,
        thumbnail_bytes=sizes,
    ),
    st.builds(
        AlarmAdvanced, **common, alarm=alarm_ids, place=places, state=st.sampled_from(AlarmState), by=actors, note=texts
    ),
    st.builds(
        ConferenceConvened,
        **common,
        conference=conferences,
        title=texts,
        by=actors,
        scope=scopes,
        sites=lists,
        exercise=flags,
    ),
    st.builds(ConferenceEnded, **common, conference=conferences, by=actors),
    st.builds(ParticipantJoined, **common, conference=conferences, participant=participants, who=actors),
    st.builds(ParticipantLeft, **common, conference=conferences, participant=participants, reason=texts),
    st.builds(AuditRead, **common, by=actors, what=texts, reason=texts),
    st.builds(RefusalRecorded, **common, by=st.none() | actors, action=texts, target=texts, code=texts, via=texts),
]


def people(record: AnyRecord) -> list[Actor]:
    named = [getattr(record, field, None) for field in ("by", "issuer", "who", "approved_by")]
    return [who for who in named if isinstance(who, Actor)]


def refusal(record: AnyRecord, via: NodeCode, here: NodeCode = HERE, facts: Facts | None = None) -> Refused | None:
    try:
        admit(record, via, here, TREE, facts or Known())
    except Refused as refused:
        return refused
    return None


CODES = {
    "wrong-direction",
    "not-permitted",
    "bad-text",
    "bad-record",
    "unknown-directive",
    "unknown-alarm",
    "unknown-conference",
    "not-a-recipient",
    "scope-too-large",
    "bad-field",
    "bad-attachment",
}


LAWFUL: list[AnyRecord] = [
    order(VILLAGE),
    recall(),
    DirectiveClosed(node=COUNTY, at=UtcMs(1), directive=DirectiveId("d-1")),
    DirectiveExpired(node=COUNTY, at=UtcMs(1), directive=DirectiveId("d-1")),
    superseded(),
    countersigned(),
    drafted(),
    submitted(),
    approved(),
    returned(),
    rostered(),
    word(Stage.SIGNED),
    raised(),
    pictured(),
    step(AlarmState.CONFIRMED, node=COUNTY, by=commander()),
    CONVENED,
    ConferenceEnded(node=COUNTY, at=UtcMs(2), conference=ConferenceId("c-1"), by=commander()),
    ParticipantJoined(
        node=VILLAGE,
        at=UtcMs(1),
        conference=ConferenceId("c-1"),
        participant=ParticipantId("p"),
        who=Actor("王", Role.TERMINAL, VILLAGE),
    ),
    ParticipantLeft(
        node=VILLAGE, at=UtcMs(1), conference=ConferenceId("c-1"), participant=ParticipantId("p"), reason="x"
    ),
    AuditRead(node=COUNTY, at=UtcMs(1), by=Actor("李", Role.AUDITOR, COUNTY), what="x", reason="yy"),
    RefusalRecorded(node=VILLAGE, at=UtcMs(1), by=None, action="sign", target="d-1", code="not-permitted", via=""),
]
DRAFTS = DirectiveDrafted | DirectiveSubmitted | DirectiveApproved | DirectiveReturned
AT_HOME = DirectiveExpired | ParticipantJoined | ParticipantLeft | DRAFTS


@pytest.mark.parametrize("record", LAWFUL, ids=lambda r: type(r).__name__)
def test_a_lawful_record_enters_from_its_side_unless_it_never_crosses(record: AnyRecord) -> None:
    via = TREE.next_hop(HERE, record.node)
    assert via is not None
    refused = refusal(record, via)
    assert (refused.code if refused else "") == ("wrong-direction" if isinstance(record, AT_HOME) else "")


@pytest.mark.parametrize(
    ("kind", "lawful"), list(zip(kinds, LAWFUL, strict=True)), ids=[type(r).__name__ for r in LAWFUL]
)
@given(st.data())
def test_whatever_enters_came_from_its_side_and_acts_for_its_own(
    kind: st.SearchStrategy[AnyRecord], lawful: AnyRecord, data: st.DataObject
) -> None:
    """A lawful record with up to three fields replaced by anything."""
    drawn = data.draw(kind)
    assert type(drawn) is type(lawful)
    fields = data.draw(st.lists(st.sampled_from([f for f in lawful.__struct_fields__ if f != "signature"]), max_size=3))
    record = msgspec.structs.replace(lawful, **{field: getattr(drawn, field) for field in fields})
    honest = TREE.next_hop(HERE, record.node) or COUNTY
    via = data.draw(st.sampled_from((honest, honest, *NEIGHBOURS)))
    refused = refusal(record, via)
    event(f"{type(record).__name__} {refused.code if refused else 'ADMITTED'}")
    if refused is not None:
        assert refused.code in CODES
        assert len(str(refused)) < 300
        return
    assert TREE.next_hop(HERE, record.node) == via
    if not isinstance(record, RefusalRecorded):
        for who in people(record):
            assert TREE.is_within(who.division, record.node)
    match record:
        case DirectiveIssued():
            assert via == COUNTY
            assert record.issuer.role is Role.COMMANDER
            assert all(TREE.is_within(r, record.issuer.division) for r in record.recipients)
            assert any(TREE.is_within(r, HERE) for r in record.recipients)
            assert record.approved_by is None or record.approved_by.role is Role.COMMANDER
            assert set(record.posts) <= set(record.recipients)
        case DirectiveRecalled() | DirectiveClosed() | DirectiveSuperseded() | DirectiveCountersigned():
            assert (via, record.node) == (COUNTY, COUNTY)
        case RosterSet():
            assert HERE in TREE.path_up(record.division)
            assert TREE.is_within(record.division, record.by.division)
            assert record.by.role in {Role.COMMANDER, Role.ADMIN}
        case DeliveryAdvanced():
            assert (via, record.recipient) == (VILLAGE, VILLAGE)
            assert record.by is None or (record.by.role, record.by.division) == (Role.TERMINAL, VILLAGE)
        case AlarmRaised():
            assert HERE in TREE.audience(record.place)
            assert TREE.is_within(record.place, record.by.division)
        case AlarmPictured():
            assert (record.node, via) == (VILLAGE, VILLAGE)
        case record if isinstance(record, AT_HOME):
            raise AssertionError("never crosses a link")
        case _:
            pass
    joined = "".join(
        v for f in record.__struct_fields__ if isinstance(v := getattr(record, f), str) and f not in {"text", "note"}
    )
    assert not set(joined) & set("\r\n\u202e")


CONFERENCES = [
    (CONVENED, COUNTY, ""),
    (CONVENED, VILLAGE, "wrong-direction"),
    (ConferenceEnded(node=COUNTY, at=UtcMs(2), conference=ConferenceId("c-1"), by=commander()), COUNTY, ""),
    (
        ConferenceEnded(node=CITY, at=UtcMs(2), conference=ConferenceId("c-1"), by=commander(CITY)),
        COUNTY,
        "not-permitted",
    ),
    (
        ConferenceEnded(node=COUNTY, at=UtcMs(2), conference=ConferenceId("c-9"), by=commander()),
        COUNTY,
        "unknown-conference",
    ),
]


@pytest.mark.parametrize(("record", "via", "code"), CONFERENCES)
def test_conferences_are_told_by_their_convener(record: AnyRecord, via: NodeCode, code: str) -> None:
    if not code:
        admit(record, via, HERE, TREE, Known())
        return
    with pytest.raises(Refused) as refused:
        admit(record, via, HERE, TREE, Known())
    assert refused.value.code == code


def test_a_village_may_invite_its_own_line_but_no_sibling() -> None:
    def convene(*sites: NodeCode) -> ConferenceConvened:
        return ConferenceConvened(
            node=VILLAGE,
            at=UtcMs(1),
            conference=ConferenceId("c-2"),
            title="求援",
            by=commander(VILLAGE),
            scope=(),
            sites=sites,
            exercise=False,
        )

    admission.check_conference(convene(VILLAGE, TOWNSHIP, COUNTY), TREE)
    for sites, code in (((VILLAGE, SIBLING), "not-permitted"), ((), "bad-record")):
        with pytest.raises(Refused) as refused:
            admission.check_conference(convene(*sites), TREE)
        assert refused.value.code == code


class AtCounty(Facts):
    """Two directives of the county's, and one of the province's; all for the village."""

    def issued(self, directive: DirectiveId) -> DirectiveIssued | None:
        origins = {"d-1": COUNTY, "d-2": COUNTY, "d-3": PROVINCE}
        return order(VILLAGE, directive=directive, node=origins[directive]) if directive in origins else None

    def has_recipient(self, directive: DirectiveId, recipient: NodeCode) -> bool:
        return recipient == VILLAGE

    def concerns(self, directive: DirectiveId, place: NodeCode) -> bool:
        return TREE.is_within(VILLAGE, place)


@pytest.mark.parametrize(
    ("record", "via", "code"),
    [
        (relayed("d-1", "d-2", node=TOWNSHIP, child=VILLAGE), TOWNSHIP, ""),
        (relayed("d-3", node=TOWNSHIP, child=VILLAGE), TOWNSHIP, ""),
        (relayed(node=CITY, child=COUNTY), CITY, "wrong-direction"),
        (relayed(node=TOWNSHIP, child=VILLAGE), OTHER_TOWNSHIP, "wrong-direction"),
        (relayed(node=TOWNSHIP, child=OTHER_VILLAGE), TOWNSHIP, "not-permitted"),
        (relayed(node=TOWNSHIP, child=SIBLING), TOWNSHIP, "not-a-recipient"),
        (relayed("d-1", "d-9", node=TOWNSHIP, child=VILLAGE), TOWNSHIP, "unknown-directive"),
        (relayed("d-1", "d-3", node=TOWNSHIP, child=VILLAGE), TOWNSHIP, "bad-record"),
        (relayed(*["d-1"] * (MAX_TOGETHER + 1), node=TOWNSHIP, child=VILLAGE), TOWNSHIP, "bad-record"),
        (msgspec.structs.replace(relayed(node=TOWNSHIP, child=VILLAGE), directives=()), TOWNSHIP, "bad-record"),
        (word(Stage.RELAYED), TOWNSHIP, "bad-record"),
    ],
)
def test_a_hop_says_only_what_it_itself_relayed_to_its_own_child(record: AnyRecord, via: NodeCode, code: str) -> None:
    refused = refusal(record, via, COUNTY, AtCounty())
    assert (refused.code if refused else "") == code
