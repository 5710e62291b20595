"""The example agents, with scripted callers."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from talkwire_agent.testing import ScriptedServer, virtual_time

from tests.examples.conftest import EXAMPLES

Example = Callable[[str], Any]
AGENTS = (
    "echo",
    "handover",
    "menu",
    "own_llm",
    "receptionist",
    "recorder",
    "rehearsal",
    "screening",
    "subtitles",
)


@pytest.mark.parametrize("name", AGENTS)
def test_each_says_how_it_is_run(name: str, example: Example) -> None:
    text = example(name).__doc__
    assert f".venv/bin/python examples/{name}.py" in text
    assert "make run" in text
    for clip in [word for word in text.split() if word.endswith(".wav") and "clips" in word]:
        assert (EXAMPLES.parent / clip).is_file()


@virtual_time
async def echoed(module: Any) -> None:
    async with ScriptedServer(module.tw) as server:
        caller = server.call()
        assert await caller.heard() == "Hello. Say something."
        caller.says("can you tell me the time")
        assert await caller.heard() == "You said can you tell me the time."
        assert not caller.ended
        caller.says("goodbye")
        assert await caller.heard() == "You said goodbye."
        await server.command("call.hangup")
        assert caller.ended


def test_echo(example: Example) -> None:
    echoed(example("echo"))


@virtual_time
async def received(module: Any) -> None:
    async with ScriptedServer(module.tw) as server:
        caller = server.call()
        assert (await caller.heard()).startswith("Good evening")
        caller.says("a table for four please")
        await caller.model_prepares()
        assert caller.vars == {"restaurant": "the Blue Door", "free": "6"}
        assert await caller.model_calls("free_tables", guests=4) == ["18:00", "20:00"]
        assert "less than or equal to 6" in (await caller.model_calls("free_tables", guests=40))["error"]
        table = {"time": "20:00", "guests": 4, "name": "Ann"}
        assert await caller.model_calls("reserve", **table) == {"number": "101"}
        assert await caller.model_calls("reserve", **table) == {"error": "there is no table for 4 at 20:00"}
        await caller.model_prepares()
        assert caller.vars["free"] == "5"
        with pytest.raises(AssertionError, match="no tool 'cancel'"):
            await caller.model_calls("cancel", number="101")
        caller.model_loads("cancelling")
        assert await caller.model_calls("cancel", number="7") == {"error": "there is no reservation 7"}
        assert await caller.model_calls("cancel", number="101") == "cancelled"
        caller.idles()
        assert await caller.heard() == "Are you still there?"
        await caller.times_out()
        assert (await caller.heard()).startswith("I hang up now")


def test_receptionist(example: Example) -> None:
    received(example("receptionist"))


@virtual_time
async def handed_over(module: Any, *, said: str) -> None:
    async with ScriptedServer(module.tw) as server:
        caller = server.call()
        assert await caller.heard() == "Hello. Say human, and I get you one."
        caller.says("good morning")
        assert "Say human" in await caller.heard()
        caller.says("A human, please.")
        wanted = await server.command("call.transfer")
        assert (wanted["to"], wanted["consult"]) == ("+15550003333", True)
        caller.emit("call.transferring", to=wanted["to"])
        human = server.call(
            from_="+15550002222",
            to=wanted["to"],
            direction="outbound",
            transfer_of=caller.id,
            greeting=wanted["greeting"],
        )
        assert "+15550001111" in await human.heard()
        human.says("who is there")
        assert await human.heard() == "Please say yes or no."
        human.says(said)
        if said == "Sure.":
            assert await human.heard() == "Here he is."
            assert (await server.command("call.transfer_complete"))["call_id"] == caller.id
            caller.emit("call.transferred", to=wanted["to"])
        else:
            assert await human.heard() == "I tell him. Goodbye."
            assert (await server.command("call.transfer_cancel"))["call_id"] == caller.id
            caller.emit("call.transfer_failed", to=wanted["to"], reason="canceled")
            assert (await caller.heard()).startswith("I am sorry. Nobody has time.")


@pytest.mark.parametrize("said", ["Sure.", "not now"])
def test_handover(example: Example, said: str) -> None:
    handed_over(example("handover"), said=said)


@virtual_time
async def rehearsed(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ScriptedServer(module.tw) as server:
        monkeypatch.setattr(module, "LINES", module.LINES[1:])
        async with asyncio.TaskGroup() as tasks:
            calling = tasks.create_task(module.call_and_show("demo"))
            other = await server.bridged()
            assert other.facts["to"] == "demo"
            for said in ("Good day.", "Once upon a time."):
                other.says(said)
                await other.heard()
            await calling
            assert other.hangup_detail == "all was said"


def test_rehearsal(
    example: Example, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rehearsed(example("rehearsal"), monkeypatch)
    assert capsys.readouterr().out.splitlines() == [
        "it: Good day.",
        "me: Tell me a story.",
        "it: Once upon a time.",
        "me: Goodbye.",
        "--- client_hangup, 1 s",
    ]


@virtual_time
async def thought(module: Any, *answers: str) -> None:
    async with ScriptedServer(module.tw) as server:
        caller = server.call()
        await caller.heard()
        for answer in answers:
            caller.says("good morning")
            assert await caller.heard() == answer


def test_own_llm_without_a_model(example: Example) -> None:
    thought(example("own_llm"), "I have no model, but I heard you say: good morning. ")


def test_own_llm_tells_the_model_what_was_said(example: Example) -> None:
    module = example("own_llm")
    asked: list[list[dict[str, str]]] = []

    async def tokens(messages: list[dict[str, str]]) -> AsyncIterator[str]:
        asked.append(messages)
        yield "Answer "
        yield f"{len(asked)}."

    module.tokens = tokens
    thought(module, "Answer 1.", "Answer 2.")
    said = [message["content"] for message in asked[1]]
    assert said == [module.PROMPT, module.GREETING, "good morning", "Answer 1.", "good morning"]


async def test_own_llm_with_a_model(example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    async def endpoint(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        asked.append(json.loads(await reader.readexactly(length)))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        for text in ("Good ", "morning."):
            chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "small"}
            chunk["choices"] = [{"index": 0, "delta": {"content": text}, "finish_reason": None}]
            writer.write(f"data: {json.dumps(chunk)}\n\n".encode())
        writer.write(b"data: [DONE]\n\n")
        await writer.drain()
        writer.close()

    asked: list[dict[str, Any]] = []
    module = example("own_llm")
    async with await asyncio.start_server(endpoint, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{port}/v1")
        monkeypatch.setenv("OPENAI_MODEL", "small")
        messages = [{"role": "user", "content": "hello"}]
        assert [token async for token in module.tokens(messages)] == ["Good ", "morning."]
    assert (asked[0]["model"], asked[0]["messages"], asked[0]["stream"]) == ("small", messages, True)


@virtual_time
async def subtitled(module: Any, capsys: pytest.CaptureFixture[str]) -> None:
    async with ScriptedServer(module.tw) as server:
        caller = server.call(plays=False)
        caller.hears(await caller.message())
        caller.says("a story please")
        caller.interrupts(await caller.message(), after_words=4)
        await server.quiet()
    shown = capsys.readouterr().out
    lines = [line.rpartition("\r")[2].removesuffix("\x1b[K") for line in shown.split("\n")[:-1]]
    assert lines == [
        "   bot | Hello. I tell you a story whenever you say something.",
        "caller | a story please",
        "   bot | Once upon a time --",
    ]


def test_subtitles(example: Example, capsys: pytest.CaptureFixture[str]) -> None:
    subtitled(example("subtitles"), capsys)


async def test_recorder(example: Example, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RECORDINGS", str(tmp_path / "kept"))
    module = example("recorder")
    sound = base64.b64encode(b"RIFF").decode()
    async with ScriptedServer(module.tw) as server:
        caller = server.call()
        caller.says("call me back")
        caller.hangs_up()
        caller.emit(
            "call.recording", audio=sound, duration_ms=1000, format="wav", sample_rate=8000, channels="stereo"
        )
        async with asyncio.timeout(5):
            while not (tmp_path / "kept" / "CA1.wav").exists():
                await asyncio.sleep(0.01)
    assert (tmp_path / "kept" / "CA1.wav").read_bytes() == b"RIFF"
    kept = json.loads((tmp_path / "kept" / "CA1.json").read_text())
    assert (kept["from"], kept["reason"]) == ("+15550001111", "hangup")
    assert [said["role"] for said in kept["transcript"]] == ["assistant", "user"]


@virtual_time
async def screened(module: Any, capsys: pytest.CaptureFixture[str]) -> None:
    desk = module.desk
    async with ScriptedServer(module.tw) as server:
        await desk.typed("hello?")
        caller = server.call()
        await caller.heard()
        caller.says("I want a person")
        assert await caller.model_calls("ask_for_a_person", reason="he wants one") == "asked"
        assert (await caller.heard()).startswith("I see whether")
        assert server.paused == set()
        await desk.typed("Good morning, this is Ann.")
        assert await caller.heard() == "Good morning, this is Ann."
        assert server.paused == {"CA1"}
        await desk.typed("How can I help?")
        await caller.heard()
        await desk.typed("/give")
        assert server.paused == set()
        other = server.call()
        await server.quiet()
        await desk.typed("/what")
        await desk.typed("/hangup")
        assert caller.hangup_detail == "hung up at the desk"
        await desk.typed(f"/call {other.id}")
        assert desk.call.id == other.id
    shown = capsys.readouterr().out.splitlines()
    assert shown == [
        "--- no call",
        "--- CA1 from +15550001111",
        "   bot: Hello. Who is calling, please?",
        "caller: I want a person",
        "--- CA1 wants a person: he wants one",
        "   bot: I see whether somebody is there. Please stay on the line.",
        "--- the call is yours; /give gives it back",
        "   bot: Good morning, this is Ann.",
        "   bot: How can I help?",
        "--- the model answers",
        "--- CA2 from +15550001111 as well; /call CA2",
        "--- /give, /hangup, /call ID; anything else is spoken",
        "--- CA1 is over: client_hangup",
        "--- CA2 from +15550001111",
    ]


def test_screening(example: Example, capsys: pytest.CaptureFixture[str]) -> None:
    screened(example("screening"), capsys)


@virtual_time
async def put_through(module: Any) -> None:
    async with ScriptedServer(module.tw) as server:
        menu = f"line:{module.line.number}"
        caller = server.call(menu)
        assert await caller.heard() == module.MENU
        caller.dials("7")
        assert await caller.heard() == "Please press one or two."
        caller.dials("1")
        assert (await caller.heard()).startswith("Sales.")
        assert (caller.agent_id, (await server.command("call.route"))["context"]) == (
            "sales",
            {"menu": "pressed 1"},
        )
        caller.says("a lamp")
        assert await caller.heard() == "You said: a lamp. Anything else?"
        caller.says("nothing else")
        assert "from ten to six" in await caller.heard()
        await server.command("call.hangup")

        dialled = server.call(menu, extension="102")
        assert "from ten to six" in await dialled.heard()
        talker = server.call(menu)
        assert await talker.heard() == module.MENU
        talker.says("well")
        assert await talker.heard() == "Please say sales, or opening hours."
        talker.find = lambda agent_id: None
        talker.says("I want to buy something")
        assert await talker.heard() == "I am sorry, nobody is there at the moment."
        assert talker.agent_id == menu


def test_menu(example: Example) -> None:
    put_through(example("menu"))
