"""The agent socket: who is let in, who owns what, and what becomes of bad input."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from pathlib import Path

import httpx2
import psutil
import pytest
import websockets

from server.protocol import AgentCreate
from tests.e2e.harness import KEY, Agent, connected, registered, running

pytestmark = pytest.mark.e2e


async def _raw(url: str, *texts: str | bytes) -> tuple[list[dict[str, object]], int, str]:
    """Send and read until the server closes."""
    async with websockets.connect(f"{url}/client", compression=None) as sock:
        for text in texts:
            await sock.send(text)
        frames = []
        try:
            async with asyncio.timeout(5):
                while True:
                    frames.append(json.loads(await sock.recv()))
        except websockets.ConnectionClosed:
            pass
        return frames, sock.close_code or 0, sock.close_reason or ""


@pytest.mark.parametrize("key", ["", "wrong", KEY + "x", "tw_"])
async def test_a_wrong_key_is_told_and_closed(tmp_path: Path, key: str) -> None:
    async with running(tmp_path) as server:
        frames, code, _ = await _raw(server.ws, json.dumps({"event": "connect", "api_key": key}))
        assert [frame["code"] for frame in frames] == ["UNAUTHORIZED"]
        assert "TALKWIRE_API_KEYS" in str(frames[0]["error"])
        assert code == 1008


async def test_a_mistyped_path_is_not_told_as_a_wrong_key(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(f"{server.ws}/ws")
        assert refused.value.response.status_code == 404
        assert b"agents connect to /client" in (refused.value.response.body or b"")
        async with httpx2.AsyncClient() as http:
            assert (await http.get(f"{server.url}/client")).status_code == 426


@pytest.mark.parametrize(
    ("first", "code"),
    [('{"event":"ping"}', "UNAUTHORIZED"), ("nonsense", "BAD_MESSAGE"), (b"\x00", "BAD_MESSAGE")],
)
async def test_the_first_message_must_be_connect(tmp_path: Path, first: str | bytes, code: str) -> None:
    async with running(tmp_path) as server:
        frames, close_code, _ = await _raw(server.ws, first)
        assert [frame["code"] for frame in frames] == [code]
        assert close_code == 1008


async def test_malformed_and_unknown_messages_are_told_and_the_socket_stays(tmp_path: Path) -> None:
    async with running(tmp_path) as server, connected(server.ws) as agent:
        await agent.socket.send("{")
        await agent.socket.send(b"\x01\x02")
        await agent.send("agent.creat", agent_id="x")
        await agent.send("bot.reply", call_id="c", message_id="m")
        await agent.send("connect", api_key=KEY)
        await agent.send("ping")
        pong = await agent.wait("pong")
        assert pong["timestamp"] > 1.7e9
        codes = [frame["code"] for frame in agent.of("error")]
        assert codes == ["BAD_MESSAGE", "BAD_MESSAGE", "UNKNOWN_EVENT", "BAD_MESSAGE", "BAD_MESSAGE"]
        assert "agent.create" in agent.of("error")[2]["error"]
        assert "text" in agent.of("error")[3]["error"]


async def test_a_flood_of_errors_is_not_answered_one_by_one(tmp_path: Path) -> None:
    async with running(tmp_path) as server, connected(server.ws) as agent:
        for _ in range(500):
            await agent.socket.send("garbage")
        await agent.send("ping")
        await agent.wait("pong")
        assert 1 <= len(agent.of("error")) <= 20


async def test_an_oversized_message_closes_the_socket(tmp_path: Path) -> None:
    async with running(tmp_path) as server, connected(server.ws) as agent:
        await agent.socket.send(json.dumps({"event": "ping", "padding": "x" * (1 << 20)}))
        code, _ = await agent.wait_closed()
        assert code == 1009
        async with connected(server.ws) as other:
            await other.send("ping")
            await other.wait("pong")


async def test_commands_for_agents_and_channels_that_are_not_there(tmp_path: Path) -> None:
    async with running(tmp_path) as server, connected(server.ws) as agent:
        await agent.send("agent.configure", agent_id="nobody", language="en")
        await agent.send("channel.add", agent_id="nobody", type="phone", ref="*")
        await agent.send("agent.create", agent_id="My Agent")
        await agent.send("channel.remove", agent_id="My Agent", ref="+1555")
        await agent.send("channel.configure", agent_id="my_agent", ref="+1555", language="en")
        await agent.send("channel.add", agent_id="My Agent", type="chat")
        await agent.send("channel.add", agent_id="My Agent", type="phone", ref="hello")
        await agent.send("agent.create", agent_id="???")
        await agent.send("bot.reply", call_id="gone", message_id="m", text="hello")
        await agent.send("call.hangup", call_id="gone")
        await agent.send("ping")
        await agent.wait("pong")
        assert [(f["code"], f["agent_id"]) for f in agent.of("error")] == [
            ("AGENT_UNKNOWN", "nobody"),
            ("AGENT_UNKNOWN", "nobody"),
            ("CHANNEL_UNKNOWN", "My Agent"),
            ("CHANNEL_UNKNOWN", "my_agent"),
            ("CHANNEL_UNSUPPORTED", "My Agent"),
            ("REGISTRATION_ERROR", "My Agent"),
            ("REGISTRATION_ERROR", "???"),
        ]


async def test_registration_is_acknowledged_and_unknown_keys_are_told_once(tmp_path: Path) -> None:
    async with running(tmp_path) as server, connected(server.ws) as agent:
        await agent.send(
            "agent.create", agent_id="a", knowledge_base="kb_1", greeting="Hi", vad={"window": 3}
        )
        await agent.send("channel.add", agent_id="a", type="phone", ref="+1 (555) 000-2222")
        await agent.wait("channel.added", ref="+1 (555) 000-2222", type="phone")
        await agent.send("agent.configure", agent_id="a", greeting={"en": "Hello", "es": "Hola"})
        await agent.wait("agent.configured")
        await agent.send("channel.configure", agent_id="a", ref="+15550002222", language="es")
        await agent.wait("channel.configured")
        await agent.send("channel.remove", agent_id="a", ref="+15550002222")
        await agent.wait("channel.removed")
        (warning,) = agent.of("server.warning")
        assert warning["code"] == "UNKNOWN_KEYS"
        assert sorted(warning["keys"]) == ["knowledge_base", "vad.window"]
        assert agent.names()[:3] == ["connected", "agent.created", "server.warning"]


async def test_a_wrong_value_is_refused_with_its_name(tmp_path: Path) -> None:
    async with running(tmp_path) as server, connected(server.ws) as agent:
        await agent.send("agent.create", agent_id="My Agent", config={"vad": {"threshold": 7}})
        error = await agent.wait("error")
        assert error["code"] == "REGISTRATION_ERROR"
        assert error["key"] == "config.vad.threshold"
        assert error["agent_id"] == "My Agent"
        assert not agent.of("agent.created")


async def test_engines_of_other_platforms_are_replaced_and_that_is_told(tmp_path: Path) -> None:
    async with running(tmp_path) as server, connected(server.ws) as agent:
        await agent.send("agent.create", agent_id="a", voice="elevenlabs/sarah", stt="deepgram/flux")
        await agent.send("ping")
        await agent.wait("pong")
        warnings = agent.of("server.warning")
        assert {w["code"] for w in warnings} == {"PROVIDER_SUBSTITUTED"}
        assert any("elevenlabs" in w["warning"] for w in warnings)
        assert agent.of("agent.created")


async def test_a_live_owner_keeps_its_agent_and_its_number(tmp_path: Path) -> None:
    async with running(tmp_path) as server, registered(server.ws, "one", "+15550001234") as first:
        async with connected(server.ws) as second:
            await second.send("agent.create", agent_id="One")
            conflict = await second.wait("error")
            assert conflict["code"] == "AGENT_CONFLICT"
            assert conflict["agent_id"] == "One"
            assert conflict["holder_alive"] is True
            assert 0 < conflict["retry_after_s"] <= 45
            await second.send("agent.create", agent_id="two")
            await second.wait("agent.created")
            await second.send("channel.add", agent_id="two", type="phone", ref="+1 555 000 1234")
            taken = await second.wait("error", count=2)
            assert (taken["code"], taken["phone"]) == ("PHONE_IN_USE", "+1 555 000 1234")
        await first.send("ping")
        await first.wait("pong")


async def test_a_holder_that_went_silent_is_displaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.agents.STALE_S", 0.3)
    async with running(tmp_path) as server, registered(server.ws, "one", "+15550001234") as first:
        await asyncio.sleep(0.5)
        async with connected(server.ws) as second:
            await second.send("agent.create", agent_id="one")
            await second.wait("agent.created")
            await first.wait("agent.displaced")
            code, reason = await first.wait_closed()
            assert code == 4001
            assert "displaced" in reason
            # The number went with its agent.
            await second.send("channel.add", agent_id="one", type="phone", ref="+15550001234")
            await second.wait("channel.added")


async def test_whoever_asks_is_told_once_what_becomes_of_each_command(tmp_path: Path) -> None:
    async with running(tmp_path) as server, connected(server.ws, ack="0") as agent:
        await agent.send("agent.create", agent_id="My Agent", ack="1")
        await agent.send("channel.add", agent_id="My Agent", type="phone", ref="*", ack="2")
        await agent.send("channel.remove", agent_id="My Agent", ref="+1555", ack="3")
        await agent.send("agent.creat", agent_id="x", ack="4")
        await agent.send("bot.reply", call_id="gone", message_id="m", text="hello", ack="5")
        await agent.send("session.configure", session_id="gone", ack="6")
        await agent.send("ping", ack="7")
        async with server.carrier() as carrier:
            call = await carrier.place_call("+15550009999", "+15550000002")
            call_id = (await agent.wait("call.started"))["call_id"]
            await agent.send("bot.reply", call_id=call_id, message_id="m1", text="One. Two.", ack="8")
            await agent.send("bot.reply", call_id=call_id, message_id="m2", text="Three.", ack="9")
            await agent.send("session.configure", session_id=call_id, language="en", ack="10")
            await agent.wait("ack", ack="10")
            call.hang_up()
        found = [(f["ack"], f["command"], f["status"], f.get("code")) for f in agent.of("ack")]
        assert found == [
            ("0", "connect", "success", None),
            ("1", "agent.create", "success", None),
            ("2", "channel.add", "success", None),
            ("3", "channel.remove", "error", "CHANNEL_UNKNOWN"),
            ("4", "agent.creat", "error", "UNKNOWN_EVENT"),
            ("5", "bot.reply", "error", "CALL_UNKNOWN"),
            ("6", "session.configure", "error", "CALL_UNKNOWN"),
            ("7", "ping", "success", None),
            ("8", "bot.reply", "processing", None),
            ("9", "bot.reply", "pending", None),
            ("10", "session.configure", "success", None),
        ]
        names = agent.names()
        assert names[:4] == ["connected", "ack", "agent.created", "ack"]
        assert names[names.index("session.configured") + 1] == "ack"
        assert [f["code"] for f in agent.of("error")] == ["CHANNEL_UNKNOWN", "UNKNOWN_EVENT"]


async def test_a_wrong_key_is_acknowledged_before_the_end(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        connect = json.dumps({"event": "connect", "api_key": "wrong", "ack": "1"})
        frames, code, _ = await _raw(server.ws, connect)
        assert [(frame["event"], frame["code"]) for frame in frames] == [
            ("error", "UNAUTHORIZED"),
            ("ack", "UNAUTHORIZED"),
        ]
        assert code == 1008


async def test_ten_thousand_messages_at_once_are_all_read_and_answered(tmp_path: Path) -> None:
    """More than the outbox holds: what is answered has to go out between them."""
    async with running(tmp_path) as server, connected(server.ws) as agent:
        for number in range(5000):
            await agent.socket.send('{"event":"ping"}')
            await agent.socket.send(f'{{"event":"nonsense","ack":"{number}"}}')
        await agent.send("ping", ack="last")
        await agent.wait("ack", ack="last")
        assert len(agent.of("pong")) == 5001
        assert len(agent.of("ack")) == 5001
        assert len(agent.of("error")) <= 100
        assert agent.closed is None


async def test_a_connection_that_loses_one_of_its_agents_goes_on_with_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.agents.STALE_S", 0.3)
    async with (
        running(tmp_path, agent_grace_s=1.0) as server,
        registered(server.ws, "one", "+15550000001") as first,
        server.carrier() as carrier,
    ):
        await first.send("agent.create", agent_id="two")
        await first.send("channel.add", agent_id="two", type="phone", ref="+15550000002")
        one = await carrier.place_call("+15550009999", "+15550000001")
        two = await carrier.place_call("+15550009999", "+15550000002")
        await first.wait("call.started", count=2)
        await asyncio.sleep(0.5)
        async with registered(server.ws, "one", "+15550000001") as second:
            started = await second.wait("call.started")
            assert started["agent_id"] == "one"
            assert (await first.wait("agent.displaced"))["agent_id"] == "one"
            for agent, call_id in ((second, one.call_sid), (first, two.call_sid)):
                await agent.send("call.mute", call_id=call_id, ack="a")
                assert (await agent.wait("ack"))["status"] == "success"
                await agent.wait("call.muted", call_id=call_id)
            await first.send("call.mute", call_id=one.call_sid, ack="b")
            assert (await first.wait("ack", ack="b"))["code"] == "CALL_UNKNOWN"
            one.hang_up()
            await second.wait("call.ended", call_id=one.call_sid)
            two.hang_up()
            await first.wait("call.ended", call_id=two.call_sid)
            assert not any(frame.get("call_id") == two.call_sid for frame in second.frames)
            assert len(first.of("call.started")) == 2


async def test_a_server_that_is_full_of_agents_says_when_to_try_again(tmp_path: Path) -> None:
    async with running(tmp_path, max_agents=1) as server, registered(server.ws, "one") as agent:
        await agent.send("agent.create", agent_id="The Other", ack="1")
        error = await agent.wait("error")
        assert (error["code"], error["agent_id"], error["limit"]) == ("SERVER_AT_CAPACITY", "The Other", 1)
        assert error["retry_after_s"] > 0
        ack = await agent.wait("ack")
        assert (ack["code"], ack["extras"]["used"]) == ("SERVER_AT_CAPACITY", 1)
        await agent.send("agent.create", agent_id="one", ack="2")
        assert (await agent.wait("ack", ack="2"))["status"] == "success"


async def test_a_developer_takes_calls_of_his_own_phone_on_the_number_of_production(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as server,
        registered(server.ws, "clock", "+15550001234") as production,
        registered(server.ws, "dev-ann-clock", "+1 555 000 1234") as developer,
        server.carrier() as carrier,
    ):
        await developer.send("dev.config", callers=["+1 (555) 000-1111"], ack="1")
        assert (await developer.wait("ack"))["extras"] == {"agents": ["dev-ann-clock"]}
        own = await carrier.place_call("+15550001111", "+15550001234")
        assert (await developer.wait("call.started"))["call_id"] == own.call_sid
        other = await carrier.place_call("+15550009999", "+15550001234")
        assert (await production.wait("call.started"))["call_id"] == other.call_sid
        for call, agent in ((own, developer), (other, production)):
            call.hang_up()
            await agent.wait("call.ended")
            assert len(agent.of("call.started")) == 1


async def test_what_is_too_large_is_refused_and_what_is_too_large_to_read_closes(tmp_path: Path) -> None:
    async with running(tmp_path) as server, connected(server.ws) as agent:
        await agent.send("agent.create", agent_id="My Agent", prompt="x" * 1_000_000, ack="1")
        error = await agent.wait("error")
        assert (error["code"], error["agent_id"], error["key"]) == (
            "REGISTRATION_ERROR",
            "My Agent",
            "prompt",
        )
        assert "200000" in error["error"]
        assert (await agent.wait("ack"))["message"] == error["error"]
        await agent.send("agent.create", agent_id="My Agent", prompt="x" * 200_000)
        await agent.wait("agent.created")
        await agent.send("agent.configure", agent_id="My Agent", prompt="x" * (1 << 20))
        assert (await agent.wait_closed())[0] == 1009


async def test_a_thousand_agents_share_a_socket(tmp_path: Path) -> None:
    async with running(tmp_path) as server, connected(server.ws) as agent:
        for number in range(1001):
            await agent.send("agent.create", agent_id=f"agent {number}", ack=str(number))
        refused = await agent.wait("ack", ack="1000")
        assert (refused["code"], refused["agent_id"]) == ("SERVER_AT_CAPACITY", "agent 1000")
        assert len(agent.of("agent.created")) == 1000


async def test_several_agents_share_a_socket(tmp_path: Path) -> None:
    async with running(tmp_path) as server, registered(server.ws, "one", "+15550000001") as agent:
        await agent.send("agent.create", agent_id="two", greeting="Two here.")
        await agent.send("channel.add", agent_id="two", type="phone", ref="+15550000002")
        await agent.wait("channel.added", agent_id="two")
        async with server.carrier() as carrier:
            call = await carrier.place_call("+15550009999", "+15550000002")
            started = await agent.wait("call.started")
            assert started["agent_id"] == "two"
            await agent.wait("bot.finished", agent_id="two")
            call.hang_up()
            await agent.wait("call.ended")


async def test_a_client_that_does_not_read_is_closed_and_harms_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.doors.agent.OUTBOX_MESSAGES", 200)
    async with running(tmp_path, max_agents=0) as server:
        sock = await websockets.connect(f"{server.ws}/client", compression=None, max_queue=1)
        await sock.send(json.dumps({"event": "connect", "api_key": KEY}))
        await sock.recv()
        lazy = Agent(sock)
        # Each answer names the hundred unknown keys, 10 kB: soon they fill the buffers of a peer that reads
        # nothing, and then its outbox.
        unknown = {f"{number:099d}": 1 for number in range(100)}
        with contextlib.suppress(websockets.ConnectionClosed):
            for number in range(2000):
                await lazy.send("agent.create", agent_id=f"a{number}", **unknown)
                await asyncio.sleep(0)
        async with registered(server.ws, "other") as other, server.carrier() as carrier:
            call = await carrier.place_call("+15550009999", "+15550000002")
            await other.wait("call.started")
            call.hang_up()
            await other.wait("call.ended")
        with contextlib.suppress(websockets.ConnectionClosed):
            async with asyncio.timeout(10):
                while True:
                    await sock.recv()
        assert sock.close_code == 1013
        assert sock.close_reason == "slow_consumer"


UPGRADE = (
    "GET /client HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def _deaf(port: int) -> socket.socket:
    """A client that sends, and reads nothing of what that gives: ten kilobytes for each message."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.sendall(UPGRADE.encode())
    assert sock.recv(4096).startswith(b"HTTP/1.1 101")
    unknown = {f"{number:099d}": 1 for number in range(100)}
    create = {"event": "agent.create", "agent_id": "deaf", **unknown}
    # Long enough for a length of two bytes, as all frames here have it.
    connect = {"event": "connect", "api_key": KEY, "client": "deaf" * 20}
    with contextlib.suppress(OSError):
        for frame in (connect, *(create for _ in range(1000))):
            payload = json.dumps(frame).encode()
            sock.sendall(b"\x81\xfe" + len(payload).to_bytes(2, "big") + b"\0\0\0\0" + payload)
    return sock


