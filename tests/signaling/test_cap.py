"""CAP 1.2: what is read, what is refused and why, and what is written.  All documents here are our own."""

import base64
import contextlib
import hashlib
import random
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling import cap
from signaling.cap import Alert, Area, CapError, Circle, Info, Pair, Reference, Resource, Rule
from signaling.cap_terms import MAX_REPEATS
from signaling.errors import RemoteError
from signaling.ids import UtcMs

SENT = "2026-07-01T08:30:00+08:00"
CONTENT = b"map"
DIGEST = hashlib.sha1(CONTENT).hexdigest()
PACKED = base64.b64encode(CONTENT).decode()

ALERT = (
    f"<identifier>HS-1</identifier><sender>hengshan.example</sender><sent>{SENT}</sent><status>Actual</status>"
    "<msgType>Alert</msgType><scope>Public</scope>"
)
INFO = (
    "<language>zh-CN</language><category>Met</category><event>暴雨</event><urgency>Immediate</urgency>"
    "<severity>Severe</severity><certainty>Likely</certainty>"
)
SIGNATURE = '<Signature xmlns="http://www.w3.org/2000/09/xmldsig#"><SignedInfo/></Signature>'


def document(alert: str = ALERT, info: str | None = INFO, more: str = "") -> bytes:
    inner = "" if info is None else f"<info>{info}</info>"
    return f'<alert xmlns="urn:oasis:names:tc:emergency:cap:1.2">{alert}{inner}{more}</alert>'.encode()


def area(inner: str) -> bytes:
    return document(info=f"{INFO}<area><areaDesc>湘江沿岸</areaDesc>{inner}</area>")


def resource(inner: str) -> bytes:
    return document(info=f"{INFO}<resource><resourceDesc>图</resourceDesc>{inner}</resource>")


def rules(data: bytes) -> set[Rule]:
    return {one.rule for one in cap.broken(data)}


def whole() -> Alert:
    """Return an alert with every element the standard has."""
    return Alert(
        identifier="HS-2",
        sender="hengshan.example",
        sent=SENT,
        status=cap.Status.EXERCISE,
        msg_type=cap.MsgType.UPDATE,
        source="水文站",
        scope=cap.Scope.PRIVATE,
        restriction="内部",
        addresses='a@example "b c"',
        code=("x", "y"),
        note="演练",
        references=(Reference(sender="hengshan.example", identifier="HS-1", sent=SENT),) * 2,
        incidents="汛期",
        info=(
            Info(
                language="zh-CN",
                category=(cap.Category.MET, cap.Category.CBRNE),
                event="暴雨 <红色> & ]]>",
                response_type=(cap.ResponseType.ALL_CLEAR, cap.ResponseType.NONE),
                urgency=cap.When.PAST,
                severity=cap.Severity.EXTREME,
                certainty=cap.Certainty.UNLIKELY,
                audience="",
                event_code=(Pair(value_name="GB", value="11B03"),),
                effective=SENT,
                onset="2026-06-30T24:00:00+08:00",
                expires="2026-07-02T00:00:00-00:00",
                sender_name="衡山县",
                headline="一行\r\n两行\t",
                description="x" * 4_000,
                instruction="转移",
                web="https://example.org/a?b=c",
                contact="119",
                parameter=(Pair(value_name="级别", value="红"),),
                resource=(
                    Resource(resource_desc="图", mime_type="image/png", size=3, deref_uri=PACKED, digest=DIGEST),
                    Resource(resource_desc="页", mime_type="text/html; charset=utf-8", uri="https://example.org/"),
                ),
                area=(
                    Area(
                        area_desc="县",
                        polygon=(((27.2, 112.8), (27.3, 112.9), (27.1, 113.0), (27.2, 112.8)),),
                        circle=(Circle(latitude=-27.5, longitude=0.00001, radius_km=0.5),),
                        geocode=(Pair(value_name="行政区划代码", value="430423000000"),),
                        altitude=-3.5,
                        ceiling=1e6,
                    ),
                ),
            ),
        )
        * 2,
    )


