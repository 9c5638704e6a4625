"""Signing in: links that work once, passwords with patience, gateways that prove themselves."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.auth import Auth
from gateway.keys import KeyFileError, NodeKeys
from gateway.login import Patience, check_password, hash_password, read_accounts
from gateway.tokens import LEEWAY_S
from signaling.errors import Refused
from signaling.ids import Monotonic
from signaling.records import Actor, Role
from tests.support.clock import FakeClock
from tests.support.edge import settings
from tests.support.places import COUNTY, PROVINCE, TOWNSHIP, VILLAGE

WHO = Actor("八里村 赵支书", Role.TERMINAL, VILLAGE)
SALT = b"0123456789abcdef"


@functools.cache
def hashed(password: str) -> str:
    """Return what an accounts file holds; made once, for it is made to be slow."""
    return hash_password(password, SALT)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def auth(tmp_path: Path, clock: FakeClock) -> Iterator[Auth]:
    accounts = tmp_path / "accounts.toml"
    stored = hashed("正确的密码")
    accounts.write_text(
        f'[[account]]\nname = "刘"\nrole = "commander"\ndivision = "{COUNTY}"\npassword = "{stored}"\n', "utf-8"
    )
    door = Auth(settings(tmp_path, auth={"accounts_file": str(accounts), "attempts": 3, "lockout_s": 60}), clock)
    yield door
    door.close()


def code_of(error: pytest.ExceptionInfo[Refused]) -> str:
    return error.value.code


def redeem(auth: Auth, code: str, address: str = "10.0.0.1") -> Actor:
    made = asyncio.run(auth.redeem(code, address))
    assert auth.verify(made.token) == made.who
    return made.who


def login(auth: Auth, name: str, password: str, address: str = "10.0.0.1") -> Actor:
    return asyncio.run(auth.login(name, password, address)).who


# ---- tokens --------------------------------------------------------------------------------------


def test_a_token_seen_before_still_ends(auth: Auth, clock: FakeClock) -> None:
    token = auth.mint(WHO, ttl_s=60)
    assert auth.verify(token) == auth.verify(token) == WHO
    clock.advance((60 + LEEWAY_S) * 1_000)
    with pytest.raises(Refused) as refused:
        auth.verify(token)
    assert code_of(refused) == "token-expired"


def test_a_token_like_one_seen_before_is_looked_at(auth: Auth) -> None:
    token = auth.mint(WHO)
    auth.verify(token)
    head, claims, signature = token.split(".")
    other = ("B" if signature[0] == "A" else "A") + signature[1:]
    for forged in (f"{head}.{claims}.{other}", f"{head}.{auth.mint(WHO).split('.')[1]}.{signature}"):
        with pytest.raises(Refused) as refused:
            auth.verify(forged)
        assert code_of(refused) == "token-signature"


def test_no_more_tokens_are_remembered_than_said_and_the_forgotten_are_still_good(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.auth.REMEMBERED", 2)
    made = [auth.mint(WHO) for _ in range(3)]
    assert [auth.verify(token) for token in made * 2] == [WHO] * 6
    assert len(auth._proved) == 2


# ---- links ---------------------------------------------------------------------------------------


def test_a_link_signs_in_once(auth: Auth) -> None:
    code = auth.create_link(WHO)
    assert redeem(auth, code) == WHO
    with pytest.raises(Refused) as refused:
        redeem(auth, code)
    assert code_of(refused) == "link-invalid"


def test_once_means_once_over_a_restart(tmp_path: Path, clock: FakeClock) -> None:
    config = settings(tmp_path)
    first = Auth(config, clock)
    used, unused = first.create_link(WHO), first.create_link(WHO)
    redeem(first, used)
    first.close()
    second = Auth(config, clock)
    assert redeem(second, unused) == WHO
    with pytest.raises(Refused):
        redeem(second, used)
    second.close()


def test_two_who_redeem_at_once_get_one_sign_in(auth: Auth) -> None:
    async def both() -> list[object]:
        code = auth.create_link(WHO)
        return await asyncio.gather(*(auth.redeem(code, "10.0.0.1") for _ in range(8)), return_exceptions=True)

    outcomes = asyncio.run(both())
    assert sum(not isinstance(outcome, Exception) for outcome in outcomes) == 1


def test_a_link_ends(auth: Auth, clock: FakeClock) -> None:
    code = auth.create_link(WHO, ttl_s=60)
    clock.advance(61_000)
    with pytest.raises(Refused) as refused:
        redeem(auth, code)
    assert code_of(refused) == "link-invalid"


def test_a_reusable_link_is_only_reusable_where_the_settings_say_so(tmp_path: Path, clock: FakeClock) -> None:
    demo = Auth(settings(tmp_path, demo={"reusable_links": True}), clock)
    code = demo.create_link(WHO, reusable=True)
    assert redeem(demo, code) == redeem(demo, code) == WHO
    demo.close()
    strict = Auth(settings(tmp_path), clock)
    with pytest.raises(Refused):
        redeem(strict, code)
    strict.close()


def test_the_database_holds_no_code(auth: Auth, tmp_path: Path) -> None:
    code = auth.create_link(WHO)
    auth.close()
    assert all(code.encode() not in path.read_bytes() for path in (tmp_path / COUNTY).iterdir())


@pytest.mark.parametrize("code", ["", "x", "a" * 10_000, "' OR 1=1 --", "\x00", "\ud800"])
def test_strange_codes_are_refused(auth: Auth, code: str) -> None:
    with pytest.raises(Refused) as refused:
        redeem(auth, code)
    assert code_of(refused) == "link-invalid"


def test_nobody_is_invited_under_a_name_that_forges_a_line(auth: Auth) -> None:
    with pytest.raises(Refused) as refused:
        auth.create_link(Actor("x\r\ny", Role.TERMINAL, VILLAGE))
    assert code_of(refused) == "token-claims"


# ---- passwords -----------------------------------------------------------------------------------


def test_the_right_password_signs_in(auth: Auth) -> None:
    assert login(auth, "刘", "正确的密码") == Actor("刘", Role.COMMANDER, COUNTY)


def test_name_and_password_are_refused_with_one_answer(auth: Auth) -> None:
    texts = set()
    for name, password in (("刘", "x"), ("王", "正确的密码")):
        with pytest.raises(Refused) as refused:
            login(auth, name, password, address=name)
        texts.add((refused.value.code, str(refused.value)))
    assert len(texts) == 1


def test_three_wrong_passwords_lock_that_account_for_that_address_only(auth: Auth, clock: FakeClock) -> None:
    for _ in range(3):
        with pytest.raises(Refused) as refused:
            login(auth, "刘", "falsch")
        assert code_of(refused) == "sign-in-wrong"
    with pytest.raises(Refused) as refused:
        login(auth, "刘", "正确的密码")
    assert code_of(refused) == "sign-in-locked"
    assert login(auth, "刘", "正确的密码", address="10.0.0.2")
    clock.advance(61_000)
    assert login(auth, "刘", "正确的密码")


def test_guessing_many_accounts_locks_the_address(tmp_path: Path, clock: FakeClock) -> None:
    auth = Auth(settings(tmp_path, auth={"address_attempts": 5}), clock)
    codes = []
    for index in range(8):
        with pytest.raises(Refused) as refused:
            asyncio.run(auth.redeem(f"guess-{index}", "10.0.0.9"))
        codes.append(code_of(refused))
    assert codes == ["link-invalid"] * 5 + ["sign-in-locked"] * 3
    auth.close()


def test_a_flood_of_sign_ins_is_bounded_and_told_to_come_back(auth: Auth) -> None:
    async def flood() -> list[object]:
        names = [auth.login(f"nobody{index}", "x", f"10.1.0.{index}") for index in range(60)]
        return await asyncio.gather(*names, return_exceptions=True)

    codes = [outcome.code for outcome in asyncio.run(flood()) if isinstance(outcome, Refused)]
    assert len(codes) == 60
    assert codes.count("sign-in-busy") >= 40
    assert set(codes) == {"sign-in-busy", "sign-in-wrong"}


def test_one_address_cannot_fill_the_queue(auth: Auth) -> None:
    async def crowd() -> tuple[list[object], Actor]:
        flood = [asyncio.ensure_future(auth.login(f"nobody{index}", "x", "10.1.0.1")) for index in range(10)]
        await asyncio.sleep(0)
        made = await auth.login("刘", "正确的密码", "10.0.0.7")
        return await asyncio.gather(*flood, return_exceptions=True), made.who

    outcomes, who = asyncio.run(crowd())
    assert who.name == "刘"
    assert [o.code for o in outcomes if isinstance(o, Refused)].count("sign-in-busy") == 8


def test_patience_forgets_and_stays_small() -> None:
    patience = Patience(2, lockout_s=10)
    for index in range(20_000):
        patience.strike((str(index),), Monotonic(0.0))
    assert len(patience._strikes) <= 10_000
    patience.strike(("19999",), Monotonic(1.0))
    assert patience.wait_s(("19999",), Monotonic(2.0)) == 9.0
    assert patience.wait_s(("19999",), Monotonic(11.0)) == 0.0


def test_a_stored_password_is_salted_and_checks() -> None:
    stored = hash_password("a", SALT)
    assert check_password("a", stored)
    assert not check_password("b", stored)
    assert stored != hash_password("a", SALT[::-1])


@pytest.mark.parametrize("password", ["plain", "scrypt$1$1$1$AAAA$AAAA", "md5$$$$$"])
def test_an_accounts_file_with_a_weak_hash_is_refused(tmp_path: Path, password: str) -> None:
    path = tmp_path / "accounts.toml"
    path.write_text(f'[[account]]\nname = "a"\nrole = "admin"\ndivision = "{COUNTY}"\npassword = "{password}"\n')
    with pytest.raises(ValueError, match="account 1"):
        read_accounts(path)


# ---- gateways ------------------------------------------------------------------------------------


def two(tmp_path: Path, clock: FakeClock) -> tuple[Auth, Auth]:
    return Auth(settings(tmp_path, COUNTY), clock), Auth(settings(tmp_path, TOWNSHIP), clock)


def test_two_gateways_prove_themselves_to_each_other(tmp_path: Path, clock: FakeClock) -> None:
    parent, child = two(tmp_path, clock)
    asked = child.mint_link(COUNTY)
    assert parent.verify_link(asked.token, TOWNSHIP) == asked.jti
    reply = parent.mint_link(TOWNSHIP, answers=asked.jti)
    assert child.verify_link(reply.token, COUNTY, answers=asked.jti) == reply.jti


def test_a_proof_is_worth_nothing_elsewhere_later_or_as_another_answer(tmp_path: Path, clock: FakeClock) -> None:
    parent, child = two(tmp_path, clock)
    asked = child.mint_link(COUNTY)
    for door, peer, answers, code in (
        (child, TOWNSHIP, "", "token-wrong-node"),
        (parent, PROVINCE, "", "token-signature"),
        (parent, TOWNSHIP, "something", "token-claims"),
        (parent, "000000000000", "", "unknown-node"),
    ):
        with pytest.raises(Refused) as refused:
            door.verify_link(asked.token, peer, answers)  # type: ignore[arg-type]
        assert code_of(refused) == code
    clock.advance(91_000)
    with pytest.raises(Refused) as refused:
        parent.verify_link(asked.token, TOWNSHIP)
    assert code_of(refused) == "token-expired"


def test_a_sign_in_token_is_no_proof(tmp_path: Path, clock: FakeClock) -> None:
    parent, child = two(tmp_path, clock)
    with pytest.raises(Refused) as refused:
        parent.verify_link(child.mint(Actor("x", Role.ADMIN, TOWNSHIP)), TOWNSHIP)
    assert code_of(refused) == "token-signature"


def test_node_keys_sign_and_check(tmp_path: Path, clock: FakeClock) -> None:
    parent, child = two(tmp_path, clock)
    signature = parent.keys.sign(b"text")
    child.keys.verify(COUNTY, b"text", signature)
    for node, data, seal, code in (
        (COUNTY, b"texT", signature, "signature-invalid"),
        (PROVINCE, b"text", signature, "signature-invalid"),
        (COUNTY, b"text", "", "signature-invalid"),
        (COUNTY, b"text", "***", "signature-invalid"),
        (COUNTY, b"text", "é", "signature-invalid"),
        ("000000000000", b"text", signature, "unknown-node"),
    ):
        with pytest.raises(Refused) as refused:
            child.keys.verify(node, data, seal)  # type: ignore[arg-type]
        assert code_of(refused) == code


def test_keys_that_do_not_belong_together_are_told(tmp_path: Path) -> None:
    config = settings(tmp_path)
    folder = tmp_path / "keys"
    with pytest.raises(KeyFileError, match="is not the private half"):
        NodeKeys.load(COUNTY, folder / f"{TOWNSHIP}.key", config.keys.public_keys_file)
    with pytest.raises(KeyFileError, match="no private key"):
        NodeKeys.load(COUNTY, folder / "none.key", config.keys.public_keys_file)
    with pytest.raises(KeyFileError, match="no key of this node"):
        NodeKeys.load("000000000000", folder / f"{TOWNSHIP}.key", config.keys.public_keys_file)  # type: ignore[arg-type]
    (folder / "bad.toml").write_text('[keys]\n430423000000 = "AAAA"\n')
    with pytest.raises(KeyFileError, match="no public keys"):
        NodeKeys.load(COUNTY, folder / f"{COUNTY}.key", folder / "bad.toml")
