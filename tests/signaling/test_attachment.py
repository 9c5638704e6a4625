"""Files that go with a directive."""

import pytest

from signaling.attachment import JPEG, OGG, PDF, PNG, WEBM, Attachment, check_attachments, media_of
from signaling.errors import Refused
from signaling.ids import Sha256

OPUS = b"OggS\x00\x02" + bytes(22) + b"OpusHead\x01\x01"


def attachment(number: int = 1, media: str = PDF, size: int = 100, name: str = "方案.pdf") -> Attachment:
    return Attachment(sha256=Sha256(f"{number:064x}"), size=size, media=media, name=name)


@pytest.mark.parametrize(
    ("beginning", "media"),
    [
        (b"%PDF-1.7\n", PDF),
        (b"\xff\xd8\xff\xe0", JPEG),
        (b"\x89PNG\r\n\x1a\n\x00", PNG),
        (OPUS, OGG),
        (b"\x1a\x45\xdf\xa3\x9f", WEBM),
    ],
)
def test_a_kind_is_what_the_first_bytes_say(beginning: bytes, media: str) -> None:
    assert media_of(beginning) == media


@pytest.mark.parametrize(
    "beginning", [b"", b"MZ", b"<html>", b"PK\x03\x04", b"\xff\xd8", b"OggS" + bytes(60), b"GIF89a"]
)
def test_other_kinds_are_refused(beginning: bytes) -> None:
    with pytest.raises(Refused) as refused:
        media_of(beginning)
    assert refused.value.code == "attachment-kind"


def test_eight_files_and_a_voice_among_them() -> None:
    files = [*(attachment(n) for n in range(7)), attachment(8, OGG, name="录音.ogg")]
    check_attachments(files, "")
    check_attachments(files, files[-1].sha256)


@pytest.mark.parametrize(
    ("files", "voice", "code"),
    [
        ([attachment(n) for n in range(9)], "", "bad-attachment"),
        ([attachment(), attachment()], "", "bad-attachment"),
        ([attachment(size=0)], "", "bad-attachment"),
        ([attachment(size=(4 << 20) + 1)], "", "bad-attachment"),
        ([attachment(media="text/html")], "", "bad-attachment"),
        ([Attachment(sha256=Sha256("../x"), size=1, media=PDF, name="x")], "", "bad-attachment"),
        ([attachment()], attachment().sha256, "bad-attachment"),
        ([], "0" * 64, "bad-attachment"),
        ([attachment(name="a\r\nb")], "", "bad-text"),
        ([attachment(name="")], "", "bad-text"),
    ],
)
def test_what_cannot_be_attached_is_refused(files: list[Attachment], voice: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        check_attachments(files, voice)
    assert refused.value.code == code
