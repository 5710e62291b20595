"""What is sent to the agent socket to see whether it answers as it is written: made from the declaration of the wire,
so that a new command is walked without a line here."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from server.protocol import (
    COMMANDS,
    BotCancel,
    BotReplyStreamChunk,
    BotReplyStreamEnd,
    BotReplyStreamStart,
    CallBridge,
    CallDial,
    CallTransfer,
    Command,
    Configuring,
    Connect,
    HistoryCommand,
    HistoryGet,
    LineCreate,
)
from tests.e2e.harness import KEY, TIMEOUT_S, Agent, Frame
from tests.protocol.schema import DEFINITIONS, sample, wrong_values

UNKNOWN = "no_such_key"
ANSWERED = re.compile(r"answered\s+by\s+`([\w.]+)`")
STREAMED = (BotReplyStreamStart, BotReplyStreamChunk, BotReplyStreamEnd, BotCancel)
STREAM = "walk_stream"
"""The message of these: one follows the other."""
REFUSED = {
    "CallAccept": "CALL_NOT_RINGING",
    "CallReject": "CALL_NOT_RINGING",
    "CallRoute": "ROUTE_REFUSED",
    "CallTransferCancel": "TRANSFER_REFUSED",
    "CallTransferComplete": "TRANSFER_REFUSED",
    "LlmToolResult": "RESULT_UNKNOWN",
    "SkillLoad": "SKILL_UNKNOWN",
    "SkillUnload": "SKILL_UNKNOWN",
    **{
        command.__name__: "REQUEST_REFUSED"
        for command in COMMANDS
        if issubclass(command, HistoryCommand) and command is not HistoryGet
    },
}
"""Commands that are right and yet have nothing to act upon in the call that is walked."""
LENIENT = {
    (
        "SessionConfigure",
        "greeting",
    ): "belongs to the beginning of a call; clients send theirs along in any shape",
    (
        "SessionConfigure",
        "tools",
    ): "clients send the objects of their own library, some of which are no definitions",
}
"""Fields of which more is taken than the schema says, and why."""
ACK = "walked"
"""What each command carries to be acknowledged."""
NEEDED = {"ChannelAdd": ("ref",), "CallDial": ("from",)}
"""Fields without which a command makes no sense, though the schema does not say so."""
LAST = ("CallDtmf", "CallForward", "CallTransfer", "CallHangup")
"""Commands that end what the others need, or take it away for a while."""
ENDS = {"call.forward": "call.forward_failed", "call.transfer": "call.transfer_failed"}
"""What tells that the call is free for the next of them."""

WALKED = sorted((c for c in COMMANDS if c is not Connect), key=lambda command: command.__name__ in LAST)


@dataclass
class Walker:
    """A connection with an agent and a live call."""

    agent: Agent
    call_id: str
    over: bool = False
    """The call was hung up."""
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def frame(self, command: type[Command], *, full: bool = False) -> Frame:
        """One that is right; with ``full`` it has all that it may have."""
        values = {
            "agent_id": "tester",
            "call_id": self.call_id,
            "session_id": self.call_id,
            "ref": "+15550002222",
            "to": "+15550003333",
            "target": "another",
            "from": "+15550002222",
            "timezone": "Europe/Madrid",
            "skill": "nobody",
            "digits": "12",
            "number": "+15550004444",
            "api_key": KEY,
            "in_reply_to": "",
            "ack": ACK,
            "message_id": STREAM if command in STREAMED else f"walk_{next(self.numbers)}",
        }
        frame: Frame = sample(DEFINITIONS[command.__name__], full=full, values=values)
        return {**frame, **{name: values[name] for name in ("ack", *NEEDED.get(command.__name__, ()))}}

    async def ask(self, frame: Frame) -> list[Frame]:
        """Send it; returns what the connection was told until the server had dealt with it."""
        before, barrier = len(self.agent.frames), f"barrier_{next(self.numbers)}"
        await self.agent.send(**frame)
        await self.agent.send("pong", ack=barrier)
        async with asyncio.timeout(TIMEOUT_S):
            while not any(told.get("ack") == barrier for told in self.agent.frames[before:]):
                await self.agent.news()
        if (end := ENDS.get(frame["event"])) and acks_of(self.agent.frames[before:])[0][0] == "processing":
            await self.agent.wait(end, count=len(told_of(self.agent.frames[:before], end)) + 1)
        answers = [told for told in self.agent.frames[before:] if told.get("ack") != barrier]
        self.over |= frame["event"] == "call.hangup" and not faults_of(answers)
        return answers


def answer_of(command: type[Command]) -> str | None:
    """The event that its description promises."""
    found = ANSWERED.search(command.__doc__ or "")
    return found[1] if found else None


def configures(command: type[Command]) -> bool:
    return issubclass(command, Configuring | CallDial | CallBridge | CallTransfer | LineCreate)


def refused(command: type[Command], frame: Frame) -> Iterator[tuple[str, Frame]]:
    """Frames that must be refused, each with the field at fault."""
    definition = DEFINITIONS[command.__name__]
    fixed = {name for name, schema in definition["properties"].items() if "const" in schema}
    for name in definition["required"]:
        if name not in fixed:
            yield name, {key: value for key, value in frame.items() if key != name}
    for name, schema in definition["properties"].items():
        if name not in fixed and (command.__name__, name) not in LENIENT:
            yield from ((name, {**frame, name: value}) for value in wrong_values(schema))


def told_of(frames: list[Frame], name: str) -> list[Frame]:
    return [frame for frame in frames if frame["event"] == name]


def acks_of(frames: list[Frame]) -> list[tuple[str, str | None]]:
    """Status and code of what was acknowledged."""
    return [(frame["status"], frame.get("code")) for frame in told_of(frames, "ack")]


def faults_of(frames: list[Frame]) -> list[Frame]:
    """What was wrong with a command. An engine's fault has a place in its call's journal, and is none."""
    return [frame for frame in told_of(frames, "error") if "seq" not in frame]
