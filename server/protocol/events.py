"""All that the server says, in one place."""

from __future__ import annotations

from server.protocol.base import CallEvent, Event
from server.protocol.bot import (
    BotFinished,
    BotInterrupted,
    BotSpeaking,
    BotWord,
    MessageAborted,
    MessageConfirmed,
    ReplyRejected,
)
from server.protocol.calls import AudioMetrics, CallEnded, CallRecording, CallStarted
from server.protocol.replies import (
    AgentConfigured,
    AgentCreated,
    AgentDisplaced,
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
from server.protocol.turns import (
    EagerTurn,
    SpeechEnded,
    SpeechStarted,
    TurnContinued,
    TurnEnd,
    UserMessage,
    UserSpeaking,
)

EVENTS: tuple[type[Event], ...] = (
    Connected,
    AgentCreated,
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
    CallStarted,
    SpeechStarted,
    SpeechEnded,
    UserSpeaking,
    UserMessage,
    EagerTurn,
    TurnEnd,
    TurnContinued,
    BotSpeaking,
    BotWord,
    BotFinished,
    BotInterrupted,
    MessageConfirmed,
    MessageAborted,
    ReplyRejected,
    AudioMetrics,
    CallEnded,
    CallRecording,
)
"""All events, in the order of the written page."""

AnyCallEvent = CallEvent | ErrorEvent
"""What may stand in the journal of a call."""
