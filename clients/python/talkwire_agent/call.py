"""A call, and what an agent can do on it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from talkwire_agent.base import Event
from talkwire_agent.config import CallConfig, Config, SttSettings, VoiceSettings
from talkwire_agent.dispatch import HANDLED, Lanes
from talkwire_agent.errors import ConnectionLost, Refused, RouteFailed
from talkwire_agent.events import (
    BotFinished,
    BotInterrupted,
    BotSpeaking,
    BotWord,
    CallEnded,
    CallHeld,
    CallMuted,
    CallRouted,
    CallRouteFailed,
    CallStarted,
    CallUnheld,
    CallUnmuted,
    CallUpdated,
    EagerTurn,
    HistoryMessage,
    LlmBefore,
    MessageConfirmed,
    TurnContinued,
    TurnEnd,
    UserMessage,
)
from talkwire_agent.feed import ONE_CALL, Feed, Feeds
from talkwire_agent.handlers import Handlers
from talkwire_agent.model import ModelOfCall
from talkwire_agent.pending import Pending
from talkwire_agent.stream import ReplyStream
from talkwire_agent.tools import names_in
from talkwire_agent.utterance import Heard, Utterance
from talkwire_agent.utterances import Utterances

if TYPE_CHECKING:
    from talkwire_agent.agent import Agent


class RouteOptions(TypedDict, total=False):
    """What a call is handed over with, in place of what the agent is configured with."""

    language: str
    voice: str | VoiceSettings
    stt: str | SttSettings
    greeting: str | dict[str, str]
    """Said at once; empty: nothing is."""
    prompt_vars: dict[str, str]
    """Variables for its prompt."""
    context: dict[str, Any]
    """As so many ``set_context``."""


_DIGITS = re.compile(r"[0-9A-D*#wW]{1,32}", re.ASCII)


class Call(Handlers, ModelOfCall):
    """One call of an agent, from ``call.started`` to ``call.ended``.

    What changes the call is sent at once, in order; while the connection is away it waits for it. Awaiting
    what such a method returns waits for the effect; nobody has to. On a call that is over they do nothing.
    """

    def __init__(self, agent: Agent, started: CallStarted) -> None:
        Handlers.__init__(self)
        ModelOfCall.__init__(self, agent, started.call_id)
        self._started = started
        self._told = False
        self.from_ = started.from_
        """The caller's number; ``webrtc`` for a browser."""
        self.to = started.to
        """The number that was called; for a browser the agent's id."""
        self.direction = started.direction
        """``inbound`` or ``outbound``."""
        self.transport = started.transport
        """``phone``, ``webrtc``, or ``bridge``: the other side is another agent."""
        self.bridged_with = started.bridged_with
        """Of a bridge: the id of the other agent's call."""
        self.transfer_of = started.transfer_of
        """Of a call with a human to whom a caller is to be handed (``transfer`` with ``consult``): the caller's call."""
        self.metadata: dict[str, Any] = dict(started.metadata or {})
        """What the channel knows of the call besides."""
        self.language = started.language
        """Language of the call, BCP-47 base tag; None: not known."""
        self.extension = started.extension
        """What the caller dialled to be put through; None: nothing. Only of a line, or of a call that comes from one."""
        self.routed_from = started.routed_from
        """Who handed the call over: ``line:<number>`` or ``agent:<slug>``; None: nobody."""
        self.line_transcript = list(started.line_transcript or ())
        """What was said before it was handed over."""
        self.context: dict[str, str] = dict(started.context or {})
        """What is known under names, as it was handed over."""
        self.started_at = started.ts
        """Epoch seconds."""
        self.ended_at: float | None = None
        self.duration: float | None = None
        """Seconds; None while the call goes on."""
        self.end_reason: str | None = None
        self.turn: EagerTurn | TurnEnd | None = None
        """The latest turn signal; None: there was none, or the user has gone on."""
        self.current_bot_text = ""
        """What the bot has said of the message that it is speaking, word by word. Still there in the handlers
        of ``bot.finished`` and ``bot.interrupted``."""
        self.data: dict[str, Any] = {}
        """For the agent's own notes on this call."""
        self.last_seq = 0
        self.seen_on = 0
        self.lanes = Lanes()
        self._spoken: list[tuple[str, HistoryMessage]] = []
        self._final: CallEnded | None = None
        self._utterances = Utterances(self)
        self._speaking = ""
        self._latest: EagerTurn | TurnEnd | None = None
        self._feeds = Feeds()
        self._over: Pending[CallEnded | None] = Pending()
        self._states: dict[str, tuple[str, Pending[None]]] = {}
        self._routes: list[tuple[str, Pending[None]]] = []
        """Hand-overs that were asked for, each with whom to."""

    def __repr__(self) -> str:
        return f"<Call {self.id} of {self.agent.id!r} from {self.from_}{'' if self.live else ', over'}>"

    # --- what is known ------------------------------------------------------------------------------------

    @property
    def live(self) -> bool:
        return not self._over.done

    @property
    def transcript(self) -> list[HistoryMessage]:
        """What user and bot said, in order; of the bot what was heard. At the end the server's own."""
        if self._final is not None:
            return list(self._final.transcript)
        return [message for _, message in self._spoken]

    @property
    def messages(self) -> list[HistoryMessage]:
        """The history as a language model is given it: the server's at the end, till then the transcript."""
        return list(self._final.messages) if self._final is not None else self.transcript

    @property
    def muted(self) -> bool:
        """The user is not listened to."""
        return self._state("mute") == "call.mute"

    @property
    def held(self) -> bool:
        """The call is on hold."""
        return self._state("hold") == "call.hold"

    def _state(self, kind: str) -> str:
        return self._states.get(kind, ("", None))[0]

    async def wait_ended(self) -> CallEnded | None:
        """Until the call is over. None: this process was closed before."""
        return await self._over

    # --- speaking -----------------------------------------------------------------------------------------

    def say(self, text: str, *, add_to_history: bool = False, interruptible: bool = True) -> Utterance:
        """Say something, whatever the user has said. Await it to learn what was heard of it.

        ``add_to_history``: the server's language model learns of it, where it has one. ``interruptible``:
        False, and the user cannot silence it.
        """
        return self._speak(text, "", add_to_history, interruptible)

    def reply(
        self,
        text: str,
        *,
        in_reply_to: str | None = None,
        add_to_history: bool = False,
        interruptible: bool = True,
    ) -> Utterance:
        """Answer the user; await it to learn what was heard of it. It is not spoken where the user has gone
        on meanwhile: ``rejected``.

        What it answers is, in a handler of a turn, that turn, else the latest; ``in_reply_to`` names another.
        """
        return self._speak(text, self._answered(in_reply_to), add_to_history, interruptible)

    def _speak(self, text: str, in_reply_to: str, add_to_history: bool, interruptible: bool) -> Utterance:
        utterance = Utterance(self, _new_id(), text, in_reply_to)
        if not text.strip():
            utterance.settle(Heard("finished"))
            return utterance
        fields: dict[str, Any] = {"message_id": utterance.id, "text": text, "in_reply_to": in_reply_to}
        if add_to_history:
            fields["add_to_history"] = True
        if not interruptible:
            fields["interruptible"] = False
        utterance.fields = fields
        self._utterances.expect(utterance)
        self.send("bot.reply", **fields)
        return utterance

    def reply_stream(self, *, in_reply_to: str | None = None, interruptible: bool = True) -> ReplyStream:
        """Answer the user with a text that comes in pieces: see ``ReplyStream``. ``in_reply_to`` as for
        ``reply``; empty text: it is said whatever the user does."""
        answered = self._answered(in_reply_to)
        signal = HANDLED.get()
        if not isinstance(signal, EagerTurn | TurnEnd) or signal.message_id != answered:
            signal = self._latest if self._latest and self._latest.message_id == answered else None
        stream = ReplyStream(self, _new_id(), answered, signal.turn_id if signal is not None else None)
        fields: dict[str, Any] = {"action": "start", "message_id": stream.id, "in_reply_to": answered}
        if not interruptible:
            fields["interruptible"] = False
        self._utterances.expect(stream)
        self.send("bot.reply.stream", **fields)
        return stream

    def _answered(self, in_reply_to: str | None) -> str:
        if in_reply_to is not None:
            return in_reply_to
        signal = HANDLED.get()
        if isinstance(signal, EagerTurn | TurnEnd | UserMessage) and signal.call_id == self.id:
            return signal.message_id
        # Also where the user has gone on since: then it is the server that refuses.
        return self._latest.message_id if self._latest is not None else ""

    def cancel(self, message_id: str | None = None) -> None:
        """Stop a message, spoken or waiting; without an id the one being spoken."""
        self.send("bot.cancel", **({"message_id": message_id} if message_id is not None else {}))

    def clear(self) -> None:
        """Stop the message being spoken and all that wait."""
        self.send("bot.clear")

    # --- the call -----------------------------------------------------------------------------------------

    def hold(self) -> Pending[None]:
        """Put the call on hold: neither side hears the other."""
        return self._switch("hold", "call.hold")

    def unhold(self) -> Pending[None]:
        """Go on with the conversation."""
        return self._switch("hold", "call.unhold")

    def mute(self) -> Pending[None]:
        """Stop listening to the user. What he says meanwhile comes with ``call.unmuted``."""
        return self._switch("mute", "call.mute")

    def unmute(self) -> Pending[None]:
        """Listen to the user again."""
        return self._switch("mute", "call.unmute")

    def start_recording(self) -> Pending[None]:
        """Record the call from now on, where it is not recorded already; ``recording`` says how."""
        return self._requests.ask("recording.start", again=True, by="ack")

    def pause_recording(self) -> Pending[None]:
        """Keep nothing of what is said from now on: a card number, say. Awaiting it raises ``Refused`` where the call
        is not recorded."""
        return self._requests.ask("recording.pause", again=True, by="ack")

    def resume_recording(self) -> Pending[None]:
        """Keep what is said again."""
        return self._requests.ask("recording.resume", again=True, by="ack")

    def _switch(self, kind: str, command: str) -> Pending[None]:
        current, pending = self._states.get(kind, ("", _done()))
        if current != command and self.live:
            pending = Pending()
            self._states[kind] = (command, pending)
            self._send_switch(command, pending)
        return pending

    def _send_switch(self, command: str, pending: Pending[None]) -> None:
        """Where it is so already the server tells nothing: then it is enough that it has read this."""
        self.send(command)
        self.agent.when_dealt_with(lambda: pending.settle(None))

    def send_dtmf(self, digits: str) -> None:
        """Press keys for the other side: 1 to 32 of ``0-9 A-D * #``; ``w`` waits half a second, ``W`` a whole one.
        ``call.dtmf_sent`` tells that it is done. What is being said is paused for it. Raises ``ValueError``."""
        if not _DIGITS.fullmatch(digits):
            raise ValueError(f"digits must be 1 to 32 of 0-9 A-D * # w W, not {digits[:40]!r}")
        self.send("call.dtmf", digits=digits)

    def forward(self, to: str, *, message: str = "", announce: bool = False) -> None:
        """Join the caller to somebody else, a number or a ``sip:`` address, when he has heard what is being said.
        ``message`` is said to him before; with ``announce`` it is told to who picks up instead. ``call.forwarded``
        tells that they speak, and the call ends with their conversation; ``call.forward_failed`` why not, and the
        caller is back."""
        more = {name: value for name, value in (("message", message), ("announce", announce)) if value}
        self.send("call.forward", to=to, **more)

    def route(self, agent: str, *, history: bool = True, **options: Unpack[RouteOptions]) -> Pending[None]:
        """Hand the call over to another agent, when the caller has heard what is being said. He is not connected anew;
        here the call ends, with the reason ``routed``::

            try:
                await call.route("sales", greeting="Sales, hello!", context={"order": 17})
            except RouteFailed as failed:
                call.say("Nobody is there.")  # failed.reason: offline, unknown ...

        ``history``: its language model knows what was said. Awaiting it raises ``RouteFailed``, ``Refused`` where the
        call ends first, and ``ConnectionLost`` where that goes before anything is known.
        """
        pending: Pending[None] = Pending()
        if not self.live:
            pending.fail(Refused("the call is over"))
            return pending
        given = {name: value for name, value in options.items() if value is not None}
        self.send("call.route", agent=agent, history=history, **given)
        self._routes.append((agent, pending))
        return pending

    def set_context(self, key: str, value: Any) -> None:
        """Something that the language model is to know, under a name: text, or what JSON can say; None takes it away. It
        goes with a call that is handed over."""
        self.send("set_context", key=key, value=value)

    def transfer(
        self,
        to: str,
        *,
        from_: str | None = None,
        message: str | None = None,
        announcement: str | None = None,
        consult: bool = False,
        greeting: str | None = None,
        config: Config | None = None,
        machine_detection: Literal["start"] | None = None,
        ring_timeout_seconds: float | None = None,
    ) -> Pending[None]:
        """Hand the caller to a human: he hears ``message``, then music, until the human was called and is joined to him.

        ``announcement``: is told to the human before, by a voice of the carrier's. ``consult``: the agent speaks with him
        before, in a call of its own whose ``transfer_of`` is the id of this one; ``greeting`` and ``config`` are for
        that, and ``complete_transfer`` joins the two. ``machine_detection="start"``: a voicemail counts as nobody.

        ``call.transferring`` tells that the caller waits, ``call.transferred`` that they speak (the call ends with their
        conversation), ``call.transfer_failed`` why not, and the caller is back. Awaiting this waits only until the server
        has taken it; it raises ``Refused`` where that cannot be.
        """
        fields = {
            "to": to,
            "from": from_,
            "message": message,
            "announcement": announcement,
            "consult": consult or None,
            "greeting": greeting,
            "config": config,
            "machine_detection": machine_detection,
            "ring_timeout_seconds": ring_timeout_seconds,
        }
        given = {key: value for key, value in fields.items() if value is not None}
        return self._requests.ask("call.transfer", again=False, by="ack", **given)

    def complete_transfer(self) -> Pending[None]:
        """Join the human, with whom the agent speaks, to the caller; say it on the caller's call."""
        return self._requests.ask("call.transfer_complete", again=False, by="ack")

    def cancel_transfer(self) -> Pending[None]:
        """Have the caller come back, as long as he does not speak with the human."""
        return self._requests.ask("call.transfer_cancel", again=False, by="ack")

    def hangup(self, reason: str | None = None) -> Pending[CallEnded | None]:
        """End the call at once; what was still to be spoken is dropped. ``reason`` becomes
        ``call.ended.detail``."""
        self.send("call.hangup", **({"reason": reason} if reason else {}))
        return self._over

    def configure(self, **changed: Unpack[CallConfig]) -> Pending[None]:
        """Change how this call is held from now on: engines, language, prompt, turn taking. Awaiting it
        raises ``Refused`` where the server does not take it."""
        frame = {"event": "session.configure", "session_id": self.id, **changed}
        self._own_tools |= names_in(changed)
        return self.agent.ask(frame, "session.configured") if self.live else _done()

    def send(self, event: str, **fields: Any) -> None:
        """Send a command about this call as it is. Raises ``TooLarge``."""
        if self.live:
            self.agent.send({"event": event, "call_id": self.id, **fields})

    # --- listening ----------------------------------------------------------------------------------------

    def stream(self, events: tuple[str, ...] | None = None) -> Feed:
        """The events of this call, from its ``call.started`` and what comes now on, as ``Agent.stream``; it
        ends with the call. Without names: ``feed.ONE_CALL``."""
        feed = self._feeds.open(events, ONE_CALL, over=not self.live)
        if self._told:
            feed.put(self._started)
        return feed

    # --- what the server tells ----------------------------------------------------------------------------

    def take(self, event: Event) -> None:
        """Keep up with an event, before its handlers are called."""
        reaction = _REACTIONS.get(event.event)
        if reaction is not None:
            reaction(self, event)
        else:
            self.take_of_model(event)

    def handled(self, event: Event) -> None:
        """All handlers of an event are done with it."""
        if isinstance(event, BotFinished | BotInterrupted) and event.message_id == self._speaking:
            self._speaking = self.current_bot_text = ""
        elif isinstance(event, LlmBefore):
            # The answer waits for this, also where nobody had anything to do.
            self.send("llm.ready", agent_id=self.agent.id, turn=event.turn)

    def tell(self, event: Event) -> None:
        """Hand an event to those who read the call's stream."""
        self._told = True
        self._feeds.put(event)
        if isinstance(event, CallEnded):
            self._feeds.close()

    def disconnected(self) -> None:
        """The server completes the streams of an agent that is gone: more of them would be dropped."""
        self._utterances.disconnected()
        self._requests.disconnected()
        self._routes_over(ConnectionLost("the connection went: the call may be handed over, or not"))

    def repeat(self, generation: int) -> None:
        """All that was missed has been told. What was sent on an earlier connection and left no trace may
        have been lost with it: it is sent again, and refused where it was not."""
        self._utterances.repeat(generation)
        for command, pending in self._states.values():
            if not pending.done:
                self._send_switch(command, pending)
        self._requests.repeat(generation)

    def close(self) -> None:
        """This process hears no more of it."""
        self._give_up(Heard("disconnected"), ConnectionLost("the client is closed"))
        self._over.settle(None)
        self._feeds.close()

    def _routes_over(self, error: Exception) -> None:
        for _, pending in self._routes:
            pending.fail(error)
        self._routes.clear()

    def _give_up(self, heard: Heard, error: Exception) -> None:
        self._routes_over(error)
        self._batches.close()
        self._requests.close(error)
        self._utterances.give_up(heard)
        for _, pending in self._states.values():
            pending.settle(None)

    # --- reactions ----------------------------------------------------------------------------------------

    def _on_user_message(self, event: UserMessage) -> None:
        said = HistoryMessage(role="user", content=event.text)
        for place, (message_id, _) in enumerate(self._spoken):
            if message_id == event.message_id:
                self._spoken[place] = (message_id, said)
                return
        self._spoken.append((event.message_id, said))

    def _on_turn(self, event: EagerTurn | TurnEnd) -> None:
        self.turn = self._latest = event

    def _on_turn_continued(self, event: TurnContinued) -> None:
        if self.turn is not None and self.turn.turn_id == event.turn_id:
            self.turn = None
        self._utterances.turn_continued(event.turn_id)

    def _on_speaking(self, event: BotSpeaking) -> None:
        self._speaking, self.current_bot_text = event.message_id, ""
        self._utterances.speaking(event)

    def _on_word(self, event: BotWord) -> None:
        if event.message_id == self._speaking:
            self.current_bot_text = f"{self.current_bot_text} {event.word}".lstrip()
        self._utterances.word(event)

    def _on_confirmed(self, event: MessageConfirmed) -> None:
        said = HistoryMessage(role="assistant", content=event.text)
        self._spoken.append((event.message_id, said))

    def _on_switched(self, event: CallHeld | CallUnheld | CallMuted | CallUnmuted) -> None:
        kind = "hold" if isinstance(event, CallHeld | CallUnheld) else "mute"
        told = {"call.held": "call.hold", "call.unheld": "call.unhold", "call.muted": "call.mute"}
        command = told.get(event.event, "call.unmute")
        wanted, pending = self._states.get(kind, ("", _done()))
        if wanted == command or pending.done:
            pending.settle(None)
            self._states[kind] = (command, pending)

    def _on_updated(self, event: CallUpdated) -> None:
        self.language = event.language

    def _on_routed(self, event: CallRouted) -> None:
        if self._routes:
            self._routes.pop(0)[1].settle(None)

    def _on_route_failed(self, event: CallRouteFailed) -> None:
        # Where several were asked for, all but the first are refused at once: this is the last one to whom it was.
        found = next((route for route in reversed(self._routes) if route[0] == event.agent), None)
        if found is not None:
            self._routes.remove(found)
            found[1].fail(RouteFailed(event.reason, event.detail or "", event))

    def _on_ended(self, event: CallEnded) -> None:
        self._final = event
        self.end_reason = event.reason
        self.ended_at = event.ended_at
        self.duration = event.duration_seconds
        self._over.settle(event)
        self._give_up(Heard("call_ended"), Refused("the call is over"))


_REACTIONS: dict[str, Callable[[Call, Any], None]] = {
    "user.message": Call._on_user_message,
    "eager.turn": Call._on_turn,
    "turn.end": Call._on_turn,
    "turn.continued": Call._on_turn_continued,
    "bot.speaking": Call._on_speaking,
    "bot.word": Call._on_word,
    "bot.finished": lambda call, event: call._utterances.finished(event),
    "bot.interrupted": lambda call, event: call._utterances.interrupted(event),
    "reply.rejected": lambda call, event: call._utterances.rejected(event),
    "message.confirmed": Call._on_confirmed,
    "call.held": Call._on_switched,
    "call.unheld": Call._on_switched,
    "call.muted": Call._on_switched,
    "call.unmuted": Call._on_switched,
    "call.updated": Call._on_updated,
    "call.routed": Call._on_routed,
    "call.route_failed": Call._on_route_failed,
    "call.ended": Call._on_ended,
}


def _new_id() -> str:
    return f"m_{secrets.token_hex(8)}"


def _done() -> Pending[None]:
    pending: Pending[None] = Pending()
    pending.settle(None)
    return pending
