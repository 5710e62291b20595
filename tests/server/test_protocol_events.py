"""What the server says travels as it is declared."""

from __future__ import annotations

import importlib
import json
import pkgutil
from enum import StrEnum
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

import server.protocol
from server.protocol import (
    COMMANDS,
    EVENTS,
    AnswerEvent,
    BotWord,
    CallEnded,
    CallEvent,
    CallStarted,
    EndReason,
    ErrorCode,
    ErrorEvent,
    Event,
    HistoryMessage,
    Message,
    ProtocolError,
    ServerPing,
    TurnEvent,
    error_event,
    to_json,
)
from server.protocol.base import Command, Lenient, Part
from server.protocol.errors import CloseCode, WarningCode
from server.protocol.page import OWN

CALL: dict[str, Any] = {
    "agent_id": "clock",
    "call_id": "CA1",
    "session_id": "CA1",
    "seq": 7,
    "ts": 1700000000.25,
}
TURN = {**CALL, "turn_id": 1, "correlation_id": "c0ffee"}
ENDS = {
    "duration_seconds": 9.5,
    "started_at": 1700000000.0,
    "ended_at": 1700000009.5,
    "direction": "inbound",
    "from": "+15550001111",
    "to": "+15550002222",
}
SAID = [{"role": "user", "content": "what time is it"}, {"role": "assistant", "content": "It is ten past"}]

WANTED = {"id": "call_1", "name": "clock", "arguments": '{"zone":"UTC"}'}
ASKED = {"id": "call_1", "type": "function", "function": {"name": "clock", "arguments": '{"zone":"UTC"}'}}
TOOL = {"msg_id": "tool_1", "tool_call_id": "call_1", "name": "clock", "kind": "client"}

