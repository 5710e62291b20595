"""What the conversation asks of an engine: one to three methods and a value that says what it can do.

Engines are loaded once a process, before the server listens, and shared by all calls. None of the methods
that a frame passes through may block: an engine that computes does so in a worker.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from media.frames import Pcm
from pipeline.errors import ProviderError


class Engine(Protocol):
    """The life of an engine in the process."""

    @property
    def name(self) -> str:
        """As in settings and on the wire, for example ``pocketsphinx``."""

    async def start(self) -> None:
        """Load what calls will share. Raises ``ProviderUnavailable`` with what to do about it."""

    async def warm(self) -> None:
        """A call begins: open what its first request will need. Never raises a fault of the provider: the
        request itself will meet it."""

    async def aclose(self) -> None:
        """Free everything, and wait until it is freed. May be called twice."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What a provider answered when it was asked whether it would work, at no cost."""

    problem: ProviderError | None
    """None: it would, as far as one can tell without having it work."""
    models: frozenset[str] | None
    """What it lists; None where it lists nothing."""
    missing: bool = False
    """The service answers, and does not offer this at all."""


class Probed(Protocol):
    """An engine that lies behind a network, and can be asked."""

    async def probe(self) -> Probe:
        """Ask, within a few seconds. Never raises, costs nothing, and blames no request."""


# --- speech to text ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SttCapabilities:
    partials: bool
    """Gives interim text while the user still speaks."""
    word_times: bool
    languages: tuple[str, ...]
    """BCP-47 base tags; empty means any."""
    turns: bool = False
    """Says itself when a turn is over (``SttTurn``)."""


@dataclass(frozen=True, slots=True)
class SttOptions:
    """What a call asks of its recogniser."""

    sample_rate_hz: int
    language: str = "en"
    phrases: tuple[str, ...] = ()
    """What the agent expects to hear. A hint: other words stay possible."""
    model: str | None = None
    """A model of this engine by its own name; None: its default."""


@dataclass(frozen=True, slots=True)
class SttWord:
    word: str
    start_s: float
    """From the first sample of its segment."""
    end_s: float
    confidence: float


@dataclass(frozen=True, slots=True)
class SttPartial:
    """Interim text of a segment; the next one replaces it."""

    segment_id: int
    text: str
    confidence: float


@dataclass(frozen=True, slots=True)
class SttFinal:
    """The last word on a segment. ``text`` is empty where nothing was understood."""

    segment_id: int
    text: str
    confidence: float
    words: tuple[SttWord, ...] = field(default=())
    language: str | None = None
    """BCP-47, where the engine tells what it has heard."""


@dataclass(frozen=True, slots=True)
class SttFailed:
    """The segment is lost; the stream lives on and takes the next one."""

    segment_id: int
    error: ProviderError


@dataclass(frozen=True, slots=True)
class SttTurn:
    """What the recogniser believes of the turn that a segment belongs to, with ``capabilities.turns``."""

    segment_id: int
    kind: Literal["eager", "end", "resumed"]
    """It may be over; it is over; it goes on though it was believed to be over."""
    probability: float
    """That it is over, 0 to 1."""


SttEvent = SttPartial | SttFinal | SttFailed | SttTurn


class SttStream(Protocol):
    """One call's ear. Segments follow one another; each gets exactly one final or failed."""

    def begin(self, segment_id: int) -> None:
        """A segment of speech begins; the audio fed from here on belongs to it."""

    def feed(self, pcm: Pcm) -> None:
        """Audio of the open segment, at the rate of the options, any length. Never blocks."""

    def pause(self) -> None:
        """The voice has paused, and the segment may be over: what an engine can do for its final now, it does
        now. More audio may follow, and further pauses."""

    def end(self) -> None:
        """The segment is over: its final is wanted, as soon as can be."""

    async def aclose(self) -> None:
        """The call is over. No event comes afterwards. May be called twice."""


class SpeechToText(Engine, Protocol):
    @property
    def capabilities(self) -> SttCapabilities: ...

    def open(self, options: SttOptions, on_event: Callable[[SttEvent], None]) -> SttStream:
        """Start one call's ear. Does no heavy work; events come on the running loop."""


# --- text to speech ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TtsCapabilities:
    word_times: bool
    """Gives the time of each word itself; else the times are aligned by us."""
    languages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TtsRequest:
    """One stretch of text, usually a sentence, to be spoken."""

    text: str
    sample_rate_hz: int
    """The rate that the audio must have; an engine of another rate resamples."""
    language: str = "en"
    model: str | None = None
    """A model of this engine by its own name; None: its default."""
    voice: str | None = None
    """A voice of this engine by its own name; None: its default for the language."""
    speed: float = 1.0


