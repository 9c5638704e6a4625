"""JSON Web Tokens: who may act here (sign-in) and who is calling (link).

One algorithm, pinned by the settings.  ``kid`` is a dictionary key and nothing else.  A sign-in token
names this node as issuer and audience, so it is worth nothing at any other; a link token has another
``typ``, so neither passes for the other (RFC 8725 sections 3.1, 3.9, 3.11).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from jwt.exceptions import InvalidJTIError, InvalidSubjectError

from signaling.errors import Refused
from signaling.ids import NodeCode, UtcMs
from signaling.records import Actor, Role

MAX_TOKEN_BYTES = 4_096
MAX_NAME = 60
LEEWAY_S = 30
LINK_TTL_S = 60
FAR_S = 1e12
"""Seconds nobody means; NaN and infinity are not below it either."""
REQUIRED = ["exp", "aud", "iss", "sub", "jti"]
SIGN_IN, LINK = "JWT", "wuji-link+jwt"

_JWT = jwt.PyJWT(
    {
        "require": REQUIRED,
        "enforce_minimum_key_length": True,
        "strict_aud": True,
        "verify_exp": False,  # the three times are checked below, by the clock we were given
        "verify_nbf": False,
        "verify_iat": False,
    }
)

Key = Ed25519PrivateKey | Ed25519PublicKey | str


@dataclass(frozen=True, slots=True)
class Signer:
    """One algorithm, the key to sign with and the keys to check with, by ``kid``."""

    algorithm: str
    kid: str
    key: Ed25519PrivateKey | str
    keys: Mapping[str, Key]


def sign(signer: Signer, claims: Mapping[str, Any], typ: str) -> str:
    """Return ``claims`` signed, as a compact JWT."""
    return _JWT.encode(dict(claims), signer.key, algorithm=signer.algorithm, headers={"kid": signer.kid, "typ": typ})


def check(signer: Signer, token: str, at: UtcMs, *, audience: str, issuer: str, typ: str) -> dict[str, Any]:
    """Return the claims of ``token``, issued by ``issuer`` for ``audience``, with its own key.

    Raises:
        Refused: With a ``token-...`` code.
    """
    key = _key(signer, token, typ, issuer)
    try:
        claims = _JWT.decode(token, key, algorithms=[signer.algorithm], audience=audience, issuer=issuer)
    except (jwt.InvalidAudienceError, jwt.InvalidIssuerError):
        raise Refused("token-wrong-node", "the token is for another gateway") from None
    except (jwt.MissingRequiredClaimError, InvalidSubjectError, InvalidJTIError):
        raise Refused("token-claims", "a claim is missing or not what it should be") from None
    except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError, jwt.InvalidKeyError):
        raise Refused("token-signature", "the token was not signed by this gateway") from None
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
        raise Refused("token-malformed", "not a token") from None
    check_times(claims, at)
    return claims


def check_times(claims: Mapping[str, Any], at: UtcMs) -> None:
    """Return if ``claims`` hold now, give or take ``LEEWAY_S`` (RFC 7519 section 4.1.4 to 4.1.6).

    Raises:
        Refused: ``token-claims``, ``token-expired`` or ``token-not-yet``.
    """
    now_s = at / 1000
    times = {name: claims[name] for name in ("exp", "nbf", "iat") if name in claims}
    if not all(type(value) in (int, float) and -FAR_S < value < FAR_S for value in times.values()):
        raise Refused("token-claims", "exp, nbf and iat are numbers of seconds")
    if times["exp"] <= now_s - LEEWAY_S:
        raise Refused("token-expired", "the sign-in is over; sign in again")
    if max(times.get("nbf", 0), times.get("iat", 0)) > now_s + LEEWAY_S:
        raise Refused("token-not-yet", "the token is from the future; check the clock")


def _key(signer: Signer, token: str, typ: str, issuer: str) -> Any:
    """Return the key of ``issuer``, if ``token`` names it.  Looks at nothing before its length."""
    if not token:
        raise Refused("token-missing", "sign in first")
    if len(token) > MAX_TOKEN_BYTES:
        raise Refused("token-too-long", f"tokens have at most {MAX_TOKEN_BYTES} bytes")
    if not token.isascii():
        raise Refused("token-malformed", "not a token")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise Refused("token-malformed", "not a token") from None
    if header.get("alg") != signer.algorithm or header.get("typ", SIGN_IN) != typ:
        raise Refused("token-signature", "not the kind of token this gateway issues")
    kid = header.get("kid", issuer)
    if kid != issuer or kid not in signer.keys:
        raise Refused("token-signature", "signed with a key this gateway does not know")
    return signer.keys[kid]


def actor(claims: Mapping[str, Any]) -> Actor:
    """Return who the claims of a sign-in token speak of."""
    name, role, division = claims.get("sub"), claims.get("role"), claims.get("division")
    if not isinstance(name, str) or not isinstance(division, str) or not isinstance(role, str):
        raise Refused("token-claims", "sub, role and division are texts")
    if role not in set(Role) or len(division) != 12 or not (division.isascii() and division.isdigit()):
        raise Refused("token-claims", "no such role or division")
    if not plain(name, MAX_NAME):
        raise Refused("token-claims", f"a name has 1 to {MAX_NAME} printable characters")
    return Actor(name, Role(role), NodeCode(division))


def plain(text: str, limit: int) -> bool:
    """Return whether ``text`` is 1..limit characters without control or bidirectional-override characters."""
    return 0 < len(text) <= limit and not any(unicodedata.category(char) in ("Cc", "Cf", "Cs") for char in text)
