"""``wuji publish`` against a WHIP endpoint that comes, goes, refuses and answers nonsense."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import av
import pytest
from aiohttp import web

from gateway import publish as module
from gateway.publish import PublishError, publish
from media.ingest import UnusableFile
from media.peer import Peer, PeerState
from tests.support.ports import free_ports

from .calls import Node, node
from .wire import until

Respond = Callable[[web.Request], web.Response | None]


@dataclass
class Gateway:
    """What a node's /whip does.  ``respond`` may answer in its place."""

    on: Node
    respond: Respond = lambda request: None
    seated: list[Peer] = field(default_factory=list)
    asked: list[web.Request] = field(default_factory=list)
    url: str = ""

    async def whip(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        instead = self.respond(request)
        if instead is not None:
            return instead
        peer = self.on.peers.accept(await request.text())
        self.seated.append(peer)
        headers = {"Location": f"/whip/resource/{peer.id}"}
        return web.Response(status=201, text=peer.answer_sdp, content_type="application/sdp", headers=headers)

    async def hang_up(self, request: web.Request) -> web.Response:
        for peer in self.seated:
            if str(peer.id) == request.match_info["peer"]:
                await peer.close()
        return web.Response()


@asynccontextmanager
async def gateway(port: int = 0) -> AsyncIterator[Gateway]:
    async with node() as on:
        made = Gateway(on)
        app = web.Application()
        app.add_routes([web.post("/whip/{meeting}", made.whip), web.delete("/whip/resource/{peer}", made.hang_up)])
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
        made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/whip/meeting"
        try:
            yield made
        finally:
            await runner.cleanup()


@asynccontextmanager
async def publishing(clip: Path, url: str, **options: str) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(publish(clip, url, "secret", True, **options))
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def flowing(on: Gateway) -> bool:
    """The newest seat receives pictures."""
    if not on.seated or on.seated[-1].state is not PeerState.CONNECTED:
        return False
    sources = on.on.engine.stats().sources
    return all(sources[u.source]["packets"] > 10 for u in on.seated[-1].upstreams)


async def test_a_file_is_seated_with_its_token_and_name_and_leaves_when_stopped(clip: Path) -> None:
    async with gateway() as on:
        async with publishing(clip, on.url, name="防汛一号"):
            await until(lambda: flowing(on))
            assert on.asked[0].headers["Authorization"] == "Bearer secret"
            assert on.asked[0].query["name"] == "防汛一号"
            assert [u.label for u in on.seated[0].upstreams] == ["audio", "camera"]
        await until(lambda: on.seated[0].state is PeerState.CLOSED)


async def test_a_gateway_that_dies_and_comes_back_is_called_again(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_FIRST_S", 0.1)
    async with contextlib.AsyncExitStack() as stack:
        first = contextlib.AsyncExitStack()
        port = free_ports()
        on = await first.enter_async_context(gateway(port))
        await stack.enter_async_context(publishing(clip, on.url))
        await until(lambda: flowing(on))
        on.on.engine.close()  # killed: it says goodbye to nobody
        await first.aclose()
        again = await stack.enter_async_context(gateway(port))
        await until(lambda: flowing(again))


@pytest.mark.parametrize("status", [404, 409, 429, 500, 503])
async def test_a_passing_refusal_is_tried_again(clip: Path, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_FIRST_S", 0.05)
    async with gateway() as on:
        on.respond = lambda request: web.Response(status=status) if len(on.asked) < 3 else None
        async with publishing(clip, on.url):
            await until(lambda: flowing(on))
        assert len(on.asked) >= 3


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ("nonsense", {"Location": "/whip/resource/1"}),
        ("v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n", {"Location": "/whip/resource/1"}),
        ("x" * 100_000, {"Location": "/whip/resource/1"}),
        ("v=0\r\n", {}),
    ],
)
async def test_an_answer_that_makes_no_sense_is_survived(
    clip: Path, body: str, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_FIRST_S", 0.05)
    async with gateway() as on:
        strange = web.Response
        on.respond = lambda request: strange(status=201, text=body, headers=headers) if len(on.asked) < 2 else None
        async with publishing(clip, on.url):
            await until(lambda: flowing(on))


@pytest.mark.parametrize("status", [400, 401, 403, 422])
async def test_a_lasting_refusal_ends_it_with_a_reason(clip: Path, status: int) -> None:
    async with gateway() as on:
        on.respond = lambda request: web.Response(status=status, text="token-expired")
        with pytest.raises(PublishError, match="token-expired") as caught:
            await publish(clip, on.url, "secret", True)
        assert "secret" not in str(caught.value)
        assert len(on.asked) == 1


def first_second(clip: Path, target: Path) -> Path:
    """Copy what a clip shows and sounds like in its first second."""
    with av.open(str(clip)) as whole, av.open(str(target), "w") as part:
        streams = {stream.index: part.add_stream_from_template(stream) for stream in whole.streams}
        for packet in whole.demux():
            if packet.dts is not None and packet.time_base is not None and packet.dts * packet.time_base < 1:
                packet.stream = streams[packet.stream.index]
                part.mux(packet)
    return target


async def test_a_file_without_loop_ends_by_itself(clip: Path, tmp_path: Path) -> None:
    async with gateway() as on:
        async with asyncio.timeout(120):
            await publish(first_second(clip, tmp_path / "second.mp4"), on.url, "secret")
        assert on.seated[0].state is PeerState.CLOSED


async def test_a_file_that_cannot_be_sent_is_refused_before_calling(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"not a video")
    async with gateway() as on:
        with pytest.raises(UnusableFile):
            await publish(tmp_path / "a.mp4", on.url, "secret", True)
        assert on.asked == []


async def test_sigterm_ends_the_process_cleanly(clip: Path) -> None:
    program = "import asyncio, sys; from pathlib import Path; from gateway.publish import publish; "
    program += "asyncio.run(publish(Path(sys.argv[1]), sys.argv[2], 'secret', True))"
    async with gateway() as on:
        root = str(Path(module.__file__).parents[1])
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-W", "error", "-c", program, str(clip), on.url, env={**os.environ, "PYTHONPATH": root}
        )
        await until(lambda: flowing(on))
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 60) == 0
        await until(lambda: on.seated[0].state is PeerState.CLOSED)