def test_an_alert_with_every_element_comes_back_as_it_was() -> None:
    data = cap.render(whole())
    assert cap.parse(data) == whole()
    assert cap.render(cap.parse(data)) == data


def test_the_least_alert_is_one() -> None:
    alert = cap.parse(document(info=None))
    assert (alert.identifier, alert.status, alert.msg_type, alert.info) == ("HS-1", "Actual", "Alert", ())
    assert alert.reference == Reference(sender="hengshan.example", identifier="HS-1", sent=SENT)


def test_a_prefix_comments_and_schema_hints_change_nothing() -> None:
    data = (
        '<?xml version="1.0"?><!-- made by hand --><c:alert xmlns:c="urn:oasis:names:tc:emergency:cap:1.2" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="urn:x y.xsd"> '
        f"{ALERT.replace('</', '</c:').replace('<', '<c:').replace('<c:/c:', '</c:')}</c:alert>"
    ).encode()
    assert cap.parse(data) == cap.parse(document(info=None))


def test_a_document_in_utf_16_is_read() -> None:
    text = '<?xml version="1.0" encoding="UTF-16"?>' + document().decode()
    assert cap.parse(text.encode("utf-16")) == cap.parse(document())


def test_an_absent_and_an_empty_language_are_american_english() -> None:
    for language in ("", "<language/>"):
        info = INFO.replace("<language>zh-CN</language>", language)
        assert cap.parse(document(info=info)).info[0].language == "en-US"


def test_an_alert_with_a_signature_is_read_and_said_to_have_one() -> None:
    assert cap.parse(document(more=SIGNATURE)).signed
    assert not cap.parse(document()).signed
    assert rules(document(ALERT.replace("<sender>", SIGNATURE + "<sender>"))) == {Rule.ORDER}


def test_utc_written_as_plus_zero_is_told_and_taken() -> None:
    data = document(ALERT.replace("+08:00", "+00:00"))
    assert rules(data) == {Rule.UTC}
    assert cap.parse(data).sent.endswith("+00:00")


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("1970-01-01T08:00:00+08:00", 0),
        ("1969-12-31T23:59:59-00:00", -1_000),
        ("2026-02-28T24:00:00-00:00", 1_772_323_200_000),
        ("2026-03-01T00:00:00-00:00", 1_772_323_200_000),
        ("2026-02-28T10:00:00-14:00", 1_772_323_200_000),
    ],
)
def test_times_are_moments(time: str, expected: int) -> None:
    assert cap.utc_ms(time) == expected


def test_times_are_written_in_beijing() -> None:
    assert cap.time_of(UtcMs(1_772_323_200_999)) == "2026-03-01T08:00:00+08:00"


# ---- every rule, broken once ---------------------------------------------------------------------


def changed(old: str, new: str) -> bytes:
    data = document().decode()
    assert old in data
    return data.replace(old, new, 1).encode()


