"""All that the server says, in one place."""

from __future__ import annotations

from server.protocol.acks import Ack
from server.protocol.base import CallEvent, Event
from server.protocol.bot import (
    BotFinished,
    BotInterrupted,
    BotPaused,
    BotResumed,
    BotSpeaking,
    BotWord,
    MessageAborted,
    MessageConfirmed,
    ReplyRejected,
)
from server.protocol.calls import (
    AudioMetrics,
    CallEnded,
    CallHeld,
    CallMuted,
    CallRecording,
    CallStarted,
    CallUnheld,
    CallUnmuted,
)
from server.protocol.llm import LlmError, LlmNoResponse, LlmReasoning, LlmResponse, LlmThinking
from server.protocol.replies import (
    AgentConfigured,
    AgentCreated,
    AgentDisplaced,
    AgentResumed,
    ChannelAdded,
    ChannelConfigured,
    ChannelRemoved,
    Connected,
    ErrorEvent,
    ServerPing,
    ServerPong,
    ServerWarning,
    SessionConfigured,
)
from server.protocol.session import (
    SessionCreated,
    SessionIdleWarning,
    SessionPaused,
    SessionReady,
    SessionResumed,
    SessionTimeout,
    UserMuteStarted,
    UserMuteStopped,
)
from server.protocol.tools import LlmToolCall, ToolCompleted, ToolFailed, ToolStarted
from server.protocol.turns import (
    EagerTurn,
    SpeechEnded,
    SpeechStarted,
    TurnContinued,
    TurnEnd,
    TurnPause,
    TurnResumed,
    UserMessage,
    UserSpeaking,
)

EVENTS: tuple[type[Event], ...] = (
    Connected,
    AgentCreated,
    AgentResumed,
    AgentConfigured,
    SessionConfigured,
    AgentDisplaced,
    ChannelAdded,
    ChannelConfigured,
    ChannelRemoved,
    ServerPing,
    ServerPong,
    ErrorEvent,
    ServerWarning,
    Ack,
    SessionPaused,
    SessionResumed,
    CallStarted,
    SessionCreated,
    SessionReady,
    SpeechStarted,
    SpeechEnded,
    UserSpeaking,
    UserMessage,
    EagerTurn,
    TurnPause,
    TurnResumed,
    TurnEnd,
    TurnContinued,
    LlmThinking,
    LlmReasoning,
    LlmResponse,
    LlmError,
    LlmNoResponse,
    LlmToolCall,
    ToolStarted,
    ToolCompleted,
    ToolFailed,
    BotSpeaking,
    BotWord,
    BotPaused,
    BotResumed,
    BotFinished,
    BotInterrupted,
    MessageConfirmed,
    MessageAborted,
    ReplyRejected,
    CallMuted,
    CallUnmuted,
    CallHeld,
    CallUnheld,
    UserMuteStarted,
    UserMuteStopped,
    AudioMetrics,
    SessionIdleWarning,
    SessionTimeout,
    CallEnded,
    CallRecording,
)
"""All events, in the order of the written page."""

AnyCallEvent = CallEvent | ErrorEvent
"""What may stand in the journal of a call."""
