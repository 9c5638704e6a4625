"""Pictures by hash: durable, bounded, and no name off the wire near the file system."""

import asyncio
import hashlib
from pathlib import Path

import pytest

from gateway.blobs import MAX_BLOB_BYTES, Blobs, Known
from signaling.errors import Refused
from signaling.ids import Sha256
from tests.support.loop import on_loop
from tests.support.places import TOWNSHIP, VILLAGE

DATA = b"\xff\xd8\xff" + b"picture" * 1000
NAME = Sha256(hashlib.sha256(DATA).hexdigest())


@on_loop
async def test_what_was_put_is_there_after_a_restart(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    assert await blobs.get(NAME) is None
    assert await blobs.put(DATA) == NAME
    assert blobs.path(NAME).read_bytes() == DATA
    again = Blobs(tmp_path)
    assert again.has(NAME)
    assert again.size(NAME) == len(DATA)
    assert await again.get(NAME) == DATA
    assert await again.read(NAME, 3, 7) == b"picture"
    assert await again.read(NAME, len(DATA), 7) == b""
    assert await again.read(NAME, -1, 7) == b""


@on_loop
async def test_putting_the_same_at_once_writes_one_file(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path, space_bytes=len(DATA))
    assert set(await asyncio.gather(*(blobs.put(DATA) for _ in range(8)))) == {NAME}
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == [NAME]


@on_loop
async def test_a_blob_is_here_only_when_it_is_on_the_disk(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    putting = asyncio.create_task(blobs.put(DATA))
    while not putting.done():
        assert blobs.has(NAME) <= blobs.path(NAME).is_file()
        await asyncio.sleep(0)
    assert blobs.has(NAME)


@on_loop
async def test_space_and_size_are_bounded(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path, space_bytes=len(DATA) + 10)
    for data in (b"", b"x" * (MAX_BLOB_BYTES + 1)):
        with pytest.raises(Refused) as refused:
            await blobs.put(data)
        assert refused.value.code == "blob-too-large"
    await blobs.put(DATA)
    with pytest.raises(Refused) as refused:
        await blobs.put(b"y" * 11)
    assert refused.value.code == "blob-space"
    await blobs.put(b"y" * 10)
    with pytest.raises(Refused):
        await Blobs(tmp_path, space_bytes=len(DATA) + 10).put(b"z")


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", "", "A" * 64, "a" * 63, "a" * 300, "a\0" * 32, "%2e%2e"])
@on_loop
async def test_names_that_are_no_hash_reach_nothing(tmp_path: Path, name: str) -> None:
    blobs = Blobs(tmp_path / "blobs")
    with pytest.raises(Refused) as refused:
        blobs.path(Sha256(name))
    assert refused.value.code == "unknown-blob"
    assert await blobs.get(Sha256(name)) is None
    assert await blobs.read(Sha256(name), 0, 10) == b""
    assert not blobs.want(Sha256(name))


@on_loop
async def test_a_half_written_file_is_removed_at_start(tmp_path: Path) -> None:
    part = tmp_path / f"{NAME}.1.part"
    part.write_bytes(DATA[:10])
    blobs = Blobs(tmp_path)
    assert not part.exists()
    assert not blobs.has(NAME)


@on_loop
async def test_a_failed_write_leaves_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path, space_bytes=len(DATA))
    (tmp_path / NAME[:2]).write_bytes(b"in the way")
    with pytest.raises(OSError):
        await blobs.put(DATA)
    assert not blobs.has(NAME)
    (tmp_path / NAME[:2]).unlink()
    assert await blobs.put(DATA) == NAME


@on_loop
async def test_what_is_known_can_be_wanted_from_its_neighbour_until_it_is_here(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    asked: list[Known] = []
    arrived: list[Sha256] = []
    blobs.on_wanted(asked.append)
    blobs.on_blob(arrived.append)
    assert not blobs.want(NAME)
    blobs.know(NAME, len(DATA), VILLAGE)
    blobs.know(NAME, 1, TOWNSHIP)
    assert blobs.known(NAME) == Known(NAME, len(DATA), VILLAGE)
    assert blobs.want(NAME)
    assert blobs.want(NAME)
    assert asked == [Known(NAME, len(DATA), VILLAGE)]
    assert blobs.wanted(VILLAGE) == (Known(NAME, len(DATA), VILLAGE),)
    assert blobs.wanted(TOWNSHIP) == ()
    blobs.forget(NAME)
    assert blobs.wanted(VILLAGE) == ()
    assert blobs.want(NAME)
    await blobs.put(DATA)
    assert arrived == [NAME]
    assert blobs.wanted(VILLAGE) == ()
    assert not blobs.want(NAME)
