"""Answers take what the engine can forward, in the offerer's own numbers."""

import pytest

from media.answer import Local, Plan, plan, render
from media.sdp import parse_offer

from .offers import NAMES, offer, without

LOCAL = Local(7, "abcd", "x" * 24, ":".join(["AB"] * 32), [("192.0.2.1", 8805), ("2001:db8::1", 8805)])


def planned(text: str, max_slots: int = 64) -> Plan:
    return plan(parse_offer(text), max_slots)


def answered(accepted: Plan) -> list[list[str]]:
    """The answer as blocks of lines: the session, then the sections."""
    ssrcs = {i: (i + 1, i + 1_000) for i, entry in enumerate(accepted.entries) if entry is not None and entry.slot}
    text = render(accepted, LOCAL, ssrcs)
    blocks: list[list[str]] = [[]]
    for line in text.removesuffix("\r\n").split("\r\n"):
        if line.startswith("m="):
            blocks.append([])
        blocks[-1].append(line)
    return blocks


def test_a_terminal_sends_audio_camera_and_content_and_has_its_slots() -> None:
    accepted = planned(offer("chromium-terminal"))
    assert [entry.label for entry in accepted.taken] == ["audio", "camera", "content"] + [None] * 7
    assert [entry.slot for entry in accepted.taken] == [False] * 3 + [True] * 7
    assert accepted.taken[1].rids == ("q", "h", "f")
    assert accepted.role == "server"
    assert dict(accepted.extensions)["rid"] == 10


def test_every_section_says_lite_transport_and_its_direction() -> None:
    session, *sections = answered(planned(offer("chromium-terminal")))
    assert "a=ice-lite" in session
    assert "a=group:BUNDLE 0 1 2 3 4 5 6 7 8 9" in session
    for number, section in enumerate(sections):
        assert "a=setup:passive" in section
        assert "a=candidate:1 1 udp 2130706431 192.0.2.1 8805 typ host" in section
        assert "a=end-of-candidates" in section
        assert "a=rtcp-mux" in section
        assert ("a=recvonly" if number < 3 else "a=sendonly") in section


def test_simulcast_is_accepted_layer_by_layer() -> None:
    camera = answered(planned(offer("chromium-terminal")))[2]
    assert [line for line in camera if "rid:" in line] == ["a=rid:q recv", "a=rid:h recv", "a=rid:f recv"]
    assert "a=simulcast:recv q;h;f" in camera


def test_layers_are_given_lowest_first_whatever_the_order_of_the_offer() -> None:
    text = offer("chromium-terminal").replace("a=simulcast:send q;h;f", "a=simulcast:send f;~h,x;q")
    accepted = planned(text)
    assert accepted.taken[1].rids == ("q", "h", "f")
    assert "a=simulcast:recv f;h;q" in answered(accepted)[2]


def test_layers_are_not_taken_without_the_extension_that_names_them() -> None:
    lines = offer("chromium-terminal").splitlines()
    text = "\n".join(line for line in lines if "sdes:rtp-stream-id" not in line)
    assert planned(text).taken[1].rids == ()


def test_slots_name_their_streams() -> None:
    slot = answered(planned(offer("chromium-terminal")))[4]
    assert "a=msid:slot-3 track-3" in slot
    assert "a=ssrc-group:FID 4 1003" in slot
    assert "a=ssrc:4 cname:wuji-7" in slot


def test_codecs_keep_the_offerers_payload_types_and_order() -> None:
    accepted = planned(offer("chromium-terminal"))
    video = [("vp8", 96, 97), ("h264", 108, 109), ("av1", 45, 46), ("vp9", 98, 99)]
    assert [(p.codec, p.pt, p.repair) for p in accepted.taken[1].payloads] == video
    assert [(p.codec, p.pt, p.repair) for p in accepted.taken[0].payloads] == [("opus", 111, 63)]
    sound = answered(accepted)[1]
    assert sound[0].endswith(" 111 63")
    assert {
        "a=fmtp:111 minptime=10;useinbandfec=1;maxaveragebitrate=24000",
        "a=rtpmap:63 red/48000/2",
        "a=fmtp:63 111/111",
    } <= set(sound)


def test_red_of_another_codec_is_not_taken() -> None:
    text = offer("chromium-terminal").replace("a=fmtp:63 111/111", "a=fmtp:63 111/9")
    assert [(p.codec, p.pt, p.repair) for p in planned(text).taken[0].payloads] == [("opus", 111, None)]


