"""``make run`` as a user has it: the server, the demo agent and the embedded engines, each in its process; the
caller speaks recorded clips through webhook and media socket, and the tap tells what the agent is told."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import websockets

from telephony.carriers.twilio.simulator import Clip, SimulatedCall, SimulatedCarrier
from tests.e2e.harness import CLIPS, KEY, ROOT, Frame, descendants, free_port, in_order

pytestmark = [pytest.mark.e2e, pytest.mark.alone]

ASKED = "can you tell me the time"
"""What the clip time.wav says."""

SPEECH = Path(os.environ.get("TALKWIRE_SPEECH_DIR", ROOT.parent / "shared" / "speech"))
NAMES = ("time", "story", "wait", "count", "goodbye", "hello")
CLIP = {name: Clip.from_wav(CLIPS / f"{name}.wav") for name in NAMES}
HUMAN = {
    name: Clip.from_wav(SPEECH / f"{name}.wav")
    for name in ("az_weather", "gcp_brooklyn", "goforward", "new_home")
    if (SPEECH / f"{name}.wav").is_file()
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running ``examples/run.py``."""
    port = free_port()
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("TALKWIRE_", "TWILIO_"))}
    data = tmp_path_factory.mktemp("demo")
    env = {**clean, "TALKWIRE_PORT": str(port), "TALKWIRE_DATA_DIR": str(data), "TALKWIRE_API_KEYS": KEY}
    env["TALKWIRE_MAX_LAG_MS"] = "0"
    command = [sys.executable, str(ROOT / "examples" / "run.py")]
    process = subprocess.Popen(command, env=env, cwd=data, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "answering all numbers" in line:
                break
        assert process.poll() is None, "the demo did not start"
        yield f"http://127.0.0.1:{port}"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@dataclass
class Line:
    """A call and what the tap tells of it."""

    call: SimulatedCall
    frames: list[Frame] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self, event: str, count: int = 1, **fields: Any) -> Frame:
        async with asyncio.timeout(30):
            while True:
                found = [f for f in self.of(event) if fields.items() <= f.items()]
                if len(found) >= count:
                    return found[count - 1]
                self.news.clear()
                await self.news.wait()

    def of(self, event: str) -> list[Frame]:
        return [frame for frame in self.frames if frame["event"] == event]


@asynccontextmanager
async def calling(url: str) -> AsyncIterator[Line]:
    """A call to the demo, watched through the tap, checked and hung up at the end."""
    sid = "CA" + os.urandom(16).hex()
    async with (
        websockets.connect(url.replace("http", "ws") + f"/v1/tap?call={sid}", compression=None) as tap,
        SimulatedCarrier(url) as carrier,
    ):
        await tap.send(json.dumps({"event": "connect", "api_key": KEY}))
        await tap.recv()
        line = Line(await carrier.place_call("+15550001111", "+15550002222", call_sid=sid))

        async def watch() -> None:
            async for text in tap:
                line.frames.append(json.loads(text))
                line.news.set()

        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(watch())
            yield line
            line.call.hang_up()
            await line.wait("call.ended")
            watching.cancel()
        in_order(line.frames)


async def test_a_question_is_understood_answered_and_the_farewell_ends_the_call(demo: str) -> None:
    async with calling(demo) as line:
        await line.wait("bot.finished")
        asked = line.call.say(CLIP["time"])
        end = await line.wait("turn.end")
        assert end["text"] == ASKED
        assert line.of("user.speaking")
        assert line.of("user.message")[-1]["segment_ids"]
        answer_s = await line.call.bot_speaking(after_s=asked.voice_end_s)
        assert answer_s - asked.voice_end_s < 1.5
        await line.wait("bot.finished", count=2)
        assert line.of("bot.speaking")[1]["text"].startswith("It is ")
        line.call.say(CLIP["goodbye"])
        ended = await line.wait("call.ended")
        assert ended["reason"] == "client_hangup"
        # The last word was heard before the line went dead.
        assert [f["text"] for f in line.of("message.confirmed")][-1].startswith("Goodbye")
        assert [u["role"] for u in ended["transcript"]] == [
            "assistant",
            "user",
            "assistant",
            "user",
            "assistant",
        ]