TEST_DATA: dict[str, list[dict[str, Any]]] = {
    "Connected": [
        {"event": "connected", "protocol": "talkwire/1"},
        {"event": "connected", "protocol": "talkwire/1", "version": "0.1.0"},
    ],
    "AgentCreated": [{"event": "agent.created", "agent_id": "My Agent"}],
    "AgentResumed": [
        {
            "event": "agent.resumed",
            "agent_id": "My Agent",
            "calls": [{"call_id": "CA1", "last_seq": 21, "live": True}],
            "gone": ["CA2"],
        },
        {"event": "agent.resumed", "agent_id": "clock", "calls": [], "gone": []},
    ],
    "AgentConfigured": [{"event": "agent.configured", "agent_id": "My Agent"}],
    "SessionConfigured": [{"event": "session.configured", "session_id": "CA1"}],
    "AgentDisplaced": [{"event": "agent.displaced", "agent_id": "clock", "reason": "taken over"}],
    "ChannelAdded": [
        {"event": "channel.added", "agent_id": "clock", "type": "phone", "ref": "+1 (555) 000-2222"},
        {"event": "channel.added", "agent_id": "clock", "type": "webrtc"},
    ],
    "ChannelConfigured": [{"event": "channel.configured", "agent_id": "clock", "ref": "*"}],
    "ChannelRemoved": [{"event": "channel.removed", "agent_id": "clock", "ref": "*"}],
    "ServerPing": [{"event": "ping"}],
    "ServerPong": [{"event": "pong", "timestamp": 1700000000.25}],
    "ErrorEvent": [
        {"event": "error", "error": "not JSON", "code": "BAD_MESSAGE"},
        {
            "event": "error",
            "error": "owned",
            "code": "AGENT_CONFLICT",
            "agent_id": "My Agent",
            "retry_after_s": 5.0,
            "holder_alive": True,
        },
        {
            "event": "error",
            "error": "full",
            "code": "SERVER_AT_CAPACITY",
            "agent_id": "My Agent",
            "retry_after_s": 30.0,
            "used": 1000,
            "limit": 1000,
        },
        {"event": "error", "error": "in use", "code": "PHONE_IN_USE", "agent_id": "a", "phone": "+1 (555) 0"},
        {
            "event": "error",
            **TURN,
            "error": "pocketsphinx (stt): it died",
            "code": "PROVIDER_ERROR",
            "provider": "pocketsphinx",
            "stage": "stt",
            "retryable": True,
        },
        {
            "event": "error",
            **TURN,
            "error": "openai (llm): nothing came for 1.5 s",
            "code": "PROVIDER_TIMEOUT",
            "provider": "openai",
            "stage": "llm",
            "retryable": True,
            "fallback": "openai",
        },
    ],
    "ServerWarning": [
        {
            "event": "server.warning",
            "agent_id": "clock",
            "warning": "unknown",
            "code": "UNKNOWN_KEYS",
            "keys": ["llm", "config.speaker_filter"],
        },
        {"event": "server.warning", **CALL, "warning": "no such voice", "code": "PROVIDER_SUBSTITUTED"},
    ],
    "Ack": [
        {"event": "ack", "ack": "7", "command": "agent.create", "status": "success", "agent_id": "My Agent"},
        {
            "event": "ack",
            "ack": "8",
            "command": "bot.reply",
            "status": "error",
            "call_id": "CA1",
            "session_id": "CA1",
            "code": "REPLY_REJECTED",
            "message": "not spoken",
            "extras": {"message_id": "m1", "reason": "message_obsolete"},
        },
    ],
    "SessionPaused": [
        {"event": "session.paused", "agent_id": "My Agent"},
        {"event": "session.paused", "agent_id": "My Agent", "session_id": "CA1"},
        {"event": "session.paused", "agent_id": "My Agent", "contact": "+1 (555) 000-1111"},
    ],
    "SessionResumed": [
        {"event": "session.resumed", "agent_id": "My Agent"},
        {"event": "session.resumed", "agent_id": "My Agent", "contact": "+1 (555) 000-1111"},
    ],
    "SessionCreated": [{"event": "session.created", **CALL, "interaction_id": "c0ffee"}],
    "SessionReady": [{"event": "session.ready", **CALL}],
    "SessionIdleWarning": [
        {
            "event": "session.idle_warning",
            **CALL,
            "remaining_seconds": 15.0,
            "idle_timeout_seconds": 60.0,
        },
    ],
    "SessionTimeout": [
        {"event": "session.timeout", **CALL, "reason": "idle_timeout", "farewell_seconds": 8.0},
        {"event": "session.timeout", **CALL, "reason": "max_duration", "farewell_seconds": 0.0},
    ],
    "UserMuteStarted": [
        {"event": "user.mute_started", **CALL, "reason": reason}
        for reason in ("muted", "held", "bot_speaking")
    ],
    "UserMuteStopped": [{"event": "user.mute_stopped", **CALL, "reason": "held"}],
    "HistoryData": [
        {
            "event": "history.data",
            "agent_id": "clock",
            "call_id": "CA1",
            "request_id": "rq_1",
            "messages": [*SAID, {"role": "assistant", "content": "", "tool_calls": [ASKED]}],
        },
        {"event": "history.data", "call_id": "CA1", "request_id": "rq_1", "messages": [], "error": "over"},
    ],
    "HistoryUpdated": [
        {"event": "history.updated", "agent_id": "clock", "call_id": "CA1", "request_id": "rq_1", "count": 3},
        {"event": "history.updated", "call_id": "CA1", "request_id": "rq_1", "count": 0, "error": "over"},
    ],
    "CallStarted": [
        {
            "event": "call.started",
            **CALL,
            "from": "+15550001111",
            "to": "+15550002222",
            "direction": "inbound",
            "transport": "phone",
            "metadata": {"reattached": True, "name": None, "list": [{"x": None}]},
            "language": "en",
        },
        {
            "event": "call.started",
            **CALL,
            "from": "webrtc",
            "to": "clock",
            "direction": "inbound",
            "transport": "webrtc",
        },
        {
            "event": "call.started",
            **CALL,
            "from": "+15550001111",
            "to": "+15550002222",
            "direction": "inbound",
            "transport": "phone",
            "owner": "agent",
            "extension": "204",
            "routed_from": "line:+15550002222",
            "line_transcript": [
                {"who": "line", "text": "Hello.", "at": 120},
                {"who": "caller", "text": "Sales.", "at": 2300},
                {"who": "agent", "text": "One moment.", "at": 4000},
            ],
            "context": {"menu": "1"},
        },
        {
            "event": "call.started",
            **CALL,
            "from": "clock",
            "to": "weather",
            "direction": "outbound",
            "transport": "bridge",
            "bridged_with": "bridge-2",
        },
        {
            "event": "call.started",
            **CALL,
            "from": "+15550002222",
            "to": "+15550003333",
            "direction": "outbound",
            "transport": "phone",
            "transfer_of": "CA1",
        },
    ],
    "CallEnded": [
        {
            "event": "call.ended",
            **CALL,
            "reason": "max_duration",
            "detail": "the limit of 3600 s",
            **ENDS,
            "messages": [{"role": "system", "content": "Be brief."}, *SAID],
            "transcript": SAID,
        },
        {
            "event": "call.ended",
            **CALL,
            "reason": "hangup",
            **ENDS,
            "messages": [
                SAID[0],
                {"role": "assistant", "content": "", "tool_calls": [ASKED]},
                {"role": "tool", "content": '{"time":null}', "tool_call_id": "call_1"},
                SAID[1],
            ],
            "transcript": SAID,
        },
        *(
            {"event": "call.ended", **CALL, "reason": reason.value, **ENDS, "messages": [], "transcript": []}
            for reason in EndReason
        ),
    ],
    "RecordingStarted": [
        {"event": "recording.started", **CALL, "at_ms": 0, "format": "wav", "channels": "stereo"},
        *(
            {
                "event": "recording.started",
                **CALL,
                "at_ms": 1500,
                "format": "opus",
                "channels": channels,
                "consent": consent,
            }
            for channels, consent in (("mono", "spoken"), ("user", "tone"), ("bot", "tone"))
        ),
    ],
    "RecordingAnnounced": [
        {"event": "recording.announced", **CALL, "at_ms": 2000, "by": "tone"},
        {"event": "recording.announced", **CALL, "at_ms": 2000, "by": "spoken", "text": "Recorded."},
    ],
    "RecordingPaused": [{"event": "recording.paused", **CALL, "at_ms": 4000}],
    "RecordingResumed": [{"event": "recording.resumed", **CALL, "at_ms": 9000}],
    "CallRecording": [
        {
            "event": "call.recording",
            **CALL,
            "audio": "UklGRg==",
            "duration_ms": 9500,
            "format": "wav",
            "sample_rate": 8000,
            "channels": "stereo",
            "started_at": 1700000000.0,
        },
        {
            "event": "call.recording",
            **CALL,
            "url": "http://127.0.0.1:8080/v1/calls/CA1/recording?token=t",
            "duration_ms": 9500,
            "format": "opus",
            "sample_rate": 16000,
            "channels": "mono",
        },
    ],
    "SpeechStarted": [
        {"event": "speech.started", **TURN, "confidence": 0.9, "timestamp": 1700000000.0, "segment_id": 1}
    ],
    "SpeechEnded": [
        {"event": "speech.ended", **TURN, "duration_ms": 980, "timestamp": 1700000001.0, "segment_id": 1}
    ],
    "UserSpeaking": [
        {"event": "user.speaking", **TURN, "text": "what time", "confidence": 0.5, "confirmed_text": "what"}
    ],
    "UserMessage": [
        {
            "event": "user.message",
            **TURN,
            "text": "what time is it",
            "message_id": "8f2c",
            "confidence": 1.0,
            "language": "en",
            "segment_ids": [1, 2],
            "lag_ms": 449,
        },
        {
            "event": "user.message",
            **TURN,
            "text": "",
            "message_id": "8f2c",
            "confidence": 0.0,
            "segment_ids": [],
        },
    ],
    "EagerTurn": [
        {
            "event": "eager.turn",
            **TURN,
            "message_id": "8f2c",
            "text": "what time is it",
            "probability": 0.5,
            "latency_ms": 330,
            "reason": "silence",
        }
    ],
    "TurnEnd": [
        {
            "event": "turn.end",
            **TURN,
            "message_id": "8f2c",
            "text": "what time is it",
            "probability": 0.7,
            "latency_ms": 3000,
            "reason": "forced",
            **extra,
        }
        for extra in ({}, {"source": "bot"})
    ],
    "TurnPause": [{"event": "turn.pause", **TURN, "probability": 0.31, "latency_ms": 402}],
    "TurnResumed": [{"event": "turn.resumed", **TURN, "timestamp": 1700000002.5}],
    "TurnContinued": [{"event": "turn.continued", **TURN, "timestamp": 1700000002.5}],
    "SkillLoaded": [
        {"event": "skill.loaded", **TURN, "skill": "billing", "by": "model"},
        {"event": "skill.loaded", **CALL, "skill": "billing", "by": "manual"},
    ],
    "SkillUnloaded": [{"event": "skill.unloaded", **CALL, "skill": "billing", "by": "manual"}],
    "LlmBefore": [
        {"event": "llm.before", **CALL, "turn": 0},
        {"event": "llm.before", **TURN, "turn": 1},
    ],
    "LlmPreparingTimeout": [
        {"event": "llm.preparing_timeout", **TURN, "turn": 1, "waited_ms": 1503, "budget_ms": 1500}
    ],
    "LlmThinking": [
        {"event": "llm.thinking", **TURN, "message_id": "msg_1", "provider": "openai"},
        {"event": "llm.thinking", **TURN, "message_id": "msg_1", "provider": "openai", "model": "gpt-4o"},
    ],
    "LlmReasoning": [
        {
            "event": "llm.reasoning",
            **TURN,
            "message_id": "msg_1",
            "index": 0,
            "text": "He asks",
            "end": False,
        },
        {"event": "llm.reasoning", **TURN, "message_id": "msg_1", "index": 1, "text": "", "end": True},
    ],
    "LlmResponse": [
        {
            "event": "llm.response",
            **TURN,
            "message_id": "msg_1",
            "text": "It is ten past nine.",
            "finish_reason": "stop",
            "usage": {"input_tokens": 120, "output_tokens": 8},
            "provider": "openai",
            "model": "gpt-4o-2024-11-20",
        },
        {
            "event": "llm.response",
            **TURN,
            "message_id": "msg_1",
            "text": "",
            "finish_reason": "tool_calls",
            "usage": {},
            "provider": "openai",
        },
    ],
    "LlmError": [{"event": "llm.error", **TURN, "error": "openai (llm): HTTP 500", "code": "PROVIDER_ERROR"}],
    "LlmNoResponse": [
        {"event": "llm.no_response", **TURN, "message_id": "msg_1", "reason": "empty"},
        {"event": "llm.no_response", **TURN, "reason": "no_followup"},
    ],
    "LlmToolCall": [{"event": "llm.tool_call", **TURN, "msg_id": "tool_1", "tool_calls": [WANTED]}],
    "ToolStarted": [{"event": "tool.started", **TURN, **TOOL, "arguments": {"zone": "UTC", "at": None}}],
    "ToolCompleted": [
        {"event": "tool.completed", **TURN, **TOOL, "duration_ms": 42},
        *(
            {"event": "tool.completed", **TURN, **TOOL, "result": result, "duration_ms": 42}
            for result in ({"time": "21:10", "zone": None}, ["a", None], "text", 0, False)
        ),
    ],
    "ToolFailed": [
        {"event": "tool.failed", **TURN, **TOOL, "error": "why", "code": code, "duration_ms": 30_000}
        for code in ("timeout", "bad_arguments", "unknown_tool", "agent_gone", "error")
    ],
    "BotSpeaking": [
        {"event": "bot.speaking", **TURN, "message_id": "m1", "text": "It is ten past nine."},
        {"event": "bot.speaking", **CALL, "message_id": "msg_1", "text": ""},
    ],
    "BotWord": [
        {
            "event": "bot.word",
            **TURN,
            "message_id": "m1",
            "word": "nine.",
            "word_index": 4,
            "start_time": 0.9,
            "end_time": 1.25,
        },
        {"event": "bot.word", **CALL, "message_id": "m1", "word": "¡Hola!", "word_index": 0},
    ],
    "AgentState": [
        {"event": "agent.state", **CALL, "state": state}
        for state in ("idle", "listening", "thinking", "speaking")
    ],
    "TurnStarted": [{"event": "turn.started", **TURN, "index": 1}],
    "TurnCompleted": [
        {
            "event": "turn.completed",
            **TURN,
            "messages_spoken": 1,
            "interrupted": True,
            "aborted": False,
            "duration_ms": 5210,
            **latency,
        }
        for latency in ({}, {"latency": {"endpointing_ms": 300, "total_ms": 900}})
    ],
    "TurnMetrics": [
        {"event": "turn.metrics", **TURN, "message_id": "m1"},
        {
            "event": "turn.metrics",
            **TURN,
            "message_id": "m1",
            "vad_ms": 296,
            "endpointing_ms": 412,
            "stt_ms": 230,
            "llm_first_token_ms": 350,
            "agent_ms": 380,
            "tts_first_byte_ms": 90,
            "transport_ms": 40,
            "total_ms": 940,
            "input_tokens": 120,
            "output_tokens": 14,
            "slowest": "endpointing",
        },
    ],
    "TtsStarted": [
        {"event": "tts.started", **TURN, "message_id": "m1"},
        {"event": "tts.started", **CALL, "message_id": "m1"},
    ],
    "TtsStopped": [{"event": "tts.stopped", **TURN, "message_id": "m1", "characters": 9}],
    "BotOutput": [
        {
            "event": "bot.output",
            **TURN,
            "message_id": "m1",
            "segment_id": 0,
            "text": "It is ten.",
            "spoken": spoken,
            "aggregated_by": unit,
        }
        for spoken, unit in ((False, "sentence"), (True, "sentence"), (True, "word"))
    ],
    "BargeIn": [{"event": "barge_in", **TURN, "cancelled_message_id": "m1"}],
    "HistorySnapshot": [{"event": "history.snapshot", **CALL, "count": 2, "messages": SAID}],
    "BotPaused": [
        {
            "event": "bot.paused",
            **TURN,
            "message_id": "m1",
            "played_ms": 820,
            "words_spoken": 2,
            "reason": "user_spoke",
        }
    ],
    "BotResumed": [{"event": "bot.resumed", **TURN, "message_id": "m1", "word_index": 1}],
    "CallUpdated": [{"event": "call.updated", **CALL, "language": "es"}],
    "CallRinging": [
        {"event": "call.ringing", **CALL, "from": "+1", "to": "+2", "direction": "inbound"},
        {
            "event": "call.ringing",
            **CALL,
            "from": "anonymous",
            "to": "+2",
            "direction": "inbound",
            "metadata": {"stir_verstat": "TN-Validation-Passed-A"},
        },
    ],
    "CallRejected": [{"event": "call.rejected", **CALL, "reason": reason} for reason in ("busy", "rejected")],
    "CallDialing": [
        {
            "event": "call.dialing",
            **CALL,
            "from": "+1",
            "to": "+2",
            "direction": "outbound",
            "dial_id": "dial-1",
            **extra,
        }
        for extra in ({"metadata": {"order": 7}}, {})
    ],
    "CallAnsweredBy": [
        {"event": "call.answered_by", **CALL, "answered_by": "human", "known_from": "carrier"},
        {
            "event": "call.answered_by",
            **CALL,
            "answered_by": "screening",
            "known_from": "transcript",
            "detail": "please state your name",
        },
    ],
    "CallMuted": [{"event": "call.muted", **CALL, "by": by} for by in ("agent", "user")],
    "CallUnmuted": [{"event": "call.unmuted", **CALL, "muted_transcript": "are you there"}],
    "CallHeld": [{"event": "call.held", **CALL, "by": by} for by in ("agent", "network")],
    "CallUnheld": [{"event": "call.unheld", **CALL}],
    "CallDtmfReceived": [{"event": "call.dtmf_received", **CALL, "digit": "#", "digits": "12#"}],
    "CallDtmfSent": [{"event": "call.dtmf_sent", **CALL, "digits": "ww12#"}],
    "CallForwarded": [{"event": "call.forwarded", **CALL, "to": "+15550003333"}],
    "LineCreated": [{"event": "line.created", "number": "+15550002222"}],
    "LineError": [
        {"event": "line.error", "number": "*", "code": code, "error": "give a number"}
        for code in ("LINE_CONFLICT", "LINE_CONFIG_ERROR")
    ],
    "LineDestroyed": [{"event": "line.destroyed", "number": "+15550002222"}],
    "CallRouted": [{"event": "call.routed", **CALL, "agent": "sales"}],
    "CallRouteFailed": [
        {"event": "call.route_failed", **CALL, "agent": "sales", "reason": reason, **detail}
        for reason, detail in (
            ("offline", {}),
            ("unknown", {"detail": "never seen"}),
            ("no_phone_config", {}),
            ("capacity", {}),
            ("swap_failed", {}),
        )
    ],
    "CallForwardFailed": [
        {
            "event": "call.forward_failed",
            **CALL,
            "to": "+15550003333",
            "reason": reason,
            "detail": "Twilio says so",
        }
        for reason in ("busy", "no_answer", "failed", "canceled")
    ],
    "CallTransferring": [{"event": "call.transferring", **CALL, "to": "+15550003333"}],
    "CallTransferred": [{"event": "call.transferred", **CALL, "to": "+15550003333"}],
    "CallTransferFailed": [
        {
            "event": "call.transfer_failed",
            **CALL,
            "to": "+15550003333",
            "reason": reason,
            "detail": "Twilio says so",
        }
        for reason in ("busy", "no_answer", "failed", "canceled", "declined", "machine")
    ],
    "SupervisorSaid": [
        {"event": "supervisor.said", **CALL, "text": "One moment.", "by": "Ann", "message_id": "m1"}
    ],
    "SupervisorWhispered": [
        {"event": "supervisor.whispered", **CALL, "text": "Offer ten percent.", "by": "Ann"}
    ],
    "HandoffRequested": [{"event": "handoff.requested", **CALL, "by": "Ann"}],
    "HandoffActive": [{"event": "handoff.active", **CALL, "by": "Ann"}],
    "HandoffReleased": [{"event": "handoff.released", **CALL, "by": "supervisor"}],
    "BotFinished": [
        {"event": "bot.finished", **TURN, "message_id": "m1", "duration_ms": 1460, **heard}
        for heard in ({}, {"text": "It is ten", "corrects": 7})
    ],
    "BotInterrupted": [
        {
            "event": "bot.interrupted",
            **TURN,
            "message_id": "m1",
            "played_ms": 2400,
            "words_spoken": 3,
            "last_word": "ten",
            "reason": "user_spoke",
        },
        *(
            {
                "event": "bot.interrupted",
                **TURN,
                "message_id": "m1",
                "played_ms": 0,
                "words_spoken": 0,
                "reason": reason,
            }
            for reason in ("early", "cancelled")
        ),
    ],
    "MessageConfirmed": [
        {"event": "message.confirmed", **TURN, "message_id": "m1", "text": "It is ten", **told}
        for told in ({"finished": True}, {"finished": False, "corrects": 7})
    ],
    "MessageAborted": [
        {"event": "message.aborted", **TURN, "message_id": "m1", "reason": reason}
        for reason in ("early", "new_turn", "cancelled", "call_ended")
    ]
    + [{"event": "message.aborted", **TURN, "message_id": "m1", "reason": "early", "corrects": 7}],
    "ReplyRejected": [
        {
            "event": "reply.rejected",
            **TURN,
            "message_id": "m1",
            "in_reply_to": "8f2c",
            "expected_reply_to": "77aa",
            "reason": "message_obsolete",
        },
    ],
    "AudioMetrics": [
        {
            "event": "audio.metrics",
            **CALL,
            "source": "user",
            "energy_db": -32.5,
            "rms": 0.02,
            "peak": 0.1,
            "is_speech": True,
            "vad_prob": 0.97,
            "timestamp": 1700000000.25,
        },
        {
            "event": "audio.metrics",
            **CALL,
            "source": "bot",
            "energy_db": -60.0,
            "rms": 0.0,
            "peak": 0.0,
            "is_speech": False,
            "timestamp": 1700000000.25,
        },
    ],
}
"""A row for each event: what travels, word for word."""


