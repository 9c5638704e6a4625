"""A node's settings and keys in a folder, and its HTTP port with handlers of the test's choosing."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from gateway import http, pki
from gateway.config import Config, build
from gateway.connection import Listener
from signaling.ids import NodeCode

from .places import COUNTY, PROVINCE, TOWNSHIP, VILLAGE

NODES = (PROVINCE, COUNTY, TOWNSHIP, VILLAGE)
DIVISIONS = Path(__file__).parents[2] / "configs" / "demo" / "divisions.csv"


def settings(folder: Path, node: NodeCode = COUNTY, **sections: Mapping[str, Any]) -> Config:
    """Return settings of ``node`` with keys and data in ``folder``; ``sections`` override, ``own`` is [node]."""
    public = pki.make_node_keys(folder / "keys", NODES)
    table: dict[str, dict[str, Any]] = {
        "node": {"code": node, "data_dir": str(folder / node), "reserve_bytes": 0},
        "http": {"port": 0},
        "load": {"lag_ms": 60_000},  # the machine of these tests may be busy with something else
        "tree": {"file": str(DIVISIONS)},
        "keys": {
            "private_key_file": str(pki.files_of(folder / "keys", node).private_key),
            "public_keys_file": str(public),
        },
    }
    for given, values in sections.items():
        name = "node" if given == "own" else given
        table[name] = {**table.get(name, {}), **values}
    return build(table, "test", folder)


async def unused(request: web.Request) -> web.StreamResponse:
    raise web.HTTPNotFound


def well() -> dict[str, str]:
    return {"journal": "", "bus": ""}


@contextlib.asynccontextmanager
async def serving(
    config: Config,
    *,
    api: Iterable[web.AbstractRouteDef] = (),
    ws: http.Handler = unused,
    link: http.Handler = unused,
    readiness: http.Readiness = well,
) -> AsyncIterator[int]:
    """Serve the port; yield its number."""
    app = http.application(config, api=api, ws=ws, link=link, readiness=readiness)
    listener = await Listener.start(app, config.http)
    try:
        yield listener.port
    finally:
        await listener.stop()
