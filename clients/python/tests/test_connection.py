"""How a client connects, registers its agents, loses the connection, and comes back."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from talkwire_agent import (
    Agent,
    Call,
    CallResumed,
    Disconnected,
    Displaced,
    MissingKey,
    Refused,
    Talkwire,
    Unauthorized,
)
from talkwire_agent.client import retry_s
from talkwire_agent.errors import ConnectionLost
from talkwire_agent.events import CallEnded, CallStarted
from talkwire_agent.settings import address
from talkwire_agent.testing import ScriptedServer, virtual_time
from talkwire_agent.testing.link import End, linked


def made(*agents: str) -> tuple[Talkwire, list[Agent]]:
    tw = Talkwire("key")
    return tw, [tw.agent(name) for name in agents or ("tester",)]


# --- where, and as whom -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "dialled"),
    [
        ("http://host:1/", "ws://host:1/client"),
        ("https://host", "wss://host/client"),
        ("wss://host/voice", "wss://host/voice/client"),
        ("ws://host/client", "ws://host/client"),
    ],
)
def test_the_address(given: str, dialled: str) -> None:
    assert address(given) == dialled


@pytest.mark.parametrize("given", ["host:8080", "ftp://host", "//host"])
def test_no_address(given: str) -> None:
    with pytest.raises(ValueError, match="no address of a server"):
        address(given)


def test_address_and_key_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TALKWIRE_API_KEY", raising=False)
    monkeypatch.setenv("TALKWIRE_API_KEYS", " one , two")
    monkeypatch.setenv("TALKWIRE_URL", "http://elsewhere")
    seen = asyncio.run(_first_frame(Talkwire()))
    assert seen == ("ws://elsewhere/client", "one")
    monkeypatch.setenv("TALKWIRE_API_KEY", "three")
    monkeypatch.delenv("TALKWIRE_URL")
    assert asyncio.run(_first_frame(Talkwire())) == ("ws://127.0.0.1:8080/client", "three")
    assert asyncio.run(_first_frame(Talkwire("four", "ws://there"))) == ("ws://there/client", "four")
    for name in ("TALKWIRE_API_KEY", "TALKWIRE_API_KEYS"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("TALKWIRE_DATA_DIR", str(tmp_path))
    with pytest.raises(MissingKey, match="TALKWIRE_API_KEY"):
        asyncio.run(Talkwire().serve())
    (tmp_path / "api-key").write_text("five\n")
    assert asyncio.run(_first_frame(Talkwire(url="http://localhost:1"))) == (
        "ws://localhost:1/client",
        "five",
    )
    with pytest.raises(MissingKey, match="TALKWIRE_API_KEY"):
        asyncio.run(Talkwire(url="wss://voice.example.org").serve())


async def _first_frame(tw: Talkwire) -> tuple[str, str]:
    dialled: list[str] = []
    ours, theirs = linked()

    async def dial(place: str) -> End:
        dialled.append(place)
        return theirs

    tw.dial = dial
    async with tw:
        frame = json.loads(await ours.receive())
        assert frame["event"] == "connect"
        assert frame["protocol"] == "talkwire/1"
        await ours.close()
        return dialled[0], frame["api_key"]


@virtual_time
async def test_a_refused_key_is_raised_and_not_tried_again() -> None:
    tw, _ = made()
    dialled: list[End] = []

    async def dial(place: str) -> End:
        ours, theirs = linked()
        dialled.append(ours)
        await ours.send(json.dumps({"event": "error", "code": "UNAUTHORIZED", "error": "the key is wrong"}))
        return theirs

    tw.dial = dial
    with pytest.raises(Unauthorized, match="the key is wrong"):
        await tw.serve()
    assert len(dialled) == 1


# --- registration -----------------------------------------------------------------------------------------


@virtual_time
async def test_several_agents_share_a_connection_and_each_has_its_calls() -> None:
    tw, (sales, support) = made("Sales", "support desk")
    sales.phone("+1 555 1000", greeting="Sales.")
    support.phone("*")
    async with ScriptedServer(tw) as server:
        assert server.connections == 1
        names = [frame["event"] for frame in server.commands]
        assert sorted(names) == sorted(["connect", *["agent.create", "channel.add"] * 2])
        for agent in ("Sales", "support desk"):
            own = [frame["event"] for frame in server.commands if frame.get("agent_id") == agent]
            assert own == ["agent.create", "channel.add"]
        added = next(frame for frame in server.commands if frame.get("ref") == "+1 555 1000")
        assert (added["type"], added["greeting"]) == ("phone", "Sales.")
        server.call("sales")
        server.call("Support_Desk")
        server.call("support-desk")
        await server.quiet()
        assert list(sales.calls) == ["CA1"]
        assert list(support.calls) == ["CA2", "CA3"]
        assert list(tw.calls) == ["CA1", "CA2", "CA3"]


def test_an_agent_has_a_name_of_its_own() -> None:
    tw, _ = made("My Agent")
    with pytest.raises(ValueError, match="already"):
        tw.agent("my_agent")
    with pytest.raises(ValueError, match="no letter"):
        tw.agent("--")


@virtual_time
async def test_agents_and_channels_may_come_later_and_change() -> None:
    tw, (first,) = made()
    async with ScriptedServer(tw) as server:
        late = tw.agent("late", language="de")
        await late.ready()
        await late.phone("+4930")
        await late.configure(greeting="Hallo.")
        await late.configure_phone("+4930", voice="espeak/de")
        await late.remove_phone("+4930")
        await first.phone("*")
        changes = [frame for frame in server.commands if frame["event"].endswith((".configure", ".remove"))]
        assert changes == [
            {"event": "agent.configure", "agent_id": "late", "greeting": "Hallo."},
            {"event": "channel.configure", "agent_id": "late", "ref": "+4930", "voice": "espeak/de"},
            {"event": "channel.remove", "agent_id": "late", "ref": "+4930", "type": "phone"},
        ]
        server.drop()
        await asyncio.sleep(5)
        again = [f for f in server.commands if f["event"] == "agent.create" and f["agent_id"] == "late"]
        assert again[-1] == {
            "event": "agent.create", "agent_id": "late", "language": "de", "greeting": "Hallo."
        }  # fmt: skip
        added = [frame["ref"] for frame in server.commands if frame["event"] == "channel.add"]
        assert added == ["+4930", "*", "*"]


@virtual_time
async def test_a_conflict_is_tried_again_when_the_server_says() -> None:
    tw, (agent,) = made()
    async with ScriptedServer(tw, ready=False) as server:
        server.refuse("AGENT_CONFLICT", retry_after_s=12.0, holder_alive=True)
        server.refuse("SERVER_AT_CAPACITY", retry_after_s=12.0)
        began = asyncio.get_running_loop().time()
        await agent.ready()
        assert 24 <= asyncio.get_running_loop().time() - began <= 27
        assert [frame["event"] for frame in server.commands].count("agent.create") == 3


@virtual_time
async def test_developers_name_their_callers_on_each_connection() -> None:
    tw, _ = made("dev-ann-shop")
    tw.dev_callers("+15550001111")
    async with ScriptedServer(tw) as server:
        assert (await server.command("dev.config"))["callers"] == ["+15550001111"]
        tw.dev_callers()
        assert (await server.command("dev.config", 2))["callers"] == []
        tw.dev_callers("+15550003333", "+15550004444")
        await server.command("dev.config", 3)
        server.drop()
        assert (await server.command("dev.config", 4))["callers"] == ["+15550003333", "+15550004444"]


@virtual_time
async def test_an_agent_that_is_refused_is_raised_when_no_other_is_left() -> None:
    tw, _ = made()

    async def run() -> None:
        async with ScriptedServer(tw, ready=False) as server:
            server.refuse("REGISTRATION_ERROR", "vad.threshold must be a number", key="vad.threshold")
            await asyncio.sleep(10)

    with pytest.raises(Refused, match=r"vad\.threshold must be a number") as caught:
        await run()
    assert (caught.value.code, caught.value.key) == ("REGISTRATION_ERROR", "vad.threshold")


@virtual_time
async def test_the_others_go_on_without_the_one_that_is_refused() -> None:
    tw, (bad, good) = made("bad", "good")
    async with ScriptedServer(tw, ready=False) as server:
        server.refuse("REGISTRATION_ERROR")
        with pytest.raises(Refused):
            await bad.ready()
        await good.ready()
        assert list(tw.agents) == ["good"]


@virtual_time
async def test_a_number_that_is_taken_is_told_to_whoever_asks() -> None:
    tw, (agent,) = made()
    async with ScriptedServer(tw) as server:
        server.refuse("PHONE_IN_USE", "another agent answers +1", phone="+1")
        with pytest.raises(Refused, match="another agent") as caught:
            await agent.phone("+1")
        assert caught.value.code == "PHONE_IN_USE"
        with pytest.raises(Refused):
            await agent.ready()
        assert agent.registered


@virtual_time
async def test_a_displaced_agent_is_not_made_again() -> None:
    tw, (one, two) = made("one", "two")
    told: list[str] = []
    one.on("agent.displaced", lambda event: told.append(event.reason))

    async def run() -> None:
        async with ScriptedServer(tw) as server:
            server.send("agent.displaced", agent_id="one", reason="taken over")
            await server.quiet()
            server.drop()
            await asyncio.sleep(5)
            created = [frame["agent_id"] for frame in server.commands if frame["event"] == "agent.create"]
            assert created == ["one", "two", "two"]
            server.drop("displaced: taken over", 4001)
            await asyncio.sleep(50)

    with pytest.raises(Displaced, match="taken over"):
        await run()
    assert told == ["taken over"]
    assert not two.registered


# --- the connection ---------------------------------------------------------------------------------------


def test_the_time_between_tries_doubles_up_to_a_limit() -> None:
    assert [retry_s(attempt, 0.5) for attempt in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert (retry_s(0, 0.0), retry_s(0, 1.0)) == (0.75, 1.25)
    assert retry_s(10**6, 0.5) == 30


@virtual_time
async def test_it_is_tried_again_until_the_server_is_there_and_from_the_beginning_after() -> None:
    tw, (agent,) = made()
    waits: list[float | None] = []
    tw.on("disconnected", lambda event: waits.append(event.retry_in_s))
    async with ScriptedServer(tw) as server:
        server.accepts = False
        server.drop()
        await asyncio.sleep(200)
        assert not tw.connected
        assert not agent.registered
        assert len(waits) >= 8
        for attempt, wait_s in enumerate(waits):
            assert wait_s is not None
            assert retry_s(attempt, 0) <= wait_s <= retry_s(attempt, 1)
        server.accepts = True
        await agent.ready()
        waits.clear()
        server.drop()
        await asyncio.sleep(2)
        assert waits[0] is not None
        assert waits[0] <= 1.25


@virtual_time
async def test_a_server_that_says_nothing_counts_as_gone() -> None:
    tw, _ = made()
    ends: list[End] = []
    told: list[Disconnected] = []
    tw.on("disconnected", told.append)

    async def dial(place: str) -> End:
        ours, theirs = linked()
        ends.append(ours)
        if len(ends) > 1:
            await ours.send('{"event":"connected","protocol":"talkwire/1"}')
        return theirs

    tw.dial = dial
    async with tw:
        await asyncio.sleep(9)
        assert not told
        await asyncio.sleep(2)
        assert "10 s" in told[0].reason
        await asyncio.sleep(44)  # The second one was silent from its handshake on.
        assert len(ends) == 2
        await asyncio.sleep(8)
        assert len(ends) == 3
        names = []
        while not ends[1].idle:
            names.append(json.loads(await ends[1].receive())["event"])
            if names.count("ping") == 3:
                break
        assert names.count("ping") >= 2


@virtual_time
async def test_pings_are_answered_and_sent() -> None:
    tw, _ = made()
    async with ScriptedServer(tw) as server:
        server.send("ping")
        await server.command("pong")
        await asyncio.sleep(3600)
        assert server.connections == 1
        assert tw.connected


@virtual_time
async def test_what_was_sent_before_the_client_closes_goes_out() -> None:
    tw, (agent,) = made()
    async with ScriptedServer(tw) as server:
        caller = server.call()
        await server.quiet()
        agent.calls["CA1"].hangup("bye")
        await tw.close()
        await server.quiet()
        assert caller.hangup_detail == "bye"
        assert not tw.connected


@virtual_time
async def test_a_client_can_be_used_again_and_not_twice_at_once() -> None:
    tw, (agent,) = made()
    for _ in range(2):
        async with ScriptedServer(tw) as server:
            server.call()
            await server.quiet()
            assert list(agent.calls) == ["CA1"]
            with pytest.raises(RuntimeError, match="already"):
                await tw.serve()
        assert agent.calls == {}


@virtual_time
async def test_what_fails_in_the_block_comes_out_as_it_is() -> None:
    tw, _ = made()

    async def run() -> None:
        async with ScriptedServer(tw):
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await run()


# --- calls that outlive it --------------------------------------------------------------------------------


@pytest.mark.parametrize("resumes", [True, False])
@virtual_time
async def test_a_call_goes_on_after_the_connection_was_lost(resumes: bool) -> None:
    tw, (agent,) = made()
    told: list[tuple[str, Any]] = []
    for name in ("call.started", "call.resumed", "user.message", "call.ended"):
        agent.on(name, lambda event, call: told.append((event.event, call)))
    async with ScriptedServer(tw) as server:
        caller = server.call()
        await server.quiet()
        call = agent.calls["CA1"]
        server.resumes = resumes
        server.drop()
        await server.quiet()
        caller.says("are you there")
        said = call.say("I am back.")
        assert not said.done
        await asyncio.sleep(5)
        assert (await said).complete
        assert await caller.heard() == "I am back."
        caller.hangs_up()
        await server.quiet()
    assert told == [
        ("call.started", call),
        ("call.resumed", call),
        ("user.message", call),
        ("call.ended", call),
    ]
    assert call.last_seq == len(caller.journal)


@virtual_time
async def test_the_server_is_told_how_far_each_call_has_come() -> None:
    tw, _ = made("one", "two")
    async with ScriptedServer(tw) as server:
        assert (await server.command("connect"))["resume"] == {}
        first, second = server.call("one"), server.call("two")
        first.says("hello")
        second.hangs_up()
        await server.quiet()
        server.drop()
        heard = {"CA1": len(first.journal), "CA2": len(second.journal)}
        first.says("are you there")
        await asyncio.sleep(5)
        assert (await server.command("connect", 2))["resume"] == heard
        assert tw.calls["CA1"].last_seq == len(first.journal)


@virtual_time
async def test_a_call_that_is_told_as_gone_is_over_at_once() -> None:
    tw, (agent,) = made()
    ended: list[CallEnded] = []
    agent.on(CallEnded, ended.append)
    async with ScriptedServer(tw) as server:
        server.call()
        await server.quiet()
        server.calls.clear()
        server.drop()
        await asyncio.sleep(1.5)
        assert [event.reason for event in ended] == ["connection_lost"]
        server.drop()
        await asyncio.sleep(1.5)
        # To whoever was told of its end it would be a new call.
        assert (await server.command("connect", 3))["resume"] == {}
        assert len(ended) == 1


@virtual_time
async def test_an_event_that_comes_twice_is_told_once() -> None:
    tw, (agent,) = made()
    texts: list[str] = []
    resumed: list[CallResumed] = []
    agent.on("user.message", lambda event: texts.append(event.text))
    agent.on(CallResumed, resumed.append)
    async with ScriptedServer(tw) as server:
        caller = server.call()
        caller.says("once")
        await server.quiet()
        for frame in caller.journal:
            server.send(**frame)
        caller.says("twice")
        await server.quiet()
        assert texts == ["once", "twice"]
        assert resumed == []
        server.drop()
        await asyncio.sleep(5)
        assert [event.call_id for event in resumed] == ["CA1"]


@virtual_time
async def test_a_process_that_does_not_know_the_call_is_told_that_it_started() -> None:
    tw, (agent,) = made()
    started: list[CallStarted] = []
    agent.on(CallStarted, started.append)
    async with ScriptedServer(tw) as server:
        server.call()
        await server.quiet()
        server.drop()
        agent.calls.clear()
        await asyncio.sleep(5)
    assert [event.call_id for event in started] == ["CA1", "CA1"]
    assert [event.metadata for event in started] == [None, {"resumed": True}]


@virtual_time
async def test_what_may_have_been_lost_on_its_way_is_said_again_and_once() -> None:
    tw, (agent,) = made()
    async with ScriptedServer(tw) as server:
        caller = server.call(plays=False)
        await server.quiet()
        call = agent.calls["CA1"]
        arrived, lost = call.say("First."), call.say("Second.")
        message = await caller.message()
        await caller.message()
        del caller._messages[lost.id]  # As if the second had not arrived.
        server.drop()
        await asyncio.sleep(5)
        again = await caller.message()
        assert again.id == lost.id
        assert not arrived.done
        caller.hears(message)
        caller.hears(again)
        assert (await arrived).complete
        assert (await lost).complete


@virtual_time
async def test_a_call_that_the_server_no_longer_has_is_over() -> None:
    tw, (agent,) = made()
    ended: list[CallEnded] = []
    agent.on(CallEnded, ended.append)
    async with ScriptedServer(tw) as server:
        caller = server.call(plays=False)
        caller.says("hello")
        await server.quiet()
        said = agent.calls["CA1"].say("Hello.")
        await caller.message()
        server.calls.clear()
        server.resumes = False
        server.drop()
        await asyncio.sleep(3)
        assert not ended
        await asyncio.sleep(6)
        assert (await said).outcome == "call_ended"
    assert [(event.call_id, event.reason) for event in ended] == [("CA1", "connection_lost")]
    assert [message.content for message in ended[0].transcript] == ["hello"]


@virtual_time
async def test_the_end_that_was_missed_is_told_and_so_is_the_recording_behind_it() -> None:
    tw, (agent,) = made()
    told: list[tuple[str, Call]] = []
    for name in ("call.ended", "call.recording"):
        agent.on(name, lambda event, call: told.append((event.event, call)))
    async with ScriptedServer(tw) as server:
        caller = server.call()
        await server.quiet()
        call = agent.calls["CA1"]
        server.drop()
        caller.hangs_up()
        caller.emit("call.recording", url="/r.wav", duration_ms=5, format="wav", sample_rate=8000)
        await asyncio.sleep(5)
    assert told == [("call.ended", call), ("call.recording", call)]


@virtual_time
async def test_errors_of_a_call_are_no_answers_to_commands() -> None:
    tw, (agent,) = made()
    codes: list[tuple[str, bool]] = []
    agent.on("error", lambda event, call: codes.append((event.code, call is not None)))
    async with ScriptedServer(tw) as server:
        caller = server.call()
        await server.quiet()
        configured = agent.configure(language="de")
        server.send("error", agent_id="tester", call_id="CA9", error="no media", code="MEDIA_REFUSED")
        caller.emit("error", error="no answer", code="PROVIDER_TIMEOUT", stage="llm")
        await configured
        changed = agent.calls["CA1"].configure(language="de")
        caller.emit("error", error="no answer", code="PROVIDER_ERROR", stage="llm")
        await changed
        await server.quiet()
    assert codes == [("MEDIA_REFUSED", False), ("PROVIDER_TIMEOUT", True), ("PROVIDER_ERROR", True)]


@virtual_time
async def test_what_cannot_be_answered_now_says_so() -> None:
    tw, (agent,) = made()
    async with ScriptedServer(tw) as server:
        server.call()
        await server.quiet()
        call = agent.calls["CA1"]
        server.drop()
        await server.quiet()
        with pytest.raises(ConnectionLost):
            await call.configure(language="de")


@virtual_time
async def test_a_call_that_was_given_up_too_early_begins_anew() -> None:
    tw, (agent,) = made()
    told: list[tuple[str, Call]] = []
    for name in ("call.started", "call.ended", "user.message"):
        agent.on(name, lambda event, call: told.append((event.event, call)))
    async with ScriptedServer(tw) as server:
        caller = server.call()
        await server.quiet()
        first = agent.calls["CA1"]
        server.calls.clear()
        server.drop()
        await asyncio.sleep(10)
        server.calls["CA1"] = caller
        server.send(**caller.journal[0])
        caller.says("hello?")
        await server.quiet()
        second = agent.calls["CA1"]
        assert second is not first
        assert (await second.say("Yes.")).complete
    assert told == [
        ("call.started", first),
        ("call.ended", first),
        ("call.started", second),
        ("user.message", second),
    ]


@virtual_time
async def test_hold_is_asked_for_again_where_it_may_have_been_lost() -> None:
    tw, (agent,) = made()
    async with ScriptedServer(tw) as server:
        caller = server.call()
        await server.quiet()
        call = agent.calls["CA1"]
        server.drop()
        held = call.hold()
        await server.quiet()
        assert not held.done
        await held
        assert call.held
        assert [frame["event"] for frame in caller.journal].count("call.held") == 1


@virtual_time
async def test_a_stream_that_was_opened_before_the_client_runs() -> None:
    tw, (agent,) = made()
    feed = agent.stream(("call.started",))
    async with ScriptedServer(tw) as server:
        server.call()
        assert (await anext(feed)).event == "call.started"


@virtual_time
async def test_commands_wait_for_the_connection_in_their_order() -> None:
    tw, (agent,) = made()
    async with ScriptedServer(tw) as server:
        caller = server.call()
        await server.quiet()
        call = agent.calls["CA1"]
        server.drop()
        await server.quiet()
        async with call.reply_stream() as stream:
            for token in ("Good", "bye."):
                await stream.write(token)
        ended = call.hangup("done")
        assert await ended is not None
        assert await caller.heard() == "Goodbye."
        assert (await stream).complete
        assert caller.hangup_detail == "done"
