"""Files become live media: what can be sent as it is is passed on, the rest is encoded, time goes on over loops."""

import asyncio
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest

from media import clips
from media.clips import demo_clip
from media.ingest import FRAME_SAMPLES, FileReader, Player, Unit, UnusableFile


def video(path: Path, codec: str, *, gop: int = 25, b_frames: int = 0, size: tuple[int, int] = (320, 180)) -> Path:
    """Four seconds of moving test picture."""
    with (
        av.open(f"testsrc2=size={size[0]}x{size[1]}:rate=25:duration=4", format="lavfi") as seen,
        av.open(str(path), "w") as out,
    ):
        stream = out.add_stream(codec, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.gop_size, stream.codec_context.max_b_frames = gop, b_frames
        if codec == "libx264":
            stream.codec_context.options = {"bf": str(b_frames), "sc_threshold": "0"}
        for number, frame in enumerate(seen.decode(video=0)):
            frame.pts, frame.time_base, frame.pict_type = number, Fraction(1, 25), 0
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def nal_types(unit: Unit) -> list[int]:
    """NAL unit types of an Annex B packet."""
    data = bytes(unit.media)
    starts = [i + 3 for i in range(len(data) - 3) if data[i : i + 3] == b"\x00\x00\x01"]
    return [data[start] & 31 for start in starts]


def units(path: Path, until_s: float, kind: str, loop: bool = True) -> list[Unit]:
    return [unit for unit in FileReader(path, loop).read(until_s) if unit.kind == kind]


def test_the_demo_clip_is_passed_on_with_a_keyframe_each_second(clip: Path) -> None:
    reader = FileReader(clip, loop=True)
    assert (reader.passes, reader.codec, reader.kinds) == (True, "h264", ("audio", "video"))
    pictures = [unit for unit in reader.read(11) if unit.kind == "video"]
    keys = [unit.at_s for unit in pictures if 5 in nal_types(unit)]
    assert max(later - earlier for earlier, later in pairwise(keys)) <= 1.1
    assert all({7, 8} <= set(nal_types(unit)) for unit in pictures if 5 in nal_types(unit)), "parameter sets with each"


def test_time_goes_on_when_the_file_begins_again(clip: Path) -> None:
    for kind, most in (("video", 0.1), ("audio", 0.06)):
        times = [unit.at_s for unit in units(clip, 17, kind)]
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert 0 < min(gaps) <= max(gaps) <= most
        assert times[-1] > 16


def test_sound_is_whole_frames_for_opus(clip: Path) -> None:
    frames = units(clip, 3, "audio")
    assert {frame.media.samples for frame in frames} == {FRAME_SAMPLES}
    assert [frame.media.pts for frame in frames] == [FRAME_SAMPLES * n for n in range(len(frames))]
    assert max(abs(int(frame.media.to_ndarray().max())) for frame in frames) > 100, "it is not silence"


@pytest.mark.parametrize(
    ("codec", "gop", "b_frames", "suffix", "passes"),
    [
        ("libx264", 25, 0, "mp4", True),
        ("libx264", 25, 0, "mkv", True),
        ("libx264", 25, 0, "ts", True),
        ("libx264", 100, 0, "mp4", False),
        ("libx264", 25, 2, "mp4", False),
        ("mpeg4", 25, 0, "mp4", False),
        ("libvpx", 25, 0, "webm", True),
    ],
)
def test_only_what_a_receiver_can_take_is_passed_on(
    tmp_path: Path, codec: str, gop: int, b_frames: int, suffix: str, passes: bool
) -> None:
    reader = FileReader(video(tmp_path / f"a.{suffix}", codec, gop=gop, b_frames=b_frames), loop=True)
    assert reader.passes is passes
    assert reader.codec == ("vp8" if codec == "libvpx" else "h264")
    pictures = reader.read(3)
    assert len(pictures) >= 75
    assert [unit.at_s for unit in pictures] == sorted(unit.at_s for unit in pictures)
    if reader.codec == "h264":
        assert 7 in nal_types(pictures[0])
        assert sum(5 in nal_types(unit) for unit in pictures) >= 3


def test_what_is_too_tall_is_made_smaller_when_encoded(tmp_path: Path) -> None:
    picture = units(video(tmp_path / "a.mp4", "mpeg4", size=(1440, 1080)), 0.1, "video")[0]
    decoder = av.CodecContext.create("h264", "r")
    frame = [*decoder.decode(av.Packet(bytes(picture.media))), *decoder.decode(None)][0]
    assert (frame.width, frame.height) == (960, 720)


@pytest.mark.parametrize("content", [b"", b"hello", b"RIFF" + bytes(400)])
def test_a_file_that_is_no_video_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.mp4"
    path.write_bytes(content)
    with pytest.raises(UnusableFile):
        FileReader(path, loop=False)


def test_a_clip_is_made_where_the_package_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips, "_package_clip", lambda name: None)
    path = demo_clip(tmp_path / "made" / "clip.mp4")
    reader = FileReader(path, loop=False)
    assert (reader.passes, reader.kinds) == (True, ("audio", "video"))
    written = path.stat().st_mtime_ns
    assert demo_clip(path) == path
    assert path.stat().st_mtime_ns == written, "made once"
    assert list(path.parent.iterdir()) == [path]


async def test_a_player_gives_each_track_its_media_in_time(clip: Path) -> None:
    player = Player(FileReader(clip, loop=True))
    loop = asyncio.get_running_loop()
    began = loop.time()
    pictures = [await player.next("video") for _ in range(26)]
    assert loop.time() - began > 0.8, "not before their time"
    at_s = [float(packet.pts * packet.time_base) for packet in pictures]
    assert at_s == sorted(at_s)
    assert at_s[-1] - at_s[0] == pytest.approx(1.0, abs=0.1), "25 pictures a second"
    sound = [await player.next("audio") for _ in range(10)]
    assert [frame.pts for frame in sound] == [FRAME_SAMPLES * n for n in range(10)]


async def test_a_player_says_when_the_file_is_over(tmp_path: Path) -> None:
    player = Player(FileReader(video(tmp_path / "a.mp4", "libx264"), loop=False))
    player._until = lambda at_s: asyncio.sleep(0)  # type: ignore[method-assign]
    seen = 0
    while await player.next("video") is not None:
        seen += 1
    assert seen == 100
    assert await player.next("video") is None