BROKEN: tuple[tuple[str, Rule, bytes], ...] = (
    ("one byte too many", Rule.TOO_LARGE, document(more=" " * (cap.MAX_BYTES + 1 - len(document())))),
    ("too many elements", Rule.TOO_LARGE, document(more="<a/>" * 12_001)),
    ("nothing", Rule.XML, b""),
    ("not closed", Rule.XML, document()[:-1]),
    ("an unknown encoding", Rule.XML, b'<?xml version="1.0" encoding="klingon"?>' + document()),
    ("a control character", Rule.XML, changed("暴雨", "\x01")),
    ("a document type", Rule.DTD, b"<!DOCTYPE alert>" + document()),
    ("an entity", Rule.DTD, b'<!DOCTYPE alert [<!ENTITY a "b">]>' + document()),
    ("something external", Rule.DTD, b'<!DOCTYPE alert SYSTEM "file:///etc/passwd">' + document()),
    ("the version before", Rule.NAMESPACE, document().replace(b"cap:1.2", b"cap:1.1")),
    ("no namespace", Rule.NAMESPACE, document().replace(b' xmlns="urn:oasis:names:tc:emergency:cap:1.2"', b"")),
    ("a foreign element", Rule.NAMESPACE, document(more='<x xmlns="urn:x"/>')),
    ("another document", Rule.ELEMENT, document().replace(b"alert", b"notice")),
    ("an unknown element", Rule.ELEMENT, document(more="<priority>1</priority>")),
    ("an element in another's place", Rule.ELEMENT, document(more="<event>x</event>")),
    ("an element in a text", Rule.ELEMENT, changed("暴雨", "<b>暴雨</b>")),
    ("too deep", Rule.ELEMENT, document(more="<info>" * 7 + "</info>" * 7)),
    ("an attribute", Rule.ATTRIBUTE, changed("<event>", '<event lang="zh">')),
    ("text between elements", Rule.STRAY_TEXT, document(more="and so on")),
    ("two in the wrong order", Rule.ORDER, changed("<sender>hengshan.example</sender>", "").replace(
        b"<status>", b"<sender>x</sender><status>")),
    ("the same twice", Rule.REPEATED, changed("<scope>", "<scope>Public</scope><scope>")),
    ("too many of what may repeat", Rule.REPEATED, document(ALERT + "<code/>" * (MAX_REPEATS + 1))),
    ("no identifier", Rule.MISSING, changed("<identifier>HS-1</identifier>", "")),
    ("no category", Rule.MISSING, changed("<category>Met</category>", "")),
    ("no mime type", Rule.MISSING, resource("")),
    ("no area description", Rule.MISSING, document(info=INFO + "<area/>")),
    ("no value", Rule.MISSING, document(info=INFO + "<parameter><valueName>x</valueName></parameter>")),
    ("an empty identifier", Rule.IDENTIFIER, changed("HS-1", "")),
    ("an identifier with a blank", Rule.IDENTIFIER, changed("HS-1", "HS 1")),
    ("an identifier with a comma", Rule.IDENTIFIER, changed("HS-1", "HS,1")),
    ("an identifier with <", Rule.IDENTIFIER, changed("HS-1", "HS&lt;1")),
    ("an identifier with &", Rule.IDENTIFIER, changed("HS-1", "HS&amp;1")),
    ("an identifier without end", Rule.IDENTIFIER, changed("HS-1", "H" * 201)),
    ("a sender with a blank", Rule.SENDER, changed("hengshan.example", "hengshan example")),
    ("a time in Z", Rule.TIME, changed("+08:00", "Z")),
    ("a time without offset", Rule.TIME, changed("+08:00", "")),
    ("a time with fractions", Rule.TIME, changed(":00+08", ":00.5+08")),
    ("a 30th of February", Rule.TIME, changed("2026-07-01", "2026-02-30")),
    ("a second past midnight's other name", Rule.TIME, changed("08:30:00", "24:00:01")),
    ("an offset of 15 hours", Rule.TIME, changed("+08:00", "+15:00")),
    ("an offset with 60 minutes", Rule.TIME, changed("+08:00", "+08:60")),
    ("the year nought", Rule.TIME, changed("2026-07-01", "0000-07-01")),
    ("a status nobody knows", Rule.VALUE, changed("Actual", "Real")),
    ("a status in small letters", Rule.VALUE, changed("Actual", "actual")),
    ("a status with a blank", Rule.VALUE, changed("Actual", " Actual")),
    ("a message type nobody knows", Rule.VALUE, changed("<msgType>Alert", "<msgType>Recall")),
    ("a scope nobody knows", Rule.VALUE, changed("Public", "All")),
    ("a category nobody knows", Rule.VALUE, changed("Met", "Rain")),
    ("an urgency nobody knows", Rule.VALUE, changed("Immediate", "Soon")),
    ("a severity nobody knows", Rule.VALUE, changed("Severe", "Red")),
    ("a certainty nobody knows", Rule.VALUE, changed("Likely", "Sure")),
    ("a response nobody knows", Rule.VALUE, changed("</event>", "</event><responseType>Run</responseType>")),
    ("restricted to nobody knows whom", Rule.RESTRICTION, changed("Public", "Restricted")),
    ("private to nobody knows whom", Rule.ADDRESSES, changed("Public", "Private")),
    ("an update of nothing", Rule.REFERENCES_MISSING, changed(">Alert<", ">Update<")),
    ("a cancellation of nothing", Rule.REFERENCES_MISSING, changed(">Alert<", ">Cancel<")),
    ("an acknowledgement of nothing", Rule.REFERENCES_MISSING, changed(">Alert<", ">Ack<")),
    ("an error about nothing", Rule.REFERENCES_MISSING, changed(">Alert<", ">Error<")),
    ("a reference to two thirds", Rule.REFERENCES, document(ALERT + "<references>a,b</references>")),
    ("201 references", Rule.REFERENCES, document(f"{ALERT}<references>{f'a,b,{SENT} ' * 201}</references>")),
    ("a reference with a time in Z", Rule.REFERENCES, document(f"{ALERT}<references>a,b,{SENT[:-6]}Z</references>")),
    ("a language with a blank", Rule.LANGUAGE, changed("zh-CN", "zh CN")),
    ("a language of nine letters", Rule.LANGUAGE, changed("zh-CN", "zhongguoh")),
    ("a web page without a place", Rule.URI, document(info=INFO + "<web>page.html</web>")),
    ("a file's name without the file", Rule.URI, resource("<mimeType>a/b</mimeType><uri>map.png</uri>")),
    ("a type that goes on and on", Rule.MIME, resource(f"<mimeType>a/b{'; a' * 1_000}</mimeType>")),
    ("a type without a subtype", Rule.MIME, resource("<mimeType>image</mimeType>")),
    ("a size in kilobytes", Rule.NUMBER, resource("<mimeType>a/b</mimeType><size>3k</size>")),
    ("a size below nought", Rule.NUMBER, resource("<mimeType>a/b</mimeType><size>-3</size>")),
    ("content that is not base64", Rule.BASE64, resource("<mimeType>a/b</mimeType><derefUri>?</derefUri>")),
    ("a digest of 39 digits", Rule.DIGEST, resource(f"<mimeType>a/b</mimeType><digest>{DIGEST[1:]}</digest>")),
    ("a digest of something else", Rule.DIGEST, resource(
        f"<mimeType>a/b</mimeType><derefUri>{PACKED}</derefUri><digest>{'0' * 40}</digest>")),
    ("three points", Rule.POLYGON, area("<polygon>1,1 2,2 1,1</polygon>")),
    ("an open polygon", Rule.POLYGON, area("<polygon>1,1 2,2 3,1 1,2</polygon>")),
    ("a point beyond the pole", Rule.POLYGON, area("<polygon>1,1 91,2 3,1 1,1</polygon>")),
    ("a point without longitude", Rule.POLYGON, area("<polygon>1,1 2 3,1 1,1</polygon>")),
    ("a point that is no number", Rule.POLYGON, area("<polygon>1,1 2,nan 3,1 1,1</polygon>")),
    ("a circle without radius", Rule.CIRCLE, area("<circle>1,1</circle>")),
    ("a circle of less than nothing", Rule.CIRCLE, area("<circle>1,1 -2</circle>")),
    ("a circle beyond the date line", Rule.CIRCLE, area("<circle>1,181 2</circle>")),
    ("an altitude in words", Rule.NUMBER, area("<altitude>high</altitude>")),
    ("an altitude with an exponent", Rule.NUMBER, area("<altitude>1e3</altitude>")),
    ("a ceiling over nothing", Rule.CEILING, area("<ceiling>10</ceiling>")),
    ("a ceiling below the floor", Rule.CEILING, area("<altitude>11</altitude><ceiling>10</ceiling>")),
)  # fmt: skip


