"""What an agent may configure, for itself or for one of its channels.

Each key is optional; absent or null it is not set here, and the next wider level decides (channel, then
agent, then the server's settings). Keys that are not declared here are kept and reported, never refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, Discriminator, Field, Tag

from server.protocol.base import Allowed, Part, Range, Share
from server.protocol.recording import RecordingChannels, RecordingFormat
from server.protocol.skills import Skills
from server.protocol.tools import Tools

Text = Annotated[str, Field(min_length=1, max_length=200), Allowed("text of 1 to 200 characters")]
LongText = Annotated[str, Field(max_length=5000), Allowed("text of at most 5000 characters")]
LanguageTag = Annotated[
    str,
    Field(max_length=35, pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$"),
    Allowed("a BCP-47 language tag, for example en or es-PE"),
]
Prompt = Annotated[str, Field(max_length=200_000), Allowed("text of at most 200000 characters")]
DetectionMode = Annotated[
    Literal["local", "silence", "native", "smart_turn", "auto"],
    Allowed("local (or smart_turn, auto), silence or native"),
]
AwayMode = Annotated[Literal["wait", "line", "message"], Allowed("wait, line or message")]
WITHOUT_EFFECT = frozenset({"flash", "mode"})
"""Keys of older clients that nothing is said about: what they asked for is decided by others."""
Phrases = Annotated[tuple[Text, ...], Field(max_length=500, strict=False)]


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise ValueError("no such zone") from None
    return value


def _plain(value: Any) -> Any:
    """A number or a flag as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


Zone = Annotated[
    str,
    Field(min_length=1, max_length=100),
    AfterValidator(_zone),
    Allowed("the name of a time zone, for example Europe/Madrid"),
]
VarName = Annotated[
    str,
    Field(max_length=64, pattern=r"^[^\s{}]{1,64}$"),
    Allowed("a name of 1 to 64 characters, without spaces and braces"),
]
VarValue = Annotated[
    str,
    Field(max_length=20_000),
    BeforeValidator(_plain, json_schema_input_type=Annotated[str, Field(max_length=20_000)] | float | bool),
    Allowed("text of at most 20000 characters"),
]


def one_of(shape: str, allowed: str) -> Discriminator:
    """Choose between a short form and an object by what was sent, so that an error speaks of that one only.

    The tags stand in error paths; ``<...>`` tells them from keys.
    """
    short = {"text": str, "flag": bool}[shape]
    return Discriminator(
        _chooser(short, f"<{shape}>"),
        custom_error_type="not_allowed",
        custom_error_message=f"must be {allowed}",
    )


def _chooser(short: type, tag: str) -> Callable[[Any], str | None]:
    def choose(value: Any) -> str | None:
        if isinstance(value, short):
            return tag
        return "<object>" if isinstance(value, dict | BaseModel) else None

    return choose


Greeting = Annotated[
    Annotated[LongText, Tag("<text>")]
    | Annotated[dict[LanguageTag, LongText], Field(max_length=100), Tag("<object>")],
    one_of("text", "text, or an object of language to text"),
]


class VoiceSettings(Part):
    """The voice that speaks."""

    provider: Text | None = Field(default=None, description="Speech engine, for example `espeak`.")
    model: Text | None = Field(default=None, description="A model of that engine; else the configured one.")
    voice_id: Text | None = Field(
        default=None, description="A voice of that engine, by the engine's own name."
    )
    language: LanguageTag | None = Field(
        default=None, description="Language to be spoken, BCP-47; else that of the session."
    )
    speed: Annotated[float, Range(0.25, 4)] | None = Field(
        default=None,
        description="Pace, as a factor: 1 is the voice's own. An engine may not reach the ends of the range.",
    )


