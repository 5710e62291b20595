"""The rules of a call, kept: how long it may last and its caller say nothing, and what is told where he is not
listened to.

Like the session it acts and does not decide: ``pipeline.limits`` and ``pipeline.microphone`` do.
"""

from __future__ import annotations

from typing import Protocol

from pipeline import turns
from pipeline.answering import Answering
from pipeline.config import SessionConfig
from pipeline.events import EndReason, Event, MuteReason, SessionTimeout
from pipeline.limits import End, Limits
from pipeline.listening import Listening
from pipeline.microphone import Microphone
from pipeline.speech import SpeechQueue


class Ruled(Protocol):
    """The call, as far as its rules are concerned."""

    def emit(self, event: Event) -> None: ...

    def end(self, reason: EndReason, detail: str) -> None: ...


class Rules:
    """Of one call, from its begin."""

    def __init__(
        self,
        call: Ruled,
        machine: turns.TurnMachine,
        speech: SpeechQueue,
        ears: Listening,
        answering: Answering,
        config: SessionConfig,
        now: float,
    ) -> None:
        self._call = call
        self._machine = machine
        self._speech = speech
        self._ears = ears
        self._answering = answering
        self._limits = Limits(config.limits, now)
        self._mic = Microphone(while_speaking=config.mute_while_speaking)
        self._echo = 0
        """The last segment that was the bot's own voice."""

    def change(self, config: SessionConfig) -> None:
        """Other rules hold from now on."""
        self._limits.change(config.limits)
        self._mic.while_speaking = config.mute_while_speaking

    # --- the limits ---------------------------------------------------------------------------------------

    def activity(self, now: float) -> None:
        """The caller gave a sign of life."""
        self._limits.activity(now)

    def perceived(self, event: turns.Input, now: float, *, understood: bool) -> None:
        """Words are a sign of life, voice is none, unless nobody here understands any (``understood``)."""
        match event:
            case turns.Echo():
                self._echo = event.segment_id
            case turns.Heard() if event.text and event.segment_id != self._echo:
                self._limits.activity(now)
            case turns.VoiceEnded() if not understood:
                self._limits.activity(now)

    @property
    def deadline(self) -> float | None:
        """When ``keep`` has something to do."""
        return self._limits.deadline

    def note(self, now: float, *, waits: bool) -> None:
        """See what is going on in the call; ``waits``: for its agent, whatever else."""
        state, held = self._machine.state, self._machine.held
        spoken = state in (turns.State.LISTENING, turns.State.ANALYSING) or self._ears.speaking
        speaks = not self._speech.empty
        busy = speaks or spoken or held or waits or self._machine.muted or self._answering.busy
        self._limits.note(busy=busy, speaks=speaks and not held, now=now)

    def keep(self, now: float, *, waits: bool) -> None:
        """Warn, and end the call, where that is due."""
        self.note(now, waits=waits)
        for output in self._limits.tick(now):
            if isinstance(output, End):
                self._call.end(output.reason, output.detail)
                return
            self._call.emit(output)
            if isinstance(output, SessionTimeout):
                self._answering.wind_up()

    # --- who is listened to -------------------------------------------------------------------------------

    def told(self, event: Event) -> None:
        """Say what follows from an event."""
        self._tell(self._mic.after(event))

    def listen_again(self, reason: MuteReason) -> None:
        """This reason not to listen is over."""
        self._tell(self._mic.open(reason))

    def close(self) -> None:
        """The call is over."""
        self._tell(self._mic.end())

    def _tell(self, events: list[Event]) -> None:
        if not events:
            return
        for event in events:
            self._call.emit(event)
        self._ears.deafen(on=self._mic.deaf)
