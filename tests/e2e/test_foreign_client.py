"""A client that is not ours: another language, another WebSocket library, and the habits of clients that were written
for other servers. ``foreign/client.mjs`` tells what it would drop or trip over."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from telephony.carriers.twilio.simulator import SimulatedCall, SimulatedCarrier
from tests.e2e.harness import KEY, Frame, Running, registered, running
from tests.e2e.test_openai import DELAYS, ENGINES, SPOKEN
from tests.e2e.test_tools import WISH
from tests.fakes.openai_endpoint import endpoint

pytestmark = pytest.mark.e2e

CLIENT = Path(__file__).parent / "foreign" / "client.mjs"
LIMIT_S = 45.0
CALLERS = ("+15550007777", "+15550001111")
"""A developer, and anybody else."""


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """A folder with the package ``ws``: that of TALKWIRE_NODE_MODULES, or one that npm makes once in the temporary
    folder of this machine."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("needs node and npm")
    named = os.environ.get("TALKWIRE_NODE_MODULES")
    folder = Path(named) if named else Path(tempfile.gettempdir()) / "talkwire-node" / "node_modules"
    if not (folder / "ws").is_dir():
        command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder.parent), "ws@8"]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=60)
        except (subprocess.SubprocessError, OSError):
            pytest.skip("npm cannot install ws; name a folder that has it in TALKWIRE_NODE_MODULES")
    return folder


