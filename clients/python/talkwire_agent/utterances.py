"""What an agent says on one call, from its sending to what was heard of it, over as many connections as it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from talkwire_agent.events import BotFinished, BotInterrupted, BotSpeaking, BotWord, ReplyRejected
from talkwire_agent.stream import ReplyStream
from talkwire_agent.utterance import Heard, Utterance

if TYPE_CHECKING:
    from talkwire_agent.call import Call


class Utterances:
    """Those of a call that are not over."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._open: dict[str, Utterance] = {}
        self._sent_on: dict[str, int] = {}
        """The connection that each was sent on last."""
        self._again: set[str] = set()

    def expect(self, utterance: Utterance) -> None:
        """It is about to be sent."""
        if not self._call.live:
            utterance.ended(Heard("call_ended"))
            return
        self._open[utterance.id] = utterance
        self._sent_on[utterance.id] = self._call.agent.generation

    # --- connections come and go --------------------------------------------------------------------------

    def disconnected(self) -> None:
        """The server completes the streams of an agent that is gone: more of them would be dropped."""
        self._abort("disconnected")

    def repeat(self, generation: int) -> None:
        """What was sent on an earlier connection and left no trace is sent again, and refused where it was not
        lost."""
        for message_id, utterance in list(self._open.items()):
            if self._sent_on[message_id] < generation and not utterance.seen and utterance.fields:
                self._sent_on[message_id] = generation
                self._again.add(message_id)
                self._call.send("bot.reply", **utterance.fields)

    def give_up(self, heard: Heard) -> None:
        """No more will be known of any."""
        for utterance in list(self._open.values()):
            words = " ".join(utterance.words)
            utterance.ended(Heard(heard.outcome, words, heard.played_ms, heard.reason))
        self._open.clear()

    # --- what the server tells ----------------------------------------------------------------------------

    def turn_continued(self, turn_id: int) -> None:
        """The user goes on: a stream that answers this turn is void."""
        self._abort("turn_continued", turn_id)

    def _abort(self, reason: str, turn_id: int | None = None) -> None:
        for utterance in list(self._open.values()):
            if isinstance(utterance, ReplyStream) and turn_id in (None, utterance.turn_id):
                utterance.abort(reason)

    def speaking(self, event: BotSpeaking) -> None:
        if utterance := self._open.get(event.message_id):
            utterance.seen = True

    def word(self, event: BotWord) -> None:
        if utterance := self._open.get(event.message_id):
            utterance.words.append(event.word)

    def finished(self, event: BotFinished) -> None:
        if utterance := self._open.pop(event.message_id, None):
            utterance.ended(Heard("finished", utterance.text, event.duration_ms))

    def interrupted(self, event: BotInterrupted) -> None:
        if utterance := self._open.pop(event.message_id, None):
            words = " ".join(utterance.words)
            utterance.ended(Heard("interrupted", words, event.played_ms, event.reason))

    def rejected(self, event: ReplyRejected) -> None:
        if event.message_id in self._again and event.reason == "duplicate_message_id":
            return  # It had arrived after all.
        if utterance := self._open.pop(event.message_id, None):
            utterance.ended(Heard("rejected", "", 0, event.reason))
