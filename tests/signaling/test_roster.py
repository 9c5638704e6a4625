"""A neighbour is believed about its own side, and only within bounds."""

import msgspec
import pytest

from signaling.errors import Refused
from signaling.ids import ConferenceId, NodeCode, ParticipantId, TrackId
from signaling.messages import LinkRosters, ParticipantView, TrackView
from signaling.roster import MAX_ROSTER, check_roster
from tests.support.places import CITY, COUNTY, OTHER_VILLAGE, PROVINCE, TOWNSHIP, TREE, VILLAGE

TRACK = TrackView(track=TrackId("t"), kind="video", label="camera", codec="vp8")
ZHAO = ParticipantView(participant=ParticipantId("p"), node=VILLAGE, division=VILLAGE, name="赵支书", tracks=(TRACK,))


def check(*views: ParticipantView, peer: NodeCode = TOWNSHIP) -> None:
    check_roster(LinkRosters(conference=ConferenceId("c"), participants=views), peer, COUNTY, TREE)


def test_a_child_speaks_for_its_subtree_and_the_parent_for_all_beyond_it() -> None:
    check(ZHAO, msgspec.structs.replace(ZHAO, node=TOWNSHIP, division=VILLAGE))
    for above in (CITY, PROVINCE):
        check(msgspec.structs.replace(ZHAO, node=above, division=above), peer=CITY)


@pytest.mark.parametrize(
    "forged",
    [
        {"node": CITY, "division": CITY},
        {"node": COUNTY, "division": COUNTY},
        {"node": OTHER_VILLAGE, "division": OTHER_VILLAGE},
        {"node": NodeCode("999999999999")},
        {"division": COUNTY},
        {"name": "两\n行"},
        {"name": ""},
        {"participant": ParticipantId("p" * 65)},
        {"tracks": (TRACK,) * 9},
        {"tracks": (msgspec.structs.replace(TRACK, kind="smell"),)},
        {"tracks": (msgspec.structs.replace(TRACK, track=TrackId("t" * 65)),)},
        {"tracks": (msgspec.structs.replace(TRACK, label="l" * 65),)},
    ],
)
def test_what_a_neighbour_may_not_say_is_refused(forged: dict[str, object]) -> None:
    with pytest.raises(Refused):
        check(msgspec.structs.replace(ZHAO, **forged))


def test_a_roster_has_a_limit() -> None:
    check(*[ZHAO] * MAX_ROSTER)
    with pytest.raises(Refused):
        check(*[ZHAO] * (MAX_ROSTER + 1))