class SttSettings(Part):
    """The recogniser that listens."""

    provider: Text | None = Field(default=None, description="Recogniser, for example `pocketsphinx`.")
    model: Text | None = Field(default=None, description="A model of that engine; else the configured one.")
    language: LanguageTag | None = Field(
        default=None, description="Language to be understood, BCP-47; else that of the session."
    )
    phrases: Phrases | None = Field(
        default=None,
        description="What the agent expects to hear: a hint, other words stay possible. At most 500 entries.",
    )
    keyterms: Phrases | None = Field(
        default=None, description="Means the same as `phrases`; given both, they are joined."
    )

    @property
    def hints(self) -> tuple[str, ...]:
        """``phrases`` and ``keyterms`` together, each phrase once, at most 500."""
        return tuple(dict.fromkeys((*(self.phrases or ()), *(self.keyterms or ()))))[:500]


def _text_or_list(value: Any) -> str | None:
    if isinstance(value, str):
        return "<text>"
    return "<list>" if isinstance(value, list | tuple) else None


Fallback = Annotated[
    Annotated[Text, Tag("<text>")]
    | Annotated[tuple[Text, ...], Field(max_length=3, strict=False), Tag("<list>")],
    Discriminator(
        _text_or_list,
        custom_error_type="not_allowed",
        custom_error_message="must be text such as provider/model, or a list of them",
    ),
]


class LlmSettings(Part):
    """The language model that answers."""

    enabled: bool | None = Field(default=None, description="False: the agent process answers by itself.")
    provider: Text | None = Field(default=None, description="Whose model, for example `openai`.")
    model: Text | None = Field(default=None, description="The model, also as `provider/model`.")
    llm: Text | None = Field(default=None, description="Means the same as `model`.")
    prompt: Prompt | None = Field(default=None, description="Means the same as `prompt` beside `llm`.")
    temperature: Annotated[float, Range(0, 2)] | None = Field(
        default=None, description="Randomness of the answers; else the model's own."
    )
    max_tokens: Annotated[int, Range(1, 100_000)] | None = Field(
        default=None, description="Longest answer, tokens; else the model's own."
    )
    fallback: Fallback | None = Field(
        default=None,
        description="Who answers where that model fails: `provider/model`, or up to three in the order in which "
        "they are asked; else the server's own.",
    )

    @property
    def fallbacks(self) -> tuple[str, ...]:
        """All of them, in their order."""
        return (self.fallback,) if isinstance(self.fallback, str) else self.fallback or ()


class InterruptionSettings(Part):
    """When a user who speaks over the bot cuts it off."""

    enabled: bool | None = Field(default=None, description="False: the user's voice never cuts the bot off.")
    min_duration_ms: Annotated[int, Range(0, 5000)] | None = Field(
        default=None, description="Continuous voice, from its onset, that silences the bot, milliseconds."
    )
    confidence: Share | None = Field(
        default=None, description="How sure the detector has to be of that voice, 0 to 1."
    )
    min_volume: Share | None = Field(
        default=None,
        description="How loud that voice has to be, 0 (-60 dBFS) to 1; 0: its level does not matter. A quieter "
        "one silences the bot by its words only.",
    )
    energy_threshold_db: Annotated[float, Range(-60, 0)] | None = Field(
        default=None, description="The same in dBFS, as older clients say it; `min_volume` goes first."
    )
    min_words: Annotated[int, Range(0, 20)] | None = Field(
        default=None,
        description="Words that silence the bot although the voice did not last `min_duration_ms`; 0 and 1: any.",
    )
    backchannel_filter: bool | None = Field(
        default=None, description='False: also a mere "mhm" or "right" over the bot interrupts it.'
    )
    pause_first: bool | None = Field(
        default=None,
        description="False: a voice that lasts cuts the bot off for good. Else it is paused (`bot.paused`), and "
        "goes on (`bot.resumed`) where the voice turns out to have said nothing.",
    )
    sure_ms: Annotated[int, Range(0, 10_000)] | None = Field(
        default=None,
        description="Continuous voice over a paused bot that is an interruption whatever its words are, "
        "milliseconds.",
    )
    greeting: bool | None = Field(default=None, description="False: the greeting is not interrupted.")


