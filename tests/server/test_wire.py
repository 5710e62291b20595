"""Every fact of the conversation has its words, and they fit the declaration."""

from __future__ import annotations

import asyncio
import typing

import orjson

from media.levels import Level
from pipeline import events
from pipeline.endpointing import TurnReason
from pipeline.events import EndReason, TurnRef, Utterance
from pipeline.ports import ChatMessage, ToolCall
from server.clock import Clock
from server.journal import Journal
from server.protocol import to_json
from server.ring import Entry
from server.wire import CallFacts, Stamp, to_wire

TURN = TurnRef(3, "c0ffee")
FACTS = CallFacts("CA1", "My Agent", "+15550001111", "+15550002222")
CLOCK = ToolCall("c1", "clock", '{"zone":null}')
SAMPLES: list[events.Event] = [
    events.CallStarted("en-US"),
    events.Routed("sales"),
    events.RouteFailed("sales", "offline"),
    events.SessionCreated("a1b2"),
    events.SessionReady(),
    events.SessionIdleWarning(15.0, 60.0),
    events.SessionTimeout("idle_timeout", 8.0),
    events.UserMuteStarted("bot_speaking"),
    events.UserMuteStopped("bot_speaking"),
    events.SpeechStarted(TURN, 1, 0.9, 10.0),
    events.SpeechEnded(TURN, 1, 800, 11.0),
    events.UserSpeaking(TURN, "what time", "", 0.5),
    events.UserMessage(TURN, "m1", "what time is it", 0.8, (1,)),
    events.EagerTurn(TURN, "m1", "what time is it", 0.6, 400, TurnReason.SILENCE),
    events.TurnEnd(TURN, "m1", "what time is it", 0.7, 500, TurnReason.FORCED),
    events.TurnPause(TURN, 0.3, 400),
    events.TurnResumed(TURN, 11.5),
    events.TurnContinued(TURN, 12.0),
    events.BotSpeaking(TURN, "b1", "It is ten."),
    events.BotWord(None, "b1", "It", 0, 0.0, 0.1),
    events.BargeIn(TURN, "b1"),
    events.TtsStarted(TURN, "b1"),
    events.TtsStopped(TURN, "b1", 10),
    events.SupervisorSaid("One moment, please.", "Ann", "b2"),
    events.SupervisorWhispered("He is a customer of ten years.", "Ann"),
    events.HandoffRequested("Ann"),
    events.HandoffActive("Ann"),
    events.HandoffReleased("Ann"),
    events.BotOutput(TURN, "b1", 0, "It is ten.", True, "sentence"),
    events.TurnStarted(TURN, 3),
    events.TurnCompleted(TURN, 1, False, False, 4200),
    events.TurnMetrics(TURN, "b1", 400, 230, 350, None, 90, 40, 900, 120, None, "endpointing"),
    events.AgentState("thinking"),
    events.HistorySnapshot((ChatMessage("user", "hello"),), 71),
    events.BotPaused(TURN, "b1", 700, 2, "user_spoke"),
    events.BotResumed(TURN, "b1", 1),
    events.BotFinished(TURN, "b1", 900),
    events.BotInterrupted(TURN, "b1", 2100, 3, "ten.", "user_spoke"),
    events.MessageConfirmed(TURN, "b1", "It is ten."),
    events.MessageAborted(TURN, "b1", "call_ended"),
    events.ReplyRejected(TURN, "b2", "m0", "m1", "message_obsolete"),
    events.AudioMetrics("user", Level(-30.0, 0.03, 0.2), True, 0.7, 13.0),
    events.EngineFault(None, "STT_BUSY", "all busy", "pocketsphinx", "stt", True),
    events.LlmBefore(TURN),
    events.PreparingTimeout(None, 151, 150),
    events.Warned(None, "UNKNOWN_VARIABLE", "nobody has set: name", ("name",)),
    events.LlmAsked(TURN, "b1", "openai", "gpt-4o"),
    events.SkillLoaded(TURN, "billing", "model"),
    events.SkillUnloaded(None, "billing", "manual"),
    events.LlmReasoned(TURN, "b1", 0, "hm", False),
    events.LlmAnswered(TURN, "b1", "It is ten.", "stop", 120, None, "openai", "gpt-4o"),
    events.LlmFailed(TURN, "LLM_BUSY", "refused"),
    events.NoResponse(TURN, "", "no_followup"),
    events.ToolCallsRequested(TURN, "t1", (CLOCK,)),
    events.ToolStarted(TURN, "t1", "c1", "clock", "client", {"zone": None}),
    events.ToolCompleted(TURN, "t1", "c1", "clock", "client", {"time": None}, 30),
    events.ToolFailed(TURN, "t1", "c2", "clock", "client", "timeout", "no result came", 3000),
    events.LanguageChanged("es-PE"),
    events.CallRinging(),
    events.CallRejected("busy"),
    events.CallDialing("dial-1"),
    events.CallAnsweredBy("machine", "carrier", "machine_end_beep"),
    events.CarrierFault("CARRIER_ERROR", "Twilio refused: no such country (error 21215)", False),
    events.CallMuted(),
    events.CallUnmuted("are you there"),
    events.CallHeld(),
    events.CallUnheld(),
    events.DigitReceived("#", "12#"),
    events.DigitsSent("ww12#"),
    events.Forwarded("+15550003333"),
    events.ForwardFailed("+15550003333", "no_answer", "Twilio says no-answer"),
    events.Transferring("+15550003333"),
    events.Transferred("+15550003333"),
    events.TransferFailed("+15550003333", "declined", "he hung up"),
    events.CallEnded(EndReason.HANGUP, "the caller hung up", 20.0, 10.0, (Utterance("user", "hello"),)),
    events.Recorded(10_000, 8000, "wav", "stereo", 1.0, "https://x.example/v1/calls/CA1/recording?token=t"),
    events.RecordingStarted(0, "opus", "mono", "spoken"),
    events.RecordingAnnounced(1500, "tone", ""),
    events.RecordingPaused(2000),
    events.RecordingResumed(3000),
]


