"""Which neighbours run another version of the protocol, and what that costs: told to consoles and to ``/readyz``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from signaling import versions
from signaling.ids import NodeCode
from signaling.messages import VERSION, LinkHello, Skew

from .holding import Holding

log = logging.getLogger(__name__)


class Skews:
    """``on_change`` is told of each neighbour about whom something else is to be said."""

    def __init__(self, holding: Holding) -> None:
        self.on_change: Callable[[Skew], None] = lambda _: None
        self._holding = holding
        self._versions: dict[NodeCode, int] = {}
        self._refused: dict[NodeCode, str] = {}
        holding.on_change = self._changed

    def met(self, hello: LinkHello) -> None:
        """``hello.node`` is proved and linked."""
        self._versions[hello.node] = hello.version
        self._refused.pop(hello.node, None)
        self._changed(hello.node)

    def refused(self, peer: NodeCode, version: int, sentence: str) -> None:
        """There is no link with ``peer``: the versions do not work together.  ``version``: 0 when it did not say."""
        if self._refused.get(peer) != sentence:
            log.error("versions do not work together", extra={"peer": peer, "theirs": version, "sentence": sentence})
        self._versions[peer] = version
        self._refused[peer] = sentence
        self._changed(peer)

    def refused_there(self, peer: NodeCode, code: str, text: str) -> None:
        """``peer`` ended the link for ``code``."""
        if code == versions.MISMATCH and peer:
            self.refused(peer, self._versions.get(peer, 0), versions.refused_there(text))

    def sentence(self, peer: NodeCode) -> str:
        """Return why there is no link with ``peer``, "" if versions are not the reason."""
        return self._refused.get(peer, "")

    def list(self) -> Iterator[Skew]:
        """Yield what stands."""
        for peer in sorted({*self._refused, *self._holding.peers}):
            yield self._view(peer)

    def _view(self, peer: NodeCode) -> Skew:
        return Skew(
            node=peer,
            theirs=self._versions.get(peer, 0),
            ours=VERSION,
            held=self._holding.count(peer),
            refused=peer in self._refused,
        )

    def _changed(self, peer: NodeCode) -> None:
        self.on_change(self._view(peer))
