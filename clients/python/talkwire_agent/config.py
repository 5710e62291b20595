"""Configuration keys, for type checkers and editors. Made by ``generate.py``; do not edit."""

from __future__ import annotations

from typing import Any, Literal, TypedDict


class SttSettings(TypedDict, total=False):
    """The recogniser that listens."""

    provider: str | None
    """Recogniser, for example `pocketsphinx`."""
    model: str | None
    """A model of that engine; else the configured one."""
    language: str | None
    """Language to be understood, BCP-47; else that of the session."""
    phrases: list[str] | None
    """What the agent expects to hear: a hint, other words stay possible. At most 500 entries."""
    keyterms: list[str] | None
    """Means the same as `phrases`; given both, they are joined."""


class VoiceSettings(TypedDict, total=False):
    """The voice that speaks."""

    provider: str | None
    """Speech engine, for example `espeak`."""
    model: str | None
    """A model of that engine; else the configured one."""
    voice_id: str | None
    """A voice of that engine, by the engine's own name."""
    language: str | None
    """Language to be spoken, BCP-47; else that of the session."""
    speed: float | None
    """Pace, as a factor: 1 is the voice's own. An engine may not reach the ends of the range."""


class InterruptionSettings(TypedDict, total=False):
    """When a user who speaks over the bot cuts it off."""

    enabled: bool | None
    """False: the user's voice never cuts the bot off."""
    min_duration_ms: int | None
    """Continuous voice, from its onset, that silences the bot, milliseconds."""
    confidence: float | None
    """How sure the detector has to be of that voice, 0 to 1."""
    min_volume: float | None
    """How loud that voice has to be, 0 (-60 dBFS) to 1; 0: its level does not matter. A quieter one
    silences the bot by its words only.
    """
    energy_threshold_db: float | None
    """The same in dBFS, as older clients say it; `min_volume` goes first."""
    min_words: int | None
    """Words that silence the bot although the voice did not last `min_duration_ms`; 0 and 1: any."""
    backchannel_filter: bool | None
    """False: also a mere "mhm" or "right" over the bot interrupts it."""
    pause_first: bool | None
    """False: a voice that lasts cuts the bot off for good. Else it is paused (`bot.paused`), and goes on
    (`bot.resumed`) where the voice turns out to have said nothing.
    """
    sure_ms: int | None
    """Continuous voice over a paused bot that is an interruption whatever its words are, milliseconds."""
    greeting: bool | None
    """False: the greeting is not interrupted."""


class TurnDetectionSettings(TypedDict, total=False):
    """When a user's turn is over."""

    mode: Literal["local", "silence", "native", "smart_turn", "auto"] | None
    """`local`: silence, words, sound and the caller's own pauses together (also `smart_turn`); `silence`: a
    fixed silence; `native`: the recogniser says so, where it can; `auto`: `native` where it can, else
    `local`.
    """
    silence_ms: int | None
    """Silence after the end of voice that ends the turn, milliseconds. Without a `mode` it means the mode
    `silence`.
    """
    patience: float | None
    """In the mode `local`: multiplies the silence that is waited for."""
    smart_turn_threshold: float | None
    """In the mode `local`: how sure one has to be that the turn is over. 0.5 is usual."""
    smart_turn_recheck_ms: int | None
    """How often an audio model, where the server has one, is asked again while the silence lasts,
    milliseconds; 0: once for each silence.
    """
    max_silence_seconds: float | None
    """Silence that ends the turn although the recogniser still owes its text, seconds."""


class VadSettings(TypedDict, total=False):
    """When there is voice."""

    threshold: float | None
    """Probability from which on a window of audio counts as voice."""
    min_speech_ms: int | None
    """A shorter stretch of voice is no word: its text is dropped and it interrupts nobody, milliseconds.
    `speech.started` comes in any case.
    """
    min_silence_ms: int | None
    """No turn ends after less silence, milliseconds."""
    speech_end_delay_ms: int | None
    """Silence that is waited out before `speech.ended`, milliseconds."""
    resume_min_ms: int | None
    """Continuous voice that takes a turn signal back, milliseconds."""
    resume_min_volume: float | None
    """How loud that voice has to be, 0 (-60 dBFS) to 1; 0: any."""


