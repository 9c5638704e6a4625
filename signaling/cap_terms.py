"""The words of CAP 1.2: its enumerations, our limits, and a stable code for each rule that can be broken.

Pure.  Source: OASIS Common Alerting Protocol 1.2, sections 3.2 (data dictionary) and 3.4 (schema).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from .errors import RemoteError

NAMESPACE = "urn:oasis:names:tc:emergency:cap:1.2"
SIGNATURE_NAMESPACE = "http://www.w3.org/2000/09/xmldsig#"

MAX_BYTES = 262_144
MAX_NAME = 200
"""Characters of an identifier or a sender."""
MAX_REPEATS = 2_000
"""How often an element that may repeat does repeat in one place."""
MAX_POINTS = 5_000
MAX_REFERENCES = 200
MAX_ELEMENTS = 12_000
"""More than fit into MAX_BYTES when each says something."""
MAX_VALUE = 2_000
"""Characters of what is neither free text nor a list: a number, a time, a word, an address."""
DEFAULT_LANGUAGE = "en-US"
"""What an absent or empty language means, by the standard."""


class Rule(enum.StrEnum):
    """What can be wrong with a message.  Stable: on the wire and on the command line."""

    TOO_LARGE = "cap-too-large"
    XML = "cap-xml"
    DTD = "cap-dtd"
    NAMESPACE = "cap-namespace"
    ELEMENT = "cap-element"
    ATTRIBUTE = "cap-attribute"
    STRAY_TEXT = "cap-stray-text"
    ORDER = "cap-order"
    MISSING = "cap-missing"
    REPEATED = "cap-repeated"
    CHARACTER = "cap-character"
    IDENTIFIER = "cap-identifier"
    SENDER = "cap-sender"
    TIME = "cap-time"
    UTC = "cap-utc"
    VALUE = "cap-value"
    RESTRICTION = "cap-restriction"
    ADDRESSES = "cap-addresses"
    REFERENCES = "cap-references"
    REFERENCES_MISSING = "cap-references-missing"
    LANGUAGE = "cap-language"
    NUMBER = "cap-number"
    URI = "cap-uri"
    MIME = "cap-mime"
    BASE64 = "cap-base64"
    DIGEST = "cap-digest"
    POLYGON = "cap-polygon"
    CIRCLE = "cap-circle"
    CEILING = "cap-ceiling"


TOLERATED = frozenset({Rule.UTC})
"""Broken by many senders and harmless: told by a check, and no reason to refuse a warning."""


@dataclass(frozen=True, slots=True)
class Broken:
    """One rule broken at one place: ``where`` is a path such as ``alert/info[2]/expires``."""

    rule: Rule
    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.rule}: {self.text}"


class CapError(RemoteError):
    """Not a CAP 1.2 message.  ``code`` is the first broken rule, ``broken`` all that were found."""

    def __init__(self, broken: tuple[Broken, ...]) -> None:
        super().__init__("; ".join(map(str, broken[:5])))
        self.code = broken[0].rule.value
        self.broken = broken


class Status(enum.StrEnum):
    ACTUAL = "Actual"
    EXERCISE = "Exercise"
    SYSTEM = "System"
    TEST = "Test"
    DRAFT = "Draft"


class MsgType(enum.StrEnum):
    ALERT = "Alert"
    UPDATE = "Update"
    CANCEL = "Cancel"
    ACK = "Ack"
    ERROR = "Error"


class Scope(enum.StrEnum):
    PUBLIC = "Public"
    RESTRICTED = "Restricted"
    PRIVATE = "Private"


class Category(enum.StrEnum):
    GEO = "Geo"
    MET = "Met"
    SAFETY = "Safety"
    SECURITY = "Security"
    RESCUE = "Rescue"
    FIRE = "Fire"
    HEALTH = "Health"
    ENV = "Env"
    TRANSPORT = "Transport"
    INFRA = "Infra"
    CBRNE = "CBRNE"
    OTHER = "Other"


class ResponseType(enum.StrEnum):
    SHELTER = "Shelter"
    EVACUATE = "Evacuate"
    PREPARE = "Prepare"
    EXECUTE = "Execute"
    AVOID = "Avoid"
    MONITOR = "Monitor"
    ASSESS = "Assess"
    ALL_CLEAR = "AllClear"
    NONE = "None"


class When(enum.StrEnum):
    """The standard's *urgency*: how soon something is to be done.  Ours is ``records.Urgency``."""

    IMMEDIATE = "Immediate"
    EXPECTED = "Expected"
    FUTURE = "Future"
    PAST = "Past"
    UNKNOWN = "Unknown"


class Severity(enum.StrEnum):
    EXTREME = "Extreme"
    SEVERE = "Severe"
    MODERATE = "Moderate"
    MINOR = "Minor"
    UNKNOWN = "Unknown"


class Certainty(enum.StrEnum):
    OBSERVED = "Observed"
    LIKELY = "Likely"
    POSSIBLE = "Possible"
    UNLIKELY = "Unlikely"
    UNKNOWN = "Unknown"
