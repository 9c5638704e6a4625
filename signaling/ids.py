"""Names for the things the gateway talks about.  Opaque: compare them, never parse them."""

from typing import NewType

NodeCode = NewType("NodeCode", str)
"""A division's 12-digit code (430423100000 is 开云镇).  The tree is the parent pointer, not the digits."""

ConferenceId = NewType("ConferenceId", str)
ParticipantId = NewType("ParticipantId", str)
TrackId = NewType("TrackId", str)
DirectiveId = NewType("DirectiveId", str)
AlarmId = NewType("AlarmId", str)
CircularId = NewType("CircularId", str)
SessionId = NewType("SessionId", str)
Sha256 = NewType("Sha256", str)
"""Lower-case hexadecimal SHA-256 of a blob, 64 characters."""

RecordKey = NewType("RecordKey", str)
"""What makes a record the same record everywhere: two records with one key are one fact."""

Epoch = NewType("Epoch", str)
"""Which journal a sequence number counts in: drawn when the journal file is made."""

Seq = NewType("Seq", int)
"""Position in one journal, 1 for the first record; 0 means "nothing yet"."""

Monotonic = NewType("Monotonic", float)
"""Seconds on the local steady clock.  For timeouts; meaningless on another machine."""

UtcMs = NewType("UtcMs", int)
"""Milliseconds since the Unix epoch, UTC.  For records, never for sub-second timeouts."""
