"""Who is heard and who speaks in each conference: levels come from the engine and over links, and go out over links.

The rules are ``signaling/conversation.py``.  A voice that comes over a link is measured here as well, from the
level in its packets; what its side says of it counts only until then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping

from media.engine import Levels
from signaling.conference import Plan
from signaling.conversation import Conversation
from signaling.errors import Refused
from signaling.ids import ConferenceId, NodeCode, ParticipantId, TrackId
from signaling.loudness import Loudness
from signaling.messages import LinkSpeaker, LinkVoices, OfferedVoice
from signaling.roster import MAX_ID
from signaling.seating import Known

from .clock import Clock
from .switching import Switching

MAX_SAID = 4_096
"""Conferences of which our parent has named the speaker; those that are over are forgotten."""


class Floors:
    """The conversations of all conferences of one node."""

    def __init__(self, clock: Clock, switching: Switching, spoke: Callable[[ConferenceId], None]) -> None:
        """``spoke`` is called when somebody else speaks in a conference."""
        self._clock = clock
        self._switching = switching
        self._spoke = spoke
        self._conversations: dict[ConferenceId, Conversation] = {}
        self._said: dict[ConferenceId, ParticipantId | None] = {}
        """Who speaks, by our parent."""

    def speaker(self, conference: ConferenceId) -> ParticipantId | None:
        known = self._conversations.get(conference)
        return None if known is None else known.speaker

    def heard(self, conference: ConferenceId) -> dict[TrackId, Loudness]:
        """Return how loud the voices are whose packets come here."""
        known = self._conversations.get(conference)
        return {} if known is None else known.heard(self._clock.now())

    def forget(self, conference: ConferenceId) -> None:
        self._conversations.pop(conference, None)
        self._said.pop(conference, None)

    # ---- what is heard --------------------------------------------------------------------------

    def levels(self, levels: Levels) -> None:
        """The engine measured (source, dBov)."""
        now = self._clock.now()
        for source, dbov in levels:
            known = self._switching.sounding(source)
            if known is None:
                continue
            conversation = self._conversation(known.conference)
            track = known.track.track
            if known.side is None:
                conversation.measured(track, dbov, now)
            elif (offered := self._switching.offered(known)) is not None:
                conversation.carried(track, dbov, offered.rank, now)
        if levels:
            self._switching.unsettled()

    def _conversation(self, conference: ConferenceId) -> Conversation:
        return self._conversations.setdefault(conference, Conversation())

    # ---- links ----------------------------------------------------------------------------------

    def link_up(self, peer: NodeCode) -> None:
        """A new link: its neighbour has been told nothing."""
        for conversation in self._conversations.values():
            conversation.relink(peer)

    def link_down(self, peer: NodeCode) -> None:
        """A neighbour is gone.  If it was our parent, we decide, beginning with whom it named last."""
        if self._switching.parent == peer:
            self._said.clear()

    def link_voices(self, peer: NodeCode, said: LinkVoices) -> None:
        """A neighbour said which voices are the loudest on its side."""
        offered = {
            voice.track: Loudness(voice.level, voice.rank) for voice in said.voices if len(voice.track) <= MAX_ID
        }
        self._switching.voices(peer, said.conference, offered)

    def link_speaker(self, peer: NodeCode, said: LinkSpeaker) -> None:
        """Our parent said who speaks.

        Raises:
            Refused: It is not our parent.
        """
        if self._switching.parent != peer:
            raise Refused("wrong-direction", "the parent says who speaks")
        if said.speaker is not None and len(said.speaker) > MAX_ID:
            raise Refused("bad-speaker", f"an id of {len(said.speaker)} characters, limit {MAX_ID}")
        if said.conference not in self._said and len(self._said) >= MAX_SAID:
            raise Refused("bad-speaker", f"speakers of {MAX_SAID} conferences")
        self._said[said.conference] = said.speaker
        self._switching.unsettled()

    # ---- settling -------------------------------------------------------------------------------

    def settled(self, plan: Plan) -> None:
        """Decide who speaks, and tell everybody what is news to them."""
        tracks = defaultdict[ConferenceId, list[Known]](list)
        for known in plan.tracks.values():
            tracks[known.conference].append(known)
        for over in self._conversations.keys() - plan.present.keys():
            del self._conversations[over]
        for conference, present in plan.present.items():
            if present or conference in self._conversations:
                self._settle(plan, conference, tracks[conference])

    def _settle(self, plan: Plan, conference: ConferenceId, tracks: list[Known]) -> None:
        conversation = self._conversation(conference)
        conversation.forget({known.track.track for known in tracks}, self._switching.trunks)
        before = conversation.speaker
        parent = self._switching.parent
        if parent is None or conference not in plan.offers[parent]:
            conversation.decide(tracks, plan.voices[conference], self._clock.now())
        elif conference in self._said:
            conversation.adopt(self._said[conference])
        self._tell(plan, conference, conversation)
        if conversation.speaker != before:
            self._switching.unsettled()
            self._spoke(conference)

    def _tell(self, plan: Plan, conference: ConferenceId, conversation: Conversation) -> None:
        now = self._clock.now()
        for peer, trunk in self._switching.trunks.items():
            offered = plan.offers[peer].get(conference, {})
            if conversation.voices_due(peer, offered, now):
                trunk.port.say(LinkVoices(conference=conference, voices=_voices(offered)), ("voices", conference))
            if not trunk.port.dialled and conference in plan.offers[peer] and conversation.speaker_due(peer):
                said = LinkSpeaker(conference=conference, speaker=conversation.speaker)
                trunk.port.say(said, ("speaker", conference))


def _voices(offered: Mapping[TrackId, Loudness]) -> tuple[OfferedVoice, ...]:
    return tuple(OfferedVoice(track=track, level=heard.level, rank=heard.rank) for track, heard in offered.items())
