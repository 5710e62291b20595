"""Agents on a real server: callers with recorded voices on the simulated carrier, embedded engines."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from talkwire_agent import Agent, Call, Event, Refused, RouteFailed, Talkwire, Unauthorized
from talkwire_agent.events import CallEnded, TurnEnd
from talkwire_agent.transport import WebSocket

pytestmark = pytest.mark.e2e

PACKAGE = Path(__file__).resolve().parents[2]
FROM, TO = "+15550001111", "+15550002222"
ASKED = "can you tell me the time"
"""What the clip time.wav says."""


def clip(harness: Any, name: str) -> Any:
    return importlib.import_module("telephony.carriers.twilio.simulator").Clip.from_wav(
        harness.CLIPS / f"{name}.wav"
    )


def made(harness: Any, server: Any, **config: Any) -> tuple[Talkwire, Agent, list[Event]]:
    """An agent that answers all numbers, and all that it is told of its calls."""
    tw = Talkwire(harness.KEY, server.url)
    agent = tw.agent("tester", **config)
    agent.phone("*")
    told: list[Event] = []
    agent.on("*", lambda event, call: told.append(event) if call is not None else None)
    return tw, agent, told


async def began(agent: Agent) -> Call:
    """The call that has just been placed."""
    async with asyncio.timeout(20):
        while not agent.calls:
            await asyncio.sleep(0.01)
    return next(iter(agent.calls.values()))


def complete(told: list[Event]) -> None:
    """Each event of the call came once, in order."""
    frames = [event.frame() for event in told if event.event != "call.resumed"]
    numbers = [frame["seq"] for frame in frames if "seq" in frame]
    assert numbers == list(range(1, len(numbers) + 1))
    assert told[-1].event == "call.ended"


async def test_the_first_agent_of_the_readme(harness: Any, tmp_path: Path) -> None:
    code = re.findall(r"```python\n(.*?)```", (PACKAGE / "README.md").read_text(), re.DOTALL)[0]
    assert len(code.strip().splitlines()) <= 15
    script = tmp_path / "first_agent.py"
    script.write_text(code)
    async with harness.running(tmp_path, stt=("pocketsphinx",)) as server, server.carrier() as carrier:
        paths = os.pathsep.join([str(PACKAGE), os.environ.get("PYTHONPATH", "")])
        env = {**os.environ, "PYTHONPATH": paths, "TALKWIRE_API_KEY": harness.KEY, "TALKWIRE_URL": server.ws}
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(script), env=env, stderr=asyncio.subprocess.PIPE
        )
        try:
            assert process.stderr is not None
            async with asyncio.timeout(20):
                while f"answers {TO}".encode() not in await process.stderr.readline():
                    assert process.returncode is None
            call = await carrier.place_call(FROM, TO)
            await call.bot_speaking()
            quiet_at = await call.bot_quiet(700)
            await call.say(clip(harness, "time")).finished()
            await call.bot_speaking(after_s=quiet_at)
            await call.bot_quiet(700)
            call.hang_up()
            greeting, echo = call.playback.utterances(700)
            assert greeting.duration_ms > 500
            assert echo.duration_ms > 500
            process.terminate()
            assert await asyncio.wait_for(process.wait(), 10) == 0
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


async def test_a_turn_is_echoed_and_told(harness: Any, tmp_path: Path) -> None:
    async with harness.running(tmp_path, stt=("pocketsphinx",)) as server, server.carrier() as carrier:
        tw, agent, told = made(harness, server, greeting="Hello.", stt={"phrases": [ASKED]})
        outcomes: list[Any] = []
        seen: list[str] = []

        @agent.on(TurnEnd)
        async def answer(turn: TurnEnd, call: Call) -> None:
            async with call.reply_stream() as stream:
                for token in ("You said ", turn.text, "."):
                    await stream.write(token)
            outcomes.append(await stream)
            call.hangup("that was all")

        agent.on("bot.word", lambda event, call: seen.append(call.current_bot_text))
        async with tw:
            await tw.ready()
            caller = await carrier.place_call(FROM, TO)
            call = await began(agent)
            assert (call.from_, call.to, call.direction, call.transport) == (FROM, TO, "inbound", "phone")
            await caller.bot_speaking()
            await caller.bot_quiet(500)
            caller.say(clip(harness, "time"))
            ended = await call.wait_ended()
            assert isinstance(ended, CallEnded)
        complete(told)
        echo = f"You said {ASKED}."
        assert [(heard.outcome, heard.text) for heard in outcomes] == [("finished", echo)]
        assert seen[-1] == echo
        said = [(message.role, message.content) for message in call.transcript]
        assert said == [("assistant", "Hello."), ("user", ASKED), ("assistant", echo)]
        assert (ended.reason, ended.detail) == ("client_hangup", "that was all")


async def test_what_an_agent_does_on_a_call(harness: Any, tmp_path: Path) -> None:
    story = "This is a long sentence that goes on and on, so that somebody can interrupt it, and it does."
    async with harness.running(tmp_path) as server, server.carrier() as carrier:
        tw, agent, told = made(harness, server)
        async with tw:
            await tw.ready()
            caller = await carrier.place_call(FROM, TO)
            call = await began(agent)
            first, second, third = call.say("One."), call.say("Two."), call.say("Three.")
            third.cancel()
            assert (await first).complete
            assert (await second).text == "Two."
            assert (await third).reason == "cancelled"
            obsolete = await call.reply("Too late.", in_reply_to="nothing")
            assert (obsolete.outcome, obsolete.reason) == ("rejected", "message_obsolete")
            await call.mute()
            await call.unmute()
            await call.hold()
            await call.unhold()
            await call.configure(language="en", voice={"speed": 1.2})
            with pytest.raises(Refused, match="language"):
                await call.configure(language="?")
            before_s = caller.spoken_s
            said = call.say(story)
            start = await caller.bot_speaking(after_s=before_s)
            caller.say(clip(harness, "story"), at_s=start + 2.5)
            heard = await said
            assert (heard.outcome, heard.reason) == ("interrupted", "user_spoke")
            assert story.startswith(heard.text)
            assert 2 < len(heard.text.split()) < len(story.split())
            assert await call.hangup() is not None
        complete(told)


async def test_a_call_survives_the_loss_of_the_connection(harness: Any, tmp_path: Path) -> None:
    async with harness.running(tmp_path) as server, server.carrier() as carrier:
        tw, agent, told = made(harness, server)
        async with tw:
            await tw.ready()
            await carrier.place_call(FROM, TO)
            call = await began(agent)
            assert (await call.say("One.")).complete
            interrupted = call.say("This goes on while nobody listens, and it ends all the same.")
            while call.current_bot_text == "":
                await asyncio.sleep(0.01)
            connection = tw._connection
            assert connection is not None
            socket = connection._transport
            assert isinstance(socket, WebSocket)
            socket._socket.transport.abort()
            while tw.connected:
                await asyncio.sleep(0.01)
            waiting = call.say("And this was said meanwhile.")
            assert (await interrupted).complete
            assert (await waiting).complete
            await call.hangup()
        names = [event.event for event in told]
        assert names.count("call.started") == 1
        assert names.count("call.resumed") == 1
        complete(told)


async def test_two_agents_on_one_connection(harness: Any, tmp_path: Path) -> None:
    async with harness.running(tmp_path) as server, server.carrier() as carrier:
        tw = Talkwire(harness.KEY, server.ws)
        greeted: list[tuple[str, str]] = []
        for name, number in (("Sales Desk", "+15550003333"), ("support", "+1 555 000 4444")):
            agent = tw.agent(name, greeting=f"{name} here.")
            agent.phone(number)
            agent.on("message.confirmed", lambda event, call: greeted.append((call.agent.id, event.text)))
        async with tw:
            await tw.ready()
            one = await carrier.place_call(FROM, "+15550003333")
            two = await carrier.place_call(FROM, "+15550004444")
            async with asyncio.timeout(20):
                while len(greeted) < 2:
                    await asyncio.sleep(0.01)
            assert sorted(greeted) == [("Sales Desk", "Sales Desk here."), ("support", "support here.")]
            one.hang_up()
            two.hang_up()
            await asyncio.gather(*(call.wait_ended() for call in tw.calls.values()))


async def test_what_the_server_refuses(
    harness: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with harness.running(tmp_path) as server:
        with pytest.raises(Unauthorized):
            await Talkwire("tw_wrong", server.ws).serve()
        tw = Talkwire(harness.KEY, server.ws)
        tw.agent("bad", language="no language at all")
        with pytest.raises(Refused, match="BCP-47") as caught:
            await tw.serve()
        assert (caught.value.code, caught.value.key) == ("REGISTRATION_ERROR", "language")
        first, second = Talkwire(harness.KEY, server.ws), Talkwire(harness.KEY, server.ws)
        codes: list[str] = []
        second.on("error", lambda event: codes.append(event.code))
        with caplog.at_level(logging.CRITICAL):
            first.agent("same").phone("*")
            other = second.agent("other")
            second.agent("SAME")
            async with first, second:
                await first.ready()
                await other.ready()
                with pytest.raises(Refused) as taken:
                    await other.phone("*")
                assert taken.value.code == "PHONE_IN_USE"
                while "AGENT_CONFLICT" not in codes:
                    await asyncio.sleep(0.01)


async def test_a_line_hands_over_and_both_outlive_a_lost_connection(harness: Any, tmp_path: Path) -> None:
    async with harness.running(tmp_path) as server, server.carrier() as carrier:
        tw = Talkwire(harness.KEY, server.url)
        line, sales = tw.line(TO, extension_window_ms=300), tw.agent("sales", greeting="Sales, hello.")
        told: dict[str, list[Event]] = {"line": [], "sales": []}
        line.on("*", lambda event, call: told["line"].append(event) if call is not None else None)
        sales.on("*", lambda event, call: told["sales"].append(event) if call is not None else None)
        async with tw:
            await tw.ready()
            place = await carrier.place_call(FROM, TO)
            first = await began(line)
            assert (await first.say("One moment.")).outcome == "finished"
            with pytest.raises(RouteFailed) as failed:
                await first.route("nobody")
            assert (failed.value.reason, first.live) == ("unknown", True)
            await first.route("sales", context={"menu": 1})
            second = await began(sales)
            assert (second.id, second.routed_from, second.context) == (first.id, line.id, {"menu": "1"})
            assert [said.text for said in second.line_transcript] == ["One moment."]
            await asyncio.sleep(0.5)
            assert tw._connection is not None
            await tw._connection._transport.close(1000, "dropped by the test")
            async with asyncio.timeout(20):
                while not any(event.event == "call.resumed" for event in told["sales"]):
                    await asyncio.sleep(0.05)
            await line.ready()
            assert (await second.say("Are you still there?")).outcome == "finished"
            place.hang_up()
            await second.wait_ended()
            await asyncio.sleep(0.2)
        assert [event.event for event in told["line"]].count("call.started") == 1
        assert told["line"][-1].event == "call.ended"
        assert [event.event for event in told["sales"]].count("call.started") == 1
        seqs = [event.frame()["seq"] for event in told["sales"] if event.event != "call.resumed"]
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
        assert second.end_reason == "hangup"


async def test_agents_that_call_one_another(harness: Any, tmp_path: Path) -> None:
    async with harness.running(tmp_path, stt=("pocketsphinx",), stt_timeout_s=60.0) as server:
        tw = Talkwire(harness.KEY, server.url)
        asking = tw.agent("asking")
        answering = tw.agent("answering", greeting="Hello, what can I do for you?")
        inbound: list[Call] = []

        @answering.on("call.started")
        def taken(call: Call) -> None:
            inbound.append(call)

        async with tw:
            await tw.ready()
            with pytest.raises(Refused) as caught:
                await asking.bridge("nobody")
            assert (caught.value.code, caught.value.key) == ("BRIDGE_REFUSED", "target")
            call = await asking.bridge("Answering", metadata={"order": 7})
            async with asyncio.timeout(20):
                while not inbound:
                    await asyncio.sleep(0.01)
            assert (call.bridged_with, inbound[0].bridged_with) == (inbound[0].id, call.id)
            assert (call.direction, inbound[0].direction) == ("outbound", "inbound")
            assert call.transport == inbound[0].transport == "bridge"
            assert inbound[0].metadata == {"order": 7}
            ends: asyncio.Queue[TurnEnd] = asyncio.Queue()
            call.on("turn.end", ends.put_nowait)
            async with asyncio.timeout(60):
                assert (await ends.get()).source == "bot"
            with pytest.raises(Refused) as caught:
                await call.transfer("+15550003333")
            assert caught.value.code == "CARRIER_UNSUPPORTED"
            await call.hangup("that was all")
            ended = await inbound[0].wait_ended()
            assert ended is not None
            assert (ended.reason, ended.detail) == ("hangup", "the other side hung up: that was all")