def sample(name: str) -> Event:
    cls = next(event for event in EVENTS if event.__name__ == name)
    return cls.model_validate(TEST_DATA[name][0])


def all_classes() -> set[type[BaseModel]]:
    """Every model of the package, found by walking it: nothing has to be registered to be seen. What HTTP answers is a
    document of its own (``openapi.json``)."""
    found: set[type[BaseModel]] = set()
    for module in pkgutil.iter_modules(server.protocol.__path__, "server.protocol."):
        for value in vars(importlib.import_module(module.name)).values():
            if (
                isinstance(value, type)
                and issubclass(value, BaseModel)
                and value.__module__.startswith("server.protocol.")
                and value.__module__ != "server.protocol.rest"
            ):
                found.add(value)
    return found


# --- the declaration is whole -----------------------------------------------------------------------------


def test_every_message_class_is_listed_once() -> None:
    messages = {
        cls for cls in all_classes() if issubclass(cls, Message) and cls.model_fields["event"].default
    }
    named = {cls for cls in messages if isinstance(cls.model_fields["event"].default, str)}
    assert named == {*COMMANDS, *EVENTS, *OWN}
    assert len(COMMANDS) + len(EVENTS) + len(OWN) == len(named)


@pytest.mark.parametrize("model", sorted(all_classes(), key=str), ids=str)
def test_every_class_says_when_it_is_sent_and_every_field_what_it_means(model: type[BaseModel]) -> None:
    # A subclass without a docstring of its own would show pydantic's or its parent's.
    assert (model.__dict__.get("__doc__") or "").strip().endswith(".")
    for name, field in model.model_fields.items():
        if name != "event":
            assert (field.description or "").endswith("."), f"{model.__name__}.{name}"


