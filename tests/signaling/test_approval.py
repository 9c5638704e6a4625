"""A directive before it is issued."""

import pytest

from signaling.approval import Append, Draft, decide, evolve, needs_approval
from signaling.directive import TRANSITIONS, DraftRecord, Header
from signaling.effects import Deny, Repeat
from signaling.errors import LocalError
from signaling.ids import DirectiveId
from signaling.records import DirectiveIssued, Urgency
from tests.support.facts import approved, drafted, order, request, returned, submitted
from tests.support.places import CITY, commander, leader

EDITED = drafted(request=request(text="改过的"), revision=2)


def fold(*records: DraftRecord | DirectiveIssued) -> Draft:
    draft: Draft | None = None
    for record in records:
        draft = evolve(draft, record)
    assert draft is not None
    return draft


WRITTEN = fold(drafted())
ASKED = fold(drafted(), submitted())
ISSUED = fold(drafted(), submitted(), approved(), order(directive=DirectiveId("d-3")))


def test_a_draft_is_written_submitted_approved_and_issued() -> None:
    assert decide(None, drafted()) == (Append(drafted()),)
    assert decide(WRITTEN, submitted()) == (Append(submitted()),)
    assert decide(ASKED, approved()) == (Append(approved()),)
    assert [d.state for d in (WRITTEN, ASKED, ISSUED)] == [Header.DRAFT, Header.PENDING, Header.ISSUED]
    assert (ISSUED.approved_by, ISSUED.drafted) == (leader(), drafted())


def test_what_came_back_is_changed_and_submitted_again() -> None:
    back = fold(drafted(), submitted(), returned())
    assert (back.state, back.returned, back.submitted_at) == (Header.DRAFT, returned(), None)
    assert decide(back, EDITED) == (Append(EDITED),)
    again = submitted(revision=2)
    assert decide(evolve(back, EDITED), again) == (Append(again),)
    assert fold(drafted(), submitted(), returned(), EDITED, again).returned is None


@pytest.mark.parametrize(
    ("draft", "record", "code"),
    [
        (None, submitted(), "unknown-draft"),
        (None, drafted(revision=2), "unknown-draft"),
        (WRITTEN, drafted(by=leader(), request=request(text="x"), revision=2), "foreign-draft"),
        (WRITTEN, drafted(request=request(text="x"), revision=3), "draft-changed"),
        (WRITTEN, submitted(by=leader()), "foreign-draft"),
        (WRITTEN, submitted(revision=2), "draft-changed"),
        (WRITTEN, approved(), "draft-draft"),
        (WRITTEN, returned(), "draft-draft"),
        (ASKED, EDITED, "draft-pending"),
        (ASKED, approved(by=commander()), "own-directive"),
        (ASKED, approved(revision=2), "draft-changed"),
        (ASKED, returned(revision=2), "draft-changed"),
        (ISSUED, EDITED, "draft-issued"),
        (ISSUED, submitted(), "draft-issued"),
        (ISSUED, returned(), "draft-issued"),
        (ISSUED, approved(by=leader(CITY)), "draft-issued"),
    ],
)
def test_what_may_not_be_is_denied(draft: Draft | None, record: DraftRecord, code: str) -> None:
    (effect,) = decide(draft, record)
    assert isinstance(effect, Deny)
    assert effect.code == code


def test_repeats_change_nothing() -> None:
    assert decide(WRITTEN, drafted(revision=2)) == (Repeat(),)
    assert decide(ASKED, submitted()) == (Repeat(),)
    assert decide(ISSUED, approved()) == (Repeat(),)


def test_the_author_may_take_a_draft_back() -> None:
    assert decide(ASKED, returned(by=commander())) == (Append(returned(by=commander())),)


@pytest.mark.parametrize("record", [submitted(), approved(), returned(), order(directive=DirectiveId("d-3"))])
def test_a_journal_that_says_what_cannot_follow_is_damaged(record: DraftRecord | DirectiveIssued) -> None:
    with pytest.raises(LocalError):
        evolve(None, record)
    for draft in (WRITTEN, ASKED, ISSUED):
        if type(record) not in TRANSITIONS[draft.state]:
            with pytest.raises(LocalError):
                evolve(draft, record)


def test_the_most_urgent_never_waits_for_a_second_person() -> None:
    listed = frozenset(Urgency)
    assert [needs_approval(urgency, listed) for urgency in Urgency] == [False, True, True, True]
    assert not any(needs_approval(urgency, ()) for urgency in Urgency)