class TurnDetectionSettings(Part):
    """When a user's turn is over."""

    mode: DetectionMode | None = Field(
        default=None,
        description="`local`: silence, words, sound and the caller's own pauses together (also "
        "`smart_turn`); `silence`: a fixed silence; `native`: the recogniser says so, where it can; `auto`: "
        "`native` where it can, else `local`.",
    )
    silence_ms: Annotated[int, Range(100, 5000)] | None = Field(
        default=None,
        description="Silence after the end of voice that ends the turn, milliseconds. Without a `mode` it means "
        "the mode `silence`.",
    )
    patience: Annotated[float, Range(0.25, 4)] | None = Field(
        default=None, description="In the mode `local`: multiplies the silence that is waited for."
    )
    smart_turn_threshold: Annotated[float, Range(0.05, 0.95)] | None = Field(
        default=None,
        description="In the mode `local`: how sure one has to be that the turn is over. 0.5 is usual.",
    )
    smart_turn_recheck_ms: Annotated[int, Range(0, 2000)] | None = Field(
        default=None,
        description="How often an audio model, where the server has one, is asked again while the silence "
        "lasts, milliseconds; 0: once for each silence.",
    )
    max_silence_seconds: Annotated[float, Range(0.5, 30)] | None = Field(
        default=None,
        description="Silence that ends the turn although the recogniser still owes its text, seconds.",
    )


class VadSettings(Part):
    """When there is voice."""

    threshold: Annotated[float, Range(0.01, 1)] | None = Field(
        default=None, description="Probability from which on a window of audio counts as voice."
    )
    min_speech_ms: Annotated[int, Range(0, 2000)] | None = Field(
        default=None,
        description="A shorter stretch of voice is no word: its text is dropped and it interrupts nobody, "
        "milliseconds. `speech.started` comes in any case.",
    )
    min_silence_ms: Annotated[int, Range(100, 5000)] | None = Field(
        default=None, description="No turn ends after less silence, milliseconds."
    )
    speech_end_delay_ms: Annotated[int, Range(20, 5000)] | None = Field(
        default=None, description="Silence that is waited out before `speech.ended`, milliseconds."
    )
    resume_min_ms: Annotated[int, Range(0, 2000)] | None = Field(
        default=None, description="Continuous voice that takes a turn signal back, milliseconds."
    )
    resume_min_volume: Share | None = Field(
        default=None, description="How loud that voice has to be, 0 (-60 dBFS) to 1; 0: any."
    )


class AnalysisSettings(Part):
    """What is measured and kept of the audio."""

    send_audio_metrics: bool | None = Field(default=None, description="Send `audio.metrics`.")
    audio_metrics_interval_ms: Annotated[int, Range(20, 10000)] | None = Field(
        default=None, description="Time between two `audio.metrics` of one source, milliseconds."
    )
    recording: bool | None = Field(default=None, description="Means the same as `recording.enabled`.")


class SessionLimitSettings(Part):
    """How long a call may last, and how long its caller may say nothing."""

    max_duration_seconds: Annotated[float, Range(0, 86_400)] | None = Field(
        default=None,
        description="Longest call, seconds; 600 is usual. 0, or more than the operator allows: as long as he does.",
    )
    idle_timeout_seconds: Annotated[float, Range(0, 86_400)] | None = Field(
        default=None,
        description="How long the caller may say nothing, seconds; 60 is usual. 0: for as long as the call lasts.",
    )
    idle_warning_seconds: Annotated[float, Range(0, 3600)] | None = Field(
        default=None,
        description="How long before that `session.idle_warning` comes first, seconds; 15 is usual. 0: it never "
        "comes. As long as the timeout or longer: it comes at the timeout only.",
    )
    idle_grace_seconds: Annotated[float, Range(0, 3600)] | None = Field(
        default=None,
        description="How long after it `session.timeout` comes, seconds; 10 is usual. 0: at once, without the "
        "second warning.",
    )


class EventSettings(Part):
    """Which of the events that follow from others are sent."""

    bot_output: Literal["off", "sentence", "word"] | None = Field(
        default=None, description="`bot.output` by `sentence` (the default) or by `word`; `off`: not at all."
    )
    history_snapshot: bool | None = Field(
        default=None, description="True: `history.snapshot` after each change of the history."
    )
    reasoning: bool | None = Field(default=None, description="False: no `llm.reasoning`.")
    page_reasoning: bool | None = Field(
        default=None, description="True: `llm.reasoning` is told to the page of a browser call, too."
    )
    metrics: bool | None = Field(default=None, description="False: no `turn.metrics`.")
    state: bool | None = Field(default=None, description="False: no `agent.state`.")


