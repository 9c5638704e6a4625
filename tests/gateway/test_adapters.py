"""What leaves the tree: by which way, to whom, signed, tried again, written down; and never an exercise."""

import asyncio
import hashlib
import hmac
import json
import re
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import stamina
from aiohttp.abc import AbstractResolver, ResolveResult

from gateway.adapters import Adapter, Adapters, Notice, Sms, Webhook, configured
from gateway.contacts import Contact, Contacts, read
from gateway.journal import Journal
from gateway.outbound import CallFailed, Outbound, check_url, foreign
from gateway.settings import AdaptersSection
from gateway.telemetry import Telemetry
from signaling.records import NoticeSent, Urgency
from tests.support.clock import FakeClock
from tests.support.far_side import far_side
from tests.support.loop import on_loop
from tests.support.places import COUNTY, SIBLING, VILLAGE

SECRET = b"0123456789abcdef0123456789abcdef"
PEOPLE = (
    Contact(ref="v-1", division=VILLAGE, phone="+8613800000001"),
    Contact(ref="v-2", division=VILLAGE, phone="13800000002"),
    Contact(ref="s-1", division=SIBLING, phone="13800000003"),
)


def notice(**changes: Any) -> Notice:
    fields: dict[str, Any] = {
        "id": "redial:d-1:1",
        "kind": "redial",
        "subject": "d-1",
        "urgency": Urgency.P0,
        "title": "转移群众",
        "text": "立即转移",
        "places": (VILLAGE, SIBLING),
        "people": ("v-1", "s-1"),
    }
    return Notice(**(fields | changes))


@asynccontextmanager
async def outbound(local: bool = True, attempts: int = 4, resolver: AbstractResolver | None = None) -> Any:
    pool = Outbound(timeout_s=60, attempts=attempts, local=local, resolver=resolver)
    try:
        with stamina.set_testing(True, attempts=attempts):  # no waiting between attempts
            yield pool
    finally:
        await pool.close()


def sent(journal: Journal) -> list[NoticeSent]:
    return [row.record for row in journal.replay() if isinstance(row.record, NoticeSent)]


@on_loop
async def test_a_webhook_is_signed_and_what_was_sent_is_written_down(tmp_path: Path) -> None:
    clock, journal = FakeClock(), Journal.open(tmp_path / "j", COUNTY, FakeClock())
    async with far_side() as side, outbound() as pool:
        ways = Adapters(COUNTY, journal, clock, Telemetry(), [Webhook(pool, side.url, SECRET, clock)])
        assert await ways.send(notice()) == {"webhook": "sent"}
        assert await ways.send(notice()) == {"webhook": "sent"}
    (asked,) = side.calls
    headers, body = asked.headers, asked.body
    found = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", headers["X-Wuji-Signature"])
    assert found is not None
    assert int(found[1]) == clock.at()
    assert found[2] == hmac.new(SECRET, f"{found[1]}.".encode() + body, hashlib.sha256).hexdigest()
    assert json.loads(body)["places"] == [VILLAGE, SIBLING]
    assert headers["Idempotency-Key"] == "redial:d-1:1"
    (record,) = sent(journal)
    assert (record.adapter, record.outcome, record.people) == ("webhook", "sent", ("v-1", "s-1"))
    await journal.close()


@on_loop
async def test_short_messages_go_to_numbers_that_no_record_holds(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "j", COUNTY, FakeClock())
    async with far_side() as side, outbound() as pool:
        sms = Sms(pool, side.url, "token-of-sms", Contacts(PEOPLE))
        ways = Adapters(COUNTY, journal, FakeClock(), Telemetry(), [sms])
        assert await ways.send(notice()) == {"sms": "sent"}
    (asked,) = side.calls
    headers, body = asked.headers, asked.body
    assert headers["Authorization"] == "Bearer token-of-sms"
    assert json.loads(body)["to"] == ["+8613800000001", "13800000003"]
    rows = list(journal.replay())
    assert len(rows) == 1
    assert b"13800000" not in rows[0].data
    await journal.close()


@on_loop
async def test_no_exercise_is_sent_by_any_way(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "j", COUNTY, FakeClock())
    async with far_side() as side, outbound() as pool:
        ways = Adapters(COUNTY, journal, FakeClock(), Telemetry(), [Webhook(pool, side.url, SECRET, FakeClock())])
        assert await ways.send(notice(exercise=True)) == {"": "exercise"}
    assert side.calls == []
    assert [(r.adapter, r.outcome) for r in sent(journal)] == [("", "exercise")]
    await journal.close()


