"""Who wants to know of what, and how a handler is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, overload

from talkwire_agent.base import Event
from talkwire_agent.names import ANY, event_name

Handler = Callable[..., Any]
F = TypeVar("F", bound=Handler)


class Registered:
    """One handler for one event."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.name = getattr(handler, "__qualname__", repr(handler))
        self._wants = _wanted(handler)

    def __call__(self, event: Event, call: object) -> Any:
        return self.handler(*(event if want == "event" else call for want in self._wants))


def _wanted(handler: Handler) -> tuple[str, ...]:
    """What a handler is given: event and call, as far as it takes them. A single parameter that is called
    ``call`` gets the call. Raises ``TypeError`` where it needs more than there is."""
    try:
        parameters = inspect.signature(handler).parameters.values()
    except ValueError:
        return ("event", "call")
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p for p in places if p.default is p.empty]
    named = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    if len(needed) > 2 or named:
        raise TypeError(f"a handler takes (event, call), or less; {handler!r} needs more")
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return ("event", "call")
    # What has a default is the handler's own, unless it is called as what is given.
    given = [p for p in places[:2] if p in needed or p.name in ("event", "call")]
    if len(given) == 1 and given[0].name == "call":
        return ("call",)
    return ("event", "call")[: len(given)]


class Handlers:
    """Something that events can be heard on: a call, an agent, the client."""

    def __init__(self) -> None:
        self._handlers: dict[str, list[Registered]] = {}

    @overload
    def on(self, event: str | type[Event]) -> Callable[[F], F]: ...

    @overload
    def on(self, event: str | type[Event], handler: F) -> F: ...

    def on(self, event: str | type[Event], handler: F | None = None) -> F | Callable[[F], F]:
        """Have ``handler(event, call)`` called for each event of this name, or class; ``*`` is all events.

        It may be a plain or an async function, and may take less: ``(event)``, ``(call)`` or nothing.
        As a decorator: ``@agent.on("turn.end")``. Raises ``ValueError`` for a name that no event has.
        """
        name = event_name(event)

        def register(function: F) -> F:
            self._handlers.setdefault(name, []).append(Registered(function))
            return function

        return register if handler is None else register(handler)

    def off(self, event: str | type[Event], handler: Handler) -> None:
        """No longer call this handler. Without effect where it was not registered."""
        name = event_name(event)
        self._handlers[name] = [r for r in self._handlers.get(name, ()) if r.handler != handler]

    def handlers_of(self, name: str) -> list[Registered]:
        """Those of an event by its name on the wire, in the order in which they were registered."""
        return [*self._handlers.get(name, ()), *self._handlers.get(ANY, ())]
