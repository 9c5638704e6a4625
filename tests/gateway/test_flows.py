"""What flows is added up by side, direction and kind, however many people come and go."""

from __future__ import annotations

from typing import Any

from gateway.flows import LINKS, PEOPLE, Flows
from media import stats
from media.answer import Kind
from media.readings import Window


def window(before: dict[str, Any] | None = None, **after: Any) -> Window:
    return Window(stats.read(before or {}), stats.read(after))


def found(flows: Flows, name: str, **labels: str) -> float:
    (value,) = [value for series, has, value in flows.read() if series == name and has == labels]
    return value


def test_streams_of_one_kind_add_up_and_what_ends_stays_counted() -> None:
    flows = Flows()
    first = window(sources={1: {"packets": 10, "bytes": 1_000, "missed": 2}, 2: {"packets": 5, "bytes": 50}})
    flows.begin()
    flows.came(PEOPLE, first, [(1, "video"), (2, "video")])
    again = window({"sources": {1: {"packets": 10, "bytes": 1_000}}}, sources={1: {"packets": 14, "bytes": 1_400}})
    flows.begin()
    flows.came(PEOPLE, again, [(1, "video")])
    labels = {"side": PEOPLE, "direction": "in", "kind": "video"}
    assert found(flows, "media_bytes_total", **labels) == 1_450
    assert found(flows, "media_missed_total", **labels) == 2
    assert found(flows, "media_streams", **labels) == 1


def test_pictures_are_counted_by_the_layer_they_are_sent_in() -> None:
    flows = Flows()
    flows.begin()
    sinks = {
        1: {"packets": 9, "layer_now": 3, "jitter_us_now": 4_000},
        2: {"packets": 9, "layer_now": 1, "jitter_us_now": 9_000},
        3: {"paused_now": 1},
        4: {"packets": 9, "layer_now": 1},
        6: {"packets": 9, "layer_now": 1, "thumbnails": 2, "thumbnails_now": 1},
    }
    kinds: dict[int, Kind] = {number: "audio" if number == 4 else "video" for number in range(1, 7)}
    flows.went(LINKS, window(sinks=sinks), kinds.items())
    layers = {has["layer"]: value for series, has, value in flows.read() if series == "media_pictures"}
    assert layers == {"3": 1, "1": 1, "paused": 1, "thumbnails": 1}
    assert found(flows, "media_worst_jitter_seconds", side=LINKS, direction="out", kind="video") == 0.009


def test_the_number_of_series_does_not_grow_with_the_people() -> None:
    def series(people: int) -> int:
        flows = Flows()
        flows.begin()
        counters = {number: {"packets": number, "layer_now": number % 9} for number in range(people)}
        streams = [(number, "video" if number % 2 else "audio") for number in range(people)]
        for side in (PEOPLE, LINKS):
            flows.came(side, window(sources=counters), streams)  # type: ignore[arg-type]
            flows.went(side, window(sinks=counters), streams)  # type: ignore[arg-type]
        return len(list(flows.read()))

    assert series(2_000) == series(200) < 100
