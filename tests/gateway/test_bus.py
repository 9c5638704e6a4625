"""The bus against a real server: rung, killed, stopped, flushed, restarted."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway import bus as bus_module
from gateway.bus import Bus
from gateway.embedded import EmbeddedServer, EmbeddedServerError
from gateway.telemetry import Telemetry
from signaling.ids import Seq
from tests.support.loop import eventually, on_loop
from tests.support.places import COUNTY, TOWNSHIP


@contextlib.asynccontextmanager
async def running(bus: Bus) -> AsyncIterator[list[Seq]]:
    """Run ``bus`` until the block ends; the list collects what it hears."""
    heard: list[Seq] = []
    bus.listen(heard.append)
    task = asyncio.create_task(bus.run())
    try:
        await eventually(lambda: bus.up)
        yield heard
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@on_loop
async def test_a_ring_is_heard_by_every_process_of_the_node_and_no_other(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path)
    await server.start()
    one, two = (Bus(COUNTY, server.url, tmp_path, Telemetry()) for _ in range(2))
    other = Bus(TOWNSHIP, server.url, tmp_path, Telemetry())
    async with running(one) as heard_one, running(two) as heard_two, running(other) as heard_other:
        one.ring(Seq(7))
        await eventually(lambda: 7 in heard_one and 7 in heard_two)
        other.ring(Seq(9))
        await eventually(lambda: 9 in heard_other)
        # 0 says: look at the journal.  It begins every subscription, also one that a slow machine made necessary.
        assert (heard_other[0], set(heard_other)) == (0, {0, 9})
        assert (heard_two[0], set(heard_two)) == (0, {0, 7})
    await server.stop()


@on_loop
async def test_a_burst_ends_with_the_last_number(tmp_path: Path) -> None:
    bus = Bus(COUNTY, None, tmp_path, Telemetry())
    async with running(bus) as heard:
        for number in range(1, 1_001):
            bus.ring(Seq(number))
        await eventually(lambda: heard[-1] == 1_000)
        assert len(heard) < 1_000


@on_loop
async def test_a_killed_server_is_started_again_and_listeners_are_told(tmp_path: Path) -> None:
    bus = Bus(COUNTY, None, tmp_path, Telemetry())
    async with running(bus) as heard:
        assert bus._server is not None
        for round_ in range(3):
            pid = bus._server.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await eventually(lambda: not bus.up)
            bus.ring(Seq(100 + round_))
            await eventually(lambda: bus.up)
            assert bus._server.pid != pid
            assert heard[-1] in (0, 100 + round_)  # look at the journal: rings were missed
            bus.ring(Seq(200 + round_))
            await eventually(lambda n=200 + round_: n in heard)


@on_loop
async def test_a_stopped_server_is_noticed_and_a_continued_one_used_again(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path)
    await server.start()
    assert server.pid is not None
    bus = Bus(COUNTY, server.url, tmp_path, Telemetry())
    async with running(bus) as heard:
        os.kill(server.pid, signal.SIGSTOP)
        try:
            bus.ring(Seq(5))
            await eventually(lambda: not bus.up)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        await eventually(lambda: bus.up)
        bus.ring(Seq(6))
        await eventually(lambda: 6 in heard)
    await server.stop()


async def killed(client: Redis, channel: str) -> None:
    await client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")  # type: ignore[no-untyped-call]


async def overfull(client: Redis, channel: str) -> None:
    await client.config_set("client-output-buffer-limit", "pubsub 1024 1024 1")
    await client.publish(channel, b"x" * 4_000_000)
    await client.config_set("client-output-buffer-limit", "pubsub 33554432 8388608 60")


@on_loop
@pytest.mark.parametrize("cut", [killed, overfull])
async def test_a_listener_that_is_cut_off_knows_at_once_and_looks_at_the_journal(
    cut: Callable[[Redis, str], Awaitable[None]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus_module, "RETRY_S", 3_600.0)  # it waits for nothing
    monkeypatch.setattr(bus_module, "PING_S", 3_600.0)
    monkeypatch.setattr(bus_module, "CALL_S", 60.0)  # nor is a busy machine in the way
    server = EmbeddedServer(tmp_path)
    await server.start()
    bus = Bus(COUNTY, server.url, tmp_path, Telemetry())
    async with running(bus) as heard, Redis.from_url(server.url) as client:
        before = len(heard)
        await cut(client, bus.channel)
        await eventually(lambda: len(heard) > before)
        assert heard[-1] == 0
        assert bus.up
        bus.ring(Seq(8))
        await eventually(lambda: heard[-1] == 8)
    await server.stop()


@on_loop
async def test_flushing_the_server_harms_nothing(tmp_path: Path) -> None:
    bus = Bus(COUNTY, None, tmp_path, Telemetry())
    async with running(bus) as heard:
        await bus.client.set("wuji:x", "1")
        await bus.client.flushall()
        assert await bus.client.dbsize() == 0
        bus.ring(Seq(3))
        await eventually(lambda: 3 in heard)
        assert bus.up


@on_loop
async def test_noise_on_the_channel_is_not_a_ring(tmp_path: Path) -> None:
    bus = Bus(COUNTY, None, tmp_path, Telemetry())
    async with running(bus) as heard:
        for noise in (b"", b"abc", b"-1", b"9" * 30, b"\xff\xff"):
            await bus.client.publish(bus.channel, noise)
        bus.ring(Seq(4))
        await eventually(lambda: 4 in heard)
        assert heard == [0, 4]


@on_loop
async def test_without_a_server_nothing_blocks_and_failures_are_counted(tmp_path: Path) -> None:
    telemetry = Telemetry()
    bus = Bus(COUNTY, f"unix://{tmp_path}/nobody.sock", tmp_path, telemetry)
    task = asyncio.create_task(bus.run())
    bus.ring(Seq(1))
    await eventually(lambda: telemetry.value("bus_errors", operation="ring") >= 1)
    await eventually(lambda: telemetry.value("bus_errors", operation="listen") >= 2)
    assert not bus.up
    with pytest.raises((RedisError, OSError)):
        await bus.client.ping()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@on_loop
async def test_a_long_directory_still_gets_a_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    server = EmbeddedServer(deep)
    assert len(bytes(server.socket)) <= 100
    await server.start()
    await server.stop()
    assert not server.socket.exists()
    assert server.pid is None


@on_loop
async def test_a_server_that_cannot_start_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.embedded.find_binary", lambda: Path("/bin/false"))
    with pytest.raises(EmbeddedServerError, match="ended at once with status 1"):
        await EmbeddedServer(tmp_path).start()


@on_loop
async def test_the_server_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys, pathlib\n"
        "from gateway.embedded import EmbeddedServer\n"
        "async def main():\n"
        "    server = EmbeddedServer(pathlib.Path(sys.argv[1]))\n"
        "    await server.start()\n"
        "    print(server.pid, flush=True)\n"
        "    await server.wait()\n"
        "asyncio.run(main())\n"
    )

    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(tmp_path), stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert child.stdout is not None
    pid = int(await child.stdout.readline())
    os.kill(pid, 0)
    child.kill()
    await child.wait()
    await eventually(lambda: not alive(pid))


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (OSError, IndexError):
        return False
    return state != "Z"