PREFIXES = ("Call", "Speech", "User", "Eager", "Turn", "Bot", "Message", "Audio", "Llm", "Tool")


def test_every_event_of_a_call_carries_the_same_fields() -> None:
    for event in EVENTS:
        name = event.__name__
        if name.startswith(PREFIXES):
            assert issubclass(event, CallEvent)
            for row in TEST_DATA[name]:
                assert row.keys() >= {"agent_id", "call_id", "session_id", "seq", "ts"}
        of_turn = name.startswith(("Speech", "User", "Eager", "Turn", "Llm", "Tool"))
        # The barrier comes before the first turn, too.
        if of_turn and not name.startswith("UserMute") and name not in ("LlmBefore", "LlmPreparingTimeout"):
            assert issubclass(event, TurnEvent)
    assert issubclass(ErrorEvent, AnswerEvent)


def test_fields_that_mean_the_same_are_named_and_typed_the_same() -> None:
    kinds: dict[str, set[Any]] = {}
    for event in EVENTS:
        for name, field in event.model_fields.items():
            if name not in ("event", "reason", "code", "type", "direction", "by", "source"):
                kinds.setdefault(name, set()).add(str(field.annotation).replace(" | None", "").strip())
    told = {name: {kind.replace("<class '", "").replace("'>", "") for kind in kinds[name]} for name in kinds}
    assert {name: kind for name, kind in told.items() if len(kind) > 1} == {}


