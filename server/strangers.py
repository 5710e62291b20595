"""How much pages may ask for that no API key vouches for. Pure: time is an argument, in seconds.

An origin proves nothing: any program can send one. So of what a token opens only so much is given to one address,
and for one agent, that the places of others stay free. A token that was given to the holder of a key is that
holder's affair.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

MINUTE_S: Final = 60.0
ORIGIN_FACTOR: Final = 10
"""So many times the tokens of one address are given to one origin."""
AGENT_FACTOR: Final = 5
"""So many times the calls of one address may connect to one agent."""
MAX_KEYS: Final = 10_000
SOON_S: Final = 5.0
"""When a place may be free: a page connects in less, or not at all."""
LATER_S: Final = 30.0


class TooMany(Exception):
    """Not now; ``str()`` says why."""

    def __init__(self, detail: str, retry_after_s: float) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Allowed:
    """0: any number."""

    tokens_per_minute: int = 30
    """Of one address."""
    calls: int = 10
    """Of one address at the same time."""
    connecting: int = 4
    """Of these, those that were answered and have not connected."""
    connecting_to_agent: int = 20
    """The same, of all addresses together."""


class Held(Protocol):
    """A place that is taken."""

    @property
    def stranger(self) -> str | None:
        """The address; None: a key vouches for it."""

    @property
    def agent(self) -> str: ...

    @property
    def connecting(self) -> bool: ...


class Rate:
    """So many in a minute for each key, at once or one after another."""

    def __init__(self, per_minute: int) -> None:
        self._limit = float(per_minute)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """What was left, and when. Where there are too many keys the one that asked least lately begins anew."""

    def wait_s(self, key: str, now: float) -> float:
        """How long until there is one for it; 0: now."""
        return max(0.0, (1.0 - self._now(key, now)) * MINUTE_S / self._limit) if self._limit else 0.0

    def take(self, key: str, now: float) -> None:
        self._left[key] = (self._now(key, now) - 1.0, now)
        self._left.move_to_end(key)
        while len(self._left) > MAX_KEYS:
            self._left.popitem(last=False)

    def _now(self, key: str, now: float) -> float:
        left, at = self._left.get(key, (self._limit, now))
        return min(self._limit, left + (now - at) * self._limit / MINUTE_S)


class Strangers:
    """All that such pages have, but for their calls."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed
        self._addresses = Rate(allowed.tokens_per_minute)
        self._origins = Rate(allowed.tokens_per_minute * ORIGIN_FACTOR)

    def token(self, address: str, origin: str, now: float) -> None:
        """One is asked for. Raises ``TooMany``, and then it counts for nothing."""
        limit = self._allowed.tokens_per_minute
        asked = (
            (self._addresses, address, f"{limit} tokens a minute are given to one address"),
            (self._origins, origin, f"{limit * ORIGIN_FACTOR} tokens a minute are given to one origin"),
        )
        for rate, key, detail in asked:
            wait_s = rate.wait_s(key, now)
            if wait_s:
                raise TooMany(f"{detail}: ask again later, or from your own server with an API key", wait_s)
        for rate, key, _ in asked:
            rate.take(key, now)

    def place(self, held: Iterable[Held], address: str, agent: str) -> None:
        """A call is to begin. Raises ``TooMany``."""
        allowed = self._allowed
        others = [one for one in held if one.stranger is not None]
        own = [one for one in others if one.stranger == address]
        connecting = [one for one in others if one.connecting]
        reasons = (
            (len(own), allowed.calls, "calls of your network are going on", LATER_S),
            (sum(o.connecting for o in own), allowed.connecting, "calls of your network connect", SOON_S),
            (
                sum(one.agent == agent for one in connecting),
                allowed.connecting_to_agent,
                f"calls to agent {agent!r} connect",
                SOON_S,
            ),
        )
        for count, limit, what, retry_after_s in reasons:
            if limit and count >= limit:
                raise TooMany(
                    f"{count} {what} already, and no more are allowed: try again later", retry_after_s
                )
