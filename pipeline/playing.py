"""What the caller hears of the bot: audio goes out, marks come back, and it is paused, cut off and gone on with.

Like the session it acts and does not decide. What happened to the bot's speech is told as it happens, and the turn
machine learns whether the bot is heard.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from media.music import HoldMusic
from media.playout import Playout, Send
from media.ports import AudioLeg
from pipeline import turns
from pipeline.answering import Answering
from pipeline.events import AbortReason, BotSpeaking, BotWord, Event, InterruptReason
from pipeline.holding import Holding
from pipeline.message import Message
from pipeline.monitor import Monitor
from pipeline.speaking import Speaking
from pipeline.speech import BotEvent, SpeechQueue

WORDS, WORDS_S = 60, 8.0
"""What was heard of the bot so lately may come back as an echo, and be understood."""


class Stage(Protocol):
    """The call, as far as what its caller hears is concerned."""

    def emit(self, event: Event) -> None: ...

    def bot_started(self, now: float, *, interruptible: bool) -> None:
        """A message goes to the caller: he will hear it in a moment."""

    def bot_heard(self) -> None:
        """He begins to hear it."""

    def bot_over(self, event: turns.BotDone | turns.BotCut, now: float) -> None:
        """He hears no more of a message that he heard something of."""

    def moved(self) -> None:
        """Something has changed: do what is due."""


class Playing:
    """Of one call."""

    def __init__(
        self,
        call: Stage,
        leg: AudioLeg,
        playout: Playout,
        speech: SpeechQueue,
        speaking: Speaking,
        answering: Answering,
        monitor: Monitor,
    ) -> None:
        self._call = call
        self._leg = leg
        self._playout = playout
        self._speech = speech
        self._speaking = speaking
        self._answering = answering
        self._monitor = monitor
        self._holding = Holding(playout, leg)
        self._words: deque[tuple[float, str]] = deque(maxlen=WORDS)

    def words(self, now: float) -> list[str]:
        """What was heard in the last seconds."""
        return [word for at, word in self._words if at >= now - WORDS_S]

    # --- out, and heard -----------------------------------------------------------------------------------

    @property
    def deadline(self) -> float | None:
        """When something is to be sent or told."""
        times = (self._playout.deadline(), self._speech.next_at())
        return min((at for at in times if at is not None), default=None)

    def send(self, now: float, *, floor_free: bool) -> None:
        """Hand to the leg what is due; a further message begins only while nobody has the floor."""
        self._speech.feed(floor_free)
        self._holding.fill()
        position = self._playout.sent
        for order in self._playout.pull(now):
            if isinstance(order, Send):
                self._leg.send(order.pcm)
                self._monitor.sent(position, order.pcm)
                position += len(order.pcm)
            else:
                self._leg.mark(order.name)

    def progress(self, now: float) -> bool:
        """Tell what was heard since the last time; True where a message came to its end."""
        message = self._speech.current
        started = message is None or message.started
        events = self._speech.progress(now)
        if message is not None and message.started and not started:
            self._call.bot_started(now, interruptible=message.interruptible)
        self.tell(events, now)
        if message is None or self._speech.current is message:
            return False
        if message.started:
            self._call.bot_over(turns.BotDone(answered=not message.holding), now)
        self._answering.await_late_answer(now)
        return True

    def tell(self, events: list[BotEvent], now: float) -> None:
        """Emit what the bot did, and let the machine know whether it is heard."""
        for event in events:
            if isinstance(event, BotWord):
                self._words.append((now, event.word))
            self._call.emit(event)
            if isinstance(event, BotSpeaking):
                self._answering.bot_speaks()
                self._call.bot_heard()

    # --- paused and held ----------------------------------------------------------------------------------

    @property
    def quiet(self) -> bool:
        """Nothing has begun that something else would be heard in the middle of."""
        return self._speech.current is None and not self._holding.plays

    def pause(self, now: float, *, held: bool) -> None:
        """The machine orders the bot paused."""
        self.progress(now)
        if self._speech.current is None or self._speech.paused:
            return  # It finished at this very instant; or the user had paused it already.
        self._leg.clear()
        self.tell(self._speech.pause(now, "held" if held else "user_spoke"), now)

    def resume(self, now: float) -> None:
        """The machine lets it go on."""
        self.tell(self._speech.resume(), now)

    def hold(self, music: HoldMusic | None) -> None:
        """The caller is to hear music in place of the bot; None: silence."""
        self._holding.begin(music)

    def unhold(self, now: float) -> None:
        """The music falls silent."""
        self._holding.end(now)

    # --- cut off ------------------------------------------------------------------------------------------

    def interrupt(self, now: float) -> None:
        """The machine orders the bot cut off by the user."""
        self.progress(now)
        if self._speech.current is None:
            return  # It finished at this very instant, and the machine knows.
        early = self._speech.played_ms(now) < turns.EARLY_MS
        self.cut(now, "early" if early else "user_spoke", "early" if early else "new_turn", by_user=True)

    def cut(self, now: float, reason: InterruptReason, abort: AbortReason, *, by_user: bool = False) -> None:
        """Stop all that is said and is going to be, and the answer in the making."""
        current = self._speech.current
        played_ms = self._speech.played_ms(now)
        if current is not None and self._is_heard:
            self._leg.clear()
        self.tell(self._speech.cut(now, reason, abort, by_user=by_user), now)
        self._speaking.cancel_orphan()
        self._answering.stop()
        if current is not None and current.started:
            self._call.bot_over(turns.BotCut(played_ms, by_user, answered=not current.holding), now)
        self._call.moved()

    def cut_one(self, message: Message, now: float) -> None:
        """Stop one message: the one that is being heard, or one that waits."""
        played_ms = self._speech.played_ms(now)
        if message is self._speech.current and self._is_heard:
            self._leg.clear()
        self.tell(self._speech.cut_one(message, now), now)
        self._speaking.cancel(message)
        if message.started:
            self._call.bot_over(turns.BotCut(played_ms, by_user=False, answered=not message.holding), now)

    def discard(self, message_id: str, now: float) -> None:
        """The machine orders thrown away what answers this message of the user."""
        self.tell(self._speech.discard(message_id, "new_turn"), now)
        self._speaking.cancel_orphan()
        self._answering.discard(message_id)

    def end(self, now: float) -> None:
        """The call ends: nothing more is heard."""
        self.progress(now)
        self._holding.end(now)
        heard = self._speech.current is not None and not self._speech.paused
        self.tell(self._speech.cut(now, "cancelled", "call_ended"), now)
        if heard:
            self._leg.clear()
        self._speaking.cancel()
        self._monitor.note_bot(now, rest=True)

    @property
    def _is_heard(self) -> bool:
        """What the play-out has is being heard: the current message, or music in its place."""
        return not self._speech.paused or self._holding.plays
