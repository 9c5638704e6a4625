"""Which versions of the protocol work together, and the sentence for when two do not.

Pure.  A gateway says its version and the oldest it understands; two that understand each other link.  A newer one may
say what an older one does not know: what only lasts a moment is passed over, what is written down is kept unread and
taken up after the upgrade (``RecordHeld``).
"""

from __future__ import annotations

from .errors import Refused
from .messages import OLDEST, OLDEST_TERMINAL, VERSION, Hello, LinkHello

MISMATCH = "version-mismatch"


def check_neighbour(hello: LinkHello) -> None:
    """Return if the neighbour and this gateway understand each other.

    Raises:
        Refused: ``version-mismatch``, with the sentence both sides show.
    """
    if hello.version < OLDEST:
        raise Refused(MISMATCH, _sentence(hello.version, VERSION, VERSION))
    if max(hello.oldest, 0) > VERSION:
        raise Refused(MISMATCH, _sentence(VERSION, hello.version, hello.oldest))


def check_terminal(hello: Hello) -> None:
    """Return if the page or program speaks a version that is understood here.

    Raises:
        Refused: ``version-mismatch``; the page loads itself anew.
    """
    if not OLDEST_TERMINAL <= hello.version <= VERSION:
        raise Refused(MISMATCH, f"页面的协议版本是 {hello.version}，网关是 {VERSION}：请刷新页面，或更新终端程序。")


def refused_there(text: str) -> str:
    """Return the sentence for a neighbour that will not link with our version; ``text`` is what it said."""
    return f"邻居网关不接受协议版本 {VERSION}，没有接通：请把两端升级到同一版本。（对端：{text[:200]}）"


def _sentence(old: int, new: int, needed: int) -> str:
    return f"两端协议版本不合，没有接通：版本 {old} 的一端须升级到版本 {needed}（另一端是版本 {new}）。"