class MediaSettings(Part):
    """Listening to live calls; and recording, in its older place."""

    recording: bool | None = Field(default=None, description="Means the same as `recording.enabled`.")
    live: bool | None = Field(
        default=None,
        description="False: nobody listens to these calls while they go on, whatever key he has. Default: holders of "
        "an API key may (`WS /live/{call_id}/ws`).",
    )


class RecordingSettings(Part):
    """Whether a call is recorded, and how."""

    enabled: bool | None = Field(
        default=None,
        description="Record the call from its beginning, and send `call.recording`. False: only from "
        "`recording.start` on. Default: true, where `recording` is an object and `analysis` does not say.",
    )
    format: RecordingFormat | None = Field(
        default=None,
        description="`wav`, or `opus`: a tenth of its size. Default: the server's.",
    )
    channels: RecordingChannels | None = Field(
        default=None,
        description="`stereo`: the user left, the bot right. `mono`: both in one channel. `user`, `bot`: that side "
        "alone. Default: the server's.",
    )
    consent: Greeting | None = Field(
        default=None,
        description="What the caller hears first when he begins to be recorded, and cannot interrupt: text, or one "
        "text for each language, with `{{name}}` as in `prompt`; `on`: the usual words; `tone`: a tone; `off`: "
        "nothing. Default: the server's.",
    )


class AwaySettings(Part):
    """What the caller hears while the connection of the agent is lost."""

    mode: AwayMode | None = Field(
        default=None,
        description="`wait`: nothing is said. `line`: a holding line, once each time, where the caller has waited "
        "for an answer that the agent is to give. `message`: a last word when `grace_s` is over, before the call "
        "ends.",
    )
    text: Greeting | None = Field(
        default=None,
        description="What is said: text, or one text for each language; else the usual words. Empty: nothing.",
    )
    after_ms: Annotated[int, Range(0, 300_000)] | None = Field(
        default=None,
        description="With `line`: say it also where no answer is owed, after so long an absence, milliseconds.",
    )
    grace_s: Annotated[float, Range(0, 300)] | None = Field(
        default=None, description="How long the call waits for the agent, seconds; else the server's setting."
    )


class PreparingSettings(Part):
    """Whether the agent gets ready before each answer of the language model."""

    enabled: bool | None = Field(default=None, description="False: it does not.")
    timeout_ms: Annotated[int, Range(1, 600_000)] | None = Field(
        default=None,
        description="How long an answer waits for it, milliseconds; default 1500. At most 5000 are waited.",
    )


Voice = Annotated[
    Annotated[Text, Tag("<text>")] | Annotated[VoiceSettings, Tag("<object>")],
    one_of("text", "text such as provider/voice, or an object"),
]
Stt = Annotated[
    Annotated[Text, Tag("<text>")] | Annotated[SttSettings, Tag("<object>")],
    one_of("text", "text such as provider/model, or an object"),
]
Llm = Annotated[
    Annotated[Text, Tag("<text>")] | Annotated[LlmSettings, Tag("<object>")],
    one_of("text", "text such as provider/model, or an object"),
]
Interruption = Annotated[
    Annotated[bool, Tag("<flag>")] | Annotated[InterruptionSettings, Tag("<object>")],
    one_of("flag", "true, false or an object"),
]
AwayOption = Annotated[
    Annotated[AwayMode, Tag("<text>")] | Annotated[AwaySettings, Tag("<object>")],
    one_of("text", "wait, line, message or an object"),
]
Recording = Annotated[
    Annotated[bool, Tag("<flag>")] | Annotated[RecordingSettings, Tag("<object>")],
    one_of("flag", "true, false or an object"),
]
Preparing = Annotated[
    Annotated[bool, Tag("<flag>")] | Annotated[PreparingSettings, Tag("<object>")],
    one_of("flag", "true, false or an object"),
]