async def test_a_client_that_never_reads_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.doors.agent.OUTBOX_MESSAGES", 50)
    monkeypatch.setattr("server.serve.LINGER_S", 0.2)
    async with running(tmp_path) as server:
        sock = await asyncio.to_thread(_deaf, server.settings.port)
        mine = sock.getsockname()[1]
        async with asyncio.timeout(20), registered(server.ws, "other") as other:
            # Looked at from the server: its end is gone, although nothing of it was ever read.
            while any(f"port={mine})" in str(c.raddr) for c in psutil.Process().net_connections("tcp")):
                await asyncio.sleep(0.05)
            assert server.services.agents.get("deaf") is None
            await other.send("ping")
            await other.wait("pong")
        sock.close()


async def test_no_connect_within_its_time_closes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.doors.handshake.CONNECT_TIMEOUT_S", 0.3)
    async with running(tmp_path) as server:
        frames, code, reason = await _raw(server.ws)
        assert frames == []
        assert code == 1008
        assert "connect" in reason


def test_the_harness_speaks_the_protocol() -> None:
    assert AgentCreate(agent_id="x").event == "agent.create"


async def test_a_call_goes_over_to_whoever_displaces_its_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.agents.STALE_S", 0.3)
    async with (
        running(tmp_path, agent_grace_s=1.0) as server,
        registered(server.ws, "one") as first,
        server.carrier() as carrier,
    ):
        call = await carrier.place_call("+15550009999", "+15550000002")
        await first.wait("call.started")
        await asyncio.sleep(0.5)
        async with registered(server.ws, "one") as second:
            started = await second.wait("call.started")
            await second.send(
                "bot.reply", call_id=started["call_id"], message_id="m", text="I am here.", in_reply_to=""
            )
            await second.wait("bot.finished")
            call.hang_up()
            await second.wait("call.ended", reason="hangup")
