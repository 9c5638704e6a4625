"""Meetings and who attended."""

from __future__ import annotations

from signaling.ids import ConferenceId, NodeCode, ParticipantId

from .base import Actor, Record, ScopeItem


class ConferenceConvened(Record, frozen=True, tag="conference_convened", kw_only=True):
    conference: ConferenceId
    title: str
    by: Actor
    scope: tuple[ScopeItem, ...]
    sites: tuple[NodeCode, ...]
    """The scope expanded when the meeting was convened."""
    exercise: bool


class ConferenceEnded(Record, frozen=True, tag="conference_ended", kw_only=True):
    conference: ConferenceId
    by: Actor


class ParticipantJoined(Record, frozen=True, tag="participant_joined", kw_only=True):
    """Local to the node it happened at: attendance."""

    conference: ConferenceId
    participant: ParticipantId
    who: Actor


class ParticipantLeft(Record, frozen=True, tag="participant_left", kw_only=True):
    conference: ConferenceId
    participant: ParticipantId
    reason: str
