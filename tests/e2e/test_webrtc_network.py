"""Browser calls through firewalls, address translation, and past STUN servers that say nothing."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import uvloop
from aioice import stun
from aioice.ice import get_host_addresses

from media import wav
from tests.e2e.browser import Browser, browser, post_offer, token
from tests.e2e.harness import CLIPS, Running, registered, running
from tests.media.rtc.test_gathering import free_range

pytestmark = [pytest.mark.e2e, pytest.mark.alone]

CANDIDATE = re.compile(r"^a=candidate:\S+ \d+ udp \d+ (\S+) (\d+) typ (\w+)", re.MULTILINE)
TIME = wav.read(CLIPS / "time.wav")
GREETING = "Hello there, and welcome to the shop."


def candidates(page: Browser) -> list[tuple[str, int, str]]:
    found = CANDIDATE.findall(page.pc.remoteDescription.sdp)
    return [(host, int(port), kind) for host, port, kind in found]


def own_address() -> str:
    found: list[str] = get_host_addresses(use_ipv4=True, use_ipv6=False)
    if not found:
        pytest.skip("this machine has no address but loopback")
    return found[0]


async def test_calls_come_on_the_ports_of_a_range(tmp_path: Path) -> None:
    addresses = len(get_host_addresses(use_ipv4=True, use_ipv6=True))
    first, last = free_range(2 * addresses)
    async with (
        running(tmp_path, webrtc_ports=(first, last), max_calls=10) as server,
        registered(server.ws, greeting=GREETING) as agent,
    ):
        async with browser(server) as one, browser(server) as other:
            ports = [port for page in (one, other) for _, port, _ in candidates(page)]
            assert ports
            assert all(first <= port <= last for port in ports)
            await agent.wait("bot.finished", 2)
            assert one.ear.heard_ms() > 500
            third = Browser()
            body = await third.offer(token=await token(server))
            await third.close()
            held = [open_on(address, range(first, last + 1)) for address in addresses_of_all()]
            try:
                reply = await post_offer(server, body)
            finally:
                for sock in (sock for socks in held for sock in socks):
                    sock.close()
            assert (reply.status_code, "TALKWIRE_WEBRTC_PORTS" in reply.json()["detail"]) == (503, True)
            assert reply.headers["retry-after"]
        await agent.wait("call.ended", 2)
        async with browser(server) as again:
            assert all(first <= port <= last for _, port, _ in candidates(again)), "they are free again"


def addresses_of_all() -> list[str]:
    found: list[str] = get_host_addresses(use_ipv4=True, use_ipv6=True)
    return found


def open_on(address: str, ports: range) -> list[socket.socket]:
    """All that are still free."""
    socks = []
    for port in ports:
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.bind((address, port))
        except OSError:
            sock.close()
        else:
            socks.append(sock)
    return socks


# --- address translation ----------------------------------------------------------------------------------


class Outside(asyncio.DatagramProtocol):
    """One published port of a container: what comes is passed on from a socket of its own for each sender."""

    def __init__(self, inside: tuple[str, int]) -> None:
        self._inside = inside
        self._senders: dict[Any, asyncio.DatagramTransport] = {}
        self._opening: set[Any] = set()
        self.passed = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.passed += 1
        if addr in self._senders:
            self._senders[addr].sendto(data)
            return
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.connect(self._inside)
        sock.send(data)
        asyncio.get_running_loop().add_reader(sock, self._back, sock, addr)
        self._senders[addr] = _Sender(sock)  # type: ignore[assignment]

    def _back(self, sock: socket.socket, addr: Any) -> None:
        try:
            self.transport.sendto(sock.recv(65536), addr)
        except OSError:
            return

    def close(self) -> None:
        for sender in self._senders.values():
            sender.close()
        self.transport.close()


class _Sender:
    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def sendto(self, data: bytes) -> None:
        try:
            self._sock.send(data)
        except OSError:
            return

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._sock)
        self._sock.close()


@asynccontextmanager
async def published(ports: tuple[int, int], inside: str) -> AsyncIterator[list[Outside]]:
    """These ports of loopback lead to the same ports of another address."""
    loop = asyncio.get_running_loop()
    doors: list[Outside] = []
    try:
        for port in range(ports[0], ports[1] + 1):
            _, door = await loop.create_datagram_endpoint(
                lambda port=port: Outside((inside, port)),  # type: ignore[misc]
                local_addr=("127.0.0.1", port),
            )
            doors.append(door)
        yield doors
    finally:
        for door in doors:
            door.close()


@asynccontextmanager
async def far_browser(server: Running) -> AsyncIterator[Browser]:
    """One that only finds the server: the addresses that it tells lead nowhere, as those behind another NAT do."""
    page = Browser()
    try:
        body = await page.offer(token=await token(server))
        body["sdp"] = re.sub(r"(a=candidate:\S+ \d+ udp \d+) \S+ ", r"\1 203.0.113.99 ", body["sdp"])
        reply = await post_offer(server, body)
        assert reply.status_code == 200, reply.text
        await page.accept(reply.json())
        yield page
    finally:
        await page.close()


async def test_a_server_behind_address_translation_is_reached_by_the_address_that_it_tells(
    tmp_path: Path,
) -> None:
    own, ports = own_address(), free_range(4)
    async with (
        published(ports, own) as doors,
        running(
            tmp_path, webrtc_ports=ports, webrtc_address=("127.0.0.1",), ice_servers=("stun:127.0.0.1:9",)
        ) as server,
        registered(server.ws, greeting=GREETING) as agent,
        far_browser(server) as page,
    ):
        told = candidates(page)
        assert {(host, kind) for host, _, kind in told} == {("127.0.0.1", "host")}, (
            "and nothing of the inside"
        )
        assert own not in page.pc.remoteDescription.sdp
        await agent.wait("bot.finished")
        assert page.ear.heard_ms() > 500
        assert sum(door.passed for door in doors) > 50, "it went that way"


# --- STUN -------------------------------------------------------------------------------------------------


class StunServer(asyncio.DatagramProtocol):
    """Says that everybody comes from 203.0.113.7; or nothing at all."""

    def __init__(self, *, answers: bool) -> None:
        self._answers = answers
        self.asked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.asked += 1
        if self._answers:
            request = stun.parse_message(data)
            answer = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, request.transaction_id)
            answer.attributes["XOR-MAPPED-ADDRESS"] = ("203.0.113.7", addr[1])
            self.transport.sendto(bytes(answer), addr)


@asynccontextmanager
async def stun_server(*, answers: bool) -> AsyncIterator[tuple[str, StunServer]]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(
        lambda: StunServer(answers=answers), local_addr=(own_address(), 0)
    )
    host, port = transport.get_extra_info("sockname")
    try:
        yield f"stun:{host}:{port}", server
    finally:
        transport.close()


async def answered_in_s(server: Running) -> tuple[float, Browser]:
    page = Browser()
    body = await page.offer(token=await token(server))
    loop = asyncio.get_running_loop()
    began = loop.time()
    reply = await post_offer(server, body)
    took_s = loop.time() - began
    assert reply.status_code == 200, reply.text
    await page.accept(reply.json())
    return took_s, page


async def test_a_stun_server_that_says_nothing_delays_one_answer_a_little(tmp_path: Path) -> None:
    async with (
        stun_server(answers=False) as (url, dead),
        running(tmp_path, ice_servers=(url,)) as server,
        registered(server.ws),
    ):
        first_s, first = await answered_in_s(server)
        asked = dead.asked
        second_s, second = await answered_in_s(server)
        await first.close()
        await second.close()
    assert asked > 0
    assert 0.4 < first_s < 1.5
    assert second_s < first_s - 0.2, "it is not asked again at once"
    assert dead.asked <= asked + 1


async def test_what_a_stun_server_sees_is_told(tmp_path: Path) -> None:
    async with (
        stun_server(answers=True) as (url, _),
        running(tmp_path, ice_servers=(url,)) as server,
        registered(server.ws),
    ):
        took_s, page = await answered_in_s(server)
        seen = {host for host, _, kind in candidates(page) if kind == "srflx"}
        await page.close()
    assert seen == {"203.0.113.7"}
    assert took_s < 0.5


# --- loss -------------------------------------------------------------------------------------------------


def impair(page: Browser, loss: float, jitter_s: float, seed: int = 3) -> list[int]:
    """Lose and delay what the page sends at random, but for what ICE and DTLS say. Counts of all and of the lost."""
    ice = page.pc.getTransceivers()[0].receiver.transport.transport
    send, chance, loop = ice._send, random.Random(seed), asyncio.get_running_loop()
    counts = [0, 0]

    async def hardly(data: bytes) -> None:
        if not 128 <= data[0] < 192:
            await send(data)
            return
        counts[0] += 1
        if chance.random() < loss:
            counts[1] += 1
            return
        loop.call_later(
            chance.uniform(0, jitter_s), lambda: sending.append(asyncio.ensure_future(later(data)))
        )

    async def later(data: bytes) -> None:
        with contextlib.suppress(ConnectionError):  # The call is over.
            await send(data)

    sending: list[asyncio.Future[None]] = []
    ice._send = hardly
    return counts


async def test_what_is_said_through_a_bad_network_is_understood(tmp_path: Path) -> None:
    loss = 0.1
    # Without them it mistakes a word now and then on a good line, too.
    phrases = [
        "can you tell me the time",
        "can you tell me a story",
        "can you hear me",
        "what is the time",
        "goodbye",
    ]
    async with (
        running(tmp_path, stt=("pocketsphinx",)) as server,
        registered(server.ws, greeting="Hello.", stt={"phrases": phrases}) as agent,
        browser(server) as page,
    ):
        await agent.wait("bot.finished")
        counts = impair(page, loss, 0.04)
        await asyncio.sleep(0.5)
        page.mic.say(*TIME)
        message = await agent.wait("user.message")
        await agent.wait("turn.end")
        await asyncio.sleep(1.6)  # Until both sides have reported.
        (live,) = server.services.calls._calls.values()
        assert live.session is not None
        inbound = live.session._leg._inbound  # type: ignore[attr-defined]
        (sender,), (receiver,) = page.pc.getSenders(), page.pc.getReceivers()
        told = {report.type: report for report in (await sender.getStats()).values()}
        told |= {report.type: report for report in (await receiver.getStats()).values()}
    assert counts[1] > 0.5 * loss * counts[0]
    assert inbound.lost > 0
    # By these figures a browser's encoder judges the network.
    assert told["remote-inbound-rtp"].packetsLost > 0
    assert told["remote-inbound-rtp"].packetsReceived > 50
    assert told["remote-outbound-rtp"].bytesSent > 0
    assert told["inbound-rtp"].packetsLost == 0
    assert message["text"] == "can you tell me the time"


def test_on_the_loop_that_a_server_runs_on_lost_packets_harm_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with (
            running(tmp_path) as server,
            registered(server.ws, greeting=GREETING) as agent,
            browser(server) as page,
        ):
            impair(page, 0.3, 0.04)
            await agent.wait("bot.finished")
            await asyncio.sleep(1.0)
            assert page.ear.heard_ms() > 500
            page.mic.say(*TIME)
            await agent.wait("speech.ended")

    uvloop.run(main())
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