class SessionConfig(Part):
    """How a conversation is held. The same keys stand beside `config` and within it; within it they win."""

    stt: Stt | None = Field(
        default=None, description="Recogniser: `provider/model` or an object; default: the server's."
    )
    voice: Voice | None = Field(
        default=None, description="Voice: `provider/voice` or an object; default: the server's."
    )
    language: LanguageTag | None = Field(
        default=None, description="Language of the conversation, BCP-47; default: the server's."
    )
    interruption: Interruption | None = Field(
        default=None, description="Whether, and when, the user's voice cuts the bot off."
    )
    turn_detection: TurnDetectionSettings | None = Field(default=None, description="When a turn is over.")
    vad: VadSettings | None = Field(default=None, description="When there is voice.")
    mute_while_speaking: bool | None = Field(
        default=None,
        description="True: the user is not listened to while the bot is heard. He cannot interrupt it, and what he "
        "says meanwhile is lost.",
    )
    session_limits: SessionLimitSettings | None = Field(
        default=None, description="How long a call may last, and its caller say nothing."
    )
    recording: Recording | None = Field(
        default=None,
        description="Whether the call is recorded, and how: true, false or an object; default: the server's.",
    )
    analysis: AnalysisSettings | None = Field(default=None, description="What is measured and recorded.")
    away: AwayOption | None = Field(
        default=None,
        description="What the caller hears while the connection of the agent is lost: `wait`, `line`, `message` or "
        "an object; default: the server's.",
    )
    events: EventSettings | None = Field(
        default=None, description="Which of the events that follow from others are sent."
    )


class LineSettings(SessionConfig):
    """How the calls of a line are held."""

    extension_window_ms: Annotated[int, Range(0, 10_000)] | None = Field(
        default=None,
        description="How long a caller is left in silence first, for an extension that he may dial, milliseconds; 2500 "
        "is usual. `#` ends it at once, as 32 keys do, no other key makes it longer; keys that come later are "
        "`call.dtmf_received`. 0: there is no such time. Nor is there for a `sip:` address, whose user is the extension.",
    )


class Configuration(SessionConfig):
    """All that an agent or a channel may configure."""

    greeting: Greeting | None = Field(
        default=None,
        description="Spoken by the server at the beginning of a call: text, or one text for each language. "
        "`{{name}}` in it stands for a variable, as in `prompt`.",
    )
    llm: Llm | None = Field(
        default=None,
        description="The server's language model answers the user: `provider/model`, a model alone, or an "
        "object. Without it the agent process answers.",
    )
    prompt: Prompt | None = Field(
        default=None,
        description="What the language model is to be and to do. `{{name}}` in it stands for a variable: of the "
        "call (`history.set_vars`), else of `vars`, else one of `date`, `time`, `day`, `datetime` and "
        "`date_block` in the `timezone`. It is filled in anew for each answer.",
    )
    vars: Annotated[dict[VarName, VarValue], Field(max_length=200)] | None = Field(
        default=None,
        description="Variables for the prompt, name to text; at most 200. Those of a narrower place are added to "
        "those of a wider one, and win.",
    )
    timezone: Zone | None = Field(
        default=None, description="Where the date and the time of the prompt are told of; default: UTC."
    )
    preparing: Preparing | None = Field(
        default=None,
        description="Whether an answer of the language model waits for the agent to get ready (`llm.before`). "
        "True: up to 1500 ms. Not set: up to 150 ms, as long as the agent answers `llm.before` at all. False: "
        "`llm.before` is not sent.",
    )
    raw_prompt: bool | None = Field(
        default=None,
        description="True: the prompt is given verbatim. Else the server adds how one speaks on a call: short "
        "sentences, no markdown.",
    )
    tools: Tools | None = Field(
        default=None,
        description="What the language model may ask the agent process to do, with `llm.tool_call`. At most 128; "
        "a narrower place replaces all of them.",
    )
    skills: Skills | None = Field(
        default=None,
        description="What the language model may be taught in the course of a call. At most 64; a narrower place "
        "replaces all of them.",
    )
    config: SessionConfig | None = Field(
        default=None, description="The same keys once more, as some clients send them."
    )
    media: MediaSettings | None = Field(default=None, description="Whether live calls may be listened to.")
