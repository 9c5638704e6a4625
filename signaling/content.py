"""What a directive says beside to whom: its document head, feedback form, files, languages, and who stands behind it.

Pure.  Asked where it is issued and again at every hop.
"""

from __future__ import annotations

from . import text
from .attachment import check_attachments
from .directive import MAX_TEXT, same_person
from .division import Tree
from .document import MAX_NUMBER
from .errors import Refused
from .forms import check_fields
from .permission import Action, permit
from .records import DirectiveIssued

MAX_CAPACITY = 60
MAX_WORD = 64
MAX_LANGUAGES = 4
MAX_LANGUAGE = 16
MAX_POST = 20
LEVELS = range(5)


def check_content(record: DirectiveIssued, tree: Tree) -> None:
    """Return if everything but identity, text and recipients is well formed.

    Raises:
        Refused: ``bad-text``, ``bad-record``, ``bad-field``, ``bad-attachment`` or ``not-permitted``.
    """
    text.line(record.number, "number", MAX_NUMBER, empty=True)
    text.line(record.capacity, "capacity", MAX_CAPACITY, empty=True)
    text.line(record.template, "template", MAX_WORD, empty=True)
    text.line(record.plan, "plan", MAX_WORD, empty=True)
    if record.level not in LEVELS:
        raise Refused("bad-record", f"level: {record.level}, not in 0..{LEVELS[-1]}")
    check_fields(record.fields)
    check_attachments(record.attachments, record.voice or "")
    _languages(record)
    _posts(record)
    _second_person(record, tree)


def _languages(record: DirectiveIssued) -> None:
    if len(record.texts) > MAX_LANGUAGES:
        raise Refused("bad-record", f"texts: {len(record.texts)} languages, limit {MAX_LANGUAGES}")
    for language, words in record.texts.items():
        text.line(language, "texts", MAX_LANGUAGE)
        text.body(words, "texts", MAX_TEXT)


def _posts(record: DirectiveIssued) -> None:
    if not record.posts.keys() <= set(record.recipients):
        raise Refused("bad-record", "posts: of a place that is no recipient")
    for post in set(record.posts.values()):
        text.line(post, "posts", MAX_POST)


def _second_person(record: DirectiveIssued, tree: Tree) -> None:
    if record.countersign_by is not None and record.countersign_by <= record.at:
        raise Refused("bad-record", "countersign_by: not after at")
    if record.approved_by is None:
        return
    if same_person(record.approved_by, record.issuer):
        raise Refused("not-permitted", "approved by its own author")
    permit(record.approved_by, Action.APPROVE, record.issuer.division, tree)
