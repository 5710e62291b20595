"""Whether the user is listened to, and why not: each reason is told once when it begins and once when it ends.

Pure: it is shown what happens in the call, and says what is to be told behind that.
"""

from __future__ import annotations

from pipeline.events import (
    BotFinished,
    BotInterrupted,
    BotPaused,
    BotResumed,
    BotSpeaking,
    CallHeld,
    CallMuted,
    Event,
    MuteReason,
    UserMuteStarted,
    UserMuteStopped,
)


class Microphone:
    """Of one call. ``while_speaking``: the user is not listened to while the bot is heard."""

    def __init__(self, *, while_speaking: bool) -> None:
        self.while_speaking = while_speaking
        self._off: dict[MuteReason, None] = {}
        self._message_id = ""
        """What the bot is heard with."""

    @property
    def deaf(self) -> bool:
        """What comes from the user now is dropped, not only kept out of the conversation."""
        return "bot_speaking" in self._off

    def after(self, event: Event) -> list[Event]:
        """What is to be told behind an event."""
        match event:
            case CallMuted():
                return self._close("muted")
            case CallHeld():
                return self._close("held")
            case BotSpeaking() | BotResumed():
                self._message_id = event.message_id
                return self._close("bot_speaking") if self.while_speaking else []
            case BotPaused() | BotFinished() | BotInterrupted() if event.message_id == self._message_id:
                return self.open("bot_speaking")
            case _:
                return []

    def _close(self, reason: MuteReason) -> list[Event]:
        if reason in self._off:
            return []
        self._off[reason] = None
        return [UserMuteStarted(reason)]

    def open(self, reason: MuteReason) -> list[Event]:
        """This reason is over: what is to be told of it."""
        if reason not in self._off:
            return []
        del self._off[reason]
        return [UserMuteStopped(reason)]

    def end(self) -> list[Event]:
        """The call is over, and with it every reason."""
        return [event for reason in list(self._off) for event in self.open(reason)]