@dataclass(frozen=True, slots=True)
class TtsAudio:
    pcm: Pcm


@dataclass(frozen=True, slots=True)
class TtsWord:
    """When a word of the text is spoken. Comes no later than the audio that it lies in, in order."""

    index: int
    """Place in ``pipeline.text.tokens(request.text)``, from 0."""
    start_s: float
    """From the first sample of this request's audio."""
    end_s: float


TtsEvent = TtsAudio | TtsWord


class TextToSpeech(Engine, Protocol):
    @property
    def capabilities(self) -> TtsCapabilities: ...

    def speak(self, request: TtsRequest) -> AsyncGenerator[TtsEvent, None]:
        """Speak one request, streaming. Closing the generator cancels the synthesis and waits for that.

        With ``capabilities.word_times`` each token of the text gets exactly one ``TtsWord``.
        Raises ``ProviderError``.
        """


# --- language model ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToolCall:
    """What the model wants done."""

    id: str
    name: str
    arguments: str
    """JSON, as the model wrote it: it may be wrong."""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """What the model may ask for."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """JSON Schema of an object; empty: it takes nothing."""


@dataclass(frozen=True, slots=True)
class ChatMessage:
    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    """Of an assistant's message: each has one ``tool`` message behind it."""
    tool_call_id: str | None = None
    """Of a ``tool`` message: the call whose result it is."""


@dataclass(frozen=True, slots=True)
class LlmRequest:
    """One answer that is wanted."""

    messages: tuple[ChatMessage, ...]
    model: str | None = None
    """A model of this engine by its own name; None: its default."""
    temperature: float | None = None
    max_tokens: int | None = None
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: Literal["auto", "none"] = "auto"
    """``none``: the tools are known, and must not be asked for now."""


@dataclass(frozen=True, slots=True)
class LlmText:
    """More of the answer: what the provider gave in one piece, never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class LlmReasoning:
    """The model is at work on what is not to be said: it ponders, or writes what a tool is to get."""

    text: str
    """More of its thoughts; empty where it does not tell them."""


@dataclass(frozen=True, slots=True)
class LlmToolCalls:
    """What the model wants done before it goes on: all calls of this answer at once, before ``LlmEnd``."""

    calls: tuple[ToolCall, ...]


@dataclass(frozen=True, slots=True)
class LlmEnd:
    """The answer is complete. The last event."""

    finish_reason: str
    """The provider's word, for example ``stop`` or ``length``."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    model: str | None = None
    """Which one answered, by the provider's own word."""


LlmEvent = LlmText | LlmReasoning | LlmToolCalls | LlmEnd


class LanguageModel(Engine, Protocol):
    @property
    def model(self) -> str | None:
        """What answers where a request names no model; None: it is not known."""

    def generate(self, request: LlmRequest) -> AsyncGenerator[LlmEvent, None]:
        """Answer, streaming. Closing the generator cancels the request and waits for that.

        Raises ``ProviderError``, also where the stream ends before the answer does.
        """


# --- what a call is given: an engine, or a chain of several -----------------------------------------------


@dataclass(frozen=True, slots=True)
class Takeover:
    """An engine of a chain failed where nothing was lost by that: another one does its work, or itself once
    more."""

    error: ProviderError
    by: str
    """Name of the engine that works now."""


@dataclass(frozen=True, slots=True)
class TtsFrom:
    """Which engine of a chain speaks from here on; before the first audio of each of them."""

    engine: str
    word_times: bool


class Ears(Protocol):
    """What a call hears with. Every ``SpeechToText`` is one."""

    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> SttCapabilities: ...

    async def warm(self) -> None: ...

    def open(self, options: SttOptions, on_event: Callable[[SttEvent | Takeover], None]) -> SttStream: ...


class Voice(Protocol):
    """What a call speaks with. Every ``TextToSpeech`` is one."""

    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> TtsCapabilities: ...

    async def warm(self) -> None: ...

    def speak(self, request: TtsRequest) -> AsyncGenerator[TtsEvent | TtsFrom | Takeover, None]: ...


class Mind(Protocol):
    """What a call thinks with. Every ``LanguageModel`` is one."""

    @property
    def name(self) -> str: ...

    @property
    def model(self) -> str | None:
        """That of the engine that is asked first; None: it is not known."""

    async def warm(self) -> None: ...

    def generate(self, request: LlmRequest) -> AsyncGenerator[LlmEvent | Takeover, None]: ...
