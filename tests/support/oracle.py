"""A second judge of who may do what, written from sentences and not from the policy table.

It shares nothing with ``signaling/permission.py``: places are rows of (code, parent, tier), the line above a
place is walked by hand, and each role is a sentence about what it is for.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from signaling.permission import Action
from signaling.records import Role

READS = frozenset({Action.READ_DIRECTIVE, Action.READ_ALARM, Action.READ_CIRCULAR, Action.READ_AUDIT})


@dataclass(frozen=True)
class Places:
    """Every place's parent ("" for the root) and tier, by code."""

    parents: dict[str, str]
    tiers: dict[str, int]

    def line(self, code: str) -> list[str]:
        """Return the place, its parent, and so on; nothing for a place that is none."""
        found: list[str] = []
        while code in self.parents:
            found.append(code)
            code = self.parents[code]
        return found

    def told(self, listener: str, place: str) -> bool:
        """Whether an alarm at ``place`` is ``listener``'s business: over it, or of the same township."""
        line = self.line(place)
        township = [code for code in line if self.tiers[code] == 4]
        return listener in line or self.parents.get(listener, "none") in township

    def table(self) -> str:
        """Return the places as the CSV a node reads."""
        rows = [f"{code},n{code},{parent},{self.tiers[code]},112.0,27.0" for code, parent in self.parents.items()]
        return "\n".join(["code12,name,parent,tier,lon_gcj02,lat_gcj02", *rows])


def read(table: str) -> Places:
    """Return the places of a CSV whose first columns are code, name, parent and tier."""
    rows = [line.split(",") for line in table.splitlines()[1:] if line]
    return Places({row[0]: row[2] for row in rows}, {row[0]: int(row[3]) for row in rows})


def grow(draw: random.Random, size: int) -> Places:
    """Return a tree of ``size`` places whose codes say nothing; some lines leave tiers out, as real ones do."""
    codes = [f"{number:012d}" for number in draw.sample(range(10**12), size)]
    parents, tiers = {codes[0]: ""}, {codes[0]: 1}
    roomy = [codes[0]]
    for code in codes[1:]:
        parent = draw.choice(roomy[-200:] if draw.random() < 0.7 else roomy)
        tier = min(5, tiers[parent] + draw.choice((1, 1, 1, 1, 2)))
        parents[code], tiers[code] = parent, tier
        if tier < 5:
            roomy.append(code)
    return Places(parents, tiers)


def judge(role: Role, action: Action, actor: str, target: str, places: Places) -> bool:
    """Say whether somebody of ``role`` at ``actor`` may do ``action`` at ``target``."""
    if actor not in places.parents or target not in places.parents:
        return False
    own, over = actor == target, actor in places.line(target)
    match role:
        case Role.COMMANDER:
            return _commander(action, actor, target, places)
        case Role.TERMINAL:  # receives, signs and reports for its own place; sees and calls out what is around it
            if action in {Action.RAISE_ALARM, Action.REPORT_ALARM}:
                return over
            if action is Action.READ_ALARM:
                return places.told(actor, target)
            personal = {Action.RECEIPT, Action.SIGN, Action.FEEDBACK, Action.READ_DIRECTIVE}
            spoken = {Action.READ_CIRCULAR, Action.ANSWER_CIRCULAR}
            return own and action in personal | spoken | {Action.JOIN, Action.PUBLISH, Action.SNAPSHOT}
        case Role.DEVICE:  # raises alarms, its own and those of other systems, and sends pictures; reads nothing
            return (over and action in {Action.RAISE_ALARM, Action.IMPORT}) or (
                own and action in {Action.JOIN, Action.PUBLISH}
            )
        case Role.AUDITOR:  # reads its subtree, changes nothing
            return over and action in READS | {Action.JOIN}
        case Role.ADMIN:  # keeps the node running: reads, administers, and keeps its duty roster
            return over and action in READS | {Action.JOIN, Action.ADMINISTER, Action.ROSTER}


def _commander(action: Action, actor: str, target: str, places: Places) -> bool:
    """Commands its subtree, invites its superiors, signs for nobody and audits nobody."""
    over = actor in places.line(target)
    if action in {Action.RECEIPT, Action.SIGN, Action.FEEDBACK, Action.READ_AUDIT, Action.ADMINISTER}:
        return False
    if action in {Action.PUBLISH, Action.ANSWER_CIRCULAR}:
        return actor == target
    if action is Action.NOTIFY:
        return actor != target and places.parents[actor] == places.parents[target]
    if action is Action.CONVENE:
        return over or target in places.line(actor)
    return places.told(actor, target) if action is Action.READ_ALARM else over


def triples(draw: random.Random, places: Places, count: int) -> list[tuple[Role, Action, str, str]]:
    """Return random questions; half are about places near each other, and a few about places that are none."""
    codes: Sequence[str] = list(places.parents)
    found = []
    for _ in range(count):
        actor = draw.choice(codes)
        near = draw.random() < 0.5
        target = draw.choice(places.line(actor)) if near else draw.choice(codes)
        if near and draw.random() < 0.5:
            actor, target = target, actor
        if draw.random() < 0.01:
            target = f"{draw.randrange(10**12):012d}"
        found.append((draw.choice(list(Role)), draw.choice(list(Action)), actor, target))
    return found
