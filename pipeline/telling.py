"""What goes out of a call: each event with those that follow from it, and what is told of how things stand."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pipeline import turns
from pipeline.answering import Answering
from pipeline.events import Activity, Event, HistorySnapshot, MessageAborted, MessageConfirmed, TurnEnd
from pipeline.message import Job, Message
from pipeline.ports import ChatMessage
from pipeline.speech import SpeechQueue
from pipeline.transcript import Transcript
from pipeline.turnlog import Switches, TurnLog

SNAPSHOT = 50
"""Messages of the history that are told at once."""
SNAPSHOT_CHARS = 100_000
"""Of their texts: what tools gave may be long, and all of it would be told after each turn."""


class Telling:
    """Of one call. ``emit`` takes what is told, in order."""

    def __init__(
        self,
        machine: turns.TurnMachine,
        speech: SpeechQueue,
        answering: Answering,
        transcript: Transcript,
        switches: Switches,
        emit: Callable[[Event], None],
    ) -> None:
        self._machine = machine
        self._speech = speech
        self._answering = answering
        self._transcript = transcript
        self._emit = emit
        self._log = TurnLog(switches)
        self._voicing: list[Message] = []
        """What the voice is at: one message, seldom more."""
        self._history_moved = False
        self._snapshot: HistorySnapshot | None = None
        """The last that was told."""

    def switch(self, switches: Switches) -> None:
        """Tell other things from now on."""
        self._log.switches = switches

    def tell(self, event: Event, now: float) -> None:
        """Something has happened."""
        self._tell(self._log.see(event, now))
        if isinstance(event, TurnEnd | MessageConfirmed | MessageAborted):
            self._history_moved = True

    def _tell(self, events: Iterable[Event]) -> None:
        for event in events:
            self._emit(event)

    def change_hands(self, switches: Switches) -> None:
        """From now on all is told to another agent, which knows of no turn and of no state yet."""
        self._log = TurnLog(switches)
        self._voicing.clear()
        self._history_moved = False
        self._snapshot = None

    # --- what is no event of its own ----------------------------------------------------------------------

    def queued(self, message: Message, now: float) -> None:
        """A message is going to be said."""
        self._log.queued(message.message_id, message.turn, holding=message.holding)
        if message.text:
            self.text_came(message, now)

    def text_came(self, message: Message, now: float) -> None:
        """Text of a message has come, all of it or more."""
        self._log.text_came(message.message_id, now)

    def taken_back(self, message: Message) -> None:
        """A message of which nothing was heard is thrown away, and may be queued anew."""
        self._tell(self._log.taken_back(message.message_id))

    def begun(self, job: Job, now: float) -> None:
        """The voice begins with a sentence, or with the rest of one."""
        message, sentence = job.message, job.sentence
        if not any(other is message for other in self._voicing):
            self._voicing.append(message)
        number = sentence.number if sentence is not None else None
        self._tell(self._log.sentence(message.message_id, number, job.text, now))

    def history_changed(self) -> None:
        """The agent has changed the history."""
        self._history_moved = True

    # --- how things stand ---------------------------------------------------------------------------------

    def look(self, now: float) -> None:
        """Tell what has changed of that. Nothing is half done: what happened has been told."""
        for message in tuple(self._voicing):
            sound, over = message.length > 0 or message.tail is not None, message.synthesised
            self._tell(self._log.voiced(message.message_id, now, sound=sound, over=over))
            if over or not self._speech.holds(message):
                self._voicing.remove(message)
        if self._history_moved:
            self._history_moved = False
            self._tell_history()
        if not self._answering.unfinished:
            self._tell(self._log.settle(now))

    def look_whose_move(self) -> None:
        """Tell that, where it has changed, when all that is due now has been done: no state lasts for no time."""
        activity = self._activity()
        if activity is not None:
            self._tell(self._log.state(activity))

    def close(self, now: float) -> None:
        """The call ends: what was begun is told to its end."""
        self._tell(self._log.close(now))

    def _activity(self) -> Activity | None:
        """None: the bot is about to be heard."""
        state, speech = self._machine.state, self._speech
        if state in (turns.State.LISTENING, turns.State.ANALYSING, turns.State.DOUBT):
            return "listening"
        if state is turns.State.HELD:
            return "idle"
        if speech.current is not None and speech.current.started:
            return "speaking" if speech.current.audible else None
        if self._machine.floor_free and not speech.nothing_ready:
            return None
        # Where the call thinks for itself and is not at it, no answer comes unless one waits already.
        owed = self._machine.owes_answer and not self._answering.answers
        waits = speech.head is not None and speech.head.turn is not None
        return "thinking" if owed or waits or self._answering.unfinished else "idle"

    def _tell_history(self) -> None:
        if not self._log.switches.history_snapshot:
            return
        messages = self._answering.messages() or tuple(
            ChatMessage(line.role, line.content) for line in self._transcript.lines()
        )
        snapshot = HistorySnapshot(_latest(messages), len(messages))
        if snapshot != self._snapshot:
            self._snapshot = snapshot
            self._tell([snapshot])


def _latest(messages: tuple[ChatMessage, ...]) -> tuple[ChatMessage, ...]:
    """As many of the last ones as are told at once; the very last in any case."""
    room = SNAPSHOT_CHARS
    found: list[ChatMessage] = []
    for message in reversed(messages[-SNAPSHOT:]):
        room -= len(message.content) + sum(len(call.arguments) for call in message.tool_calls)
        if room < 0 and found:
            break
        found.append(message)
    return tuple(reversed(found))
