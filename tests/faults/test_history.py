"""The checker finds what it is there to find: each planted fault by itself, and nothing in what is well."""

from __future__ import annotations

import random

import pytest

from gateway.proving.history import Did, Event, Outcome, Verdict, check

ISSUER, TOWNSHIP, SCREEN = "county", "township", "village screen"
PLACES = {str(n): frozenset({TOWNSHIP, SCREEN}) for n in range(100)}


def well(orders: int = 20) -> list[Event]:
    """Return the history of ``orders`` orders that all arrived, every fifth of them signed for."""
    events = []
    for number in range(orders):
        what, lane = str(number), "urgent" if number % 3 == 0 else "routine"
        events += [
            Event(ISSUER, Did.ISSUE, what, lane=lane),
            Event(ISSUER, Did.HOLD, what, lane=lane),
            Event(TOWNSHIP, Did.HOLD, what, lane=lane),
            Event(SCREEN, Did.SHOW, what, lane=lane),
        ]
        if number % 5 == 0:
            events += [Event(SCREEN, Did.SIGN, what), Event(ISSUER, Did.REPORT, what)]
    return events


def verdict(events: list[Event]) -> Verdict:
    return check(events, ISSUER, PLACES)


def without(events: list[Event], where: str, did: Did, what: str) -> list[Event]:
    return [event for event in events if (event.where, event.did, event.what) != (where, did, what)]


def test_what_is_well_has_no_findings() -> None:
    found = verdict(well())
    assert found.clean
    assert found.issued == 20
    assert found.tally(Did.ISSUE) == {"ok": 20, "failed": 0, "unknown": 0}


@pytest.mark.parametrize(("where", "did"), [(SCREEN, Did.SHOW), (TOWNSHIP, Did.HOLD)])
def test_a_planted_loss_is_found(where: str, did: Did) -> None:
    found = verdict(without(well(), where, did, "7"))
    assert found.lost == ((where, "7"),)
    assert (found.twice, found.reordered, found.phantom) == ((), (), ())


def test_an_acknowledged_order_that_the_issuing_node_forgot_is_lost() -> None:
    found = verdict([event for event in well() if event.what != "7" or event.did is Did.ISSUE])
    assert set(found.lost) == {(TOWNSHIP, "7"), (SCREEN, "7"), (ISSUER, "7")}


def test_an_acknowledged_signature_that_never_came_up_is_lost() -> None:
    assert verdict(without(well(), ISSUER, Did.REPORT, "5")).lost == ((ISSUER, "5"),)


def test_a_planted_double_is_found() -> None:
    assert verdict([*well(), Event(SCREEN, Did.SHOW, "7", lane="routine")]).twice == ((SCREEN, "7"),)


def test_one_button_that_became_two_directives_is_a_double() -> None:
    again = Event(ISSUER, Did.HOLD, "7", lane="routine")
    assert verdict([*well(), again]).twice == ((ISSUER, "7"),)


def test_a_planted_reorder_is_found_and_only_within_a_lane() -> None:
    late = Event(SCREEN, Did.SHOW, "7", lane="routine")
    moved = without(well(), SCREEN, Did.SHOW, "7")
    after = next(i for i, event in enumerate(moved) if (event.where, event.what) == (SCREEN, "8"))
    assert verdict([*moved[: after + 1], late, *moved[after + 1 :]]).reordered == ((SCREEN, "7"),)
    urgent = Event(SCREEN, Did.SHOW, "9", lane="urgent")
    sooner = without(well(), SCREEN, Did.SHOW, "9")
    before = next(i for i, event in enumerate(sooner) if (event.where, event.what) == (SCREEN, "8"))
    assert verdict([*sooner[:before], urgent, *sooner[before:]]).clean


def test_what_nobody_asked_for_and_what_was_refused_must_not_be_seen() -> None:
    assert verdict([*well(), Event(SCREEN, Did.SHOW, "99")]).phantom == ((SCREEN, "99"),)
    refused = Event(ISSUER, Did.ISSUE, "50", Outcome.FAILED)
    assert verdict([*well(), refused]).clean
    assert verdict([*well(), refused, Event(SCREEN, Did.SHOW, "50")]).phantom == ((SCREEN, "50"),)


def test_an_order_without_an_answer_may_stand_or_not_but_not_half() -> None:
    unknown = Event(ISSUER, Did.ISSUE, "60", Outcome.UNKNOWN)
    assert verdict([*well(), unknown]).clean
    stands = [*well(), unknown, Event(ISSUER, Did.HOLD, "60")]
    assert set(verdict(stands).lost) == {(SCREEN, "60"), (TOWNSHIP, "60")}
    whole = [*stands, Event(TOWNSHIP, Did.HOLD, "60"), Event(SCREEN, Did.SHOW, "60")]
    assert verdict(whole).clean
    assert verdict(whole).tally(Did.ISSUE) == {"ok": 20, "failed": 0, "unknown": 1}


@pytest.mark.parametrize("seed", range(20))
def test_any_one_event_taken_out_or_said_again_is_noticed(seed: int) -> None:
    draw = random.Random(seed)
    events = [event for event in well(40) if event.did is not Did.ISSUE]
    chosen = draw.choice([event for event in events if event.did is not Did.SIGN])
    asked = [event for event in well(40) if event.did is Did.ISSUE]
    assert not verdict([*asked, *without(events, chosen.where, chosen.did, chosen.what)]).clean
    if chosen.did in (Did.SHOW, Did.HOLD):
        assert not verdict([*asked, *events, chosen]).clean
