"""Five tiers on bad networks, as a table: ``python -m tests.faults.report --profile loss-10 --seconds 30``.

A publisher at the province, a viewer at the village (both Chromium), and directives from the county to the village
meanwhile.  The profile stands on the named hops, both ways, before the viewer asks.  For each profile one line of
Markdown and one of JSON go to standard output; ``--out`` gets the plots and the pictures' times.  See ``measure.py``
for what the figures mean.  All choices of the network follow from ``--seed``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .directives import Directives
from .hops import Hop
from .measure import Figures, Picture, figures, percentile
from .plot import lanes
from .profiles import PROFILES
from .tree import ACCESS, LINKS, Tree, tree
from .watch import Studio, studio

HEAD = (
    "| network | first picture s | pictures/s (of) | freezes/min | frozen % | sound made up % "
    "| picture age ms p50 / p95 | layers seen | queue before the bottleneck ms p95, of the later half "
    "| directive s p50 / p95 |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)
DEFAULT = tuple(name for name in PROFILES if "dead" not in name and "mtu" not in name and name != "rough")
BETWEEN_S = 30.0


@dataclass(frozen=True, slots=True)
class Row:
    """One profile measured.

    Attributes:
        source_fps: Pictures per second that the publisher encoded of its largest layer: a busy machine's own limit.
        queue_ms: 95th percentile of the wait before the bottleneck, of the worse direction of any hop: of all packets,
            and of the later half, when the fall of the line is over.
        rang_s: Of each directive that rang.
        missing: Directives that did not within a minute.
        network: What became of the datagrams, by hop and direction.
    """

    profile: str
    seen: Figures
    queue_ms: tuple[float, float]
    source_fps: float
    rang_s: tuple[float, ...]
    missing: int
    network: Mapping[str, Mapping[str, int]]

    def markdown(self) -> str:
        seen, rang = self.seen, sorted(self.rang_s)
        first = "-" if seen.first_s is None else f"{seen.first_s:.1f}"
        layers = ", ".join(f"{height}: {100 * part:.0f} %" for height, part in seen.heights.items() if part >= 0.01)
        cells = [
            self.profile, first, f"{seen.fps:.1f} ({self.source_fps:.1f})",
            f"{seen.freezes_per_min:.1f}", f"{100 * seen.frozen_share:.1f}",
            f"{100 * seen.concealed:.1f}", f"{seen.age_ms[0]:.0f} / {seen.age_ms[1]:.0f}", layers or "-",
            f"{self.queue_ms[0]:.0f}, {self.queue_ms[1]:.0f}",
            f"{percentile(rang, 0.5):.2f} / {percentile(rang, 0.95):.2f}",
        ]  # fmt: skip
        return f"| {' | '.join(cells)} |"

    def as_json(self) -> dict[str, Any]:
        return {
            "profile": self.profile, "source_fps": self.source_fps, **self.seen.as_json(), "queue_ms": self.queue_ms,
            "directives": len(self.rang_s), "directives_missing": self.missing, "directive_s": sorted(self.rang_s),
            "network": self.network,
        }  # fmt: skip


def measure(on: Studio, profile: str, names: Sequence[str], seconds: float) -> tuple[Row, tuple[Picture, ...]]:
    """Watch for ``seconds`` with ``profile`` on the hops ``names``; the network is clean again afterwards."""
    network = on.tree.network
    settle(on)
    network.apply(profile, names)
    directives = Directives(on.tree.demo)
    try:
        with on.viewer() as viewer:
            encoded = on.encoded()
            viewer.watch(seconds)
            run, encoded = viewer.run(), on.encoded() - encoded
            counts, queue_ms = network.do(lambda: weigh([network.hops[name] for name in names]))
    finally:
        rang = directives.stop()
        network.apply("clean", ())
    return Row(
        profile, figures(run), queue_ms, encoded / seconds, tuple(rang), directives.missing, counts
    ), run.pictures


def settle(on: Studio) -> None:
    """Return once pictures pass a clean network: what was before is over."""
    with on.viewer() as viewer:
        viewer.until(20, within=BETWEEN_S)


def weigh(hops: Sequence[Hop]) -> tuple[dict[str, dict[str, int]], tuple[float, float]]:
    """Return what became of the datagrams of ``hops``, and the worst 95th percentiles of a queue, ms: see ``Row``."""
    counts, whole, later = {}, 0.0, 0.0
    for hop in hops:
        for word, way in (("down", hop.datagrams.down), ("up", hop.datagrams.up)):
            counts[f"{hop.name} {word}"] = dict(way.counts)
            stream = hop.streams.down if word == "down" else hop.streams.up
            counts[f"{hop.name} {word}, octets"] = dict((way.octets + stream.octets).most_common())
            assert way.bottleneck is not None
            waits = way.bottleneck.waits_ms
            whole = max(whole, percentile(sorted(waits), 0.95))
            later = max(later, percentile(sorted(waits[len(waits) // 2 :]), 0.95))
    return counts, (whole, later)


def hops_named(word: str) -> tuple[str, ...]:
    """``all`` is every link between tiers; else names with commas between."""
    names = LINKS if word == "all" else tuple(word.split(","))
    if unknown := set(names) - {*LINKS, ACCESS}:
        raise SystemExit(f"no such hop: {', '.join(sorted(unknown))}; there are {', '.join((*LINKS, ACCESS))}, all")
    return names


def report(on: Tree, given: argparse.Namespace, out: Path) -> None:
    runs: dict[str, Sequence[Picture]] = {}
    with studio(on) as room:
        room.publish(codec=given.codec)
        print(HEAD, flush=True)
        for profile in given.profile or DEFAULT:
            row, runs[profile] = measure(room, profile, hops_named(given.hops), given.seconds)
            print(row.markdown(), flush=True)
            print(json.dumps(row.as_json(), ensure_ascii=False), file=sys.stderr, flush=True)
            with (out / "report.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(row.as_json(), ensure_ascii=False) + "\n")
            (out / "layers.svg").write_text(lanes(runs, given.seconds), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", action="append", choices=sorted(PROFILES), help="repeat for several; else most")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--hops", default="county-township", help=f"{', '.join(LINKS)}, {ACCESS}, or all")
    parser.add_argument("--codec", default="VP8", help="what the publisher encodes: VP8, VP9, H264, AV1")
    parser.add_argument("--seed", default="wuji")
    parser.add_argument("--out", type=Path, default=Path("artifacts/faults"))
    given = parser.parse_args()
    hops_named(given.hops)
    given.out.mkdir(parents=True, exist_ok=True)
    print(f"seed {given.seed!r}, {given.hops}, {given.seconds:.0f} s each", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder, tree(Path(folder), given.seed) as running:
        report(running, given, given.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
