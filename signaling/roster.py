"""May this neighbour say that these people are on its side?

Pure.  Trust is by direction, as for records: a neighbour speaks for nodes beyond it, a node for people
of its own subtree, and everything a roster holds is bounded before it is kept or passed on.
"""

from __future__ import annotations

from . import text
from .division import Tree
from .errors import Refused
from .ids import NodeCode
from .messages import LinkRosters, ParticipantView

MAX_ROSTER = 1_500
MAX_TRACKS = 8
MAX_ID = 64
MAX_NAME = 60
KINDS = frozenset({"audio", "video"})


def check_roster(said: LinkRosters, peer: NodeCode, here: NodeCode, tree: Tree) -> None:
    """Return if ``peer`` may say this to ``here``.

    Raises:
        Refused: ``bad-roster`` or ``bad-text``.
    """
    if len(said.participants) > MAX_ROSTER or len(said.conference) > MAX_ID:
        raise Refused("bad-roster", f"{len(said.participants)} participants, limit {MAX_ROSTER}")
    for view in said.participants:
        _check(view, peer, here, tree)


def _check(view: ParticipantView, peer: NodeCode, here: NodeCode, tree: Tree) -> None:
    if tree.next_hop(here, view.node) != peer or not tree.is_within(view.division, view.node):
        raise Refused("bad-roster", f"{peer} does not speak for {view.node[:20]}")
    if len(view.participant) > MAX_ID or len(view.tracks) > MAX_TRACKS:
        raise Refused("bad-roster", "an id or a list of tracks is too long")
    for track in view.tracks:
        if len(track.track) > MAX_ID or track.kind not in KINDS or len(track.label + track.codec) > MAX_ID:
            raise Refused("bad-roster", "a track is not well formed")
    text.line(view.name, "name", MAX_NAME)