class SessionLimitSettings(TypedDict, total=False):
    """How long a call may last, and how long its caller may say nothing."""

    max_duration_seconds: float | None
    """Longest call, seconds; 600 is usual. 0, or more than the operator allows: as long as he does."""
    idle_timeout_seconds: float | None
    """How long the caller may say nothing, seconds; 60 is usual. 0: for as long as the call lasts."""
    idle_warning_seconds: float | None
    """How long before that `session.idle_warning` comes first, seconds; 15 is usual. 0: it never comes. As
    long as the timeout or longer: it comes at the timeout only.
    """
    idle_grace_seconds: float | None
    """How long after it `session.timeout` comes, seconds; 10 is usual. 0: at once, without the second
    warning.
    """


class RecordingSettings(TypedDict, total=False):
    """Whether a call is recorded, and how."""

    enabled: bool | None
    """Record the call from its beginning, and send `call.recording`. False: only from `recording.start` on.
    Default: true, where `recording` is an object and `analysis` does not say.
    """
    format: Literal["wav", "opus"] | None
    """`wav`, or `opus`: a tenth of its size. Default: the server's."""
    channels: Literal["stereo", "mono", "user", "bot"] | None
    """`stereo`: the user left, the bot right. `mono`: both in one channel. `user`, `bot`: that side alone.
    Default: the server's.
    """
    consent: str | dict[str, str] | None
    """What the caller hears first when he begins to be recorded, and cannot interrupt: text, or one text
    for each language, with `{{name}}` as in `prompt`; `on`: the usual words; `tone`: a tone; `off`:
    nothing. Default: the server's.
    """


class AnalysisSettings(TypedDict, total=False):
    """What is measured and kept of the audio."""

    send_audio_metrics: bool | None
    """Send `audio.metrics`."""
    audio_metrics_interval_ms: int | None
    """Time between two `audio.metrics` of one source, milliseconds."""
    recording: bool | None
    """Means the same as `recording.enabled`."""


class AwaySettings(TypedDict, total=False):
    """What the caller hears while the connection of the agent is lost."""

    mode: Literal["wait", "line", "message"] | None
    """`wait`: nothing is said. `line`: a holding line, once each time, where the caller has waited for an
    answer that the agent is to give. `message`: a last word when `grace_s` is over, before the call ends.
    """
    text: str | dict[str, str] | None
    """What is said: text, or one text for each language; else the usual words. Empty: nothing."""
    after_ms: int | None
    """With `line`: say it also where no answer is owed, after so long an absence, milliseconds."""
    grace_s: float | None
    """How long the call waits for the agent, seconds; else the server's setting."""


class EventSettings(TypedDict, total=False):
    """Which of the events that follow from others are sent."""

    bot_output: Literal["off", "sentence", "word"] | None
    """`bot.output` by `sentence` (the default) or by `word`; `off`: not at all."""
    history_snapshot: bool | None
    """True: `history.snapshot` after each change of the history."""
    reasoning: bool | None
    """False: no `llm.reasoning`."""
    page_reasoning: bool | None
    """True: `llm.reasoning` is told to the page of a browser call, too."""
    metrics: bool | None
    """False: no `turn.metrics`."""
    state: bool | None
    """False: no `agent.state`."""


class LlmSettings(TypedDict, total=False):
    """The language model that answers."""

    enabled: bool | None
    """False: the agent process answers by itself."""
    provider: str | None
    """Whose model, for example `openai`."""
    model: str | None
    """The model, also as `provider/model`."""
    llm: str | None
    """Means the same as `model`."""
    prompt: str | None
    """Means the same as `prompt` beside `llm`."""
    temperature: float | None
    """Randomness of the answers; else the model's own."""
    max_tokens: int | None
    """Longest answer, tokens; else the model's own."""
    fallback: str | list[str] | None
    """Who answers where that model fails: `provider/model`, or up to three in the order in which they are
    asked; else the server's own.
    """


class PreparingSettings(TypedDict, total=False):
    """Whether the agent gets ready before each answer of the language model."""

    enabled: bool | None
    """False: it does not."""
    timeout_ms: int | None
    """How long an answer waits for it, milliseconds; default 1500. At most 5000 are waited."""


