"""Calls that are handed over from a line to an agent and from an agent to another one, without being dialled anew."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from telephony.carriers.twilio.simulator import Clip
from tests.e2e.browser import browser
from tests.e2e.harness import CLIPS, KEY, connected
from tests.e2e.lines import LINE, desk, says
from tests.e2e.pbx import called, pbx
from tests.e2e.phone import FROM, TO
from tests.e2e.test_openai import DELAYS, ENGINES
from tests.e2e.test_recording import decoded, stretches
from tests.e2e.test_tools import clock
from tests.fakes.openai_endpoint import endpoint
from tests.fakes.parts import well_formed

pytestmark = pytest.mark.e2e

SPOKEN = Clip.from_wav(CLIPS / "time.wav")
MENU = "Welcome. Press one for sales, or two for everything else that there is to be asked for."
GREETING = "Sales here, how can I help you?"


async def test_a_line_hands_a_call_over_and_loses_it(tmp_path: Path) -> None:
    async with desk(tmp_path, agents={"sales": {"language": "en-GB"}}) as there:
        sales = there.agents["sales"]
        call = there.call()
        await there.line.wait("call.started")
        await says(there.line, "bot.reply", call.sid, message_id="m1", text="One moment.")
        stream = await call.stream()
        stream.dtmf("1")
        await there.line.wait("call.dtmf_received")
        ack = await there.route(call, "Sales", greeting=GREETING, context={"menu": {"key": 1}})
        assert ack["status"] == "processing"
        routed = await there.line.wait("call.routed")
        ended = await there.line.wait("call.ended")
        assert (routed["agent"], ended["reason"], ended["agent_id"]) == ("sales", "routed", LINE)
        assert [line["content"] for line in ended["transcript"]] == ["One moment."]
        # What was being said is heard to its end first.
        finished = await there.line.wait("bot.finished", message_id="m1")
        assert finished["seq"] < routed["seq"]
        assert there.line.of("bot.interrupted") == []
        started = await sales.wait("call.started")
        assert (started["call_id"], started["agent_id"], started["owner"]) == (call.sid, "sales", "agent")
        assert (started["routed_from"], started["language"], started["from"]) == (LINE, "en", FROM)
        assert started["context"] == {"menu": '{"key":1}'}
        assert [(line["who"], line["text"]) for line in started["line_transcript"]] == [
            ("line", "One moment.")
        ]
        assert 0 <= started["line_transcript"][0]["at"] < 3000
        assert started["seq"] == ended["seq"] + 1
        await sales.wait("bot.finished")
        stream.dtmf("9")
        assert (await sales.wait("call.dtmf_received"))["digits"] == "9"
        # The line has it no longer.
        late = await says(there.line, "bot.reply", call.sid, message_id="m2", text="Too late.")
        assert late["code"] == "CALL_UNKNOWN"
        call.hang_up()
        end = await sales.wait("call.ended")
        assert end["reason"] == "hangup"
        assert [line["content"] for line in end["transcript"]] == [GREETING]
        assert end["started_at"] == pytest.approx(ended["started_at"], abs=0.01)
        assert len(call.streams) == 1
        assert len(there.line.of("call.ended")) == 1
        there.well_formed()
        shown = await _shown(there.server.url, call.sid)
        assert (shown["state"], shown["reason"], shown["agent_id"]) == ("ended", "hangup", "sales")


async def _shown(url: str, call_id: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {KEY}"}) as web:
        for _ in range(100):
            calls = (await web.get(f"{url}/v1/calls")).json()["calls"]
            found = next(one for one in calls if one["call_id"] == call_id)
            if found["state"] == "ended":
                break
            await asyncio.sleep(0.02)
    return found


async def test_the_list_and_the_log_of_calls_show_one_call_that_goes_on(tmp_path: Path) -> None:
    async with desk(tmp_path, agents={"sales": {}}) as there:
        call = there.call()
        await there.line.wait("call.started")
        await there.route(call, "sales")
        await there.agents["sales"].wait("session.ready")
        async with httpx.AsyncClient(headers={"authorization": f"Bearer {KEY}"}) as web:
            (shown,) = (await web.get(f"{there.server.url}/v1/calls")).json()["calls"]
            assert (shown["state"], shown["agent_id"], shown["reason"]) == ("live", "sales", None)
            page = (await web.get(f"{there.server.url}/v1/calls/{call.sid}/events?format=wire")).json()
            told = [event["seq"] for event in page["events"]]
            assert told == list(range(1, len(told) + 1))
            names = [event["event"] for event in page["events"]]
            assert names.count("call.started") == 2
            assert names.index("call.routed") + 1 == names.index("call.ended")


async def test_an_extension_goes_with_the_call(tmp_path: Path) -> None:
    config = {"extension_window_ms": 3000}
    async with desk(tmp_path, config=config, agents={"sales": {}}) as there:
        call = there.call()
        stream = await call.stream()
        stream.dtmf("4")
        stream.dtmf("#")
        await there.line.wait("call.started")
        await there.route(call, "sales")
        assert (await there.agents["sales"].wait("call.started"))["extension"] == "4"


@pytest.mark.parametrize(
    ("agent", "reason"), [("nobody", "unknown"), ("was here", "offline"), ("!", "unknown")]
)
async def test_a_call_that_nobody_takes_stays(tmp_path: Path, agent: str, reason: str) -> None:
    async with desk(tmp_path) as there:
        async with connected(there.server.ws) as other:
            await other.send("agent.create", agent_id="was here")
            await other.wait("agent.created")
        call = there.call()
        await there.line.wait("call.started")
        await says(there.line, "bot.reply", call.sid, message_id="m1", text=MENU)
        ack = await there.route(call, agent)
        failed = await there.line.wait("call.route_failed")
        assert (failed["agent"], failed["reason"], ack["extras"]["reason"]) == (agent, reason, reason)
        assert (ack["status"], ack["code"]) == ("error", "ROUTE_REFUSED")
        await there.line.wait("bot.finished", message_id="m1")
        stream = await call.stream()
        stream.dtmf("3")
        await there.line.wait("call.dtmf_received")
        call.hang_up()
        assert (await there.line.wait("call.ended"))["reason"] == "hangup"
        there.well_formed()


async def test_a_target_that_is_lost_while_the_last_word_is_heard_leaves_the_call_with_the_line(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path, agents={"sales": {}}) as there:
        call = there.call()
        await there.line.wait("call.started")
        await says(there.line, "bot.reply", call.sid, message_id="m1", text=MENU)
        assert (await there.route(call, "sales"))["status"] == "processing"
        # Nobody else is asked meanwhile.
        assert (await there.route(call, "sales"))["code"] == "ROUTE_REFUSED"
        await there.agents["sales"].socket.close()
        failed = await there.line.wait("call.route_failed", reason="offline")
        finished = await there.line.wait("bot.finished", message_id="m1")
        assert finished["seq"] < failed["seq"]
        await says(there.line, "bot.reply", call.sid, message_id="m2", text="Nobody is there.")
        await there.line.wait("bot.finished", message_id="m2")
        call.hang_up()
        await there.line.wait("call.ended")
        there.well_formed()


async def test_a_target_that_is_lost_right_afterwards_finds_its_call_when_it_is_back(tmp_path: Path) -> None:
    async with desk(tmp_path, agents={"sales": {}}) as there:
        call = there.call()
        await there.line.wait("call.started")
        await there.route(call, "sales")
        sales = there.agents["sales"]
        await sales.socket.close()
        ended = await there.line.wait("call.ended")
        assert ended["reason"] == "routed"
        async with connected(there.server.ws, resume={}) as back:
            await back.send("agent.create", agent_id="sales")
            started = await back.wait("call.started")
            assert (started["routed_from"], started["call_id"]) == (LINE, call.sid)
            await says(back, "bot.reply", call.sid, message_id="m1", text="Hello.")
            await back.wait("bot.finished", message_id="m1")
            call.hang_up()
            await back.wait("call.ended")
            logged = {frame["seq"]: frame for frame in (*sales.frames, *back.frames) if "seq" in frame}
            for frame in logged.values():
                frame.pop("metadata", None)
            well_formed(logged.values())


async def test_a_line_that_was_away_is_told_that_its_call_was_handed_over(tmp_path: Path) -> None:
    async with desk(tmp_path, agents={"sales": {}}) as there:
        call = there.call()
        started = await there.line.wait("call.started")
        await says(there.line, "bot.reply", call.sid, message_id="m1", text=MENU)
        await there.route(call, "sales")
        seen = max(frame["seq"] for frame in there.line.frames if "seq" in frame)
        await there.line.socket.close()
        await there.agents["sales"].wait("call.started")
        async with connected(there.server.ws, resume={call.sid: seen}) as back:
            await back.send("line.create", number=TO)
            resumed = await back.wait("agent.resumed")
            assert [one["live"] for one in resumed["calls"]] == [False]
            assert (await back.wait("call.ended"))["reason"] == "routed"
            told = [frame["seq"] for frame in back.frames if "seq" in frame]
            assert told == list(range(seen + 1, resumed["calls"][0]["last_seq"] + 1))
            # All is told: a second time there is nothing to come back to.
            await back.send("line.create", number=TO)
            await back.wait("line.created", count=2)
            await asyncio.sleep(0.1)
            assert told == [frame["seq"] for frame in back.frames if "seq" in frame]
            # More may have come to the line before its socket was closed: it is told once more.
            before = [frame for frame in there.line.frames if started["seq"] <= frame.get("seq", 0) <= seen]
            well_formed([*before, *back.frames])


async def test_one_connection_may_have_both_the_line_and_the_agent(tmp_path: Path) -> None:
    async with desk(tmp_path) as there:
        line = there.line
        await line.send("agent.create", agent_id="sales", greeting=GREETING)
        await line.wait("agent.created")
        call = there.call()
        await line.wait("call.started", agent_id=LINE)
        await there.route(call, "sales")
        await line.wait("call.started", agent_id="sales")
        await line.wait("bot.finished")
        seen = max(frame["seq"] for frame in line.frames if "seq" in frame)
        await line.socket.close()
        async with connected(there.server.ws, resume={call.sid: seen}) as back:
            await back.send("line.create", number=TO)
            await back.wait("line.created")
            await back.send("agent.create", agent_id="sales")
            resumed = await back.wait("agent.resumed", agent_id="sales")
            assert [one["live"] for one in resumed["calls"]] == [True]
            call.hang_up()
            await back.wait("call.ended", agent_id="sales")
            assert back.of("call.started") == []
            told = [frame["seq"] for frame in back.frames if "seq" in frame]
            assert told == list(range(seen + 1, seen + 1 + len(told)))


# --- from agent to agent ----------------------------------------------------------------------------------


async def test_an_agent_hands_over_while_the_bot_speaks_and_the_caller_hears_all(tmp_path: Path) -> None:
    agents = {"first": {"greeting": MENU}, "second": {"greeting": GREETING}}
    async with desk(tmp_path, agents=agents) as there:
        first, second = there.agents.values()
        await first.send("channel.add", agent_id="first", type="phone", ref="*")
        await first.wait("channel.added")
        call = there.call("+15550007777")
        stream = await call.stream()
        await stream.bot_speaking()
        await there.route(call, "second", first)
        started = await second.wait("call.started")
        assert (started["routed_from"], started["owner"]) == ("agent:first", "agent")
        assert [(line["who"], line["text"]) for line in started["line_transcript"]] == [("agent", MENU)]
        assert [frame["text"] for frame in first.of("message.confirmed")] == [MENU]
        await second.wait("bot.finished")
        # And back again.
        await there.route(call, "first", second, greeting="")
        again = await first.wait("call.started", count=2)
        assert [line["text"] for line in again["line_transcript"]] == [MENU, GREETING]
        call.hang_up()
        await first.wait("call.ended", reason="hangup")
        spans = stream.playback.utterances(min_silence_ms=300)
        heard_ms = sum(
            frame["duration_ms"] for frame in (*first.of("bot.finished"), *second.of("bot.finished"))
        )
        assert sum(span.duration_ms for span in spans) == pytest.approx(heard_ms, abs=800)
        there.well_formed()


async def test_what_is_said_for_too_long_is_cut_and_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.routing.SAID_S", 0.8)
    async with desk(tmp_path, agents={"sales": {}}) as there:
        call = there.call()
        await there.line.wait("call.started")
        await says(there.line, "bot.reply", call.sid, message_id="m1", text=MENU)
        await says(there.line, "bot.reply", call.sid, message_id="m2", text=MENU)
        await (await call.stream()).bot_speaking()
        await there.route(call, "sales")
        await there.line.wait("call.ended")
        cut = there.line.of("bot.interrupted")
        assert [frame["message_id"] for frame in cut] == ["m1", "m2"]
        assert there.line.of("bot.finished") == []
        assert cut[0]["played_ms"] > 0
        call.hang_up()
        await there.agents["sales"].wait("call.ended")
        there.well_formed()


async def test_a_call_on_hold_is_taken_off_it_for_the_next_one(tmp_path: Path) -> None:
    async with desk(tmp_path, agents={"sales": {"greeting": GREETING}}) as there:
        call = there.call()
        await there.line.wait("call.started")
        await says(there.line, "bot.reply", call.sid, message_id="m1", text=MENU)
        await (await call.stream()).bot_speaking()
        await says(there.line, "call.mute", call.sid)
        await says(there.line, "call.hold", call.sid)
        await there.route(call, "sales")
        await there.line.wait("call.ended")
        names = there.line.names()
        assert names.index("call.held") < names.index("call.unheld") < names.index("call.routed")
        assert names.index("call.unmuted") < names.index("call.routed")
        await there.agents["sales"].wait("bot.finished")
        call.hang_up()
        await there.agents["sales"].wait("call.ended")
        there.well_formed()


async def test_the_next_agents_model_knows_what_was_said_and_answers_it(tmp_path: Path) -> None:
    fixture: dict[str, Any] = {**DELAYS, "transcript": "where are my socks"}
    async with endpoint(**fixture) as model:
        agents: dict[str, dict[str, Any]] = {
            "sales": {"llm": "openai/gpt-4o", "prompt": "You sell to {{name}}.", "raw_prompt": True}
        }
        values = {**ENGINES, "openai_base_url": model.base_url}
        async with desk(tmp_path, agents=agents, **values) as there:
            sales = there.agents["sales"]
            call = there.call()
            await there.line.wait("call.started")
            await says(there.line, "set_context", call.sid, key="menu", value="he pressed one")
            await says(there.line, "bot.reply", call.sid, message_id="m1", text="What is it about?")
            await there.line.wait("bot.finished")
            stream = await call.stream()
            await stream.say(SPOKEN).finished()
            await there.line.wait("turn.end")
            await there.route(call, "sales", prompt_vars={"name": "Ada"})
            started = await sales.wait("call.started")
            assert [(line["who"], line["text"]) for line in started["line_transcript"]] == [
                ("line", "What is it about?"),
                ("caller", "where are my socks"),
            ]
            assert started["context"] == {"menu": "he pressed one"}
            await sales.wait("message.confirmed")
            asked = model.llm.requests[-1].json["messages"]
            assert asked[0]["role"] == "system"
            assert asked[0]["content"].startswith("You sell to Ada.")
            assert "he pressed one" in asked[0]["content"]
            assert [(one["role"], one["content"]) for one in asked[1:]] == [
                ("assistant", "What is it about?"),
                ("user", "where are my socks"),
            ]
            call.hang_up()
            ended = await sales.wait("call.ended")
            assert [one["content"] for one in ended["messages"]][:2] == [
                "What is it about?",
                "where are my socks",
            ]
            there.well_formed()


async def test_a_tool_that_hands_over_is_told_its_end(tmp_path: Path) -> None:
    fixture: dict[str, Any] = {**DELAYS, "transcript": 'call clock {"zone": "UTC"}'}
    async with endpoint(**fixture) as model:
        agents: dict[str, dict[str, Any]] = {
            "first": {"llm": "openai/gpt-4o", "prompt": "Hand over.", "tools": [clock()]},
            "second": {"greeting": GREETING},
        }
        values = {**ENGINES, "openai_base_url": model.base_url}
        async with desk(tmp_path, agents=agents, **values) as there:
            first, second = there.agents.values()
            await first.send("channel.add", agent_id="first", type="phone", ref="*")
            await first.wait("channel.added")
            call = there.call("+15550007777")
            await first.wait("session.ready")
            stream = await call.stream()
            await stream.say(SPOKEN).finished()
            batch = await first.wait("llm.tool_call")
            await there.route(call, "second", first, history=False)
            await first.wait("tool.failed")
            await first.wait("call.ended", reason="routed")
            late = await says(
                first,
                "llm.tool_result",
                call.sid,
                msg_id=batch["msg_id"],
                results=[{"tool_call_id": batch["tool_calls"][0]["id"], "result": "done"}],
            )
            assert late["code"] == "CALL_UNKNOWN"
            await second.wait("bot.finished")
            call.hang_up()
            ended = await second.wait("call.ended")
            assert [one["content"] for one in ended["messages"]] == [GREETING]
            there.well_formed()


async def test_a_model_that_is_thinking_is_let_go_and_the_next_one_answers(tmp_path: Path) -> None:
    fixture: dict[str, Any] = {**DELAYS, "transcript": "where are my socks", "llm_ms": 1500.0}
    async with endpoint(**fixture) as model:
        mind: dict[str, Any] = {"llm": "openai/gpt-4o", "raw_prompt": True}
        agents = {"first": {**mind, "prompt": "First."}, "second": {**mind, "prompt": "Second."}}
        values = {**ENGINES, "openai_base_url": model.base_url}
        async with desk(tmp_path, agents=agents, **values) as there:
            first, second = there.agents.values()
            await first.send("channel.add", agent_id="first", type="phone", ref="*")
            await first.wait("channel.added")
            call = there.call("+15550007777")
            await first.wait("session.ready")
            await (await call.stream()).say(SPOKEN).finished()
            await first.wait("turn.end")
            await there.route(call, "second", first)
            await first.wait("call.ended", reason="routed")
            await second.wait("message.confirmed")
            assert first.of("bot.speaking") == []
            system, *said = [one["content"] for one in model.llm.requests[-1].json["messages"]]
            assert (system, said) == ("Second.", ["where are my socks"])
            assert [turn["turn_id"] for turn in second.of("turn.started")] == [1]
            call.hang_up()
            await second.wait("call.ended")
            there.well_formed()


@pytest.mark.alone
async def test_the_recording_spans_all_who_had_the_call(tmp_path: Path) -> None:
    config = {"recording": {"enabled": True, "format": "wav", "channels": "stereo"}}
    async with desk(tmp_path, config=config, agents={"sales": {"greeting": GREETING}}) as there:
        sales = there.agents["sales"]
        call = there.call()
        await there.line.wait("recording.started")
        await says(there.line, "bot.reply", call.sid, message_id="m1", text="One moment.")
        await there.line.wait("bot.finished")
        await asyncio.sleep(0.8)
        await there.route(call, "sales")
        again = await sales.wait("recording.started")
        assert again["at_ms"] > 500
        await sales.wait("bot.finished")
        call.hang_up()
        recording = await sales.wait("call.recording")
        assert there.line.of("call.recording") == []
        async with httpx.AsyncClient(headers={"authorization": f"Bearer {KEY}"}) as web:
            audio = decoded((await web.get(recording["url"])).content, 8000)
        spoken = stretches(audio[:, 1], 8000)
        finished = [there.line.of("bot.finished")[0], sales.of("bot.finished")[0]]
        assert len(spoken) >= 2
        total_ms = sum((end - begin) * 1000 for begin, end in spoken)
        assert total_ms == pytest.approx(sum(one["duration_ms"] for one in finished), abs=700)
        assert spoken[0][0] * 1000 < again["at_ms"] < spoken[-1][1] * 1000
        there.well_formed()


async def test_a_browser_call_is_handed_over_and_keeps_its_connection(tmp_path: Path) -> None:
    agents = {"tester": {"greeting": MENU}, "second": {"greeting": GREETING, "language": "en"}}
    async with desk(tmp_path, webrtc=True, agents=agents) as there:
        first, second = there.agents.values()
        async with browser(there.server) as page:
            started = await first.wait("call.started")
            await first.wait("bot.finished")
            await says(first, "call.route", started["call_id"], agent="second")
            taken = await second.wait("call.started")
            assert (taken["routed_from"], taken["transport"]) == ("agent:tester", "webrtc")
            await second.wait("bot.finished")
            await says(second, "call.hangup", started["call_id"])
            await second.wait("call.ended")
            ended = await page.wait("call.ended")
            assert (ended["reason"], len(page.of("call.ended"))) == ("client_hangup", 1)
            assert [told["agent_id"] for told in page.of("call.started")] == ["tester", "second"]
            said = [told["text"] for told in page.of("message.confirmed")]
            assert said == [MENU, GREETING]
        there.well_formed()


async def test_a_call_of_a_pbx_is_handed_over_on_its_one_connection(tmp_path: Path) -> None:
    async with pbx(tmp_path) as server, connected(server.ws) as line, connected(server.ws) as sales:
        await line.send("line.create", number="100", config={"extension_window_ms": 600})
        await line.wait("line.created")
        await sales.send("agent.create", agent_id="sales", greeting=GREETING)
        await sales.wait("agent.created")
        async with called(server) as call:
            call.dtmf("7")
            started = await line.wait("call.started")
            assert (started["extension"], started["agent_id"]) == ("7", "line:100")
            await says(line, "bot.reply", started["call_id"], message_id="m1", text="One moment.")
            await says(line, "call.route", started["call_id"], agent="sales")
            taken = await sales.wait("call.started")
            assert (taken["routed_from"], taken["extension"]) == ("line:100", "7")
            await sales.wait("bot.finished")
            await call.bot_quiet(300)
            call.hang_up()
            await sales.wait("call.ended", reason="hangup")
        finished = line.of("bot.finished")[0]["duration_ms"] + sales.of("bot.finished")[0]["duration_ms"]
        heard = sum(span.duration_ms for span in call.playback.utterances())
        assert heard == pytest.approx(finished, abs=500)
        well_formed(line.frames)
        well_formed(sales.frames)
