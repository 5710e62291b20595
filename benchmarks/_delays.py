"""How long the engines take, what they say, and what of a response is therefore not the server's doing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from media.segmenter import VadParams
from pipeline.endpointing import Endpointing
from pipeline.listening import PAUSE_MS

Kind = Literal["null", "openai"]

TOKEN_MS = 20.0
"""From one piece of streamed text to the next: fifty a second."""
TOKEN_CHARS = 4
REPLIES = (
    "Yes, we can do that. It takes about two days.",
    "I see what you mean. Would Tuesday morning suit you?",
    "Here are three ways. The first one is quick and cheap. The second one takes a little longer but it lasts. "
    "Most people who call us here choose the third.",
)
"""What the endpoint's language model answers, in turns. The last one is long, to be interrupted in; all begin
with a sentence of the same length."""
LONG = len(REPLIES) - 1


def first_sentence_ms() -> float:
    """From the first token to the one that shows that the first sentence is over: what follows it must be there."""
    (end,) = {reply.index(". ") + 1 for reply in REPLIES}
    return end // TOKEN_CHARS * TOKEN_MS


@dataclass(frozen=True, slots=True)
class Delays:
    """Of the engines, in ms."""

    kind: Kind
    stt_ms: float
    llm_ms: float
    """To the first token."""
    tts_ms: float
    """To the first audio."""

    @property
    def signal_ms(self) -> float:
        """From the end of voice to what the answer begins with: ``turn.end``, by which an agent process answers,
        or ``eager.turn``, by which the server's own language model is asked."""
        delay_ms, silence_ms = VadParams().speech_end_delay_ms, Endpointing().silence_ms
        if self.kind == "null":
            return max(silence_ms, delay_ms + self.stt_ms)
        return max(delay_ms, PAUSE_MS + self.stt_ms)

    @property
    def answer_ms(self) -> float:
        """From there to the first audio."""
        return self.tts_ms if self.kind == "null" else self.llm_ms + first_sentence_ms() + self.tts_ms

    @property
    def fixed_ms(self) -> float:
        """From the end of voice to the first audio, where the server itself takes no time: no sooner than after
        the silence that ends a turn."""
        return max(Endpointing().silence_ms, self.signal_ms + self.answer_ms)

    def __str__(self) -> str:
        if self.kind == "null":
            return f"STT {self.stt_ms:.0f} ms, TTS {self.tts_ms:.0f} ms"
        return (
            f"over HTTP: STT {self.stt_ms:.0f} ms, LLM {self.llm_ms:.0f} ms (first sentence "
            f"{first_sentence_ms():.0f} ms more), TTS {self.tts_ms:.0f} ms"
        )
