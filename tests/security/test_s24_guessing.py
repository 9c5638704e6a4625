"""S24: a thousand wrong sign-ins are refused cheaply, lock their sender out, and leave everybody else alone."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp

from gateway.login import hash_password
from tests.support.node import running
from tests.support.places import COUNTY

PASSWORD = "三号水位站-2026"


def test_a_thousand_wrong_passwords_lock_their_address_and_delay_nobody(tmp_path: Path) -> None:
    accounts = tmp_path / "accounts.toml"
    stored = hash_password(PASSWORD, b"0123456789abcdef")
    accounts.write_text(
        f'[[account]]\nname = "刘"\nrole = "commander"\ndivision = "{COUNTY}"\npassword = "{stored}"\n', "utf-8"
    )

    async def story(base: str) -> tuple[Counter[tuple[int, str]], list[float], int]:
        outcomes: Counter[tuple[int, str]] = Counter()
        names = iter(["刘", *(f"nobody{index}" for index in range(999))])

        async def sign_in(http: aiohttp.ClientSession, name: str, password: str) -> tuple[int, str]:
            async with http.post(f"{base}/api/v1/session", json={"name": name, "password": password}) as answer:
                return answer.status, (await answer.json(content_type=None)).get("code", "")

        async def guess(http: aiohttp.ClientSession) -> None:
            for name in names:
                outcomes[await sign_in(http, name, "x")] += 1

        async def visit(http: aiohttp.ClientSession) -> None:
            for _ in range(20):
                async with http.get(f"{base}/healthz") as answer:
                    assert answer.status == 200

        async def p95(http: aiohttp.ClientSession, doing: Callable[[aiohttp.ClientSession], Awaitable[None]]) -> float:
            """Let 30 do something at once; return what /healthz took meanwhile, s."""
            crowd = asyncio.gather(*(doing(http) for _ in range(30)))
            took = []
            while not crowd.done():
                started = time.perf_counter()
                async with http.get(f"{base}/healthz") as answer:
                    assert answer.status == 200
                took.append(time.perf_counter() - started)
                await asyncio.sleep(0.005)
            await crowd
            return sorted(took)[len(took) * 95 // 100]

        elsewhere = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
        async with aiohttp.ClientSession() as http, aiohttp.ClientSession(connector=elsewhere) as neighbour:
            signing_in = asyncio.ensure_future(sign_in(neighbour, "刘", PASSWORD))
            p95_s = [await p95(http, doing) for doing in (guess, visit)]
            status, _ = await signing_in
            async with asyncio.timeout(300):
                late = (f"late{index}" for index in range(100))
                while (last := await sign_in(http, next(late), "x"))[1] != "sign-in-locked":
                    outcomes[last] += 1
            assert (await sign_in(http, "刘", PASSWORD))[0] == 429, "the address waits, whoever it is now"
        return outcomes, p95_s, status

    with running(tmp_path, auth={"accounts_file": str(accounts), "address_attempts": 20}) as node:
        outcomes, (beset_s, usual_s), neighbour = asyncio.run(story(f"http://127.0.0.1:{node.port}"))
        assert node.get("/readyz").status == 200
    assert neighbour == 200, "who signs in rightly from elsewhere gets in during the flood"
    assert outcomes[401, "sign-in-wrong"] <= 20 + 2, "two more may have been in the queue when the lock-out fell"
    assert set(outcomes) <= {(401, "sign-in-wrong"), (429, "sign-in-locked"), (429, "sign-in-busy")}
    assert beset_s < max(0.5, 5 * usual_s), "p95 of /healthz meanwhile, beside that among as many honest visitors"
