"""What can go wrong, by whose fault it is.

* SignalingError
    * LocalError      we were asked to do something the protocol forbids: a bug on our side
    * RemoteError     the peer sent something the protocol forbids: answer with ``code``
        * MalformedMessage
        * Refused     well formed, but not allowed or not possible; ``code`` says which
"""


class SignalingError(Exception):
    """Base class: catch this at the edge of a session, a link or a request."""


class LocalError(SignalingError):
    """A caller broke the contract of a pure module."""


class RemoteError(SignalingError):
    """The peer broke the protocol.  ``code`` is stable and on the wire; the text is for people."""

    code: str = "protocol-error"


class MalformedMessage(RemoteError):
    """The bytes are not a message of this protocol version."""

    code = "malformed-message"


class Refused(RemoteError):
    """A lawful request that cannot be granted."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
