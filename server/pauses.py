"""In which calls of an agent the server's language model is silent, because somebody else has taken over."""

from __future__ import annotations

from dataclasses import dataclass, field

from telephony.numbers import normalise

MAX_CONTACTS = 10_000
"""Of one agent."""


@dataclass(slots=True)
class Pauses:
    """Of one agent: all of its calls, those with some contacts, some calls. A call is paused while one of the three
    says so."""

    all_calls: bool = False
    contacts: set[str] = field(default_factory=set)
    """Normalised."""
    calls: set[str] = field(default_factory=set)
    """Live ones, by their ids."""

    def __bool__(self) -> bool:
        return self.all_calls or bool(self.contacts) or bool(self.calls)

    def pause(self, call_id: str | None, contact: str | None) -> None:
        """Neither: all calls. Raises ``ValueError`` where there are too many contacts."""
        if contact is not None:
            self._add(normalise(contact))
        if call_id is not None:
            self.calls.add(call_id)
        if contact is None and call_id is None:
            self.all_calls = True

    def _add(self, contact: str) -> None:
        if contact not in self.contacts and len(self.contacts) >= MAX_CONTACTS:
            raise ValueError(f"at most {MAX_CONTACTS} contacts of an agent can be paused: resume some first")
        self.contacts.add(contact)

    def resume(self, call_id: str | None, contact: str | None) -> None:
        """Neither: all that was paused."""
        if call_id is not None:
            self.calls.discard(call_id)
        if contact is not None:
            self.contacts.discard(normalise(contact))
        if contact is None and call_id is None:
            self.all_calls = False
            self.contacts.clear()
            self.calls.clear()

    def holds(self, call_id: str, contact: str) -> bool:
        return self.all_calls or call_id in self.calls or normalise(contact) in self.contacts