@pytest.mark.parametrize("codes", [ErrorCode, WarningCode, CloseCode])
def test_every_code_says_what_it_means(codes: Any) -> None:
    assert all(code.meaning.endswith(".") for code in codes)


def test_codes_are_the_words_of_the_wire() -> None:
    assert ErrorCode.BAD_MESSAGE == "BAD_MESSAGE"
    assert ErrorCode("UNAUTHORIZED") is ErrorCode.UNAUTHORIZED
    assert f"{ErrorCode.BAD_MESSAGE}" == "BAD_MESSAGE"
    assert all(code.name == code.value for code in (*ErrorCode, *WarningCode))
    assert int(CloseCode.DISPLACED) == 4001


# --- what travels -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_each_event_travels_word_for_word(event: type[Event]) -> None:
    for row in TEST_DATA[event.__name__]:
        message = event.model_validate(row)
        assert json.loads(to_json(message)) == row
        assert event.model_validate_json(to_json(message)) == message


def test_the_rows_are_those_of_the_events() -> None:
    assert set(TEST_DATA) == {event.__name__ for event in EVENTS}


def test_every_optional_field_is_once_there_and_once_absent() -> None:
    lacking = []
    for event in EVENTS:
        rows = TEST_DATA[event.__name__]
        for name, field in event.model_fields.items():
            wire = field.alias or name
            shared = name in CallEvent.model_fields or name in ("key", "detail", "vad_prob")
            if not field.is_required() and name != "event" and field.default is None and not shared:
                present = [wire in row for row in rows]
                if all(present) or not any(present):
                    lacking.append(f"{event.__name__}.{name}")
    assert lacking == []


