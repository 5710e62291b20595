"""Speech and language by any endpoint of OpenAI's shape: the hosted service, or what one runs oneself."""

from pipeline.providers.openai.client import Endpoint
from pipeline.providers.openai.llm import OpenAiLlm
from pipeline.providers.openai.stt import OpenAiStt
from pipeline.providers.openai.tts import OpenAiTts

__all__ = ["Endpoint", "OpenAiLlm", "OpenAiStt", "OpenAiTts"]
