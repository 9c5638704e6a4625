"""One conference at one node: what is measured here, what others say, and what neighbours are told."""

from signaling.conversation import CHANGE_S, LEVELS_S, Conversation
from signaling.ids import ConferenceId, Monotonic, NodeCode, ParticipantId, TrackId
from signaling.loudness import SILENT_DBOV, STALE_S, Loudness
from signaling.messages import TrackView
from signaling.seating import Known

ZHAO, LI = TrackId("zhao-audio"), TrackId("li-audio")
UP, DOWN = NodeCode("up"), NodeCode("down")


def at(seconds: float) -> Monotonic:
    return Monotonic(500.0 + seconds)


def known(*tracks: TrackId, muted: bool = False) -> list[Known]:
    return [
        Known(
            TrackView(track=track, kind="audio", label="audio", codec="opus", muted=muted),
            ParticipantId(track.removesuffix("-audio")),
            ConferenceId("c"),
            None,
        )
        for track in tracks
    ]


def test_a_voice_of_another_node_counts_as_measured_here_only_while_its_packets_come() -> None:
    talk = Conversation()
    talk.measured(ZHAO, -30, at(0))
    talk.carried(LI, -30, -35, at(0))
    assert talk.heard(at(0))[LI] == Loudness(-30, -35)
    later = talk.heard(at(STALE_S))
    assert later.keys() == {ZHAO}
    assert later[ZHAO].level == SILENT_DBOV


def test_a_voice_that_comes_again_begins_at_what_its_side_says_it_ranks() -> None:
    talk = Conversation()
    talk.carried(LI, -30, -35, at(0))
    talk.carried(LI, -30, -80, at(10))
    assert talk.heard(at(10))[LI].rank == -80


def test_who_is_not_among_the_loudest_keeps_the_floor_while_nobody_else_speaks() -> None:
    talk = Conversation()
    talk.decide(known(ZHAO, LI), {ZHAO: Loudness(-20, -20)}, at(0))
    talk.decide(known(ZHAO, LI), {LI: Loudness(-80, -80)}, at(1))
    assert talk.speaker == "zhao"


def test_who_is_muted_or_gone_has_no_floor() -> None:
    talk = Conversation()
    talk.decide(known(ZHAO), {ZHAO: Loudness(-20, -20)}, at(0))
    talk.decide(known(ZHAO, muted=True), {}, at(1))
    assert talk.speaker is None


def test_a_side_is_told_other_voices_soon_and_other_levels_a_few_times_a_second() -> None:
    talk = Conversation()
    assert not talk.voices_due(UP, {}, at(0))
    assert talk.voices_due(UP, {ZHAO: Loudness()}, at(0))
    assert not talk.voices_due(UP, {ZHAO: Loudness()}, at(60))
    assert talk.voices_due(UP, {ZHAO: Loudness(-20, -20)}, at(60))
    assert not talk.voices_due(UP, {ZHAO: Loudness(-21, -20)}, at(60 + LEVELS_S / 2))
    assert talk.voices_due(UP, {LI: Loudness()}, at(60 + 2 * CHANGE_S))


def test_each_side_is_told_the_speaker_once_and_a_new_link_again() -> None:
    talk = Conversation()
    assert talk.speaker_due(DOWN)
    assert not talk.speaker_due(DOWN)
    talk.adopt(ParticipantId("zhao"))
    assert talk.speaker_due(DOWN)
    talk.relink(DOWN)
    assert talk.speaker_due(DOWN)


def test_what_is_gone_is_forgotten() -> None:
    talk = Conversation()
    talk.measured(ZHAO, -30, at(0))
    talk.voices_due(UP, {ZHAO: Loudness()}, at(0))
    talk.forget([LI], [DOWN])
    assert talk.heard(at(0)) == {}
    assert talk.voices_due(UP, {ZHAO: Loudness()}, at(1))