def test_an_event_is_made_with_its_names_in_python() -> None:
    call = CallStarted(
        **CALL, from_="+15550001111", to="+15550002222", direction="inbound", transport="phone"
    )
    assert json.loads(to_json(call))["from"] == "+15550001111"
    assert b"from_" not in to_json(call)


def test_a_field_without_a_value_is_left_out_but_null_within_values_stays() -> None:
    assert to_json(ServerPing()) == b'{"event":"ping"}'
    assert b'"name":null' in to_json(sample("CallStarted"))


def test_the_name_of_the_message_comes_first() -> None:
    for event in EVENTS:
        assert to_json(sample(event.__name__)).startswith(b'{"event":"')


def test_an_event_cannot_be_changed() -> None:
    word = sample("BotWord")
    assert isinstance(word, BotWord)
    with pytest.raises(ValidationError, match="frozen"):
        word.word = "other"  # type: ignore[misc]  # what is tested


@pytest.mark.parametrize(
    "wrong",
    [
        {"seq": 0},
        {"ts": float("nan")},
        {"word_index": -1},
        {"turn_id": 0},
        {"start_time": -0.1},
        {"wrod": "x"},
        {"event": "bot.sentence"},
        {"message_id": None},
    ],
)
def test_an_event_that_cannot_be_true_is_not_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        BotWord.model_validate({**TEST_DATA["BotWord"][0], **wrong})


def test_the_words_of_the_pipeline_become_those_of_the_wire() -> None:
    class TheirReason(StrEnum):
        HANGUP = "hangup"

    row = TEST_DATA["CallEnded"][0]
    ended = CallEnded.model_validate({**row, "reason": TheirReason.HANGUP})
    assert ended.reason is EndReason.HANGUP
    assert json.loads(to_json(ended))["reason"] == "hangup"
    assert ended.transcript[0] == HistoryMessage(role="user", content="what time is it")


def test_an_error_is_told_under_the_clients_spelling() -> None:
    error = ProtocolError(ErrorCode.REGISTRATION_ERROR, "vad must ...", agent_id="My Agent", key="vad")
    assert json.loads(to_json(error_event(error))) == {
        "event": "error",
        "error": "vad must ...",
        "code": "REGISTRATION_ERROR",
        "agent_id": "My Agent",
        "key": "vad",
    }


def test_clients_are_lenient_and_the_server_is_not() -> None:
    for model in all_classes():
        if issubclass(model, Command | Part):
            assert issubclass(model, Lenient)
            assert model.model_config["extra"] == "allow"
        elif issubclass(model, Event):
            assert model.model_config["extra"] == "forbid"
        assert model.model_config.get("frozen") is True