def test_vp9_and_av1_are_taken_in_profile_0_only() -> None:
    text = offer("chromium-terminal").replace("profile-id=0", "profile-id=2").replace("profile=0", "profile=1")
    assert [p.codec for p in planned(text).taken[1].payloads] == ["vp8", "h264"]
    camera = answered(planned(offer("chromium-terminal")))[2]
    assert {"a=rtpmap:98 VP9/90000", "a=fmtp:98 profile-id=0", "a=rtpmap:45 AV1/90000"} <= set(camera)


def test_the_dependency_descriptor_is_taken_from_those_who_mix_extension_forms() -> None:
    text = offer("chromium-terminal")
    assert "dependency_descriptor" in dict(planned(text).extensions)
    assert "dependency_descriptor" not in dict(planned(without(text, "a=extmap-allow-mixed")).extensions)


def test_a_data_channel_is_rejected_with_port_0_and_the_rest_taken() -> None:
    session, *sections = answered(planned(offer("chromium-viewer-datachannel")))
    assert sections[-1][0].startswith("m=application 0 ")
    assert "a=group:BUNDLE 0 1 2 3" in session
    assert all(section[0].split()[1] != "0" for section in sections[:-1])


def test_slots_beyond_the_limit_are_rejected() -> None:
    accepted = planned(offer("chromium-terminal"), max_slots=2)
    assert [entry is not None for entry in accepted.entries] == [True] * 5 + [False] * 5


def test_the_wall_with_25_slots_fits_a_message() -> None:
    text = offer("chromium-wall")
    blocks = answered(planned(text))
    assert len(blocks) == 32
    assert len(text) < 48_000
    assert sum(len(line) + 4 for block in blocks for line in block) < 60_000


def test_a_passive_offerer_makes_us_the_dtls_client() -> None:
    accepted = planned(offer("whip-h264-passive"))
    assert accepted.role == "client"
    assert all("a=setup:active" in section for section in answered(accepted)[1:])
    assert [entry.label for entry in accepted.taken] == ["audio", "camera"]


def test_high_profile_h264_is_taken_when_nothing_better_is_offered() -> None:
    accepted = planned(offer("whip-obs"))
    assert accepted.taken[1].payloads[0].profile.endswith("profile-level-id=64001f")
    assert "goog-remb" in accepted.taken[1].payloads[0].feedback


def test_a_sendrecv_section_is_an_upstream_and_a_slot() -> None:
    accepted = planned(offer("aiortc-sendrecv"))
    assert [(entry.label, entry.slot) for entry in accepted.taken] == [("audio", True), ("camera", True)]
    assert "a=sendrecv" in answered(accepted)[1]
    assert accepted.taken[1].payloads[1].pt == 101, "constrained baseline is preferred to 42001f"


def test_without_a_bundle_only_the_first_section_is_taken() -> None:
    accepted = planned(without(offer("whip-obs"), "a=group:BUNDLE"))
    assert [entry is not None for entry in accepted.entries] == [True, False]


def test_packetization_mode_0_is_taken_from_a_sender_but_never_sent() -> None:
    text = offer("aiortc-sendrecv").replace("packetization-mode=1", "packetization-mode=0")
    assert [p.codec for p in planned(text).taken[1].payloads] == ["vp8"]
    sender = planned(offer("whip-obs").replace("packetization-mode=1", "packetization-mode=0"))
    assert "packetization-mode=0" in sender.taken[1].payloads[0].profile


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_has_the_sections_of_its_offer_in_order(name: str) -> None:
    parsed = parse_offer(offer(name))
    _, *sections = answered(plan(parsed, 64))
    assert [section[0].split()[0] for section in sections] == [f"m={s.kind}" for s in parsed.sections]
    assert [f"a=mid:{s.mid}" in section for s, section in zip(parsed.sections, sections, strict=True)] == [True] * len(
        sections
    )


def test_every_section_of_chromium_numbers_its_packets_and_reports_arrivals() -> None:
    """Both directions: with the extension and feedback of a slot, the page tells what its path carries."""
    accepted = planned(offer("chromium-terminal"))
    _, *sections = answered(accepted)
    for entry, section in zip(accepted.entries, sections, strict=True):
        assert entry is not None
        extension = dict(accepted.extensions)["twcc"]
        uri = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
        assert f"a=extmap:{extension} {uri}" in section
        for payload in entry.payloads:
            assert f"a=rtcp-fb:{payload.pt} transport-cc" in section
