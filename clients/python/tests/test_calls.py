"""What an agent does on a call, and what it knows of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from talkwire_agent import Agent, Call, Heard, Refused, Talkwire, TooLarge
from talkwire_agent.events import BotFinished, BotWord, CallEnded, TurnEnd
from talkwire_agent.testing import ScriptedCall, ScriptedServer, virtual_time


@asynccontextmanager
async def talking(
    plays: bool = True, **facts: Any
) -> AsyncIterator[tuple[ScriptedServer, ScriptedCall, Call, Agent]]:
    """A call that has just begun."""
    tw = Talkwire("key")
    agent = tw.agent("tester")
    agent.phone("*")
    async with ScriptedServer(tw) as server:
        caller = server.call(plays=plays, **facts)
        await server.quiet()
        yield server, caller, agent.calls[caller.id], agent


# --- speaking ---------------------------------------------------------------------------------------------


@virtual_time
async def test_say_settles_when_it_was_heard() -> None:
    async with talking(plays=False) as (server, caller, call, _):
        said = call.say("Hello there.", add_to_history=True, interruptible=False)
        message = await caller.message()
        await server.quiet()
        assert not said.done
        caller.hears(message)
        assert await said == Heard("finished", "Hello there.", 600)
        assert await said == await said
        command = await server.command("bot.reply")
        assert command["in_reply_to"] == ""
        assert command["add_to_history"] is True
        assert command["interruptible"] is False


@virtual_time
async def test_say_tells_how_far_it_came() -> None:
    async with talking(plays=False) as (_, caller, call, _):
        said = call.say("One two three four.")
        caller.interrupts(await caller.message(), after_words=2)
        heard = await said
        assert heard == Heard("interrupted", "One two", 600, "user_spoke")
        assert not heard.complete


@virtual_time
async def test_say_settles_when_the_call_ends_before() -> None:
    async with talking(plays=False) as (_, caller, call, _):
        said = call.say("One two.")
        await caller.message()
        caller.hangs_up()
        assert (await said).outcome == "call_ended"
        assert (await call.say("Anybody?")).outcome == "call_ended"


@virtual_time
async def test_say_settles_when_the_client_is_closed() -> None:
    async with talking(plays=False) as (_, _, call, _):
        said = call.say("One two.")
    assert (await said).outcome == "disconnected"


@pytest.mark.parametrize("text", ["", "  \n"])
def test_silence_is_not_sent(text: str) -> None:
    @virtual_time
    async def run() -> None:
        async with talking() as (server, _, call, _):
            assert (await call.say(text)).complete
            assert [frame for frame in server.commands if frame["event"] == "bot.reply"] == []

    run()


@virtual_time
async def test_a_message_can_be_cancelled_and_all_cleared() -> None:
    async with talking(plays=False) as (server, _, call, _):
        one, two, three = call.say("One."), call.say("Two."), call.say("Three.")
        two.cancel()
        assert (await two).reason == "cancelled"
        assert not one.done
        call.cancel()
        assert (await one).reason == "cancelled"
        assert not three.done
        call.clear()
        assert (await three).reason == "cancelled"
        three.cancel()
        await server.quiet()
        assert len([frame for frame in server.commands if frame["event"] == "bot.cancel"]) == 2


@virtual_time
async def test_a_reply_answers_the_turn_of_its_handler_else_the_latest() -> None:
    async with talking() as (server, caller, call, agent):
        outcomes: list[str] = []

        @agent.on("turn.end")
        async def answer(turn: TurnEnd) -> None:
            await asyncio.sleep(1)
            outcomes.append((await call.reply(turn.text)).outcome)

        assert (await call.reply("Nobody has asked.")).complete
        first = caller.says("one")
        await server.quiet()
        second = caller.says("two")
        await asyncio.sleep(3)
        assert outcomes == ["rejected", "finished"]
        assert (await call.reply("outside")).complete
        named = await call.reply("late", in_reply_to=first)
        assert named == Heard("rejected", "", 0, "message_obsolete")
        answered = [frame["in_reply_to"] for frame in server.commands if frame["event"] == "bot.reply"]
        assert answered == ["", first, second, second, first]


@virtual_time
async def test_an_answer_to_a_turn_that_goes_on_is_not_spoken() -> None:
    async with talking() as (server, caller, call, _):
        caller.says("I would like")
        await server.quiet()
        turns = [call.turn is not None]
        caller.goes_on()
        await server.quiet()
        turns.append(call.turn is not None)
        assert turns == [True, False]
        assert (await call.reply("Yes?")).outcome == "rejected"


# --- what is known ----------------------------------------------------------------------------------------


@virtual_time
async def test_the_facts_of_a_call() -> None:
    async with talking(metadata={"campaign": "x"}, language="de") as (_, caller, call, agent):
        assert (call.id, call.from_, call.to) == ("CA1", "+15550001111", "+15550002222")
        assert (call.direction, call.transport, call.language) == ("inbound", "phone", "de")
        assert call.metadata == {"campaign": "x"}
        caller.emit("call.updated", language="fr")
        live = [call.live]
        caller.hangs_up()
        ended = await call.wait_ended()
        assert call.language == "fr"
        assert isinstance(ended, CallEnded)
        assert (call.end_reason, call.duration, call.ended_at) == ("hangup", 1.0, ended.ended_at)
        assert [*live, call.live] == [True, False]
        assert agent.calls == {}


@virtual_time
async def test_the_transcript_grows_and_is_the_servers_at_the_end() -> None:
    async with talking() as (server, caller, call, _):
        caller.says("what time")
        caller.emit(
            "user.message", turn_id=1, correlation_id="x", text="what time is it", message_id="u_1",
            confidence=0.9, segment_ids=[1],
        )  # fmt: skip
        await call.say("Ten past nine.")
        await server.quiet()
        said = [(message.role, message.content) for message in call.transcript]
        assert said == [("user", "what time is it"), ("assistant", "Ten past nine.")]
        assert call.messages == call.transcript
        caller.hangs_up()
        await call.wait_ended()
        assert [message.content for message in call.messages] == ["what time", "Ten past nine."]


@virtual_time
async def test_what_the_bot_says_grows_by_words_and_is_there_until_its_handlers_are_done() -> None:
    async with talking() as (_, _, call, agent):
        seen: list[str] = []

        @agent.on("bot.word")
        def word(event: BotWord) -> None:
            seen.append(call.current_bot_text)

        @agent.on("bot.finished")
        async def finished(event: BotFinished) -> None:
            await asyncio.sleep(1)
            seen.append(f"<{call.current_bot_text}>")

        call.say("Good old days.")
        await asyncio.sleep(0.5)
        assert call.current_bot_text == "Good old days."
        await asyncio.sleep(1)
        assert call.current_bot_text == ""
        assert seen == ["Good", "Good old", "Good old days.", "<Good old days.>"]


# --- the call ---------------------------------------------------------------------------------------------


@virtual_time
async def test_hold_and_mute_settle_when_they_are_so() -> None:
    async with talking() as (server, _, call, _):
        states = []
        await call.hold()
        states.append(call.held)
        await call.hold()
        await call.unhold()
        states.append(call.held)
        await call.unmute()
        await call.mute()
        states.append(call.muted)
        await call.unmute()
        states.append(call.muted)
        assert states == [True, False, True, False]
        names = [frame["event"] for frame in server.commands if frame["event"].startswith("call.")]
        assert names == ["call.hold", "call.unhold", "call.unmute", "call.mute", "call.unmute"]


@virtual_time
async def test_keys_and_forwards_are_sent_as_they_are_on_the_wire() -> None:
    async with talking() as (server, _, call, _):
        call.send_dtmf("ww12#")
        call.forward("+15550003333")
        call.forward("sip:ann@example.org", message="A caller.", announce=True)
        for digits in ("", "12x", "1" * 33):
            with pytest.raises(ValueError, match="1 to 32"):
                call.send_dtmf(digits)
        await call.hold()
        sent = [frame for frame in server.commands if frame["event"] in ("call.dtmf", "call.forward")]
        assert [{k: v for k, v in frame.items() if k not in ("call_id", "ack")} for frame in sent] == [
            {"event": "call.dtmf", "digits": "ww12#"},
            {"event": "call.forward", "to": "+15550003333"},
            {"event": "call.forward", "to": "sip:ann@example.org", "message": "A caller.", "announce": True},
        ]


@virtual_time
async def test_a_transfer_is_sent_as_it_is_on_the_wire_and_waits_until_it_is_taken() -> None:
    async with talking() as (server, scripted, call, _):
        await call.transfer(
            "+15550003333",
            from_="+15550002222",
            message="One moment.",
            consult=True,
            greeting="A caller has a question.",
            config={"language": "es"},
            ring_timeout_seconds=20,
        )
        await call.complete_transfer()
        told: list[str] = []
        call.on("call.transferred", lambda event: told.append(event.to))
        call.on("call.transfer_failed", lambda event: told.append(event.reason))
        scripted.emit("call.transferring", to="+15550003333")
        scripted.emit("call.transfer_failed", to="+15550003333", reason="declined")
        scripted.emit("call.transferred", to="+15550003333")
        await server.quiet()
        assert told == ["declined", "+15550003333"]
        await call.cancel_transfer()
        sent = [frame for frame in server.commands if frame["event"].startswith("call.transfer")]
        assert [{k: v for k, v in frame.items() if k not in ("call_id", "ack")} for frame in sent] == [
            {
                "event": "call.transfer",
                "to": "+15550003333",
                "from": "+15550002222",
                "message": "One moment.",
                "consult": True,
                "greeting": "A caller has a question.",
                "config": {"language": "es"},
                "ring_timeout_seconds": 20,
            },
            {"event": "call.transfer_complete"},
            {"event": "call.transfer_cancel"},
        ]


@virtual_time
async def test_hangup_settles_when_the_call_is_over_and_nothing_is_sent_any_more() -> None:
    async with talking() as (server, _, call, _):
        ended = await call.hangup("we are done")
        assert ended is not None
        assert (ended.reason, ended.detail) == ("client_hangup", "we are done")
        before = len(server.commands)
        call.clear()
        await call.hold()
        await call.hangup()
        await call.configure(voice="a/b")
        await server.quiet()
        assert len(server.commands) == before


@virtual_time
async def test_a_call_is_configured_or_it_is_told_why_not() -> None:
    async with talking() as (server, _, call, _):
        await call.configure(language="es", turn_detection={"silence_ms": 900})
        command = await server.command("session.configure")
        assert command == {
            "event": "session.configure",
            "session_id": "CA1",
            "language": "es",
            "turn_detection": {"silence_ms": 900},
        }
        server.refuse("BAD_MESSAGE", "language must be a tag", key="language")
        refused = call.configure(language="?")
        accepted = call.configure(language="en")
        with pytest.raises(Refused, match="must be a tag") as caught:
            await refused
        assert (caught.value.code, caught.value.key) == ("BAD_MESSAGE", "language")
        await accepted


@virtual_time
async def test_what_no_server_takes_is_not_sent() -> None:
    async with talking() as (server, _, call, agent):
        with pytest.raises(TooLarge, match=r"bot\.reply has"):
            call.say("ä" * 600_000)
        with pytest.raises(TooLarge):
            agent.configure(prompt="x" * (1 << 20))
        with pytest.raises(ValueError, match="not JSON compliant"):
            call.send("x", number=float("nan"))
        assert server.connections == 1


# --- streams ----------------------------------------------------------------------------------------------


@virtual_time
async def test_a_reply_is_streamed() -> None:
    async with talking() as (server, caller, call, agent):

        @agent.on("turn.end")
        async def answer() -> None:
            async with call.reply_stream(interruptible=False) as stream:
                for token in ("It is ", "", "ten past nine."):
                    await stream.write(token)
            assert (await stream).text == "It is ten past nine."

        message_id = caller.says("what time is it")
        assert await caller.heard() == "It is ten past nine."
        frames = [frame for frame in server.commands if frame["event"] == "bot.reply.stream"]
        assert [frame["action"] for frame in frames] == ["start", "chunk", "chunk", "end"]
        assert frames[0]["in_reply_to"] == message_id
        assert frames[0]["interruptible"] is False
        assert len({frame["message_id"] for frame in frames}) == 1


async def _for_ever() -> None:
    await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("how", ["goes_on", "interrupts", "hangs_up", "clear", "drop"])
def test_a_void_stream_is_left_at_once(how: str) -> None:
    reasons = {
        "goes_on": "turn_continued",
        "interrupts": "interrupted",
        "hangs_up": "call_ended",
        "clear": "interrupted",
        "drop": "disconnected",
    }

    @virtual_time
    async def run() -> None:
        async with talking(plays=False) as (server, caller, call, agent):
            left: list[str | None] = []

            @agent.on("eager.turn")
            async def answer() -> None:
                async with call.reply_stream() as stream:
                    await stream.write("It is ")
                    await asyncio.sleep(3600)
                left.append(stream.aborted)
                await asyncio.sleep(0.1)  # The task goes on as before.
                left.append("went on")

            caller.says("what time", ends=False)
            message = await caller.message()
            await server.quiet()
            match how:
                case "goes_on":
                    caller.goes_on()
                case "interrupts":
                    caller.interrupts(message)
                case "hangs_up":
                    caller.hangs_up()
                case "clear":
                    call.clear()
                case "drop":
                    server.drop()
            await asyncio.sleep(0.5)
            assert left == [reasons[how], "went on"]

    run()


@virtual_time
async def test_a_rejected_stream_is_left_and_not_ended() -> None:
    async with talking() as (server, _, call, _):
        async with call.reply_stream(in_reply_to="gone") as stream:
            await asyncio.sleep(3600)
        assert stream.aborted == "rejected"
        assert (await stream).reason == "message_obsolete"
        actions = [frame.get("action") for frame in server.commands if frame["event"] == "bot.reply.stream"]
        assert actions == ["start"]


@virtual_time
async def test_a_block_that_catches_everything_is_left_by_its_next_word() -> None:
    async with talking() as (server, caller, call, _):
        caller.says("what time")
        await server.quiet()
        async with call.reply_stream() as stream:
            caller.goes_on()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)
            await stream.write("It is")
            pytest.fail("the stream took more")
        assert stream.aborted == "turn_continued"
        assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]


@virtual_time
async def test_a_cancellation_from_outside_gets_through_and_stops_the_message() -> None:
    async with talking(plays=False) as (server, _, call, _):

        async def speak() -> None:
            async with call.reply_stream() as stream:
                await stream.write("It is ")
                await _for_ever()

        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(speak())
            await server.quiet()
            task.cancel()
        assert task.cancelled()
        await server.command("bot.cancel")


@virtual_time
async def test_what_was_written_is_spoken_though_the_block_fails() -> None:
    async with talking() as (_, caller, call, _):

        async def speak() -> None:
            async with call.reply_stream() as stream:
                await stream.write("It is ten.")
                raise LookupError("the model is gone")

        with pytest.raises(LookupError):
            await speak()
        assert await caller.heard() == "It is ten."


@virtual_time
async def test_a_stream_of_nothing_and_one_that_was_ended() -> None:
    async with talking() as (_, _, call, _):
        async with call.reply_stream() as stream:
            pass
        assert await stream == Heard("finished")
        with pytest.raises(RuntimeError, match="ended"):
            await stream.write("more")