class Foreign:
    """The other process, step by step."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.steps: dict[str, Frame] = {}

    async def until(self, wanted: str) -> Frame:
        """The next step of this name; the steps before it are kept."""
        assert self._process.stdout is not None
        async with asyncio.timeout(LIMIT_S):
            while line := await self._process.stdout.readline():
                step: Frame = json.loads(line)
                self.steps[step["step"]] = step
                if step["step"] == wanted:
                    return step
                assert step["step"] != "failed", step
        raise AssertionError(f"it ended before {wanted}: {list(self.steps)}")

    async def over(self) -> None:
        """It came to its end, and nothing was as it should not be."""
        assert (await self.until("done"))["violations"] == []

    def go_on(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"go on\n")


@asynccontextmanager
async def foreign(url: str, scenario: str, node_modules: Path, key: str = KEY) -> AsyncIterator[Foreign]:
    process = await asyncio.create_subprocess_exec(
        "node",
        str(CLIENT),
        url,
        key,
        scenario,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "TALKWIRE_NODE_MODULES": str(node_modules)},
    )
    try:
        yield Foreign(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def heard(tmp_path: Path, **fixture: Any) -> AsyncIterator[tuple[Running, SimulatedCarrier]]:
    async with endpoint(**{**DELAYS, **fixture}) as engines:
        values = {**ENGINES, "openai_base_url": engines.base_url}
        async with running(tmp_path, **values) as server, server.carrier() as carrier:
            yield server, carrier


async def ring(carrier: SimulatedCarrier, client: Foreign) -> SimulatedCall:
    await client.until("ready")
    return await carrier.place_call("+15550001111", "+15550002222")


async def test_what_is_said_resolves_and_a_call_is_steered(tmp_path: Path, node_modules: Path) -> None:
    async with heard(tmp_path) as (server, carrier), foreign(server.ws, "speaking", node_modules) as client:
        call = await ring(carrier, client)
        await client.until("speak")
        await call.say(SPOKEN).finished()
        await asyncio.sleep(1.0)
        client.go_on()
        await client.over()
        steps = client.steps
        assert steps["started"]["to"] == "+15550002222"
        assert (steps["started"]["direction"], steps["started"]["transport"]) == ("inbound", "phone")
        assert steps["said"]["interrupted"] is False
        assert steps["cancelled"]["interrupted"] is True
        assert steps["cleared"]["interrupted"] == [True, True, True]
        assert steps["rejected"]["same"] is True
        assert steps["rejected"]["in_reply_to"] == "no-such-turn"
        assert steps["call.unmuted"]["muted_transcript"] == "this is what was said"
        assert steps["ended"]["messages"][0]["content"] == "Hello there, this is the first sentence."
        assert steps["recorded"]["last"] == ["call.recording", "call.ended"]
        assert steps["after"]["seen"] == []


async def test_turns_are_answered_whole_and_in_pieces(tmp_path: Path, node_modules: Path) -> None:
    async with heard(tmp_path) as (server, carrier), foreign(server.ws, "turns", node_modules) as client:
        call = await ring(carrier, client)
        for _ in range(2):
            await client.until("speak")
            call.say(SPOKEN)
        await client.until("hang up")
        call.hang_up()
        await client.over()
        assert client.steps["replied"]["text"] == "this is what was said"
        assert client.steps["replied"]["heard"] == "You said something, and this is the answer to it."
        assert client.steps["streamed"]["heard"] == "Word by word. And a second sentence."
        roles = [message["role"] for message in client.steps["ended"]["messages"]]
        assert roles == ["assistant", "user", "assistant", "user", "assistant"]


async def test_tools_of_the_servers_model_run_in_it(tmp_path: Path, node_modules: Path) -> None:
    async with (
        heard(tmp_path, **WISH) as (server, carrier),
        foreign(server.ws, "tools", node_modules) as client,
    ):
        call = await ring(carrier, client)
        await client.until("speak")
        call.say(SPOKEN)
        await client.over()
        assert "ten past nine" in client.steps["answered"]["text"]
        assert client.steps["answered"]["asked"] == [True, False], "it was ready, and in time"
        assert client.steps["ended"]["roles"] == ["user", "assistant", "tool", "assistant"]


async def test_the_history_is_read_and_changed(tmp_path: Path, node_modules: Path) -> None:
    async with heard(tmp_path) as (server, carrier), foreign(server.ws, "history", node_modules) as client:
        await ring(carrier, client)
        await client.over()
        counts = client.steps["counts"]
        assert [message["content"] for message in counts["get"]] == ["I am Ada.", "Hello Ada."]
        assert (counts["add"], counts["set"], counts["clear"]) == (2, 1, 0)
        assert all(isinstance(counts[name], int) for name in ("context", "vars", "prompt"))


async def test_a_dropped_socket_comes_back_and_finds_its_call(tmp_path: Path, node_modules: Path) -> None:
    async with (
        running(tmp_path) as server,
        server.carrier() as carrier,
        cable(server.settings.port) as (port, cut),
        foreign(f"ws://127.0.0.1:{port}", "reconnecting", node_modules) as client,
    ):
        await ring(carrier, client)
        await client.until("drop")
        cut()
        await client.over()
        assert client.steps["again"]["same"] is True
        assert client.steps["again"]["said"] == {"interrupted": False}
        assert [m["content"] for m in client.steps["ended"]["messages"]] == ["I am back."]


async def test_a_tool_outlives_the_socket_and_no_greeting_is_heard_twice(
    tmp_path: Path, node_modules: Path
) -> None:
    async with (
        heard(tmp_path, **WISH) as (server, carrier),
        cable(server.settings.port) as (port, cut),
        foreign(f"ws://127.0.0.1:{port}", "returning", node_modules) as client,
    ):
        call = await ring(carrier, client)
        await client.until("speak")
        call.say(SPOKEN)
        await client.until("drop")
        cut()
        await client.over()
        told = client.steps["ended"]
        assert (told["runs"], told["greetings"], told["aborted"]) == (1, 1, "duplicate_greeting")
        assert told["roles"] == ["assistant", "user", "assistant", "tool", "assistant"]


async def test_skills_are_followed(tmp_path: Path, node_modules: Path) -> None:
    wish = {"transcript": 'call loadSkill {"name": "time"}'}
    async with (
        heard(tmp_path, **wish) as (server, carrier),
        foreign(server.ws, "skilled", node_modules) as client,
    ):
        call = await ring(carrier, client)
        await client.until("speak")
        call.say(SPOKEN)
        await client.over()
        assert client.steps["loaded"]["skills"] == ["time"]
        assert client.steps["changed"]["skills"] == ["desk"]
        assert client.steps["unknown"]["code"] == "SKILL_UNKNOWN"


async def test_limits_in_its_spelling_are_kept_and_a_farewell_is_heard(
    tmp_path: Path, node_modules: Path
) -> None:
    async with (
        running(tmp_path) as server,
        server.carrier() as carrier,
        foreign(server.ws, "limited", node_modules) as client,
    ):
        await ring(carrier, client)
        await client.over()
        told = client.steps["ended"]
        assert (told["reason"], told["warned"]) == (["idle_timeout"] * 2, [0.5, 0.0])
        assert told["farewell"] == {"interrupted": False}
        assert told["paused"] == [1, {"event": "session.resumed", "agent_id": "My Agent"}]


async def test_a_developers_callers_reach_his_agent_also_after_a_drop(
    tmp_path: Path, node_modules: Path
) -> None:
    async with (
        running(tmp_path) as server,
        server.carrier() as carrier,
        cable(server.settings.port) as (port, cut),
        foreign(f"ws://127.0.0.1:{port}", "developing", node_modules) as client,
    ):
        for step, came in (("ring", "came"), ("ring again", "came again")):
            await client.until(step)
            calls = [await carrier.place_call(caller, "+15550002222") for caller in CALLERS]
            assert (await client.until(came))["froms"] == list(CALLERS)
            for call in calls:
                call.hang_up()
            if step == "ring":
                await client.until("drop")
                cut()
        await client.over()


async def test_a_wrong_key_is_told_in_words(tmp_path: Path, node_modules: Path) -> None:
    async with (
        running(tmp_path) as server,
        foreign(server.ws, "refused", node_modules, "wrong") as client,
    ):
        await client.over()
        told = client.steps["refused"]
        assert (told["code"], told["closed"]) == ("UNAUTHORIZED", 1008)
        assert "API key" in told["error"]


async def test_a_second_owner_waits_for_the_first_to_leave(tmp_path: Path, node_modules: Path) -> None:
    async with running(tmp_path) as server, AsyncExitStack() as stack:
        async with registered(server.ws, "my-agent", "+15550002222"):
            client = await stack.enter_async_context(foreign(server.ws, "conflicting", node_modules))
            told = await client.until("conflict")
            assert (told["code"], told["agent_id"]) == ("AGENT_CONFLICT", "My Agent")
            assert told["retry_after_s"] > 0
        client.go_on()
        await client.over()
        assert "registered" in client.steps


@asynccontextmanager
async def cable(port: int) -> AsyncIterator[tuple[int, Callable[[], None]]]:
    """A way to the server that can be cut: what is on it then is lost, without a close frame."""
    ends: set[asyncio.StreamWriter] = set()

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        ends.update((writer, far_writer))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_carry(reader, far_writer))
            tasks.create_task(_carry(far_reader, writer))

    def cut() -> None:
        for end in ends:
            end.transport.abort()
        ends.clear()

    server = await asyncio.start_server(join, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], cut
    finally:
        cut()
        server.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()