class ToolFunction(TypedDict, total=False):
    """What a tool does, and what it takes."""

    name: str
    """What the model calls it by."""
    description: str | None
    """When to use it and what it gives, for the model."""
    parameters: dict[str, Any] | None
    """JSON Schema of an object: what it takes. Absent or empty: nothing."""
    timeout_ms: int | None
    """How long its result is waited for, milliseconds; default: the server's `TALKWIRE_TOOL_TIMEOUT_S`."""
    filler: str | None
    """What the caller hears where it takes long; default: the server's holding line."""
    page: bool | None
    """True: the page of a browser call runs it, not the agent process. In other calls the model is not told
    of it.
    """


class ToolDefinition(TypedDict, total=False):
    """A tool that the agent process, or the caller's page, runs when the server's language model asks for
    it.
    """

    type: Literal["function"]
    """Kind of tool."""
    function: ToolFunction
    """The tool."""


class SkillDefinition(TypedDict, total=False):
    """Instructions and tools that the language model has only while the skill is loaded."""

    name: str
    """What it is called by."""
    description: str | None
    """What it is for and when it is needed, for the model."""
    instructions: str | None
    """What the model is told while it is loaded, behind the prompt, also with `raw_prompt`; variables as in
    the prompt.
    """
    tools: list[ToolDefinition]
    """What the model may ask the agent process to do while it is loaded. Where the agent has a tool of the
    same name, that one is meant; among skills the one that is declared first.
    """
    activation: Literal["model", "manual", "always"]
    """`model`: the model loads it when it needs it, by the tools `loadSkill` and `unloadSkill`, which the
    server runs; or the agent does (`skill.load`). `manual`: only the agent does. `always`: it is loaded
    from the start.
    """


class SessionConfig(TypedDict, total=False):
    """How a conversation is held. The same keys stand beside `config` and within it; within it they win."""

    stt: str | SttSettings | None
    """Recogniser: `provider/model` or an object; default: the server's."""
    voice: str | VoiceSettings | None
    """Voice: `provider/voice` or an object; default: the server's."""
    language: str | None
    """Language of the conversation, BCP-47; default: the server's."""
    interruption: bool | InterruptionSettings | None
    """Whether, and when, the user's voice cuts the bot off."""
    turn_detection: TurnDetectionSettings | None
    """When a turn is over."""
    vad: VadSettings | None
    """When there is voice."""
    mute_while_speaking: bool | None
    """True: the user is not listened to while the bot is heard. He cannot interrupt it, and what he says
    meanwhile is lost.
    """
    session_limits: SessionLimitSettings | None
    """How long a call may last, and its caller say nothing."""
    recording: bool | RecordingSettings | None
    """Whether the call is recorded, and how: true, false or an object; default: the server's."""
    analysis: AnalysisSettings | None
    """What is measured and recorded."""
    away: Literal["wait", "line", "message"] | AwaySettings | None
    """What the caller hears while the connection of the agent is lost: `wait`, `line`, `message` or an
    object; default: the server's.
    """
    events: EventSettings | None
    """Which of the events that follow from others are sent."""


class MediaSettings(TypedDict, total=False):
    """Listening to live calls; and recording, in its older place."""

    recording: bool | None
    """Means the same as `recording.enabled`."""
    live: bool | None
    """False: nobody listens to these calls while they go on, whatever key he has. Default: holders of an
    API key may (`WS /live/{call_id}/ws`).
    """


class LineSettings(TypedDict, total=False):
    """How the calls of a line are held."""

    stt: str | SttSettings | None
    """Recogniser: `provider/model` or an object; default: the server's."""
    voice: str | VoiceSettings | None
    """Voice: `provider/voice` or an object; default: the server's."""
    language: str | None
    """Language of the conversation, BCP-47; default: the server's."""
    interruption: bool | InterruptionSettings | None
    """Whether, and when, the user's voice cuts the bot off."""
    turn_detection: TurnDetectionSettings | None
    """When a turn is over."""
    vad: VadSettings | None
    """When there is voice."""
    mute_while_speaking: bool | None
    """True: the user is not listened to while the bot is heard. He cannot interrupt it, and what he says
    meanwhile is lost.
    """
    session_limits: SessionLimitSettings | None
    """How long a call may last, and its caller say nothing."""
    recording: bool | RecordingSettings | None
    """Whether the call is recorded, and how: true, false or an object; default: the server's."""
    analysis: AnalysisSettings | None
    """What is measured and recorded."""
    away: Literal["wait", "line", "message"] | AwaySettings | None
    """What the caller hears while the connection of the agent is lost: `wait`, `line`, `message` or an
    object; default: the server's.
    """
    events: EventSettings | None
    """Which of the events that follow from others are sent."""
    extension_window_ms: int | None
    """How long a caller is left in silence first, for an extension that he may dial, milliseconds; 2500 is
    usual. `#` ends it at once, as 32 keys do, no other key makes it longer; keys that come later are
    `call.dtmf_received`. 0: there is no such time. Nor is there for a `sip:` address, whose user is the
    extension.
    """


