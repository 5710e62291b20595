"""Whose bot is silent: the calls that agents have paused, and those that a person has taken over.

Pauses are by agent and not by connection: who has taken over a call must not lose it to a reconnect.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from server.call import Call, CallIsOver
from server.pauses import Pauses

MAX_PAUSED_AGENTS: Final = 1000
"""Also those that are away, whose pauses wait for them."""


class Pausing:
    """Of all calls: ``calls`` has those that are not over, by id."""

    def __init__(self, calls: Mapping[str, Call]) -> None:
        self._calls = calls
        self._pauses: dict[str, Pauses] = {}

    def of(self, slug: str) -> Pauses | None:
        """What an agent, which may be away, has paused; None: nothing."""
        return self._pauses.get(slug)

    # --- by its agent -------------------------------------------------------------------------------------

    def pause(self, slug: str, call_id: str | None, contact: str | None) -> None:
        """Have the language model be silent in calls of an agent: one, those with a contact, or all. Raises
        ``ValueError`` where too many contacts are paused, or too many agents."""
        if slug not in self._pauses and len(self._pauses) >= MAX_PAUSED_AGENTS:
            raise ValueError(f"at most {MAX_PAUSED_AGENTS} agents can be paused: resume some first")
        self._pauses.setdefault(slug, Pauses()).pause(call_id, contact)
        self._apply(slug)

    def resume(self, slug: str, call_id: str | None, contact: str | None) -> None:
        """Take one of these levels back; without any of them all."""
        if slug in self._pauses:
            self._pauses[slug].resume(call_id, contact)
            self._apply(slug)

    def forget(self, call: Call) -> None:
        """It is over, or another agent's."""
        self.resume(call.slug, call.call_id, None)

    def _apply(self, slug: str) -> None:
        for call in list(self._calls.values()):
            session = call.session
            if call.slug == slug and session is not None:
                session.guarded(partial(session.pause, on=self.holds(call)))
        if not self._pauses[slug]:
            del self._pauses[slug]

    def holds(self, call: Call) -> bool:
        """Its language model is to be silent."""
        session = call.session
        taken = session is not None and session.supervised.by is not None
        return taken or self._by_agent(call)

    def _by_agent(self, call: Call) -> bool:
        pauses = self._pauses.get(call.slug)
        return pauses is not None and pauses.holds(call.call_id, call.facts.contact)

    # --- by a person --------------------------------------------------------------------------------------

    def take_over(self, call: Call, by: str, *, interrupt: bool = False) -> None:
        """Have a person speak in the bot's place. Raises ``ValueError`` where somebody does already."""
        session = call.session
        if session is None:
            raise CallIsOver
        if session.supervised.by is not None:
            raise ValueError(f"{session.supervised.by} has taken the call over already: release it first")

        def begin() -> None:
            session.pause(on=True)
            session.supervised.take_over(by, interrupt=interrupt)

        session.guarded(begin)

    def release(self, call: Call, by: str) -> None:
        """The bot goes on. Raises ``ValueError`` where nobody has taken it over."""
        session = call.session
        if session is None:
            raise CallIsOver
        if session.supervised.by is None:
            raise ValueError("nobody has taken the call over")
        paused = self._by_agent(call)

        def end() -> None:
            session.pause(on=paused)
            session.supervised.release(by)

        session.guarded(end)
