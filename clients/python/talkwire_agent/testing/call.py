"""A scripted caller, and the server's side of his call."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from talkwire_agent.names import LINE, slug
from talkwire_agent.testing.model import PATIENCE_S, Frame, ScriptedModel

T = TypeVar("T")

VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")


async def _within(comes: Awaitable[T], otherwise: str) -> T:
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await comes
    except TimeoutError:
        raise TimeoutError(f"{otherwise} within {PATIENCE_S:g} s") from None


@dataclass(eq=False)
class Message:
    """What the agent wants to be said."""

    id: str
    text: str
    in_reply_to: str = ""
    complete: bool = True
    """False: a stream that goes on."""


class ScriptedCall(ScriptedModel):
    """A call whose caller does what the test says.

    What the agent says is heard at once, word by word, where ``plays`` is true; else the test does it by
    ``hears`` and ``interrupts``. As on a server, an answer to a turn that is not the latest is rejected.
    """

    def __init__(
        self, facts: Frame, config: Frame, tell: Callable[[ScriptedCall, Frame], None], plays: bool
    ) -> None:
        super().__init__(config)
        self.id: str = facts["call_id"]
        self.agent_id: str = facts["agent_id"]
        self.plays = plays
        self.facts = facts
        self.journal: list[Frame] = []
        """All events of the call so far."""
        self.undelivered: list[Frame] = []
        self.ended = False
        self.hangup_detail: str | None = None
        self.find: Callable[[str], Frame | None] = lambda agent_id: None
        """An agent of the server, as it was registered."""
        self._tell = tell
        self._switched: set[str] = set()
        self._turn = 0
        self._digits = ""
        self._reply_to = ""
        self._messages: dict[str, Message] = {}
        self._said: asyncio.Queue[Message] = asyncio.Queue()
        self._heard: asyncio.Queue[str] = asyncio.Queue()
        self._spoken: list[Frame] = []

    def emit(self, event: str, **fields: Any) -> Frame:
        """Tell the agent an event of this call, with the next number."""
        seq = len(self.journal) + 1
        frame = {
            "event": event,
            "agent_id": self.agent_id,
            "call_id": self.id,
            "session_id": self.id,
            "seq": seq,
            "ts": 1_700_000_000 + seq / 100,
            **fields,
        }
        self.journal.append(frame)
        self._tell(self, frame)
        return frame

    # --- what the caller does -----------------------------------------------------------------------------

    def says(self, text: str, *, ends: bool = True) -> str:
        """A turn of the user, from the start of his voice to the end of the turn; returns its message id.
        ``ends``: False, and it stops short of ``turn.end``: only ``eager.turn`` is told."""
        message_id = self.starts(text)
        signal = {"message_id": message_id, "text": text, "probability": 0.9, "latency_ms": 300}
        self.in_turn("eager.turn", **signal, reason="silence")
        if ends:
            self.in_turn("turn.end", **signal, reason="silence")
        return message_id

    def starts(self, text: str) -> str:
        """He has said something, and whether he is done is not known yet; returns the message id."""
        self._turn += 1
        message_id = self._reply_to = f"u_{self._turn}"
        self.in_turn("speech.started", confidence=0.9, timestamp=0.0, segment_id=self._turn)
        self.in_turn("user.speaking", text=text, confidence=0.5, confirmed_text="")
        self.in_turn("speech.ended", duration_ms=500, timestamp=0.0, segment_id=self._turn)
        self.in_turn(
            "user.message", text=text, message_id=message_id, confidence=0.9, segment_ids=[self._turn]
        )
        return message_id

    def goes_on(self) -> None:
        """He had not finished: what was prepared as an answer is void."""
        self.in_turn("turn.continued", timestamp=0.0)
        self._reply_to = ""

    def hangs_up(self) -> None:
        """He ends the call."""
        self.end("hangup")

    def end(self, reason: str, detail: str | None = None) -> None:
        """The call ends; what was still to be heard is not."""
        if self.ended:
            return
        self._messages.clear()
        times = {"duration_seconds": 1.0, "started_at": 1_700_000_000.0, "ended_at": 1_700_000_001.0}
        sides = {key: self.facts[key] for key in ("from", "to", "direction")}
        more = {"detail": detail} if detail else {}
        said = {"messages": list(self.history), "transcript": list(self._spoken)}
        self.emit("call.ended", reason=reason, **said, **times, **sides, **more)
        self.ended = True

    def in_turn(self, event: str, **fields: Any) -> Frame:
        """Tell the agent an event of the latest turn."""
        if event == "user.message":
            self._remember("user", fields["text"])
        return self.emit(event, turn_id=self._turn, correlation_id=f"{self.id}-{self._turn}", **fields)

    @property
    def turn(self) -> int:
        return self._turn

    def idles(self, *, remaining_s: float = 15, timeout_s: float = 60) -> None:
        """He has been silent for long: ``session.idle_warning``."""
        self.emit("session.idle_warning", remaining_seconds=remaining_s, idle_timeout_seconds=timeout_s)

    async def times_out(self, reason: str = "idle_timeout", *, farewell_s: float = 8) -> None:
        """The call has gone on, or been silent, for too long: the agent is told, may say goodbye, and the call
        ends. ``reason``: ``idle_timeout`` or ``max_duration``."""
        self.emit("session.timeout", reason=reason, farewell_seconds=farewell_s)
        await asyncio.sleep(1)
        self.end(reason)

    def speaks(self, message_id: str, text: str) -> None:
        """The server speaks a message of its own."""
        self._add(Message(message_id, text))

    # --- what the caller hears ----------------------------------------------------------------------------

    async def heard(self) -> str:
        """The next message that was heard, as far as it was. Raises ``TimeoutError``."""
        return await _within(self._heard.get(), "the caller heard nothing (more)")

    async def message(self) -> Message:
        """The next message that the agent wants to be said, where ``plays`` is false. Raises
        ``TimeoutError``."""
        return await _within(self._said.get(), "the agent said nothing (more)")

    def hears(self, message: Message) -> None:
        """The message is spoken to its end."""
        words = self._speaks(message, message.text.split())
        self.emit("bot.finished", message_id=message.id, duration_ms=300 * words)
        self._confirm(message, message.text, finished=True)

    def interrupts(self, message: Message, *, after_words: int = 1, reason: str = "user_spoke") -> None:
        """The message is cut off; nothing of it where ``after_words`` is 0."""
        words = message.text.split()[:after_words]
        count = self._speaks(message, words) if words else 0
        last = {"last_word": words[-1]} if words else {}
        self.emit(
            "bot.interrupted",
            message_id=message.id,
            played_ms=300 * count,
            words_spoken=count,
            reason=reason,
            **last,
        )
        if words:
            self._confirm(message, " ".join(words), finished=False)
        else:
            self._messages.pop(message.id, None)
            self.emit("message.aborted", message_id=message.id, reason="cancelled")

    def opens(self) -> None:
        """The server speaks the greeting, where there is one."""
        greeting = self.config.get("greeting")
        if isinstance(greeting, dict):
            greeting = next(iter(greeting.values()), None)
        if greeting:
            self.greets(greeting)

    def dials(self, digits: str) -> None:
        """He presses keys."""
        for digit in digits:
            self._digits += digit
            self.emit("call.dtmf_received", digit=digit, digits=self._digits)

    def greets(self, text: str) -> None:
        """The server speaks the agent's greeting, with those of its variables that the configuration sets."""
        given = self.config.get("vars") or {}
        filled = VARIABLE.sub(lambda found: str(given.get(found[1], found[0])), text)
        self.speaks(f"greeting_{self.id}", filled)

    def _speaks(self, message: Message, words: list[str]) -> int:
        self.emit("bot.speaking", message_id=message.id, text=message.text if message.complete else "")
        for index, word in enumerate(words):
            self.emit("bot.word", message_id=message.id, word=word, word_index=index)
        return len(words)

    def _remember(self, role: str, text: str) -> None:
        self._spoken.append({"role": role, "content": text})
        self.history.append({"role": role, "content": text})

    def _confirm(self, message: Message, text: str, *, finished: bool) -> None:
        self._messages.pop(message.id, None)
        self._remember("assistant", text)
        self.emit("message.confirmed", message_id=message.id, text=text, finished=finished)
        self._heard.put_nowait(text)

    # --- what the agent commands --------------------------------------------------------------------------

    def obey(self, frame: Frame) -> str | None:
        """Carry out a command; returns why it has no effect."""
        if self.ended:
            return "the call is over"
        match frame["event"], frame.get("action"):
            case "bot.reply", _:
                self._reply(Message(frame["message_id"], frame["text"], frame.get("in_reply_to", "")))
            case "bot.reply.stream", "start":
                self._reply(Message(frame["message_id"], "", frame.get("in_reply_to", ""), complete=False))
            case "bot.reply.stream", action:
                self._stream(frame, str(action))
            case (("bot.cancel" | "bot.clear"), _):
                self._cancel(frame.get("message_id"), everything=frame["event"] == "bot.clear")
            case (("call.mute" | "call.unmute" | "call.hold" | "call.unhold"), _):
                self._switch(frame["event"])
            case "llm.tool_result", _:
                self.take_results(frame)
            case "llm.ready", _:
                self.take_ready(frame)
            case (("skill.load" | "skill.unload"), _):
                return self.take_skill(frame)
            case "call.route", _:
                self._route(frame)
            case "call.hangup", _:
                self.hangup_detail = frame.get("reason")
                self.end("client_hangup", self.hangup_detail)
        return None

    def _route(self, frame: Frame) -> None:
        """Another agent of the server goes on with the call; of one that it has not, it has never heard."""
        found = self.find(frame["agent"])
        if found is None:
            self.emit("call.route_failed", agent=frame["agent"], reason="unknown")
            return
        before = self.agent_id
        who = "line" if before.startswith(LINE) else "agent"
        said = [
            {"who": "caller" if line["role"] == "user" else who, "text": line["content"], "at": 0}
            for line in self._spoken
        ]
        self.emit("call.routed", agent=found["agent_id"])
        self.end("routed")
        self.ended, self._digits, self._spoken = False, "", []
        self.agent_id = found["agent_id"]
        given: dict[str, Any] = {
            key: frame[key] for key in ("language", "voice", "stt", "greeting") if key in frame
        }
        self.config = {**found, **given}
        self.config["vars"] = {**(found.get("vars") or {}), **(frame.get("prompt_vars") or {})}
        if not frame.get("history", True):
            self.history.clear()
        sides = {
            key: value for key, value in self.facts.items() if key not in ("agent_id", "call_id", "owner")
        }
        origin = before if who == "line" else f"agent:{slug(before)}"
        self.emit("call.started", **sides, owner="agent", routed_from=origin, line_transcript=said)
        self.opens()

    def _switch(self, command: str) -> None:
        """As on a server, nothing is told where it is so already."""
        kind = command.removeprefix("call.").removeprefix("un")
        on = not command.startswith("call.un")
        if on != (kind in self._switched):
            (self._switched.add if on else self._switched.discard)(kind)
            told = {"mute": "muted", "hold": "held"}[kind]
            text = {} if kind == "hold" else {"by": "agent"} if on else {"muted_transcript": ""}
            self.emit(f"call.{'' if on else 'un'}{told}", **text)

    def _reply(self, message: Message) -> None:
        if message.in_reply_to and message.in_reply_to != self._reply_to:
            self._reject(message, "message_obsolete")
        elif message.id in self._messages:
            self._reject(message, "duplicate_message_id")
        else:
            self._add(message)

    def _add(self, message: Message) -> None:
        self._messages[message.id] = message
        if self.plays and message.complete:
            self.hears(message)
        elif not self.plays:
            self._said.put_nowait(message)

    def _reject(self, message: Message, reason: str) -> None:
        self.emit(
            "reply.rejected",
            message_id=message.id,
            in_reply_to=message.in_reply_to,
            expected_reply_to=self._reply_to,
            reason=reason,
        )

    def _stream(self, frame: Frame, action: str) -> None:
        message = self._messages.get(frame["message_id"])
        if message is None or message.complete:
            return
        if action == "chunk":
            message.text += frame["token"]
            return
        message.complete = True
        if not message.text.strip():
            del self._messages[message.id]
        elif self.plays:
            self.hears(message)

    def _cancel(self, message_id: str | None, *, everything: bool) -> None:
        waiting = list(self._messages.values())
        if message_id is not None:
            waiting = [message for message in waiting if message.id == message_id]
        elif not everything:
            waiting = waiting[:1]
        for message in waiting:
            self.interrupts(message, after_words=0, reason="cancelled")
