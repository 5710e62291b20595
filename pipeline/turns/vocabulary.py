"""What the turn machine is told, what it orders, and the states between.

Times are seconds of the session's monotonic clock. Voice is told by its own place in time (onset, end), not by
when the news of it came.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from pipeline.endpointing.evidence import Prosody
from pipeline.events import (
    CallHeld,
    CallMuted,
    CallUnheld,
    CallUnmuted,
    EagerTurn,
    HeldBy,
    MutedBy,
    SpeechEnded,
    SpeechStarted,
    TurnContinued,
    TurnEnd,
    TurnPause,
    TurnRef,
    TurnResumed,
    UserMessage,
    UserSpeaking,
)


class State(StrEnum):
    IDLE = "idle"
    """Nobody has the floor."""
    LISTENING = "listening"
    """The user speaks, the bot does not."""
    ANALYSING = "analysing"
    """The user has fallen silent; is the turn over?"""
    BOT_PENDING = "bot_pending"
    """The turn is over and nothing has been answered yet."""
    BOT_SPEAKING = "bot_speaking"
    """The bot is heard, the user is silent."""
    OVERLAP = "overlap"
    """Both are heard: a barge-in, or only a cough."""
    DOUBT = "doubt"
    """The user spoke over the bot, which has paused: was it an interruption?"""
    MUTED = "muted"
    """The user is not listened to. The bot may speak."""
    HELD = "held"
    """Neither side hears the other."""


# --- what the machine is told -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class VoiceStarted:
    segment_id: int
    onset: float
    confidence: float
    bot_ends: float | None = None
    """When the bot will have said what it is saying, where that is known."""


@dataclass(frozen=True, slots=True)
class Voiced:
    """The open segment held voice in this stretch. What lies between two of them was a gap."""

    start: float
    end: float
    probability: float = 1.0
    volume: float = 1.0
    """Smoothed, 0 (-60 dBFS) to 1."""


@dataclass(frozen=True, slots=True)
class VoiceEnded:
    onset: float
    end: float
    """The end of voice itself, before the silence that proved it."""


@dataclass(frozen=True, slots=True)
class Echo:
    """This segment is the bot's own voice, come back on the line: nothing in it is the user's."""

    segment_id: int


@dataclass(frozen=True, slots=True)
class Heard:
    """Text of a segment, interim or final. A final may be empty: nothing was understood."""

    segment_id: int
    text: str
    confidence: float
    final: bool
    language: str | None = None
    """BCP-47, where the recogniser tells it."""


WRITTEN = 0
"""Stands for the segment of what was written."""


@dataclass(frozen=True, slots=True)
class Typed:
    """The user has written instead of spoken. The session has silenced the bot, where that may be silenced."""

    text: str


@dataclass(frozen=True, slots=True)
class Sounded:
    """How the voice sounded before the silence that is going on, as far as that was measured."""

    prosody: Prosody | None = None
    model: float | None = None
    """Of an audio model: the probability that the turn is over, 0 to 1."""


@dataclass(frozen=True, slots=True)
class ProviderTurn:
    """A recogniser that tells turns itself has one more."""

    kind: Literal["eager", "end", "resumed"]
    probability: float


@dataclass(frozen=True, slots=True)
class BotStarted:
    """A message of the bot became audible."""

    at: float
    interruptible: bool = True


@dataclass(frozen=True, slots=True)
class BotDone:
    """The bot has fallen silent: all it had to say was heard."""

    answered: bool = True
    """False: it was no answer, only a word that one will come."""


@dataclass(frozen=True, slots=True)
class BotCut:
    """The bot was cut off as ordered (``CutBot``), or by its own agent."""

    played_ms: int
    by_user: bool
    answered: bool = True
    """False: it was no answer, only a word that one will come."""


@dataclass(frozen=True, slots=True)
class Mute:
    """Do not listen to the user from here on. No voice is open: the session has closed it."""

    by: MutedBy = "agent"


@dataclass(frozen=True, slots=True)
class Unmute: ...


@dataclass(frozen=True, slots=True)
class Hold:
    """Neither side is to hear the other from here on. No voice is open."""

    by: HeldBy = "agent"


@dataclass(frozen=True, slots=True)
class Unhold: ...


@dataclass(frozen=True, slots=True)
class Tick:
    """A deadline has come. Given by ``tick``, not by ``receive``."""


Input = (
    VoiceStarted | Voiced | VoiceEnded | Echo | Heard | Typed | Sounded | ProviderTurn
    | BotStarted | BotDone | BotCut | Mute | Unmute | Hold | Unhold | Tick
)  # fmt: skip


# --- what the machine orders ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CutBot:
    """Silence the bot now; answer with ``BotCut``."""


@dataclass(frozen=True, slots=True)
class PauseBot:
    """Silence the bot now, so that it can go on where it was. ``held``: for as long as the call is held."""

    held: bool = False


@dataclass(frozen=True, slots=True)
class ResumeBot:
    """Let the bot go on from the last word that was not heard whole."""


@dataclass(frozen=True, slots=True)
class DiscardReply:
    """What was prepared as an answer to this message id is void."""

    message_id: str


@dataclass(frozen=True, slots=True)
class NothingHeard:
    """The user has spoken, and the recogniser still owes all of it. What it says later still counts."""


Output = (
    SpeechStarted | SpeechEnded | UserSpeaking | UserMessage | EagerTurn | TurnPause | TurnResumed
    | TurnEnd | TurnContinued | CallMuted | CallUnmuted | CallHeld | CallUnheld
    | CutBot | PauseBot | ResumeBot | DiscardReply | NothingHeard
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TurnParams:
    """How the machine behaves. When a turn is over is the judge's to say (``pipeline.endpointing``)."""

    language: str = "en"
    """Of what is understood, BCP-47."""
    max_silence_ms: int = 3000
    """After so much silence the turn ends even where the recogniser has not answered."""
    nothing_heard_ms: int = 2000
    """The same where it has given nothing at all, not even interim text."""
    min_speech_ms: int = 100
    """A shorter voice is no word: nothing that is understood of it counts."""
    resume_ms: int = 200
    """Continuous voice that takes a turn signal back."""
    resume_volume: float = 0.2
    """How loud that voice has to be, 0 to 1."""
    interruption: bool = True
    """False: the bot is never cut off by voice or words."""
    interrupt_ms: int = 300
    """Continuous voice, from its onset, that silences the bot."""
    interrupt_confidence: float = 0.7
    """How sure the detector has to be of that voice, 0 to 1."""
    interrupt_volume: float = 0.35
    """How loud it has to be, 0 to 1. What is quieter silences the bot by its words only."""
    interrupt_words: int = 2
    """Words over the bot that silence it though the voice did not last."""
    background_volume: float = 0.25
    """Words of a voice that never was so loud are talk in the background. Not asked for where
    ``interrupt_volume`` is 0."""
    backchannel_filter: bool = True
    """A mere "mhm" or "right" over the bot is no interruption."""
    pause_first: bool = True
    """The bot is paused by a voice that lasts, and cut off when it is sure that this was an interruption."""
    sure_ms: int = 1000
    """Continuous voice, from its onset, that is an interruption whatever is said."""
    doubt_ms: int = 1000
    """How long after the end of such a voice its words are waited for before the bot goes on."""


