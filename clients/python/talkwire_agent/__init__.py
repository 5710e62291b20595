"""Voice agents for a Talkwire server: see ``Talkwire``."""

from talkwire_agent.agent import Agent
from talkwire_agent.base import CallEvent, Event, TurnEvent, UnknownEvent
from talkwire_agent.beginnings import RingingCall
from talkwire_agent.call import Call
from talkwire_agent.client import Talkwire
from talkwire_agent.errors import (
    ConnectionLost,
    DialFailed,
    Displaced,
    MissingKey,
    Refused,
    ReplyAborted,
    RequestTimeout,
    RouteFailed,
    TalkwireError,
    TooLarge,
    ToolError,
    Unauthorized,
)
from talkwire_agent.feed import Feed
from talkwire_agent.history import History
from talkwire_agent.line import Line
from talkwire_agent.local import CallResumed, Disconnected, HandlerFailed
from talkwire_agent.pending import Pending
from talkwire_agent.skills import Skill
from talkwire_agent.stream import ReplyStream
from talkwire_agent.tools import Tool, ToolResult
from talkwire_agent.utterance import Heard, Utterance

__all__ = [
    "Agent",
    "Call",
    "CallEvent",
    "CallResumed",
    "ConnectionLost",
    "DialFailed",
    "Disconnected",
    "Displaced",
    "Event",
    "Feed",
    "HandlerFailed",
    "Heard",
    "History",
    "Line",
    "MissingKey",
    "Pending",
    "Refused",
    "ReplyAborted",
    "ReplyStream",
    "RequestTimeout",
    "RingingCall",
    "RouteFailed",
    "Skill",
    "Talkwire",
    "TalkwireError",
    "TooLarge",
    "Tool",
    "ToolError",
    "ToolResult",
    "TurnEvent",
    "Unauthorized",
    "UnknownEvent",
    "Utterance",
]
