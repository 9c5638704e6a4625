"""``wuji sources``: the registry of the gateway on this machine, from a file and on the screen."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from gateway.asking import AskError, Target, asking, own_gateway
from gateway.clock import Clock
from gateway.config import Config
from signaling.records import Role

__all__ = ["AskError", "line", "listed", "load"]

TOKEN_S = 600
PAGE = 1_000
BEIJING = timezone(timedelta(hours=8))


async def load(config: Config, clock: Clock, file: Path) -> dict[str, int]:
    """Register the points of ``file``; return how many ``sources`` there were and how many ``changed``.

    Raises:
        OSError: The file cannot be read.
        AskError: It is too long, the gateway does not answer, or it takes none of the lines and says why.
    """
    limit = config.http.alarm_bytes
    with file.open("rb") as source:
        data = source.read(limit + 1)
    if len(data) > limit:
        raise AskError(f"{file}: more than {limit} bytes (http.alarm_bytes)")
    async with asking(_own(config, clock)) as client:
        return await client.ask(dict[str, int], "POST", "sources", csv=data)


async def listed(config: Config, clock: Clock, text: str, silent_min: int) -> list[dict[str, Any]]:
    """Return every point as ``GET /api/v1/sources`` gives it; raises AskError."""
    rows: list[dict[str, Any]] = []
    async with asking(_own(config, clock)) as client:
        while True:
            query = urlencode({"after": len(rows), "limit": PAGE, "text": text, "silent_min": silent_min})
            page = await client.ask(dict[str, Any], "GET", f"sources?{query}")
            rows += page["sources"]
            if len(rows) >= page["count"] or not page["sources"]:
                return rows


def line(row: Mapping[str, Any]) -> str:
    """Return one point as a line of text."""
    seen = "-" if row["last_seen"] is None else f"{datetime.fromtimestamp(row['last_seen'] / 1000, BEIJING):%F %T}"
    camera = (row["camera_outcome"] or "camera") if row["camera"] else "-"
    armed = "armed" if row["armed"] else "disarmed"
    return f"{row['place']}  {armed:<8}  {seen:<19}  {camera:<16}  {row['kind']:<12}  {row['source']}"


def _own(config: Config, clock: Clock) -> Target:
    return own_gateway(config, clock, TOKEN_S, "wuji sources", Role.ADMIN)
