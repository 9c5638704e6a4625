"""``wuji demo`` with a network of ours between the tiers: ``python -m tests.faults.five``, as ``Tree`` starts it.

Each node tells its children and callers the ports of the network in front of it, in place of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import tomllib
from pathlib import Path

from gateway.clock import Clock
from gateway.config import load
from gateway.demo import TIERS, Demo, Node, _until_signal, prepare, sign_in_links
from gateway.reference import to_toml


def behind(node: Node, seen_at: dict[str, dict[str, int]]) -> Node:
    """Write the node's file anew: ``seen_at`` has, by the upper tier of a hop, the ports of the network there."""
    table = tomllib.loads(node.file.read_text(encoding="utf-8"))
    own = seen_at.get(node.tier)
    if own is not None:
        table.setdefault("media", {})["advertise_port"] = own["udp"]
    above = seen_at.get(TIERS[TIERS.index(node.tier) - 1])
    if "uplink" in table and above is not None:
        table["uplink"]["url"] = f"ws://127.0.0.1:{above['tcp']}/link"
    node.file.write_text(to_toml(table), encoding="utf-8")
    return dataclasses.replace(node, config=load(node.file))


def say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--base-port", type=int, required=True)
    parser.add_argument("--seen-at", type=json.loads, required=True, help='{"county": {"udp": 1, "tcp": 2}, ...}')
    given = parser.parse_args()
    nodes = [behind(node, given.seen_at) for node in prepare(given.dir.resolve(), given.base_port)]
    links = sign_in_links(nodes, Clock())
    demo = Demo(nodes, given.dir.resolve(), say)

    def ready(meeting: str) -> None:
        people = [dataclasses.asdict(link) for link in links]
        say(json.dumps({"ready": True, "conference": meeting, "links": people}, ensure_ascii=False))

    return asyncio.run(_until_signal(demo.run(cameras=False, ready=ready), say))


if __name__ == "__main__":
    raise SystemExit(main())
