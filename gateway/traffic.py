"""What links need of the node, and what the node says over a link."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol

from signaling.ids import NodeCode, Seq
from signaling.messages import LinkBlobChunk, LinkMessage
from signaling.records import AnyRecord


class Proofs(Protocol):
    """Of node identity: ``Auth``."""

    def mint_link(self, peer: NodeCode, answers: str = "") -> tuple[str, str]: ...
    def verify_link(self, token: str, peer: NodeCode, answers: str = "") -> str: ...


class Traffic(Protocol):
    """Where what neighbours say is taken to: ``Dispatch``."""

    def link_kept(self, peer: NodeCode) -> str:
        """Return the name of the media transport with ``peer`` that works, whatever became of its link; "": none."""
        ...

    def link_up(self, port: Port) -> None: ...
    def link_down(self, port: Port) -> None: ...
    def link_said(self, port: Port, message: LinkMessage) -> None: ...
    def link_record(self, record: AnyRecord, via: NodeCode) -> None: ...
    def link_acknowledged(self, peer: NodeCode, seq: Seq) -> None:
        """``peer`` holds our records up to ``seq``, durably."""
        ...

    def link_idle(self, port: Port) -> LinkBlobChunk | None:
        """Return a piece of a picture to send while nothing else waits."""
        ...


class Port(Protocol):
    """One live link, for those who speak over it."""

    @property
    def peer(self) -> NodeCode: ...
    @property
    def dialled(self) -> bool:
        """Whether the peer is the parent."""
        ...

    @property
    def host(self) -> str:
        """The address at the other end of the socket."""
        ...

    @property
    def port(self) -> int:
        """The TCP port dialled there, which takes media too; 0: we were dialled."""
        ...

    @property
    def resumes(self) -> bool:
        """Whether both ends go on with the media transport and with what they last said: see ``LinkHello``."""
        ...

    @property
    def parted(self) -> bool:
        """Whether an end closed the link because there is to be none."""
        ...

    def say(self, message: LinkMessage, key: Hashable = None) -> None: ...
    def wake(self) -> None:
        """``link_idle`` has something to say."""
        ...
