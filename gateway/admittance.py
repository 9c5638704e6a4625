"""Which proved neighbour may be linked, and what is written down of one that may not.

One gateway has one parent, the tree's; a parent has one live link of each child.  A second program with the key of a
child that is there (a copied machine) is refused while the first one lives.  Both sides write the refusal into their
journals, once until the neighbour is linked again, and the copy begins a new epoch of its journal: nothing that was
written before the copies parted can then stand for what came after.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict

from signaling import versions
from signaling.division import Tree
from signaling.errors import Refused
from signaling.ids import Epoch, Monotonic, NodeCode
from signaling.messages import LinkHello

from .clock import Clock
from .journal import Journal
from .refusals import Refusals
from .skews import Skews

log = logging.getLogger(__name__)

TOKEN_MEMORY_S = 180.0
"""Longer than a link token lives, clock differences included."""
TOKENS_REMEMBERED = 10_000
SPLIT = "split-node"
WRITTEN = frozenset({SPLIT, "wrong-place", versions.MISMATCH})
"""Refusals of a neighbour whose key was good; what anybody can cause is only counted."""


class Admittance:
    """One for all links of the node ``here``."""

    def __init__(
        self, here: NodeCode, tree: Tree, journal: Journal, refusals: Refusals, skews: Skews, clock: Clock
    ) -> None:
        self.program = clock.new_id("p")
        """Names this process to its neighbours."""
        self._here = here
        self._tree = tree
        self._journal = journal
        self._refusals = refusals
        self._skews = skews
        self._clock = clock
        self._used: OrderedDict[str, Monotonic] = OrderedDict()
        self._written: set[tuple[NodeCode, str]] = set()
        self._renewed = False

    def admit(self, hello: LinkHello, jti: str, parent: NodeCode | None, rival: str) -> None:
        """Return if the proved peer may be linked.

        Args:
            jti: Of its token, which was good.
            parent: Whom we dialled; None: we were dialled.
            rival: The program at the other end of a live link with the peer, "" for none.

        Raises:
            Refused: ``wrong-place``, ``token-used``, ``split-node`` or ``version-mismatch``.
        """
        try:
            self._check(hello, jti, parent, rival)
        except Refused as error:
            self._write(hello.node, error)
            raise

    def linked(self, hello: LinkHello) -> None:
        """The peer is linked: what was refused before is over."""
        self._skews.met(hello)
        self._written = {(peer, code) for peer, code in self._written if peer != hello.node}

    def refused_there(self, peer: NodeCode, code: str, text: str) -> asyncio.Task[None] | None:
        """``peer`` refused us; return what there is to wait for before it is dialled again."""
        self._skews.refused_there(peer, code, text)
        if peer:
            self._write(peer, Refused(code, text[:200]))
        if code != SPLIT or self._renewed:
            return None
        self._renewed = True
        log.error("another program runs with this node's key", extra={"peer": peer, "sentence": text[:200]})
        return asyncio.create_task(self._journal.renew(Epoch(self._clock.new_id("e"))))

    def _check(self, hello: LinkHello, jti: str, parent: NodeCode | None, rival: str) -> None:
        peer = hello.node
        place = "a child" if parent is None else "the parent"
        fits = self._tree.parent(peer) == self._here if parent is None else peer == parent == self._own_parent()
        if not fits:
            raise Refused("wrong-place", f"{peer} is not {place} of this node")
        self._fresh(jti)
        if rival and hello.program and hello.program != rival:
            raise Refused(SPLIT, f"{peer} 已有另一个网关进程连着：同一节点代码和密钥只能运行一份，请停掉其中一份。")
        try:
            versions.check_neighbour(hello)
        except Refused as error:
            self._skews.refused(peer, hello.version, str(error))
            raise

    def _own_parent(self) -> NodeCode | None:
        return self._tree.parent(self._here)

    def _fresh(self, jti: str) -> None:
        now = self._clock.now()
        while self._used and next(iter(self._used.values())) < now - TOKEN_MEMORY_S:
            self._used.popitem(last=False)
        if jti in self._used or len(self._used) >= TOKENS_REMEMBERED:
            raise Refused("token-used", "this link token was used before")
        self._used[jti] = now

    def _write(self, peer: NodeCode, error: Refused) -> None:
        if error.code in WRITTEN and (peer, error.code) not in self._written:
            self._written.add((peer, error.code))
            self._refusals.record(None, "link", peer, error, via=peer)
