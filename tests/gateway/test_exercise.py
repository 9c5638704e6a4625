"""An exercise leaves by no way out, whichever ways a gateway has: every adapter there is, configured and tried."""

import ast
import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from gateway.adapters import Notice
from signaling.ids import NodeCode
from signaling.records import NoticeSent, RedialOrdered, Released, Urgency
from tests.support.cluster import Running, until
from tests.support.far_side import FarSide, far_side
from tests.support.places import COUNTY, VILLAGE, commander

SOURCES = Path(__file__).parents[2] / "gateway"
REF = "v-1"


def adapters_in_the_sources() -> Iterator[str]:
    """Yield the name of every class that can be given a notice to send."""
    for file in sorted(SOURCES.rglob("*.py")):
        for found in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(found, ast.ClassDef) or any(ast.unparse(base) == "Protocol" for base in found.bases):
                continue
            for method in found.body:
                if not isinstance(method, ast.AsyncFunctionDef) or method.name != "send":
                    continue
                if ast.unparse(method.returns or ast.Constant("")) != "None":  # the door itself tells outcomes
                    continue
                if any(ast.unparse(a.annotation) == "Notice" for a in method.args.args if a.annotation):
                    yield found.name


@asynccontextmanager
async def county(folder: Path, side: FarSide) -> AsyncIterator[Running]:
    """Run a gateway with every way out there is."""
    contacts = folder / "contacts.toml"
    contacts.write_text(f'[[contact]]\nref = "{REF}"\ndivision = "{VILLAGE}"\nphone = "13800000001"\n')
    ways = {
        "webhook_url": f"http://127.0.0.1:{side.port}/webhook",
        "webhook_secret": "s" * 32,
        "sms_url": f"http://127.0.0.1:{side.port}/sms",
        "sms_token": "t" * 8,
        "contacts_file": str(contacts),
        "filedrop_dir": str(folder / "warnings"),
        "local": True,
    }
    running = await Running(folder, COUNTY, None, {"adapters": ways}).start()
    try:
        yield running
    finally:
        await running.stop()


def notices(*, exercise: bool) -> list[Notice]:
    """Return one notice for persons and one for everybody, of every kind there is."""
    return [
        Notice(
            id=f"{kind}:{public}:{exercise}",
            kind=kind,
            subject="d-1",
            urgency=Urgency.P0,
            title="演练",
            text="演练",
            places=(VILLAGE,),
            people=(REF,),
            exercise=exercise,
            public=public,
        )
        for kind in ("redial", "directive", "alarm")
        for public in (False, True)
    ]


def outcomes(running: Running) -> list[tuple[str, str]]:
    rows = running.node.journal.replay()
    return [(row.record.adapter, row.record.outcome) for row in rows if isinstance(row.record, NoticeSent)]


def order(**changes: Any) -> dict[str, Any]:
    scope = [{"node": VILLAGE, "mode": "self"}]
    return {"click_id": "c", "urgency": "P1", "title": "转移", "text": "转移", "scope": scope} | changes


async def post(running: Running, path: str, body: object) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {running.token(commander())}"}
    url = f"{running.url}/api/v1/{path}"
    async with aiohttp.ClientSession(headers=headers) as http, http.post(url, json=body) as answer:
        return answer.status, await answer.json(content_type=None)


def redial_of(directive: str, running: Running) -> RedialOrdered:
    at = running.node.services.clock.at()
    fields: dict[str, Any] = {"directive": directive, "notice": f"redial:{directive}", "places": (NodeCode(VILLAGE),)}
    return RedialOrdered(node=COUNTY, at=at, **fields)


def test_every_way_out_is_tried_here(tmp_path: Path) -> None:
    async def story() -> None:
        async with far_side() as side, county(tmp_path, side) as running:
            configured = {type(adapter).__name__ for adapter in running.node.redial._adapters._adapters}
            assert configured == set(adapters_in_the_sources())

    asyncio.run(story())


def test_an_exercise_reaches_none_of_them(tmp_path: Path) -> None:
    async def story() -> None:
        async with far_side() as side, county(tmp_path, side) as running:
            for notice in notices(exercise=True):
                await running.node.redial._adapters.send(notice)
            _, issued = await post(running, "directives", order(exercise=True))
            _, raised = await post(running, "alarms", {"kind": "fire", "place": VILLAGE, "exercise": True})
            await post(running, f"alarms/{raised['id']}/advance", {"state": "confirmed"})
            for path in (f"directives/{issued['id']}/release", f"alarms/{raised['id']}/release"):
                status, said = await post(running, path, {})
                assert (status, said["code"]) == (409, "exercise")
            before = len(outcomes(running))
            journal, at = running.node.journal, running.node.services.clock.at()
            await journal.append(redial_of(issued["id"], running))  # the clocks say so, or a journal that was changed
            for subject in (issued["id"], raised["id"]):
                await journal.append(Released(node=COUNTY, at=at, subject=subject, within=None, by=commander()))
            await until(lambda: len(outcomes(running)) >= before + 3, "the re-dial and both releases have an outcome")
            assert set(outcomes(running)) == {("", "exercise")}
            assert side.calls == []
            assert not (tmp_path / "warnings").exists()

    asyncio.run(story())


def test_what_is_no_exercise_reaches_each_by_its_kind(tmp_path: Path) -> None:
    async def story() -> None:
        async with far_side() as side, county(tmp_path, side) as running:
            _, issued = await post(running, "directives", order())
            await running.node.journal.append(redial_of(issued["id"], running))
            await until(lambda: len(outcomes(running)) == 2, "the re-dial has its outcomes")
            assert sorted(asked.path for asked in side.calls) == ["/sms", "/webhook"]
            assert not (tmp_path / "warnings").exists()
            status, said = await post(running, f"directives/{issued['id']}/release", {})
            assert (status, said["outcome"]) == (200, {"filedrop": "sent"})
            assert len(list((tmp_path / "warnings").glob("*.xml"))) == 1
            await post(running, f"directives/{issued['id']}/recall", {"reason": "解除"})
            cancelled = tmp_path / "warnings" / f"{issued['id']}.public.recalled.json"
            await until(cancelled.exists, "it is cancelled there")
            assert len(side.calls) == 2

    asyncio.run(story())
