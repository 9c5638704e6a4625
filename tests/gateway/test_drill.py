"""An exercise to every village: who answered, who did not, and that it stays an exercise."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from typer.testing import CliRunner

from gateway import drill
from gateway.__main__ import app
from gateway.asking import Client, Target
from gateway.clock import Clock
from gateway.drill_report import Matrix, Place, Row, lines, plain, report
from signaling.ids import NodeCode, UtcMs
from signaling.messages import DirectiveView, Receipt
from signaling.records import Actor, Role, Stage, Urgency
from tests.support.cluster import Cluster, Running, Terminal, cluster, until
from tests.support.node import Node, running
from tests.support.places import COUNTY, SIBLING, TOWNSHIP, TREE, VILLAGE, VILLAGES, commander, terminal

VILLAGES_OF_COUNTY = [code for code in TREE.subtree(COUNTY) if TREE.tier(code) == 5]
NOW = UtcMs(1_772_323_200_000)
"""2026-03-01 08:00 in Beijing."""


# ---- what a matrix says --------------------------------------------------------------------------

PLACES = (
    Place("4-a", "甲镇", 4, "3"),
    Place("4-b", "乙镇", 4, "3"),
    *(Place(f"5-{n}", f"{n}村", 5, "4-a" if n < 5 else "4-b") for n in range(8)),
)


def row(n: int, *times: int | None) -> Row:
    return Row(f"5-{n}", *(None if time is None else NOW + time for time in times))


MATRIX = Matrix(
    NOW,
    (
        row(0, 100, 200, 1_000),
        row(1, 100, 300, 2_000),
        row(2, 100, None, 3_000),
        row(3, 100, 400, None),
        row(4, 900, None, None),
        row(5, 100, 200, 4_000),
        row(6, None, None, None),
        row(7, None, None, None),
    ),
)


def test_everybody_is_counted_where_they_came_to() -> None:
    found = report("d-1", MATRIX, PLACES)
    assert not found.complete
    assert [found.total.reached(stage) for stage in ("delivered", "shown", "signed")] == [6, 5, 4]
    names = {stage: [(place.name, township) for place, township in missing] for stage, missing in found.missing.items()}
    assert names == {
        "delivered": [("6村", "乙镇"), ("7村", "乙镇")],
        "shown": [("4村", "甲镇")],
        "signed": [("3村", "甲镇")],
    }
    townships = [(group.name, group.villages, group.reached("signed")) for group in found.townships]
    assert townships == [("甲镇", 5, 3), ("乙镇", 3, 1)]


def test_percentiles_are_times_somebody_had() -> None:
    total = report("d-1", MATRIX, PLACES).total
    assert (total.percentile("signed", 0.5), total.percentile("signed", 0.95)) == (2_000, 4_000)
    assert total.percentile("delivered", 0.5) == 100
    assert report("d", Matrix(NOW, (row(0, None, None, None),)), PLACES).total.percentile("signed", 0.5) is None


def test_a_clock_that_is_behind_is_told_and_hides_nothing() -> None:
    found = report("d-1", Matrix(NOW, (row(0, -500, 200, 1_000),)), PLACES)
    assert (found.early, found.complete, found.total.percentile("delivered", 0.5)) == (1, True, -500)
    assert "clocks" in list(lines(found))[-1]


def test_the_report_names_who_did_not_answer() -> None:
    said = "\n".join(lines(report("d-1", MATRIX, PLACES)))
    assert "not delivered (2): 6村（乙镇）、7村（乙镇）" in said
    assert "not shown (1): 4村（甲镇）" in said
    assert "not signed (1): 3村（甲镇）" in said
    assert said.splitlines()[3].split() == ["all", "8", "6", "0.1/0.9", "5", "0.3/3.0", "4", "2.0/4.0"]


# ---- when ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("08:01", 1), ("08:00", 24 * 60), ("07:59", 24 * 60 - 1), ("2026-03-01T01:00:00+00:00", 60)],
)
def test_a_time_is_the_next_of_its_name(text: str, minutes: int) -> None:
    assert drill.moment(text, NOW) == NOW + minutes * 60_000


@pytest.mark.parametrize("text", ["8:00", "24:00", "soon", "2026-03-01T09:00:00", "2026-03-01T07:00:00+08:00"])
def test_what_is_no_time_to_come_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        drill.moment(text, NOW)


# ---- against gateways ----------------------------------------------------------------------------


async def answers(tiers: Cluster, at: Running, who: Actor, *, sign: bool) -> Terminal:
    """Be a terminal that shows the next directive, and signs for it where ``sign``."""
    page = await tiers.sign_in(at, who)
    ring = await page.hear(DirectiveView)
    assert ring.exercise
    assert ring.title.startswith("演练")
    for stage in (Stage.DELIVERED, Stage.SHOWN):
        await page.say(Receipt(directive=ring.directive, stage=stage))
        await page.hear(DirectiveView, lambda view: view.mine.stage is stage)  # noqa: B023
    if sign:
        status, _ = await tiers.call(at, who, "POST", f"directives/{ring.directive}/sign", {"name": who.name})
        assert status == 200
    return page


def test_some_villages_answer_and_the_others_are_named(tmp_path: Path) -> None:
    async def story() -> None:
        async with cluster(tmp_path) as tiers, aiohttp.ClientSession() as http:
            over = asyncio.Event()
            client = Client(http, Target(tiers.county.url, tiers.county.token(commander())))
            held = asyncio.create_task(drill.hold(client, Clock(), Urgency.P1, 3_600, over))
            await answers(tiers, tiers.village, terminal(VILLAGE), sign=True)
            await answers(tiers, tiers.township, terminal(SIBLING), sign=False)
            (view,) = tiers.county.node.directives.list(commander(), rows=True)

            def seen(village: NodeCode, stage: Stage) -> bool:
                rows = tiers.county.node.directives.view(view.directive, commander()).recipients
                return any(row.node == village and row.stage is stage for row in rows)

            await until(lambda: seen(VILLAGE, Stage.SIGNED) and seen(SIBLING, Stage.SHOWN), "answers at the county")
            over.set()
            found = await held
            assert view.total == found.total.villages == len(VILLAGES_OF_COUNTY)
            assert (found.total.reached("signed"), found.total.reached("shown")) == (1, 2)
            assert [place.code for place, _ in found.missing["signed"]] == [SIBLING]
            assert len(found.missing["delivered"]) + len(found.missing["shown"]) == found.total.villages - 2
            groups = {group.name: group for group in found.townships}
            assert (groups["开云镇"].villages, groups["开云镇"].reached("signed")) == (len(VILLAGES), 1)
            assert sum(group.villages for group in found.townships) == found.total.villages
            assert tiers.county.node.directives.view(view.directive, commander()).state == "closed"

    asyncio.run(story())


def test_an_exercise_that_everybody_answers_ends_by_itself(tmp_path: Path) -> None:
    async def story() -> None:
        async with cluster(tmp_path) as tiers, aiohttp.ClientSession() as http:
            token = tiers.village.token(commander(VILLAGE))
            client = Client(http, Target(tiers.village.url, token))
            held = asyncio.create_task(drill.hold(client, Clock(), Urgency.P1, 3_600, asyncio.Event()))
            await answers(tiers, tiers.village, terminal(VILLAGE), sign=True)
            found = await held
            assert found.complete
            assert (found.total.villages, found.total.reached("signed")) == (1, 1)

    asyncio.run(story())


@pytest.fixture(scope="module")
def county(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running(tmp_path_factory.mktemp("drill")) as started:
        yield started


def run(*arguments: str) -> tuple[int, list[str], str]:
    result = CliRunner().invoke(app, ["drill", *arguments])
    return result.exit_code, result.stdout.splitlines(), result.stderr


def test_the_command_ends_with_1_and_json_when_somebody_is_missing(county: Node, tmp_path: Path) -> None:
    file = county.config.node.data_dir.parent / "node.toml"
    ways = (("--config", str(file)), ("--to", county.url(""), "--token", county.token(Role.COMMANDER, TOWNSHIP)))
    for way, villages in zip(ways, (VILLAGES_OF_COUNTY, VILLAGES), strict=True):
        code, said, _ = run(*way, "--wait", "1s", "--json")
        assert code == 1
        found = json.loads(said[-1])
        assert (found["complete"], found["villages"], found["signed"]) == (False, len(villages), 0)
        assert {place["code"] for place in found["not_delivered"]} == set(villages)
        assert any(line.startswith(f"not delivered ({len(villages)})") for line in said)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "give --config FILE, or --to URL"),
        (("--to", "http://127.0.0.1:1"), "give --config FILE, or --to URL"),
        (("--to", "URL", "--token", "nonsense"), "401"),
        (("--to", "URL", "--token", "TERMINAL"), "403"),
        (("--to", "URL", "--token", "COMMANDER", "--at", "25:00"), "hour"),
    ],
)
def test_what_the_caller_can_put_right_is_a_sentence_and_2(county: Node, arguments: tuple[str, ...], says: str) -> None:
    given: dict[str, Any] = {
        "URL": county.url(""),
        "TERMINAL": county.token(Role.TERMINAL, VILLAGE),
        "COMMANDER": county.token(Role.COMMANDER),
    }
    code, _, said = run(*(given.get(argument, argument) for argument in arguments), "--wait", "1s")
    assert (code, says in said) == (2, True), said


def test_the_json_is_whole() -> None:
    found = json.loads(json.dumps(plain(report("d-1", MATRIX, PLACES))))
    assert found["p95_ms"] == {"delivered": 900, "shown": 3_000, "signed": 4_000}
    assert found["not_signed"] == [{"code": "5-3", "name": "3村", "township": "甲镇"}]
    assert [group["name"] for group in found["townships"]] == ["甲镇", "乙镇"]
