"""What the rest of the server knows of other nodes, and the answer of one that is alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from fastapi import FastAPI

    from server.cluster.home import Home
    from server.doors.agent import AgentConnection
    from server.ring import Entry
    from server.services import Services
    from server.summary import PastSummary


class Cluster(Protocol):
    """The nodes, as one of them sees them."""

    @property
    def node(self) -> str:
        """The id of this one, of this run; empty: it is alone."""

    audio_port: int
    """Where this process takes connections of AudioSocket from others on its machine; 0: nowhere."""

    def opened(self, services: Services) -> Any:
        """Be one of them until the context ends."""

    def front(self, app: FastAPI) -> None:
        """Have requests for calls of other nodes go there before they reach the application."""

    def home(self, connection: AgentConnection, client: str) -> Home | None:
        """An agent process has connected here: what the other nodes are told of it. None: there are none."""

    async def node_of(self, call_id: str) -> str | None:
        """The other node that has a call, live or just over. None: it is not known that one has."""

    def roomier(self) -> str | None:
        """The other node that takes the most further calls, while this one takes none."""

    def url_of(self, node: str) -> str | None:
        """Where another node is reached. None: it is not there."""

    def audio_port_of(self, node: str) -> int:
        """The same of another node of this machine."""

    async def announced(self, call_id: str) -> None:
        """Until the others can know that a call is here."""

    async def spend(self, claims: Mapping[str, Any]) -> bool:
        """Use up a token that is good once. False: it was used at another node, or that cannot be known."""

    def rang(self, call_id: str) -> None:
        """A call is here from now on."""

    def over(self, call_id: str) -> None:
        """All was told of it."""

    def noted(self, slugs: Collection[str]) -> None:
        """The logs of these agents have more: whoever follows them elsewhere is woken."""

    def wakes(self) -> bool | None:
        """Whether other nodes can tell the same now. None: there are none."""

    def listed(self) -> list[PastSummary]:
        """The live calls of other nodes."""

    def firsts(self) -> list[Entry]:
        """How the live calls of other nodes began."""

    def health(self) -> dict[str, Any]:
        """For operators; empty: it is alone."""


class Alone:
    """The only one."""

    node = ""
    audio_port = 0

    @asynccontextmanager
    async def opened(self, services: Services) -> AsyncIterator[None]:
        yield

    def front(self, app: FastAPI) -> None:
        pass

    def home(self, connection: AgentConnection, client: str) -> Home | None:
        return None

    async def node_of(self, call_id: str) -> str | None:
        return None

    def roomier(self) -> str | None:
        return None

    def url_of(self, node: str) -> str | None:
        return None

    def audio_port_of(self, node: str) -> int:
        return 0

    async def announced(self, call_id: str) -> None:
        pass

    async def spend(self, claims: Mapping[str, Any]) -> bool:
        return True

    def rang(self, call_id: str) -> None:
        pass

    def over(self, call_id: str) -> None:
        pass

    def noted(self, slugs: Collection[str]) -> None:
        pass

    def wakes(self) -> bool | None:
        return None

    def listed(self) -> list[PastSummary]:
        return []

    def firsts(self) -> list[Entry]:
        return []

    def health(self) -> dict[str, Any]:
        return {}