async def test_a_story_is_interrupted_and_the_transcript_ends_where_it_was_cut(demo: str) -> None:
    async with calling(demo) as line:
        await line.wait("bot.finished")
        line.call.say(CLIP["story"])
        story = await line.wait("bot.speaking", count=2)
        assert story["text"].startswith("Once upon a time"), "the story was not understood"
        began = await line.call.bot_speaking()
        line.call.say(CLIP["wait"], at_s=began + 4.0)
        cut = await line.wait("bot.interrupted")
        assert cut["reason"] == "user_spoke"
        assert 4000 < cut["played_ms"] < 5200
        confirmed = await line.wait("message.confirmed", message_id=story["message_id"])
        assert story["text"].startswith(confirmed["text"])
        words = [f["word"] for f in line.of("bot.word") if f["message_id"] == story["message_id"]]
        assert confirmed["text"].split() == words[: cut["words_spoken"]]
        # After the interruption he is answered again.
        await line.wait("bot.finished", count=2)


@pytest.mark.speech
@pytest.mark.skipif(not HUMAN, reason="no recorded human speech beside the checkout (TALKWIRE_SPEECH_DIR)")
@pytest.mark.parametrize("name", sorted(HUMAN) or ["none"])
async def test_people_are_heard_and_never_hung_up_on(demo: str, name: str) -> None:
    async with calling(demo) as line:
        await line.wait("bot.finished")
        spoken = line.call.say(HUMAN[name])
        await line.wait("turn.end")
        await line.wait("bot.finished", count=2)
        started = line.of("speech.started")[0]
        assert started["timestamp"] == pytest.approx(line.call.epoch(spoken.onset_s), abs=0.6)
        assert line.call.end is None
        assert line.of("bot.speaking")[1]["text"]


async def test_calls_do_not_disturb_each_other(demo: str) -> None:
    async def one(number: int) -> None:
        async with calling(demo) as line:
            await line.wait("bot.finished")
            line.call.say(CLIP["count" if number % 2 else "time"])
            await line.wait("bot.finished", count=2)
            text = line.of("bot.speaking")[1]["text"]
            heard = [(f["text"], f["reason"], f["latency_ms"]) for f in line.of("turn.end")]
            assert text.startswith("One, two" if number % 2 else "It is "), heard
            assert not [hole for hole in line.call.playback.underruns() if hole.in_speech]

    async with asyncio.TaskGroup() as tasks:
        for number in range(4):
            tasks.create_task(one(number))


async def test_a_recogniser_that_is_killed_is_replaced_and_its_words_are_not_lost(demo: str) -> None:
    async with calling(demo) as line:
        await line.wait("bot.finished")
        asked = line.call.say(CLIP["time"])
        await line.wait("speech.started")
        killed = _kill_recognisers(int(demo.rpartition(":")[2]))
        assert killed, "no recogniser process was found"
        await asked.finished()
        end = await line.wait("turn.end")
        assert end["text"] == ASKED


def _kill_recognisers(port: int) -> int:
    """Kill the worker processes of the server on this port that are busiest: its recognisers."""
    server = _server_on(port)
    killed = 0
    for pid in descendants(server):
        cmdline = Path(f"/proc/{pid}/cmdline").read_bytes()
        maps = Path(f"/proc/{pid}/maps").read_text()
        if b"forkserver" in cmdline and "pocketsphinx" in maps and _parent(pid) != server:
            os.kill(pid, signal.SIGKILL)
            killed += 1
    return killed


def _server_on(port: int) -> int:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environ = (entry / "environ").read_bytes()
                cmdline = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if f"TALKWIRE_PORT={port}".encode() in environ and b"serve" in cmdline.split(b"\0"):
                return int(entry.name)
    raise AssertionError("the server's process was not found")


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_the_address_opens_the_console_which_is_told_who_is_online(demo: str) -> None:
    with urllib.request.urlopen(demo, timeout=5) as response:
        assert "/assets/console-" in response.read().decode()
    with urllib.request.urlopen(f"{demo}/v1/agents", timeout=5) as response:
        (agent,) = json.load(response)["agents"]
    assert agent["agent_id"] == "demo"
    assert agent["channels"] == [{"type": "phone", "ref": "*"}]
