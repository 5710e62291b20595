"""Where a connection of ours can be reached: its sockets, and the candidates that tell of them.

aioice binds any port, tells the addresses of this machine's network cards, and waits five seconds for a STUN server
that does not answer. ``Sockets`` takes the place of its connection and does otherwise by what ``Gathering`` says: ports
of a range, which a firewall can let through and a container can publish; the address that the outside knows, where
somebody stands in between who maps it; and a STUN server is waited for as long as a caller can be kept waiting.
Nothing else of aioice is changed. Source: RFC 8445, sections 5.1.1 (host and server-reflexive candidates).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any, Final

from aioice import Candidate, Connection, stun
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import CandidatePair, StunProtocol

from media.rtc.rtp import is_media

BUFFER_BYTES: Final = 1 << 18
STUN_S: Final = 0.5
"""How long an answer to a browser waits for a STUN server's."""
STUN_MORE_S: Final = 0.05
"""How long the other sockets wait behind the first answer: in a network without a way out theirs never comes."""
STUN_REST_S: Final = 30.0
"""A STUN server that did not answer is not asked for so long."""

Server = tuple[str, int]


class NoSocket(Exception):
    """No port could be had; ``str()`` says where to look."""


class Gathering:
    """Of all connections of the process.

    ``ports``: the first and the last one of the range; None: any. ``addresses``: what is told in place of the network
    cards' own. ``servers``: STUN servers, of which one is asked that has answered before.
    """

    def __init__(
        self,
        ports: tuple[int, int] | None = None,
        addresses: Sequence[str] = (),
        servers: Sequence[Server] = (),
    ) -> None:
        self._ports = ports
        self._addresses = tuple(addresses)
        self._servers = tuple(servers)
        self._resting: dict[Server, float] = {}

    def bind(self, address: str) -> socket.socket:
        """A socket on one of the machine's addresses. Raises ``OSError``."""
        family = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
        for port in self._order():
            sock = socket.socket(family, socket.SOCK_DGRAM)
            try:
                sock.setblocking(False)
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
                sock.bind((address, port))
            except OSError:
                sock.close()
                if port == 0:
                    raise
            else:
                return sock
        raise OSError(f"all ports of {self._ports} are taken")

    def _order(self) -> list[int]:
        """The ports in the order in which they are tried. A port that a call has just left is not the next one's: late
        packets of its browser still come there."""
        if self._ports is None:
            return [0]
        first, last = self._ports
        return random.sample(range(first, last + 1), last - first + 1)

    def known_as(self, address: str, own: Sequence[str]) -> list[str]:
        """What the outside is told in place of one of the machine's ``own`` addresses. An address that is told and is
        the machine's own has its socket already."""
        if not self._addresses:
            return [address]
        version = ip_address(address).version
        told = [one for one in self._addresses if ip_address(one).version == version]
        return [one for one in told if one == address or one not in own]

    @property
    def asks(self) -> bool:
        """STUN servers are asked: there are some, and the addresses are not known."""
        return bool(self._servers) and not self._addresses

    def server(self, now: float) -> Server | None:
        """The STUN server to ask now."""
        return next((one for one in self._servers if self._resting.get(one, 0.0) <= now), None)

    def silent(self, server: Server, now: float) -> None:
        """It has not answered."""
        self._resting[server] = now + STUN_REST_S


class _Socket(StunProtocol):
    """Hands media on before anybody looks whether it is STUN, which is found by an exception."""

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        take = self.receiver.media if isinstance(self.receiver, Sockets) else None
        if take is None or not isinstance(data, bytes) or not is_media(data) or not take(data):
            super().datagram_received(data, addr)


class Sockets(Connection):
    """aioice's connection, but for its sockets."""

    gathering: Gathering
    media: Callable[[bytes], bool] | None = None
    """Takes a datagram that is RTP or RTCP; False: it is for aiortc."""

    @property
    def nominated(self) -> CandidatePair | None:
        """The way to the other side; None: there is none."""
        return self._nominated.get(1)

    @classmethod
    def put_in(cls, connection: Connection, gathering: Gathering) -> None:
        """Make a connection that has gathered nothing yet do so."""
        connection.__class__ = cls
        assert isinstance(connection, cls)
        connection.gathering = gathering

    async def get_component_candidates(
        self, component: int, addresses: list[str], timeout: int = 5
    ) -> list[Candidate]:
        """Bind, and tell how we can be reached. Raises ``NoSocket``."""
        told: list[Candidate] = []
        for address in addresses:
            names = self.gathering.known_as(address, addresses)
            if names and (protocol := await self._open(component, address)) is not None:
                self._protocols.append(protocol)
                port = protocol.local_candidate.port
                told += [_host(component, name, port) for name in names]
        if not told:
            raise NoSocket("no UDP port could be had: see TALKWIRE_WEBRTC_PORTS and TALKWIRE_WEBRTC_ADDRESS")
        return told + await self._seen_from_outside() if self.gathering.asks else told

    async def _open(self, component: int, address: str) -> StunProtocol | None:
        with contextlib.suppress(OSError):
            sock = self.gathering.bind(address)
            _, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: _Socket(self), sock=sock
            )
            protocol.local_candidate = _host(component, address, sock.getsockname()[1])
            return protocol
        return None

    # --- STUN ---------------------------------------------------------------------------------------------

    async def _seen_from_outside(self) -> list[Candidate]:
        loop = asyncio.get_running_loop()
        server = self.gathering.server(loop.time())
        if server is None:
            return []
        found: list[Candidate] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STUN_S) as limit, asyncio.TaskGroup() as tasks:
                for protocol in self._protocols:
                    if ip_address(protocol.local_candidate.host).version == 4:
                        tasks.create_task(_ask(protocol, server, found, limit))
        if not found:
            self.gathering.silent(server, loop.time())
        return found


async def _ask(
    protocol: StunProtocol, server: Server, found: list[Candidate], limit: asyncio.Timeout
) -> None:
    """What address a STUN server sees; nothing where it sees none."""
    loop = asyncio.get_running_loop()
    try:
        known = await loop.getaddrinfo(*server, family=socket.AF_INET, type=socket.SOCK_DGRAM)
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        response, _ = await protocol.request(request, known[0][4][:2])  # type: ignore[arg-type]
        host, port = response.attributes["XOR-MAPPED-ADDRESS"]
    except (OSError, KeyError, stun.TransactionError):
        return
    own = protocol.local_candidate
    found.append(
        Candidate(
            foundation=candidate_foundation("srflx", "udp", own.host),
            component=own.component,
            transport="udp",
            priority=candidate_priority(own.component, "srflx"),
            host=host,
            port=port,
            type="srflx",
            related_address=own.host,
            related_port=own.port,
        )
    )
    until = loop.time() + STUN_MORE_S
    if (at := limit.when()) is not None and until < at:
        limit.reschedule(until)


def _host(component: int, address: str, port: int) -> Candidate:
    return Candidate(
        foundation=candidate_foundation("host", "udp", address),
        component=component,
        transport="udp",
        priority=candidate_priority(component, "host"),
        host=address,
        port=port,
        type="host",
    )
