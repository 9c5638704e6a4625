"""Who may come in: tokens, one-time links, passwords and other gateways.

The facade over ``tokens`` (what a token says), ``signin`` (links), ``login`` (passwords) and ``keys``.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from signaling.errors import Refused
from signaling.ids import NodeCode, UtcMs
from signaling.records import Actor

from . import tokens
from .clock import Clock
from .config import Config, ConfigError
from .keys import NodeKeys
from .login import Accounts, read_accounts
from .settings import Algorithm
from .signin import SignInLinks
from .tokens import Signer

REMEMBERED = 1_000
"""Tokens whose signature was found good and is not computed again; their times are looked at each time."""


@dataclass(frozen=True, slots=True)
class SignIn:
    """A fresh sign-in."""

    token: str
    who: Actor
    expires_at: UtcMs


class MintedLink(NamedTuple):
    """Proof for a peer, and the ``jti`` its reply must answer."""

    token: str
    jti: str


class Auth:
    """The door of one gateway."""

    def __init__(self, config: Config, clock: Clock, keys: NodeKeys | None = None) -> None:
        """Read the key files, the accounts and the links in ``data_dir``.

        Raises:
            KeyFileError, ConfigError: A file cannot be used.
        """
        self.node = NodeCode(config.node.code)
        self.keys = keys or NodeKeys.load(self.node, config.keys.private_key_file, config.keys.public_keys_file)
        self._clock = clock
        self._ttl_s = config.auth.token_ttl_s
        self._link_ttl_s = config.auth.link_ttl_s
        self._signer = _signer(config, self.keys)
        self._link_signer = Signer(
            Algorithm.EDDSA, self.node, self.keys.private, {str(code): key for code, key in self.keys.public.items()}
        )
        self._proved: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._links = SignInLinks(config.node.data_dir / "links.sqlite", clock, reusable=config.demo.reusable_links)
        self._accounts = Accounts(
            _accounts(config.auth.accounts_file),
            clock,
            attempts=config.auth.attempts,
            address_attempts=config.auth.address_attempts,
            lockout_s=config.auth.lockout_s,
            workers=config.auth.hash_workers,
        )

    # ---- tokens ---------------------------------------------------------------------------------

    def mint(self, who: Actor, ttl_s: float | None = None) -> str:
        """Return a token that lets ``who`` act at this node for ``ttl_s`` seconds."""
        return self.sign_in(who, ttl_s).token

    def sign_in(self, who: Actor, ttl_s: float | None = None) -> SignIn:
        at = self._clock.at()
        expires_s = at // 1000 + round(self._ttl_s if ttl_s is None else ttl_s)
        claims = {
            "iss": self.node,
            "aud": self.node,
            "sub": who.name,
            "role": who.role.value,
            "division": who.division,
            "iat": at // 1000,
            "exp": expires_s,
            "jti": self._clock.new_id(),
        }
        tokens.actor(claims)
        return SignIn(tokens.sign(self._signer, claims, tokens.SIGN_IN), who, UtcMs(expires_s * 1000))

    def verify(self, token: str) -> Actor:
        """Return who bears ``token``.

        Raises:
            Refused: With a ``token-...`` code.
        """
        return tokens.actor(self._claims(token))

    def _claims(self, token: str) -> dict[str, Any]:
        claims = self._proved.get(token)
        if claims is not None:
            tokens.check_times(claims, self._clock.at())
            self._proved.move_to_end(token)
            return claims
        claims = tokens.check(
            self._signer, token, self._clock.at(), audience=self.node, issuer=self.node, typ=tokens.SIGN_IN
        )
        self._proved[token] = claims
        if len(self._proved) > REMEMBERED:
            self._proved.popitem(last=False)
        return claims

    def expires_at(self, token: str) -> UtcMs:
        """Return when ``token`` (valid now) ends, leeway not counted."""
        return UtcMs(int(self._claims(token)["exp"]) * 1000)

    # ---- other gateways -------------------------------------------------------------------------

    def mint_link(self, peer: NodeCode, answers: str = "") -> MintedLink:
        """Return proof to ``peer`` that we are this node, good for 60 s.

        Args:
            answers: The ``jti`` of the peer's own token, when this is the reply to it.
        """
        now_s = self._clock.at() // 1000
        jti = self._clock.token()
        claims = {
            "iss": self.node,
            "sub": self.node,
            "aud": peer,
            "iat": now_s,
            "exp": now_s + tokens.LINK_TTL_S,
            "jti": jti,
            "answers": answers,
        }
        return MintedLink(tokens.sign(self._link_signer, claims, tokens.LINK), jti)

    def verify_link(self, token: str, peer: NodeCode, answers: str = "") -> str:
        """Return the ``jti`` of ``token`` if it proves that ``peer`` is calling us.

        Whoever takes first messages must refuse a ``jti`` seen before; a reply is fresh by ``answers``.

        Args:
            answers: The ``jti`` we sent, when this must be the reply to it.

        Raises:
            Refused: ``unknown-node`` or a ``token-...`` code.
        """
        if peer not in self.keys.public:
            raise Refused("unknown-node", f"no public key of node {peer[:12]}")
        claims = tokens.check(
            self._link_signer, token, self._clock.at(), audience=self.node, issuer=peer, typ=tokens.LINK
        )
        if claims["sub"] != peer or claims.get("answers") != answers:
            raise Refused("token-claims", "not the answer to what was asked")
        if claims["exp"] * 1000 > self._clock.at() + (tokens.LINK_TTL_S + 2 * tokens.LEEWAY_S) * 1000:
            raise Refused("token-claims", f"a link token lives {tokens.LINK_TTL_S} seconds")
        return str(claims["jti"])

    # ---- people ---------------------------------------------------------------------------------

    def create_link(self, who: Actor, ttl_s: int | None = None, *, reusable: bool = False) -> str:
        """Return a one-time code that signs ``who`` in.  Blocks on the disk."""
        tokens.actor({"sub": who.name, "role": who.role.value, "division": who.division})
        return self._links.create(who, self._link_ttl_s if ttl_s is None else ttl_s, reusable=reusable)

    async def redeem(self, code: str, address: str = "") -> SignIn:
        """Sign in with a one-time code.

        Raises:
            Refused: ``link-invalid`` or ``sign-in-locked``.
        """
        self._accounts.refuse_impatient_address(address)
        try:
            who = await asyncio.to_thread(self._links.redeem, code)
        except Refused:
            self._accounts.strike("", address)
            raise
        return self.sign_in(who)

    async def login(self, name: str, password: str, address: str) -> SignIn:
        """Sign in with a password.

        Raises:
            Refused: ``sign-in-wrong``, ``sign-in-locked`` or ``sign-in-busy``.
        """
        return self.sign_in(await self._accounts.sign_in(name, password, address))

    def close(self) -> None:
        self._accounts.close()
        self._links.close()


def _accounts(path: Path | None) -> dict[str, tuple[Actor, str]]:
    try:
        return read_accounts(path) if path else {}
    except (OSError, ValueError) as error:
        raise ConfigError((str(error),)) from None


def _signer(config: Config, keys: NodeKeys) -> Signer:
    if config.keys.token_algorithm is Algorithm.EDDSA:
        return Signer(Algorithm.EDDSA, keys.node, keys.private, {keys.node: keys.public[keys.node]})
    secret = config.keys.token_secret
    if secret is None:
        raise ConfigError(("keys.token_secret: missing",))
    text = secret.get_secret_value()
    return Signer(Algorithm.HS256, keys.node, text, {keys.node: text})