# --- what the machine remembers ---------------------------------------------------------------------------


@dataclass(slots=True)
class Turn:
    """One turn of the user."""

    ref: TurnRef
    message_id: str
    parts: list[str] = field(default_factory=list)
    segment_ids: list[int] = field(default_factory=list)
    confidence: float = 0.0
    language: str | None = None
    """Of what was understood last, where the recogniser tells it."""
    voice_ms: int = 0
    signalled: bool = False
    """A turn signal went out with the current message id."""
    paused: bool = False
    """A pause was told, in the silence that is going on."""
    ended: bool = False
    typed: bool = False
    """What came last was written: nothing more is waited for."""
    answered: bool = False
    """A message of the bot was confirmed since; what follows is a new turn."""

    @property
    def text(self) -> str:
        return " ".join(self.parts)


@dataclass(slots=True)
class Segment:
    """One stretch of the user's voice."""

    segment_id: int
    turn: TurnRef
    onset: float
    final: bool = False
    partial: str = ""
    partial_confidence: float = 0.0
    loudest: float = 0.0
    """Of its voice, 0 to 1."""
    ended: float | None = None
    """The end of its voice, once that is known."""
    over_bot: bool = False
    """It began over the bot, and did not silence it."""
    muted: bool = False
    """The user was not listened to."""
    void: bool = False
    """Nothing that is understood of it counts: an echo, or too short for a word."""
