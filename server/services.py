"""What the doors share: one value, made by the composition root."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from server.cluster.port import Alone, Cluster
from server.signers import Signers

if TYPE_CHECKING:
    import asyncio

    from starlette.datastructures import Headers

    from media.music import HoldMusic
    from pipeline.ports import TextToSpeech
    from server.addresses import Proxies
    from server.agents import AgentRegistry
    from server.auth import KeyRing
    from server.book import CallBook
    from server.bridging import Bridging
    from server.calls import CallRegistry
    from server.clock import Clock
    from server.control import Control
    from server.dialling import Dialling
    from server.looplag import LoopLag
    from server.metrics import Metrics
    from server.resolve import Defaults
    from server.ringing import Ringing
    from server.routing import Routing
    from server.settings import Settings
    from server.store.opened import Kept
    from server.strangers import Strangers
    from server.supervising import Supervising
    from server.tokens import Tokens
    from server.transfers import Transfers
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
    kept: Kept
    """Where calls are kept."""
    ringing: Ringing
    dialling: Dialling
    control: Control
    routing: Routing
    transfers: Transfers
    bridging: Bridging
    supervising: Supervising
    carriers: Mapping[str, Carrier]
    """The phone networks, by their names."""
    defaults: Defaults
    hold_music: HoldMusic | None
    """What callers hear on hold; None: silence."""
    lag: LoopLag
    metrics: Metrics
    tasks: asyncio.TaskGroup
    """Owns what outlives the request that it was begun by."""
    open_door: Callable[[Headers], bool]
    """Whether a request may do without credentials (loopback, unproxied)."""
    voices: Sequence[TextToSpeech] = ()
    """The engines that speak, for samples."""
    cluster: Cluster = field(default_factory=Alone)
    """The other nodes."""
    signers: Signers = field(default_factory=Signers)
    """Whose signatures the carrier's webhooks had."""
