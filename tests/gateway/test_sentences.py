"""Every refusal that can reach a page has a sentence for people, and no sentence is about a refusal nobody gives."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

from gateway import problems
from signaling.directive import Header
from signaling.records import Stage

ROOT = Path(__file__).parents[2]
CONSOLE = ROOT / "gateway" / "console" / "src"
GIVES = frozenset({"Refused", "Deny", "of_code", "CameraError", "PictureError", "Unusable"})
"""What is called with a code first to refuse something; a console says it of a camera and of a photo, too."""

BETWEEN_MACHINES = frozenset(
    {
        # between gateways, over a link or a bus
        "bad-blob",
        "bad-carry",
        "bad-presence",
        "bad-quality",
        "bad-roster",
        "bad-speaker",
        "signature-invalid",
        "wrong-direction",
        "wrong-place",
        # of what a page of ours never sends, and programs may
        "fault",
        "malformed-json",
        "malformed-multipart",
        "origin-foreign",
        "sdp-malformed",
        "secret-in-url",
        "unexpected-message",
        "unknown-resource",
        "unknown-slot",
    }
)
MADE_BY_PAGES = frozenset({"offline", "timeout", "unreachable", "media-failed"})
FALLBACKS = frozenset({"other", "token"})
"""What is said of codes without a sentence, and of all that begin with ``token-``."""
OVER = (Header.RECALLED, Header.EXPIRED, Header.CLOSED, Header.SUPERSEDED)
BEGUN = (Header.DRAFT, Header.PENDING, Header.ISSUED)


@functools.cache
def trees() -> tuple[ast.AST, ...]:
    return tuple(
        ast.parse(path.read_text(encoding="utf-8"))
        for folder in ("signaling", "media", "gateway")
        for path in (ROOT / folder).rglob("*.py")
        if path != Path(problems.__file__) and CONSOLE.parent not in path.parents
    )


@functools.cache
def given() -> set[str]:
    """Return every code the gateway's code names when it refuses."""
    composed = {f"directive-{state}" for state in OVER} | {f"draft-{state}" for state in BEGUN}
    composed.add(f"not-{Stage.SHOWN}")
    return composed | {code for tree in trees() for code in _codes(tree)}


def named() -> set[str]:
    """Return every string the gateway's code has, other than in the table of statuses."""
    constants = (node for tree in trees() for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {node.value for node in constants if isinstance(node.value, str)}


def _codes(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            yield from _told(node)
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        first = node.args[0]
        if name in GIVES and isinstance(first, ast.Constant) and isinstance(first.value, str):
            yield first.value


def _told(answer: ast.Dict) -> Iterator[str]:
    """Yield the code a process that looks at pictures answers with, ``{"code": ...}``."""
    for key, value in zip(answer.keys, answer.values, strict=True):
        if isinstance(key, ast.Constant) and key.value == "code" and isinstance(value, ast.Constant):
            yield value.value


def sentences(language: str) -> set[str]:
    text = (CONSOLE / f"{language}.ts").read_text(encoding="utf-8")
    return set(re.findall(r'^  "error\.([\w-]+)":', text, re.MULTILINE))


def test_what_can_reach_a_person_has_a_sentence_in_both_languages() -> None:
    for_people = {code for code in given() if not code.startswith(("token-", "cap-")) and code not in BETWEEN_MACHINES}
    assert len(for_people) > 60
    for language in ("zh", "en"):
        assert for_people - sentences(language) == set()


def test_no_sentence_is_about_what_nobody_says() -> None:
    known = given() | named() | MADE_BY_PAGES | FALLBACKS | set(problems.BY_STATUS.values())
    for language in ("zh", "en"):
        assert sentences(language) - known == set()


def test_what_is_only_between_machines_is_said_somewhere() -> None:
    assert BETWEEN_MACHINES - given() == set()