@pytest.mark.parametrize(("rule", "data"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_broken_rule_is_named(rule: Rule, data: bytes) -> None:
    assert rules(data) == {rule}
    with pytest.raises(CapError) as caught:
        cap.parse(data)
    assert (caught.value.code, isinstance(caught.value, RemoteError)) == (rule.value, True)


def test_every_rule_is_broken_once_above() -> None:
    assert set(Rule) - {row[1] for row in BROKEN} == {Rule.CHARACTER} | cap.TOLERATED


def test_all_that_is_wrong_is_told_at_once_and_where() -> None:
    data = document(ALERT.replace("+08:00", "Z").replace("Public", "Private"), INFO.replace("Met", "Rain"))
    found = [(one.where, one.rule) for one in cap.broken(data)]
    assert found == [
        ("alert/sent", Rule.TIME),
        ("alert/info[1]/category[1]", Rule.VALUE),
        ("alert/addresses", Rule.ADDRESSES),
    ]
    assert "alert/sent: cap-time" in str(cap.broken(data)[0])


def test_nothing_that_breaks_a_rule_is_written() -> None:
    for wrong, rule in (
        ({"sender": "a b"}, Rule.SENDER),
        ({"msg_type": cap.MsgType.CANCEL, "references": ()}, Rule.REFERENCES_MISSING),
        ({"note": "\x00"}, Rule.CHARACTER),
        ({"note": "\ud800"}, Rule.CHARACTER),
        ({"note": "长" * cap.MAX_BYTES}, Rule.TOO_LARGE),
    ):
        alert = whole()
        values = {name: getattr(alert, name) for name in alert.__struct_fields__} | wrong
        with pytest.raises(CapError) as caught:
            cap.render(Alert(**values))
        assert caught.value.code == rule


# ---- by search -----------------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn"), include_characters="\t\n\r"), max_size=30)
NAMES = st.text(st.sampled_from(string.ascii_letters + "0123456789.-@:省"), min_size=1, max_size=20)
TIMES = st.builds(cap.time_of, st.integers(0, 4_000_000_000_000).map(UtcMs))
DEGREES = st.builds(lambda n: n / 1e6, st.integers(-90_000_000, 90_000_000))
PAIRS = st.lists(st.builds(Pair, value_name=TEXTS, value=TEXTS), max_size=2).map(tuple)
POLYGONS = st.lists(st.tuples(DEGREES, DEGREES), min_size=3, max_size=6).map(lambda points: (*points, points[0]))
AREAS = st.builds(
    Area,
    area_desc=TEXTS,
    polygon=st.lists(POLYGONS, max_size=2).map(tuple),
    circle=st.lists(st.builds(Circle, latitude=DEGREES, longitude=DEGREES, radius_km=DEGREES.map(abs)), max_size=2).map(
        tuple
    ),
    geocode=PAIRS,
    altitude=st.none() | st.floats(-1e5, 1e5, allow_subnormal=False).map(lambda value: round(value, 9)),
)
RESOURCES = st.builds(
    Resource,
    resource_desc=TEXTS,
    mime_type=st.just("image/jpeg"),
    size=st.none() | st.integers(0, 10**12),
    deref_uri=st.none() | st.binary(max_size=20).map(lambda data: base64.b64encode(data).decode()),
)
INFOS = st.builds(
    Info,
    language=st.sampled_from(["zh-CN", "en-US", "bo"]),
    category=st.lists(st.sampled_from(cap.Category), min_size=1, max_size=3).map(tuple),
    event=TEXTS,
    response_type=st.lists(st.sampled_from(cap.ResponseType), max_size=2).map(tuple),
    urgency=st.sampled_from(cap.When),
    severity=st.sampled_from(cap.Severity),
    certainty=st.sampled_from(cap.Certainty),
    expires=st.none() | TIMES,
    description=st.none() | TEXTS,
    parameter=PAIRS,
    resource=st.lists(RESOURCES, max_size=2).map(tuple),
    area=st.lists(AREAS, max_size=2).map(tuple),
)
ALERTS = st.builds(
    Alert,
    identifier=NAMES,
    sender=NAMES,
    sent=TIMES,
    status=st.sampled_from(cap.Status),
    msg_type=st.sampled_from(cap.MsgType),
    scope=st.just(cap.Scope.RESTRICTED),
    restriction=st.just("内部"),
    note=st.none() | TEXTS,
    references=st.lists(
        st.builds(Reference, sender=NAMES, identifier=NAMES, sent=TIMES), min_size=1, max_size=2
    ).map(tuple),
    info=st.lists(INFOS, max_size=2).map(tuple),
)  # fmt: skip


@given(ALERTS)
def test_whatever_is_written_is_read_back(alert: Alert) -> None:
    data = cap.render(alert)
    assert cap.parse(data) == alert
    assert cap.render(cap.parse(data)) == data


@given(st.binary(max_size=300))
def test_any_bytes_are_an_alert_or_a_typed_error(data: bytes) -> None:
    with contextlib.suppress(CapError):
        cap.parse(data)


def test_damaged_documents_are_alerts_or_typed_errors() -> None:
    """Mutate whole documents: bytes changed, cut out, doubled, and pieces of markup thrown in."""
    seed = 20_261_122
    print("seed", seed)
    draw = random.Random(seed)
    pieces = [b"<", b">", b"&", b"]]>", b"<!--", b"<![CDATA[", b"</info>", b"<info>", b"&#0;", b"&#x110000;", b"\x00"]
    pieces += [b'<?xml version="1.1"?>', b"xmlns=''", b"\xff\xfe", b"&lol;", b"99999999999999999999", b"<area/>"]
    origin = cap.render(whole())
    read = 0
    for _ in range(600):
        data = bytearray(origin)
        for _ in range(draw.randint(1, 4)):
            at, length = draw.randrange(len(data)), draw.randint(1, 40)
            match draw.randrange(4):
                case 0:
                    data[at] = draw.randrange(256)
                case 1:
                    del data[at : at + length]
                case 2:
                    data[at:at] = data[at : at + length]
                case _:
                    data[at:at] = draw.choice(pieces)
        with contextlib.suppress(CapError):
            cap.parse(bytes(data))
            read += 1
    assert 0 < read < 600


LONG = 200_000
SLOW = {
    "parameters of a type": resource(f"<mimeType>a/b{';  a' * (LONG // 4)}\n;</mimeType>"),
    "blanks after a type": resource(f"<mimeType>a/b{' ' * LONG}x</mimeType>"),
    "parts of a language": document(info=INFO.replace("zh-CN", "a-" * (LONG // 2))),
    "digits of a number": area(f"<altitude>{'1' * LONG}.</altitude>"),
    "blanks between references": document(f"{ALERT}<references>{' ' * LONG}x</references>"),
    "an identifier": document(ALERT.replace("HS-1", "H" * LONG)),
    "a page's address": document(info=f"{INFO}<web>https:{'a' * LONG} </web>"),
    "points": area(f"<polygon>{'1,1 ' * (LONG // 4)}</polygon>"),
    "elements": document(more="<a/>" * (LONG // 4)),
    "repeats": document(ALERT + "<code/>" * 9_000),
}


@pytest.mark.parametrize("data", SLOW.values(), ids=SLOW.keys())
def test_no_document_takes_longer_than_its_length_explains(data: bytes) -> None:
    """A search that tries everything would take for ever; this is milliseconds of the processor's time."""
    began = time.process_time()
    assert cap.broken(data)
    assert time.process_time() - began < 30