def test_each_event_has_a_sample() -> None:
    assert {type(event) for event in SAMPLES} == set(typing.get_args(events.Event))


def test_each_is_told_with_the_calls_ids_and_its_stamp() -> None:
    async def main() -> list[dict[str, object]]:
        clock = Clock(asyncio.get_running_loop())
        return [
            orjson.loads(to_json(to_wire(event, FACTS, Stamp(number, 5.0), clock)))
            for number, event in enumerate(SAMPLES, 1)
        ]

    told = asyncio.run(main())
    for number, (event, frame) in enumerate(zip(SAMPLES, told, strict=True), 1):
        assert (frame["seq"], frame["ts"]) == (number, 5.0)
        assert (frame["call_id"], frame["session_id"], frame["agent_id"]) == ("CA1", "CA1", "My Agent")
        has_turn = getattr(event, "turn", None) is not None
        assert (frame.get("turn_id"), frame.get("correlation_id")) == (
            (3, "c0ffee") if has_turn else (None, None)
        )
    by_name = {frame["event"]: frame for frame in told}
    assert by_name["call.started"]["language"] == "en"
    assert by_name["history.snapshot"]["messages"] == [{"role": "user", "content": "hello"}]
    assert by_name["history.snapshot"]["count"] == 71
    assert by_name["turn.metrics"]["total_ms"] == 900
    assert not {"agent_ms", "output_tokens"} & by_name["turn.metrics"].keys()
    assert by_name["call.started"]["from"] == "+15550001111"
    ended = by_name["call.ended"]
    assert ended["messages"] == ended["transcript"] == [{"role": "user", "content": "hello"}]
    assert ended["ended_at"] - ended["started_at"] == 10.0  # type: ignore[operator]
    assert [f["code"] for f in told if f["event"] == "error"] == ["STT_BUSY", "CARRIER_ERROR"]
    warning = by_name["session.idle_warning"]
    assert (warning["remaining_seconds"], warning["idle_timeout_seconds"]) == (15.0, 60.0)
    assert by_name["session.created"]["interaction_id"] == "a1b2"
    assert (by_name["llm.before"]["turn"], by_name["llm.preparing_timeout"]["turn"]) == (3, 0)
    assert (by_name["server.warning"]["code"], by_name["server.warning"]["keys"]) == (
        "UNKNOWN_VARIABLE",
        ["name"],
    )
    assert by_name["llm.thinking"]["model"] == "gpt-4o"
    assert (by_name["skill.loaded"]["by"], by_name["skill.unloaded"]["by"]) == ("model", "manual")
    assert by_name["llm.response"]["usage"] == {"input_tokens": 120}
    assert "message_id" not in by_name["llm.no_response"]
    assert by_name["llm.tool_call"]["tool_calls"] == [
        {"id": "c1", "name": "clock", "arguments": '{"zone":null}'}
    ]
    assert by_name["tool.started"]["arguments"] == {"zone": None}
    assert by_name["tool.completed"]["result"] == {"time": None}
    assert by_name["tool.failed"]["code"] == "timeout"