@pytest.mark.parametrize(
    ("statuses", "calls", "outcome"),
    [((500, 503, 429), 4, "sent"), ((500,) * 4, 4, "http-500"), ((400,), 1, "http-400"), ((302,), 1, "http-302")],
)
def test_what_may_pass_is_tried_again_and_what_will_not_is_not(
    tmp_path: Path, statuses: tuple[int, ...], calls: int, outcome: str
) -> None:
    @on_loop
    async def run() -> None:
        journal = Journal.open(tmp_path / "j", COUNTY, FakeClock())
        async with far_side(*statuses) as side, outbound() as pool:
            ways = Adapters(COUNTY, journal, FakeClock(), Telemetry(), [Webhook(pool, side.url, SECRET, FakeClock())])
            assert await ways.send(notice()) == {"webhook": outcome}
        assert len(side.calls) == calls
        assert len({asked.headers["Idempotency-Key"] for asked in side.calls}) == 1
        await journal.close()

    run()


@on_loop
async def test_one_way_that_fails_leaves_the_other_alone_and_is_remembered(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "j", COUNTY, FakeClock())
    async with far_side() as good, far_side(404) as bad, outbound() as pool:
        both: list[Adapter] = [Webhook(pool, bad.url, SECRET, FakeClock()), Sms(pool, good.url, "t", Contacts(PEOPLE))]
        ways = Adapters(COUNTY, journal, FakeClock(), Telemetry(), both)
        assert await ways.send(notice()) == {"webhook": "http-404", "sms": "sent"}
        again = Adapters(COUNTY, journal, FakeClock(), Telemetry(), both)
        assert await again.send(notice()) == {"webhook": "http-404", "sms": "sent"}
    assert (len(good.calls), len(bad.calls)) == (1, 1)
    await journal.close()


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.8.8.8", "::1", "169.254.169.254", "fe80::1", "0.0.0.0", "::", "224.0.0.1", "240.0.0.1",
        "100.100.100.200", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "2002:7f00:1::",
    ],
)  # fmt: skip
def test_addresses_of_this_machine_and_its_cloud_may_not_be_called(host: str) -> None:
    assert not foreign(host, local=False)
    with pytest.raises(CallFailed, match="may not be called"):
        check_url(f"http://[{host}]/" if ":" in host else f"http://{host}/", local=False)


def test_addresses_of_others_may_be_called() -> None:
    for host in ("10.1.2.3", "192.168.1.9", "8.8.8.8", "2001:db8::1", "fd00::7"):
        assert foreign(host, local=False)
    assert foreign("127.0.0.1", local=True)
    for url in ("ftp://a.example/", "file:///etc/passwd", "http:///x", "gopher://10.0.0.1/"):
        with pytest.raises(CallFailed):
            check_url(url, local=True)


class _Says(AbstractResolver):
    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.asked = 0

    async def resolve(self, host: str, port: int = 0, family: Any = None) -> list[ResolveResult]:
        self.asked += 1
        address = self.addresses[min(self.asked, len(self.addresses)) - 1]
        return [ResolveResult(hostname=host, host=address, port=port, family=2, proto=6, flags=0)]

    async def close(self) -> None: ...


@on_loop
async def test_a_name_that_means_this_machine_is_not_called() -> None:
    async with far_side() as side:
        async with outbound(local=False, resolver=_Says("127.0.0.1")) as pool:
            with pytest.raises(CallFailed) as refused:
                await pool.post(f"http://innocent.example:{side.port}/notices", b"", {})
        assert refused.value.code == "address-refused"
        async with outbound(local=True, resolver=_Says("127.0.0.1", "169.254.169.254")) as pool:
            await pool.post(f"http://innocent.example:{side.port}/notices", b"", {})  # the same address, allowed
    assert len(side.calls) == 1


@on_loop
async def test_nobody_there_is_an_outcome() -> None:
    async with far_side() as side:
        port = side.port
    async with outbound(attempts=2) as pool:
        with pytest.raises(CallFailed) as failed:
            await pool.post(f"http://127.0.0.1:{port}/notices", b"", {})
    assert failed.value.code == "unreachable"


def test_contacts_are_read_and_mistakes_named(tmp_path: Path) -> None:
    file = tmp_path / "contacts.toml"
    file.write_text(
        "".join(f'[[contact]]\nref="{c.ref}"\ndivision="{c.division}"\nphone="{c.phone}"\n' for c in PEOPLE)
    )
    assert read(file).at((SIBLING, VILLAGE)) == ("s-1", "v-1", "v-2")
    assert read(None).at((VILLAGE,)) == ()
    for line in ('ref="v-9"\nphone="no"', 'ref="v 1"\nphone="138"', 'ref="v-9"\nphone="138"\nname="x"'):
        file.write_text(f'[[contact]]\ndivision="{VILLAGE}"\n{line}\n')
        with pytest.raises(ValueError, match=re.escape(str(file))):
            read(file)


@on_loop
async def test_settings_name_the_ways_out() -> None:
    await asyncio.sleep(0)
    async with outbound() as pool:
        assert configured(AdaptersSection(), pool, Contacts(), FakeClock()) == []
        section = AdaptersSection.model_validate(
            {
                "webhook_url": "https://a.example/",
                "webhook_secret": "s" * 32,
                "sms_url": "http://b/",
                "sms_token": "t" * 8,
            }
        )
        assert [one.name for one in configured(section, pool, Contacts(), FakeClock())] == ["webhook", "sms"]
