"""One alarm, all concerned know: text first, picture after, at every tier above and next door."""

from __future__ import annotations

import io
import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from tests.e2e.running import SIBLING, TIERS, VILLAGE, Demo, call, multipart, until
from tests.e2e.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator


KINDS = itertools.count(1)
"""Alarms of one kind would be one card."""

TRIES = 8
"""Where the machine is slow, a picture may have come before the first word of it is sent on."""


@pytest.fixture(scope="module")
def jpeg() -> bytes:
    out = io.BytesIO()
    picture = Image.radial_gradient("L").convert("RGB").resize((1280, 720))
    picture.save(out, "JPEG", quality=85)
    return out.getvalue()


@pytest.fixture
def sibling(demo: Demo) -> Iterator[Terminal]:
    terminal = Terminal(demo.url("township"), demo.token("township", "terminal", division=SIBLING))
    terminal.wait_for(lambda m: m["type"] == "welcome", what="no welcome")
    yield terminal
    terminal.close()


def raise_alarm(demo: Demo, tier: str, jpeg: bytes, **fields: Any) -> Any:
    alarm = {"kind": f"water_level {next(KINDS)}", "text": "八里村河道水位超警戒", "urgency": "P1", **fields}
    body, kind = multipart(
        {
            "alarm": ("application/json", json.dumps(alarm).encode()),
            "snapshot": ("image/jpeg", jpeg),
        }
    )
    device = demo.token(tier, "device", name="水位站03")
    answer = call(demo.url(tier, "/api/v1/alarms"), method="POST", token=device, body=body, Content_Type=kind)
    assert answer.status == 201, answer.body
    return answer.json["id"]


def card(demo: Demo, tier: str, alarm: str, token: str) -> Any:
    answer = call(demo.url(tier, f"/api/v1/alarms/{alarm}"), token=token)
    return answer.json if answer.status == 200 else None


@pytest.mark.parametrize("tier", ["village", "township"])
def test_an_alarm_reaches_every_tier_above_with_place_and_picture(demo: Demo, jpeg: bytes, tier: str) -> None:
    alarm = raise_alarm(demo, tier, jpeg)
    for above in TIERS[: TIERS.index(tier)]:
        token = demo.token(above, "commander")
        until(
            lambda above=above, token=token: (card(demo, above, alarm, token) or {}).get("thumbnail"),
            what=f"no card with a picture at the {above}",
        )
        shown = card(demo, above, alarm, token)
        assert shown["place_name"]
        assert shown["longitude"] == pytest.approx(112.9, abs=1)

        def thumbnail(above: str = above, token: str = token, sha: str = shown["thumbnail"]) -> bytes | None:
            answer = call(demo.url(above, f"/api/v1/blobs/{sha}"), token=token)
            return answer.body if answer.status == 200 else None

        picture = Image.open(io.BytesIO(until(thumbnail, what=f"no thumbnail at the {above}")))
        assert picture.format == "JPEG"
        full = until(
            lambda above=above, token=token, sha=shown["picture"]: (
                answer if (answer := call(demo.url(above, f"/api/v1/blobs/{sha}"), token=token)).status == 200 else None
            ),
            what=f"no full picture at the {above}",
        )
        assert Image.open(io.BytesIO(full.body)).size == (1280, 720)


def seen_by(sibling: Terminal, alarm: str) -> list[Any]:
    """What the sibling is told of an alarm until its picture is there."""
    sibling.wait_for(
        lambda m: m["type"] == "alarm" and m["alarm"] == alarm and bool(m.get("thumbnail")),
        what="the sibling never saw the picture",
    )
    return [m for m in sibling.messages if m["type"] == "alarm" and m["alarm"] == alarm]


def test_the_sibling_terminal_of_the_same_township_sees_text_first_then_picture(
    demo: Demo, jpeg: bytes, sibling: Terminal
) -> None:
    for attempt in range(TRIES):
        text = f"山体滑坡征兆 {attempt}"
        cards = seen_by(sibling, raise_alarm(demo, "village", jpeg, text=text))
        assert cards[0]["text"] == text
        assert cards[0]["place"] == VILLAGE
        if not cards[0].get("thumbnail"):
            return
    pytest.fail("the text waited for its picture every time")


def test_what_is_not_a_picture_is_refused_and_nothing_is_raised(demo: Demo) -> None:
    device = demo.token("village", "device")
    for data in (b"", b"not a picture", b"\xff\xd8\xff" + b"\0" * 100, b"\x89PNG\r\n\x1a\n" + b"\0" * 50):
        body, kind = multipart(
            {
                "alarm": ("application/json", json.dumps({"kind": "smoke", "text": "t", "urgency": "P2"}).encode()),
                "snapshot": ("image/jpeg", data),
            }
        )
        answer = call(demo.url("village", "/api/v1/alarms"), method="POST", token=device, body=body, Content_Type=kind)
        assert 400 <= answer.status < 500
        assert answer.json["code"]
    assert call(demo.url("village", "/healthz")).status == 200
