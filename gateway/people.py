"""Whom to call at a place: the operator's file, and where it has nobody, whoever is on duty and has left a number.

A number is told only to those who may change that place's roster.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from gateway.clock import Clock
from gateway.contacts import PHONE, Contacts
from gateway.phone_book import Entry, PhoneBook
from gateway.refusals import Refusals
from signaling import text
from signaling.division import Tree
from signaling.errors import Refused
from signaling.ids import NodeCode
from signaling.permission import Action, permit, permitted
from signaling.records import Actor
from signaling.vouching import MAX_NAME

log = logging.getLogger(__name__)

MAX_NUMBERS = 200
"""Of one place."""


class Duty(Protocol):
    """What is asked of ``gateway/rosters.py``."""

    def on_duty(self, division: NodeCode, post: str = "") -> tuple[str, ...]: ...


class People:
    """Everybody who can be called from this node."""

    def __init__(
        self, tree: Tree, clock: Clock, refusals: Refusals, file: Contacts, duty: Duty, book: PhoneBook
    ) -> None:
        self._tree = tree
        self._clock = clock
        self._refusals = refusals
        self._file = file
        self._duty = duty
        self._book = book
        self._writing = asyncio.Lock()

    def at(self, places: Iterable[NodeCode], posts: Mapping[NodeCode, str]) -> tuple[str, ...]:
        """Return the references of those to call at ``places`` now, in their order.

        ``posts``: the post that is meant at a place; elsewhere anybody who is on duty.
        """
        found = (self._file.at((place,)) or self._on_duty(place, posts.get(place, "")) for place in places)
        return tuple(dict.fromkeys(ref for refs in found for ref in refs))

    def phones(self, people: Iterable[str]) -> Mapping[str, str]:
        """Return reference to number, for those who are known."""
        people = tuple(people)
        kept = {ref: number for ref in people if (number := self._book.number(ref))}
        return {**kept, **self._file.phones(people)}

    def numbers(self, actor: Actor, division: NodeCode) -> Mapping[str, str]:
        """Return the numbers left with the roster of ``division`` by name; none for who may not change it."""
        if not permitted(actor, Action.ROSTER, division, self._tree):
            return {}
        return {person: entry.number for person, entry in self._book.at(division).items()}

    async def keep(self, actor: Actor, division: NodeCode, person: str, number: str) -> None:
        """Keep the number of ``person``, or forget it: "".

        Raises:
            Refused: ``not-permitted``, ``unknown-node``, ``bad-text`` or ``bad-record``.
        """
        try:
            self._tree.get(division)
            permit(actor, Action.ROSTER, division, self._tree)
            text.line(person.strip(), "person", MAX_NAME)
            await self._write(division, person.strip(), number)
        except Refused as error:
            self._refusals.answer(actor, Action.ROSTER, division, error)
            raise

    async def _write(self, division: NodeCode, person: str, number: str) -> None:
        async with self._writing:
            known = self._book.at(division)
            if not number:
                await asyncio.to_thread(self._book.forget, division, person)
            elif PHONE.fullmatch(number) is None:
                raise Refused("bad-record", "phone: not 3..20 digits, perhaps after a plus")
            elif person not in known and len(known) >= MAX_NUMBERS:
                raise Refused("bad-record", f"phone: {MAX_NUMBERS} people of this place have left one")
            else:
                entry = Entry(self._clock.new_id("duty"), number)
                await asyncio.to_thread(self._book.write, division, person, entry)
        log.info("number kept" if number else "number forgotten", extra={"division": division})

    def close(self) -> None:
        self._book.close()

    def _on_duty(self, place: NodeCode, post: str) -> Iterator[str]:
        known = self._book.at(place)
        return (known[person].ref for person in self._duty.on_duty(place, post) if person in known)
