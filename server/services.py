"""What the doors share: one value, made by the composition root."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from starlette.datastructures import Headers

    from server.addresses import Proxies
    from server.agents import AgentRegistry
    from server.auth import KeyRing
    from server.book import CallBook
    from server.calls import CallRegistry
    from server.clock import Clock
    from server.control import Control
    from server.dialling import Dialling
    from server.looplag import LoopLag
    from server.resolve import Defaults
    from server.ringing import Ringing
    from server.settings import Settings
    from server.strangers import Strangers
    from server.tokens import Tokens
    from telephony.ports import Carrier


@dataclass(frozen=True, slots=True)
class Services:
    settings: Settings
    keys: KeyRing
    tokens: Tokens
    strangers: Strangers
    proxies: Proxies
    clock: Clock
    agents: AgentRegistry
    calls: CallRegistry
    book: CallBook
    ringing: Ringing
    dialling: Dialling
    control: Control
    carriers: Mapping[str, Carrier]
    """The phone networks, by their names."""
    defaults: Defaults
    lag: LoopLag
    tasks: asyncio.TaskGroup
    """Owns what outlives the request that it was begun by."""
    open_door: Callable[[Headers], bool]
    """Whether a request may do without credentials (loopback, unproxied)."""