def test_the_end_tells_the_models_history_with_its_tools() -> None:
    messages = (
        ChatMessage("user", "hello"),
        ChatMessage("assistant", "", (CLOCK,)),
        ChatMessage("tool", "ten", tool_call_id="c1"),
    )
    said = (Utterance("user", "hello"),)
    ended = events.CallEnded(EndReason.HANGUP, "", 20.0, 10.0, said, messages)

    async def main() -> dict[str, object]:
        clock = Clock(asyncio.get_running_loop())
        frame: dict[str, object] = orjson.loads(to_json(to_wire(ended, FACTS, Stamp(1, 5.0), clock)))
        return frame

    frame = asyncio.run(main())
    assert frame["transcript"] == [{"role": "user", "content": "hello"}]
    assert frame["messages"] == [
        {"role": "user", "content": "hello"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "clock", "arguments": '{"zone":null}'},
                }
            ],
        },
        {"role": "tool", "content": "ten", "tool_call_id": "c1"},
    ]


def test_a_fault_names_the_engine_the_cause_and_who_takes_over() -> None:
    async def main() -> dict[str, object]:
        fault = events.EngineFault(
            TURN, "PROVIDER_TIMEOUT", "a (tts): nothing came for 1.5 s", "a", "tts", True, "espeak"
        )
        frame: dict[str, object] = orjson.loads(
            to_json(to_wire(fault, FACTS, Stamp(1, 5.0), Clock(asyncio.get_running_loop())))
        )
        return frame

    frame = asyncio.run(main())
    told = {key: frame[key] for key in ("event", "code", "provider", "stage", "retryable", "fallback")}
    assert told == {
        "event": "error",
        "code": "PROVIDER_TIMEOUT",
        "provider": "a",
        "stage": "tts",
        "retryable": True,
        "fallback": "espeak",
    }
    assert frame["error"] == "a (tts): nothing came for 1.5 s"


def test_the_journal_numbers_without_holes_and_time_does_not_go_back() -> None:
    async def main() -> list[Entry]:
        told: list[Entry] = []
        journal = Journal(FACTS, Clock(asyncio.get_running_loop()), told.append)
        for event in SAMPLES:
            journal.append(event)
        return told

    told = asyncio.run(main())
    assert [entry.seq for entry in told] == list(range(1, len(SAMPLES) + 1))
    assert [entry.ts for entry in told] == sorted(entry.ts for entry in told)
    assert all(orjson.loads(entry.data)["seq"] == entry.seq for entry in told)
