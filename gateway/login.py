"""Names and passwords: scrypt in a bounded number of threads, and patience that runs out.

Wrong passwords count per (account, address) and per address.  Both tables are bounded: the oldest
entry makes room, so a flood costs memory for ``TABLE`` entries and no more.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import tomllib
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from signaling.errors import Refused
from signaling.ids import Monotonic, NodeCode
from signaling.records import Actor, Role

from .clock import Clock

TABLE = 10_000
MAX_PASSWORD = 256
SCRYPT_N, SCRYPT_R, SCRYPT_P = 16_384, 8, 5
"""OWASP password storage cheat sheet, 2025: N=2^14, r=8, p=5 (16 MiB)."""
NOBODY = f"scrypt${SCRYPT_N}${SCRYPT_R}${SCRYPT_P}${'A' * 22}==${'A' * 43}="
"""Checked against for names without an account: takes as long, and no password makes 32 zero bytes."""
QUEUE = 8
"""Checks waiting per worker until further ones are told to come back."""
QUEUE_PER_ADDRESS = 2
"""Of these for one address: a flood from one place leaves room for the others."""


def hash_password(password: str, salt: bytes) -> str:
    """Return ``scrypt$N$r$p$salt$key`` (base64) for the accounts file; ``salt`` is 16 fresh random bytes."""
    return f"scrypt${SCRYPT_N}${SCRYPT_R}${SCRYPT_P}${_text(salt)}${_text(_derive(password, salt))}"


def check_password(password: str, stored: str) -> bool:
    """Return whether ``password`` made ``stored``.  Takes as long either way."""
    _, _, _, _, salt, key = stored.split("$")
    return hmac.compare_digest(_derive(password, base64.b64decode(salt)), base64.b64decode(key))


def _derive(password: str, salt: bytes) -> bytes:
    data = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(data, salt=salt, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P, maxmem=64 * 1024 * 1024, dklen=32)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


@dataclass(slots=True)
class _Strikes:
    count: int
    until: Monotonic


class Patience:
    """Counts failures by key; a key with ``limit`` of them waits ``lockout_s``."""

    def __init__(self, limit: int, lockout_s: float) -> None:
        self._limit = limit
        self._lockout_s = lockout_s
        self._strikes: OrderedDict[tuple[str, ...], _Strikes] = OrderedDict()

    def wait_s(self, key: tuple[str, ...], now: Monotonic) -> float:
        """Return the seconds ``key`` still has to wait, 0 if none."""
        strikes = self._strikes.get(key)
        if strikes is None:
            return 0.0
        if now >= strikes.until:
            del self._strikes[key]
            return 0.0
        return strikes.until - now if strikes.count >= self._limit else 0.0

    def strike(self, key: tuple[str, ...], now: Monotonic) -> None:
        """Count one failure of ``key``.  They are forgotten ``lockout_s`` after the last."""
        strikes = self._strikes.setdefault(key, _Strikes(0, now))
        strikes.count += 1
        strikes.until = Monotonic(now + self._lockout_s)
        self._strikes.move_to_end(key)
        while len(self._strikes) > TABLE:
            self._strikes.popitem(last=False)

    def clear(self, key: tuple[str, ...]) -> None:
        self._strikes.pop(key, None)


class Accounts:
    """The people who sign in with a password."""

    def __init__(
        self,
        accounts: Mapping[str, tuple[Actor, str]],
        clock: Clock,
        *,
        attempts: int,
        address_attempts: int,
        lockout_s: float,
        workers: int,
    ) -> None:
        self._accounts = dict(accounts)
        self._clock = clock
        self._by_account = Patience(attempts, lockout_s)
        self._by_address = Patience(address_attempts, lockout_s)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="password")
        self._room = workers * (1 + QUEUE)
        self._waiting: Counter[str] = Counter()

    async def sign_in(self, name: str, password: str, address: str) -> Actor:
        """Return who ``name`` is.

        Raises:
            Refused: ``sign-in-wrong``, ``sign-in-locked`` or ``sign-in-busy``.
        """
        self._refuse_impatient(name, address)
        who, stored = self._accounts.get(name, (None, NOBODY))
        with self._a_place_in_the_queue(address):
            right = await asyncio.get_running_loop().run_in_executor(
                self._pool, check_password, password[:MAX_PASSWORD], stored
            )
        self._refuse_impatient(name, address)
        if who is None or not right:
            self.strike(name, address)
            raise Refused("sign-in-wrong", "name or password is wrong")
        self._by_account.clear((name, address))
        return who

    @contextlib.contextmanager
    def _a_place_in_the_queue(self, address: str) -> Iterator[None]:
        if sum(self._waiting.values()) >= self._room or self._waiting[address] >= QUEUE_PER_ADDRESS:
            raise Refused("sign-in-busy", "many people are signing in; try again in a few seconds")
        self._waiting[address] += 1
        try:
            yield
        finally:
            self._waiting[address] -= 1
            if not self._waiting[address]:
                del self._waiting[address]

    def strike(self, name: str, address: str) -> None:
        """Count one failed sign-in (an unknown link code too, with an empty name)."""
        now = self._clock.now()
        if name:
            self._by_account.strike((name, address), now)
        self._by_address.strike((address,), now)

    def refuse_impatient_address(self, address: str) -> None:
        """Raise ``sign-in-locked`` while ``address`` has to wait."""
        self._refuse_impatient("", address)

    def _refuse_impatient(self, name: str, address: str) -> None:
        now = self._clock.now()
        wait_s = max(self._by_account.wait_s((name, address), now), self._by_address.wait_s((address,), now))
        if wait_s > 0:
            raise Refused("sign-in-locked", f"too many wrong attempts; wait {round(wait_s) or 1} seconds")

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def read_accounts(path: Path) -> dict[str, tuple[Actor, str]]:
    """Return name -> (actor, stored password) from an accounts file.

    Raises:
        ValueError: The sentence names the entry.
    """
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    accounts: dict[str, tuple[Actor, str]] = {}
    for index, entry in enumerate(table.get("account", []), start=1):
        try:
            name, stored = str(entry["name"]), str(entry["password"])
            who = Actor(name, Role(entry["role"]), NodeCode(str(entry["division"])))
        except (KeyError, ValueError, TypeError) as error:
            raise ValueError(f"{path}: account {index}: {error!r}") from None
        expected = ["scrypt", str(SCRYPT_N), str(SCRYPT_R), str(SCRYPT_P)]
        if stored.count("$") != 5 or stored.split("$")[:4] != expected:
            raise ValueError(f"{path}: account {index}: password is not from `wuji password`")
        accounts[name] = (who, stored)
    return accounts
