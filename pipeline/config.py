"""What a call is held with, and how: its engines and its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo

from media.music import HoldMusic
from media.ports import VoiceDetector
from media.segmenter import VadParams
from pipeline import turns
from pipeline.absence import Away
from pipeline.endpointing import Endpointing
from pipeline.endpointing.smart_turn import AudioTurnModel
from pipeline.limits import SessionLimits
from pipeline.ports import Ears, Mind, SttOptions, Voice
from pipeline.preparing import Preparing
from pipeline.skills import Skill
from pipeline.tools import TIMEOUT_S, Tool
from pipeline.turnlog import Switches


@dataclass(frozen=True, slots=True)
class Engines:
    """What a call hears, thinks and speaks with. The engines are shared by all calls of the process."""

    vad: VoiceDetector
    stt: Ears | None
    tts: Voice
    llm: Mind | None = None
    """None: its agent does the thinking."""
    turn_model: AudioTurnModel | None = None
    """What hears whether a turn is over; None: that is judged without one."""
    hold_music: HoldMusic | None = None
    """What a caller hears on hold; None: silence."""


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """How one call behaves."""

    language: str = "en"
    greeting: str = ""
    consent: str = ""
    """What a caller is told when he begins to be recorded: words, or ``tone``; empty: nothing."""
    stt_language: str | None = None
    """What the recogniser is to understand; None: the language."""
    voice_language: str | None = None
    """What the voice is to speak; None: the language."""
    speed: float = 1.0
    phrases: tuple[str, ...] = ()
    turns: turns.TurnParams = field(default_factory=turns.TurnParams)
    endpointing: Endpointing = field(default_factory=Endpointing)
    greeting_interruptible: bool = True
    greet_after_turn: bool = False
    """It waits for the end of the other side's first turn, or for some seconds."""
    vad: VadParams = field(default_factory=VadParams)
    metrics_interval_ms: int | None = None
    """How often ``AudioMetrics`` is told; None: never."""
    media_timeout_s: float = 10.0
    """A caller whose audio stays away for longer is gone."""
    limits: SessionLimits = field(default_factory=SessionLimits)
    mute_while_speaking: bool = False
    """The user is not listened to while the bot is heard."""
    prompt: str = ""
    """What the language model is to be and to do."""
    raw_prompt: bool = False
    """The prompt is given verbatim: nothing is added about how one speaks."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """What ``{{name}}`` in the prompt and the greeting stands for."""
    timezone: tzinfo = UTC
    """Where the date and the time are told of."""
    preparing: Preparing | None = None
    """How long an answer of the language model waits for the agent; None: it does not."""
    opening_ms: int = 0
    """How long the greeting waits for the agent to configure this call; 0: it does not."""
    temperature: float | None = None
    max_tokens: int | None = None
    tools: tuple[Tool, ...] = ()
    """What the model may ask for, each with a name of its own."""
    skills: tuple[Skill, ...] = ()
    """What the model may be taught in the course of the call, each with a name of its own."""
    tool_timeout_s: float = TIMEOUT_S
    """Of a tool that has none of its own."""
    holding_text: str = ""
    """Said where an answer is late; empty: nothing."""
    holding_after_s: float = 2.0
    trouble_text: str = ""
    """Said where no answer can be had; empty: nothing."""
    away: Away = field(default_factory=Away)
    """What the caller hears while the agent's process is away."""
    events: Switches = field(default_factory=Switches)
    """Which of the events that follow from others are told."""

    def stt_options(self, sample_rate_hz: int) -> SttOptions:
        """What its recogniser is told."""
        return SttOptions(sample_rate_hz, self.stt_language or self.language, self.phrases)
