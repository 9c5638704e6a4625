"""S11: bad tokens end at the door, with 401 and a code, and open nothing.  RFC 8725."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway import api
from gateway.auth import Auth
from gateway.clock import Clock
from signaling.errors import Refused
from signaling.records import Actor, Role
from tests.support.edge import serving, settings
from tests.support.places import COUNTY, PROVINCE

WHO = Actor("张指挥", Role.COMMANDER, COUNTY)
SECRET = "9b1f3c0d5e7a4862b8d1f04c6a2e9375"


@pytest.fixture
def auth(tmp_path: Path) -> Iterator[Auth]:
    door = Auth(settings(tmp_path), Clock())
    yield door
    door.close()


@pytest.fixture
def hs_auth(tmp_path: Path) -> Iterator[Auth]:
    door = Auth(settings(tmp_path, keys={"token_algorithm": "HS256", "token_secret": SECRET}), Clock())
    yield door
    door.close()


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def now_s() -> int:
    return Clock().at() // 1000


def claims(**changes: Any) -> dict[str, Any]:
    good: dict[str, Any] = {
        "iss": COUNTY,
        "aud": COUNTY,
        "sub": "张指挥",
        "role": "commander",
        "division": COUNTY,
        "iat": now_s(),
        "exp": now_s() + 600,
        "jti": "01",
    }
    changed = good | changes
    return {name: value for name, value in changed.items() if value is not None}


def signed(auth: Auth, header: dict[str, Any] | None = None, key: Any = None, **changes: Any) -> str:
    return jwt.encode(claims(**changes), key or auth.keys.private, algorithm="EdDSA", headers=header or {"kid": COUNTY})


def assembled(auth: Auth, header: bytes, payload: bytes) -> str:
    """Sign any bytes at all: what a parser sees when only the signature is right."""
    head = f"{b64(header)}.{b64(payload)}"
    return f"{head}.{b64(auth.keys.private.sign(head.encode()))}"


def public_pem(auth: Auth) -> bytes:
    return auth.keys.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def hmac_with_public_key(auth: Auth) -> str:
    """The RS/HS confusion: the public key everybody has, used as an HMAC secret."""
    head = f"{b64(header(alg='HS256'))}.{b64(payload())}"
    return f"{head}.{b64(hmac.new(public_pem(auth), head.encode(), hashlib.sha256).digest())}"


def header(**fields: Any) -> bytes:
    return json.dumps({"alg": "EdDSA", "typ": "JWT", "kid": COUNTY} | fields).encode()


def payload(**changes: Any) -> bytes:
    return json.dumps(claims(**changes)).encode()


BAD: dict[str, tuple[str, Callable[[Auth], str]]] = {
    "alg none": ("token-signature", lambda a: jwt.encode(claims(), "", algorithm="none")),
    "alg None in other letters": (
        "token-signature",
        lambda a: f"{b64(header(alg='nOnE'))}.{b64(payload())}.",
    ),
    "HMAC with the public key": ("token-signature", hmac_with_public_key),
    "signed by a stranger": ("token-signature", lambda a: signed(a, key=Ed25519PrivateKey.generate())),
    "signature cut off": ("token-signature", lambda a: signed(a).rpartition(".")[0] + "."),
    "payload exchanged": (
        "token-signature",
        lambda a: ".".join([signed(a).split(".")[0], b64(payload(role="admin")), signed(a).split(".")[2]]),
    ),
    "kid is a path": ("token-signature", lambda a: signed(a, {"kid": "../../etc/passwd"})),
    "kid is SQL": ("token-signature", lambda a: signed(a, {"kid": "' OR 1=1 --"})),
    "kid is another node": ("token-signature", lambda a: signed(a, {"kid": PROVINCE})),
    "kid is a list": ("token-malformed", lambda a: assembled(a, header(kid=[COUNTY]), payload())),
    "jku names a server": (
        "token-signature",
        lambda a: signed(a, {"kid": "k", "jku": "https://evil.invalid/keys"}, key=Ed25519PrivateKey.generate()),
    ),
    "critical extension": ("token-malformed", lambda a: assembled(a, header(crit=["exp"]), payload())),
    "no exp": ("token-claims", lambda a: signed(a, exp=None)),
    "no aud": ("token-claims", lambda a: signed(a, aud=None)),
    "no iss": ("token-claims", lambda a: signed(a, iss=None)),
    "no sub": ("token-claims", lambda a: signed(a, sub=None)),
    "no jti": ("token-claims", lambda a: signed(a, jti=None)),
    "sub is a number": ("token-claims", lambda a: assembled(a, header(), payload(sub=7))),
    "over": ("token-expired", lambda a: signed(a, exp=now_s() - 31)),
    "from the future": ("token-not-yet", lambda a: signed(a, iat=now_s() + 60)),
    "not before later": ("token-not-yet", lambda a: signed(a, nbf=now_s() + 60)),
    "for another gateway": ("token-wrong-node", lambda a: signed(a, aud=PROVINCE)),
    "for many gateways": ("token-wrong-node", lambda a: signed(a, aud=[COUNTY, PROVINCE])),
    "from another gateway": ("token-wrong-node", lambda a: signed(a, iss=PROVINCE)),
    "exp is text": ("token-claims", lambda a: assembled(a, header(), payload(exp="9999999999"))),
    "exp is endless": (
        "token-claims",
        lambda a: assembled(a, header(), payload().replace(b'"exp": ', b'"exp": 1e999, "x": ')),
    ),
    "exp has 400 digits": ("token-claims", lambda a: assembled(a, header(), payload(exp=10**400))),
    "role nobody has": ("token-claims", lambda a: signed(a, role="root")),
    "division is a wildcard": ("token-claims", lambda a: signed(a, division="430423%")),
    "line break in the name": ("token-claims", lambda a: signed(a, sub="x\r\na=ice-pwd:y")),
    "right-to-left name": ("token-claims", lambda a: signed(a, sub="张\u202e三")),
    "a link token": ("token-signature", lambda a: a.mint_link(COUNTY).token),
    "2000 levels of JSON": ("token-malformed", lambda a: assembled(a, header(), b"[" * 1400 + b"]" * 1400)),
    "not base64": ("token-malformed", lambda a: "a.b.c"),
    "not ASCII": ("token-malformed", lambda a: "é.é.é"),
    "five parts": ("token-malformed", lambda a: "a.b.c.d.e"),
    "1 MB": ("token-too-long", lambda a: "a" * 1_000_000),
    "4097 bytes": ("token-too-long", lambda a: signed(a, pad="x" * 3000)),
    "empty": ("token-missing", lambda a: ""),
}


def test_the_matrix_has_at_least_24_rows() -> None:
    assert len(BAD) >= 24


def test_the_good_token_of_the_matrix_is_taken(auth: Auth) -> None:
    assert auth.verify(signed(auth)) == WHO
    assert auth.verify(auth.mint(WHO)) == WHO


@pytest.mark.parametrize("name", BAD)
def test_a_bad_token_is_refused(auth: Auth, name: str) -> None:
    code, make = BAD[name]
    with pytest.raises(Refused) as refused:
        auth.verify(make(auth))
    assert refused.value.code == code


def test_thirty_seconds_of_clock_difference_are_forgiven(auth: Auth) -> None:
    assert auth.verify(signed(auth, exp=now_s() - 25)) == WHO
    assert auth.verify(signed(auth, iat=now_s() + 25)) == WHO


def test_with_a_shared_secret_only_that_algorithm_and_secret_pass(hs_auth: Auth) -> None:
    assert hs_auth.verify(hs_auth.mint(WHO)) == WHO
    assert hs_auth.verify(jwt.encode(claims(), SECRET, algorithm="HS256")) == WHO
    other = "0" * 64
    for token in (
        jwt.encode(claims(), SECRET * 2, algorithm="HS512"),
        jwt.encode(claims(), other, algorithm="HS256"),
        signed(hs_auth),
    ):
        with pytest.raises(Refused) as refused:
            hs_auth.verify(token)
        assert refused.value.code == "token-signature"


def test_every_bad_token_gets_401_over_http_and_the_good_one_does_not(tmp_path: Path) -> None:
    async def story() -> None:
        config = settings(tmp_path)
        auth = Auth(config, Clock())

        async def whoami(request: web.Request) -> web.StreamResponse:
            return web.json_response({"name": api.bearer(request, auth).name})

        async with serving(config, api=[web.get("/who", whoami)]) as port, aiohttp.ClientSession() as http:
            url = f"http://127.0.0.1:{port}/who"
            for name, (code, make) in BAD.items():
                token = make(auth)
                if len(token) > 8_000 or not token.isascii():
                    continue  # no HTTP header: the parser refuses it
                async with http.get(url, headers={"Authorization": f"Bearer {token}"}) as answer:
                    document = await answer.json(content_type=None)
                    assert (answer.status, document["code"]) == (401, code), name
                    assert answer.headers["WWW-Authenticate"] == "Bearer"
            async with http.get(url, headers={"Authorization": f"Basic {auth.mint(WHO)}"}) as answer:
                assert answer.status == 401
            async with http.get(url, headers={"Authorization": f"Bearer {auth.mint(WHO)}"}) as answer:
                assert await answer.json() == {"name": "张指挥"}
            async with http.get(url, params={"access_token": auth.mint(WHO)}) as answer:
                assert (answer.status, (await answer.json(content_type=None))["code"]) == (400, "secret-in-url")
        auth.close()

    asyncio.run(story())
