"""What the endpoint is told beforehand: its settings, and what happens to single requests."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

FOREVER = math.inf
"""As a delay: it never comes, and the connection stays open until the client leaves."""

RouteName = Literal["models", "stt", "tts", "llm"]

STT_MODELS = ("whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe")
TTS_MODELS = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")
LLM_MODELS = ("gpt-4o-mini", "gpt-4o", "gpt-4.1-mini", "gpt-5-mini", "no-tools")
TOOLLESS = "no-tools"
"""A model that refuses every request with tools."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the endpoint is, for all requests."""

    key: str | None = None
    """The bearer key that is wanted; None: whatever comes is taken."""
    stt_ms: float = 0.0
    """From the end of a transcription's request to the head of its answer."""
    llm_ms: float = 0.0
    """The same for a chat completion: to its first token."""
    tts_ms: float = 0.0
    """The same for speech: to its first audio."""
    transcript: str = "this is what was said"
    """What is heard, whatever is said; ``{n}`` in it counts the transcriptions, from 1."""
    reply: str | None = None
    """What the language model answers; None: two sentences with the last user message in them."""
    replies: tuple[str, ...] = ()
    """What it answers instead, in turns: the first where the request holds one message of the user, and so on."""
    token_ms: float = 20.0
    """From one piece of streamed text to the next."""
    token_chars: int = 4
    tts_speed: float = 5.0
    """How much faster than it is played the audio comes; ``FOREVER``: all at once."""
    tts_chunk_ms: float = 100.0
    """Audio in one piece of the body."""
    tts_rate_hz: int = 24_000
    stt_models: tuple[str, ...] = STT_MODELS
    tts_models: tuple[str, ...] = TTS_MODELS
    llm_models: tuple[str, ...] = LLM_MODELS
    record: bool = True
    """Keep what was asked. Not for a long benchmark: nothing is thrown away."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens to one request. A *piece* is what is sent as one chunk of HTTP: an event of a stream of
    events, 100 ms of audio, or half of a JSON body that is to be broken; a stream of chat begins with the
    piece that holds the role.

    A plan is taken by each request that comes with the route's method, also by one that is refused. With
    ``status`` it is not looked into; without, it is checked first, and a refusal comes without latency.
    """

    # --- when ---
    before_head_ms: float | None = None
    """From the end of the request to the head of the answer; None: what the settings say of the route."""
    before_body_ms: float = 0.0
    """From the head to the first piece."""
    pace_ms: float | None = None
    """From a piece to the next; None: the route's own."""
    gaps_ms: tuple[float, ...] = ()
    """Before each of the first pieces; those beyond keep the pace."""

    # --- what goes wrong with the connection ---
    cut_before_head: bool = False
    """The connection ends instead of an answer."""
    stall_after: int | None = None
    """Nothing comes after so many pieces, for ever; 0: after the head."""
    cut_after: int | None = None
    """The connection ends after so many pieces, in the middle of the body."""
    reset: bool = False
    """A cut is a TCP reset instead of an orderly close, and what was sent just before may be lost."""
    end_after: int | None = None
    """The body ends after so many pieces, as if it were complete."""
    afterwards: Literal["keep", "close", "silent", "trap"] = "keep"
    """What becomes of the connection once the answer is sent. ``close``: it is closed, and the answer said
    so. ``silent``: it is closed at once, unannounced. ``trap``: it stays open, and is closed without an
    answer when the next request comes on it: what a client meets whose request crosses the close."""

    # --- an error instead of an answer ---
    status: int | None = None
    """Of an error in OpenAI's shape, unless ``body`` says otherwise; a redirect wants a header too."""
    message: str | None = None
    """Its sentence; ``{key}`` in it becomes the key that the client sent."""
    code: str | None = None
    error_type: str | None = None
    retry_after_s: float | None = None
    """Sent as ``Retry-After`` (rounded up) and ``retry-after-ms``."""
    message_bytes: int = 0
    """The sentence is made so long."""

    # --- what is wrong with the answer ---
    headers: tuple[tuple[str, str], ...] = ()
    """More headers, for example ``x-should-retry``."""
    content_type: str | None = None
    """Instead of the right one."""
    body: bytes | None = None
    """Instead of the right one, with a content length; ``b""``: empty."""
    garbage_after: int | None = None
    """After so many pieces comes one that is nonsense: an event without JSON, noise among the audio. The
    stream goes on behind it."""
    error_after: int | None = None
    """After so many pieces of a stream of events comes an event with an error, and the stream ends."""
    piece_bytes: int | None = None
    """The size of a piece: of audio an odd number cuts samples in two; events are cut anywhere, and all
    pieces of one come together."""
    done: bool = True
    """Whether a stream of events ends with its last words (``[DONE]``, ``transcript.text.done``)."""

    # --- what is said ---
    text: str | None = None
    """The transcript or reply, instead of the settings'."""
    deltas: tuple[str | Mapping[str, Any], ...] | None = None
    """The exact pieces of a streamed reply or transcript. For chat a mapping is sent as the delta itself."""
    finish_reason: str | None = None
    """Of a chat completion; None: ``stop``, or ``length`` where it was cut at the limit asked for, or
    ``tool_calls`` where it asks for tools."""
    tool_calls: tuple[tuple[str, str], ...] = ()
    """The name and arguments of tools that a chat completion asks for behind its text; without ``text`` it has
    none. Streamed as the hosted service does: the arguments in pieces, the calls one after the other."""
    reasoning: str = ""
    """Of a chat completion: thoughts before its text, as ``reasoning_content``."""

    def breaks_body(self) -> bool:
        """Whether a body that is usually one piece must be sent as two."""
        limits = (self.stall_after, self.cut_after, self.end_after)
        return any(limit is not None for limit in limits)
