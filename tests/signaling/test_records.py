"""Records: one canonical form, one key per fact, nothing else accepted."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling import records
from signaling.attachment import Attachment
from signaling.errors import MalformedMessage
from signaling.forms import FieldSpec
from signaling.ids import DirectiveId, Sha256, UtcMs
from signaling.records import AlarmState, AnyRecord, DirectiveClosed, Stage
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
from tests.support.places import CITY, COUNTY, TREE, VILLAGE, leader

SAMPLES: list[AnyRecord] = [
    order(),
    recall(),
    order(
        number="衡山应急令〔2026〕0001号",
        fields=(FieldSpec(name="应转"),),
        attachments=(Attachment(sha256=Sha256("0" * 64), size=1, media="application/pdf", name="方案.pdf"),),
        texts={"English": "Move now"},
        posts={VILLAGE: "值班员"},
        approved_by=leader(),
        directive=DirectiveId("d-2"),
    ),
    superseded(),
    countersigned(),
    drafted(),
    drafted(revision=2),
    submitted(),
    approved(),
    returned(),
    rostered(),
    rostered(person="吴书记"),
    raised(),
    pictured(),
    step(AlarmState.CONFIRMED),
    relayed("d-1", "d-2"),
    word(Stage.SIGNED),
    word(Stage.FEEDBACK, values={"已转": 3, "应转": 9}),
    DirectiveClosed(node=COUNTY, at=UtcMs(1), directive=order().directive),
]


@pytest.mark.parametrize("record", SAMPLES, ids=lambda r: type(r).__name__)
def test_bytes_and_back_is_the_same_record_and_the_same_bytes(record: AnyRecord) -> None:
    data = records.encode(record)
    assert records.decode(data) == record
    assert records.encode(records.decode(data)) == data


@pytest.mark.parametrize("record", SAMPLES, ids=lambda r: type(r).__name__)
def test_the_canonical_form_does_not_depend_on_how_it_was_spelled(record: AnyRecord) -> None:
    loose = json.dumps(json.loads(records.encode(record)), indent=2, ensure_ascii=True).encode()
    assert records.encode(records.decode(loose)) == records.encode(record)


def test_every_sample_has_its_own_key() -> None:
    assert len({records.key(r) for r in SAMPLES}) == len(SAMPLES)


def test_one_fact_has_one_key_wherever_and_whenever_it_is_said() -> None:
    assert records.key(word(Stage.SHOWN, at=1)) == records.key(word(Stage.SHOWN, at=2))
    assert records.key(relayed(node=COUNTY)) != records.key(relayed(node=CITY, child=COUNTY))
    assert records.key(relayed("d-1")) != records.key(relayed("d-1", "d-2", at=3_000))
    assert records.key(word(Stage.FEEDBACK, at=1)) != records.key(word(Stage.FEEDBACK, at=2))


def test_the_signature_covers_everything_but_itself() -> None:
    signed = msgspec.structs.replace(order(), signature="s")
    assert records.signed_bytes(signed) == records.signed_bytes(order())
    for change in ({"text": "x"}, {"recipients": (CITY,)}, {"urgency": records.Urgency.P3}, {"at": UtcMs(2)}):
        assert records.signed_bytes(order(**change)) != records.signed_bytes(order())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"{}",
        b'{"type":"nonsense"}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"type":"directive_expired","node":"1","at":1.5,"directive":"d"}',
        b'{"type":"directive_expired","node":"1","at":1}',
        b'{"type":"directive_expired","node":"1","at":1,"directive":"d","more":1}',
        b'{"type":"directive_expired","node":"1","at":1,"directive":"' + b"x" * records.MAX_RECORD_BYTES + b'"}',
    ],
    ids=lambda d: repr(d[:30]),
)
def test_anything_else_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedMessage) as malformed:
        records.decode(data)
    assert malformed.value.code == "malformed-message"
    assert len(str(malformed.value)) < 300


@given(st.binary(max_size=200), st.sampled_from(SAMPLES), st.integers(0, 10_000), st.integers(0, 255))
def test_damaged_bytes_are_a_record_or_malformed_and_nothing_else(
    noise: bytes, record: AnyRecord, at: int, byte: int
) -> None:
    data = bytearray(records.encode(record))
    data[at % len(data)] = byte
    for attempt in (noise, bytes(data)):
        try:
            records.decode(attempt)
        except MalformedMessage:
            continue


def test_a_directive_to_forty_thousand_places_is_a_record() -> None:
    many = tuple(type(COUNTY)(f"{430000000000 + n}") for n in range(40_000))
    large = order(*many, text="转" * 4_000, title="移" * 120)
    assert records.decode(records.encode(large)) == large


def test_the_chain_depends_on_every_byte_and_their_order() -> None:
    one, two = records.encode(order()), records.encode(recall())
    start = bytes(32)
    forward = records.chain(records.chain(start, one), two)
    assert forward != records.chain(records.chain(start, two), one)
    assert forward != records.chain(records.chain(start, one + b" "), two)
    assert len(forward) == 32


def test_every_place_of_the_real_tree_can_be_named_in_a_record() -> None:
    assert records.decode(records.encode(order(*TREE))) == order(*TREE)