class Config(TypedDict, total=False):
    """What agents and channels may configure."""

    stt: str | SttSettings | None
    """Recogniser: `provider/model` or an object; default: the server's."""
    voice: str | VoiceSettings | None
    """Voice: `provider/voice` or an object; default: the server's."""
    language: str | None
    """Language of the conversation, BCP-47; default: the server's."""
    interruption: bool | InterruptionSettings | None
    """Whether, and when, the user's voice cuts the bot off."""
    turn_detection: TurnDetectionSettings | None
    """When a turn is over."""
    vad: VadSettings | None
    """When there is voice."""
    mute_while_speaking: bool | None
    """True: the user is not listened to while the bot is heard. He cannot interrupt it, and what he says
    meanwhile is lost.
    """
    session_limits: SessionLimitSettings | None
    """How long a call may last, and its caller say nothing."""
    recording: bool | RecordingSettings | None
    """Whether the call is recorded, and how: true, false or an object; default: the server's."""
    analysis: AnalysisSettings | None
    """What is measured and recorded."""
    away: Literal["wait", "line", "message"] | AwaySettings | None
    """What the caller hears while the connection of the agent is lost: `wait`, `line`, `message` or an
    object; default: the server's.
    """
    events: EventSettings | None
    """Which of the events that follow from others are sent."""
    greeting: str | dict[str, str] | None
    """Spoken by the server at the beginning of a call: text, or one text for each language. `{{name}}` in
    it stands for a variable, as in `prompt`.
    """
    llm: str | LlmSettings | None
    """The server's language model answers the user: `provider/model`, a model alone, or an object. Without
    it the agent process answers.
    """
    prompt: str | None
    """What the language model is to be and to do. `{{name}}` in it stands for a variable: of the call
    (`history.set_vars`), else of `vars`, else one of `date`, `time`, `day`, `datetime` and `date_block` in
    the `timezone`. It is filled in anew for each answer.
    """
    vars: dict[str, str | float | bool] | None
    """Variables for the prompt, name to text; at most 200. Those of a narrower place are added to those of
    a wider one, and win.
    """
    timezone: str | None
    """Where the date and the time of the prompt are told of; default: UTC."""
    preparing: bool | PreparingSettings | None
    """Whether an answer of the language model waits for the agent to get ready (`llm.before`). True: up to
    1500 ms. Not set: up to 150 ms, as long as the agent answers `llm.before` at all. False: `llm.before` is
    not sent.
    """
    raw_prompt: bool | None
    """True: the prompt is given verbatim. Else the server adds how one speaks on a call: short sentences,
    no markdown.
    """
    tools: list[ToolDefinition] | None
    """What the language model may ask the agent process to do, with `llm.tool_call`. At most 128; a
    narrower place replaces all of them.
    """
    skills: list[SkillDefinition] | None
    """What the language model may be taught in the course of a call. At most 64; a narrower place replaces
    all of them.
    """
    config: SessionConfig | None
    """The same keys once more, as some clients send them."""
    media: MediaSettings | None
    """Whether live calls may be listened to."""


class AgentConfig(Config, total=False):
    """The keys of ``Talkwire.agent``."""

    allowed_origins: list[str] | None
    """Origins of the pages that may call the agent. Kept; phone calls have none."""


class ChannelConfig(Config, total=False):
    """The keys of ``Agent.phone``: they override those of the agent."""

    ringing: bool | None
    """For `phone`. True: a call is told with `call.ringing` first, and answered when the agent says
    `call.accept`, or after 5 s.
    """


class CallConfig(Config, total=False):
    """The keys of ``Call.configure``."""
