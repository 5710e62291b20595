"""What each route answers where nothing goes wrong, and which requests it refuses as the hosted service does."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from media import wav
from media.frames import Pcm
from tests.fakes.openai_endpoint import chat, form, wire
from tests.fakes.openai_endpoint.answer import Answer, Piece, whole
from tests.fakes.openai_endpoint.ears import Ears
from tests.fakes.openai_endpoint.http import Request
from tests.fakes.openai_endpoint.plan import FOREVER, TOOLLESS, Plan, Settings
from tests.fakes.openai_endpoint.record import Recorded
from tests.fakes.openai_endpoint.voice import Voice
from tests.fakes.openai_endpoint.wire import Refusal

MAX_INPUT_CHARS = 4096
MIN_AUDIO_S = 0.1
_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
_NOT_PCM = b"made-up audio of this content type; only pcm and wav can be heard\n" * 8
_STREAMED_WAV_BYTES = 0xFFFFFFFF
"""What a header says whose writer does not know the length yet."""
_REASONING = re.compile(r"(o\d|gpt-5)")
"""Models that refuse ``max_tokens`` and any temperature but 1."""


@dataclass
class Handlers:
    """The four routes over one pair of ears and one voice."""

    settings: Settings
    ears: Ears
    voice: Voice
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def models(self, request: Request, plan: Plan, record: Recorded) -> Answer:
        settings = self.settings
        names = (*settings.stt_models, *settings.tts_models, *settings.llm_models)
        wanted = request.path.partition("?")[0].removeprefix("/v1/models").strip("/")
        if wanted:
            _known(wanted, names)
            return whole(wire.model(wanted))
        return whole(wire.models(names))

    # --- transcriptions -----------------------------------------------------------------------------------

    async def stt(self, request: Request, plan: Plan, record: Recorded) -> Answer:
        try:
            found = form.parse(request.headers.get("content-type", ""), request.body)
        except ValueError as error:
            raise Refusal(400, f"We could not parse your form: {error}.") from None
        record.form = found.fields
        model = _wanted(found.one("model"), "model")
        file = found.files.get("file")
        if file is None:
            raise _missing("file")
        record.audio, record.audio_name, record.audio_type = file.data, file.filename, file.content_type
        _known(model, self.settings.stt_models)
        kind = found.one("response_format") or "json"
        _check_format(model, kind)
        pcm, rate_hz = _samples(file, model)
        audio_s = len(pcm) / rate_hz
        language = found.one("language") or "en"
        text = plan.text
        if text is None and plan.deltas is not None:
            text = "".join(str(delta) for delta in plan.deltas)
        if text is None:
            text = await self.ears.hear(pcm, rate_hz, language)
        if found.one("stream") == "true" and model != "whisper-1":
            with_logprobs = "logprobs" in found.fields.get("include[]", ())
            return self._transcript_events(text, audio_s, plan, with_logprobs)
        return _transcript(model, kind, text, language, audio_s, found.fields)

    def _transcript_events(self, text: str, audio_s: float, plan: Plan, with_logprobs: bool) -> Answer:
        deltas = [str(d) for d in plan.deltas] if plan.deltas is not None else re.findall(r"\s*\S+", text)
        gap_s = self.settings.token_ms / 1000
        pieces: list[Piece] = []
        for i, delta in enumerate(deltas):
            event: wire.Json = {"type": "transcript.text.delta", "delta": delta}
            if with_logprobs:
                event["logprobs"] = wire.logprobs([delta])
            pieces.append((gap_s if i else 0.0, wire.event(event)))
        if plan.done:
            done: wire.Json = {
                "type": "transcript.text.done",
                "text": text,
                "usage": wire.token_usage(audio_s, text),
            }
            if with_logprobs:
                done["logprobs"] = wire.logprobs(deltas)
            pieces.append((0.0, wire.event(done)))
        return Answer(200, "text/event-stream; charset=utf-8", pieces, "events")

    # --- speech -------------------------------------------------------------------------------------------

    async def tts(self, request: Request, plan: Plan, record: Recorded) -> Answer:
        body = record.json = wire.parse_object(request.body)
        model = _wanted(body.get("model"), "model")
        text = _wanted(body.get("input"), "input")
        voice = body.get("voice")
        if not isinstance(voice, dict):
            _wanted(voice, "voice")
        if len(text) > MAX_INPUT_CHARS:
            raise Refusal(
                400,
                f"String should have at most {MAX_INPUT_CHARS} characters",
                param="input",
                code="string_too_long",
            )
        kind = body.get("response_format", "mp3")
        if kind not in _TYPES:
            raise _invalid("response_format", kind, list(_TYPES))
        speed = _number(body, "speed", 0.25, 4.0) or 1.0
        if body.get("stream_format", "audio") != "audio":
            raise _invalid("stream_format", body["stream_format"], ["audio"])
        _known(model, self.settings.tts_models)
        if kind not in ("pcm", "wav"):
            return Answer(200, _TYPES[kind], [(0.0, _NOT_PCM)], "audio")
        rate_hz = self.settings.tts_rate_hz
        audio = await self.voice.speak(text, rate_hz, speed)
        if kind == "wav":
            header = bytearray(wav.header(rate_hz, 1, 0))
            header[4:8] = header[40:44] = _STREAMED_WAV_BYTES.to_bytes(4, "little")
            audio = bytes(header) + audio
        return Answer(200, _TYPES[kind], self._paced(audio, plan.piece_bytes), "audio")

    def _paced(self, audio: bytes, piece_bytes: int | None) -> Sequence[Piece]:
        settings = self.settings
        size = piece_bytes or 2 * round(settings.tts_rate_hz * settings.tts_chunk_ms / 1000)
        fast = settings.tts_speed == FOREVER
        gap_s = 0.0 if fast else size / (2 * settings.tts_rate_hz * settings.tts_speed)
        return [(gap_s if at else 0.0, audio[at : at + size]) for at in range(0, len(audio), size)]

    # --- chat ---------------------------------------------------------------------------------------------

    async def llm(self, request: Request, plan: Plan, record: Recorded) -> Answer:
        body = record.json = wire.parse_object(request.body)
        model = _wanted(body.get("model"), "model")
        messages = _messages(body.get("messages"))
        stream = body.get("stream") or False
        options = body.get("stream_options")
        if options is not None and not stream:
            message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
            raise Refusal(400, message, param="stream_options")
        limit = _limit(body, model)
        _known(model, self.settings.llm_models)
        names = chat.check_tools(body)
        if model == TOOLLESS and "tools" in body:
            raise Refusal(400, f"{model} does not support tools")
        calls = plan.tool_calls or (() if _scripted(plan) else chat.wishes(body["messages"], names))
        said = [] if calls and plan.text is None and plan.deltas is None else self._said(body, messages, plan)
        finish_reason = "tool_calls" if calls else "stop"
        if limit is not None and len(said) > limit:
            said, calls, finish_reason = said[:limit], (), "length"
        finish_reason = plan.finish_reason or finish_reason
        usage = wire.chat_usage(sum(len(text) for _, text in messages), len(said) + len(calls))
        number = next(self._numbers)
        if not stream:
            text = "".join(piece for piece in said if isinstance(piece, str))
            return whole(wire.completion(number, model, text, finish_reason, usage, calls))
        with_usage = isinstance(options, dict) and options.get("include_usage") is True
        chunks = wire.Chunks(number, model, with_usage=with_usage)
        deltas = [{"reasoning_content": plan.reasoning}] if plan.reasoning else []
        deltas += [{"content": piece} if isinstance(piece, str) else piece for piece in said]
        for i, call in enumerate(calls):
            deltas += wire.call_deltas(number, i, *call, self.settings.token_chars)
        gap_s = self.settings.token_ms / 1000
        pieces: list[Piece] = [(0.0, chunks.role())]
        pieces += [(gap_s if i else 0.0, chunks.delta(delta)) for i, delta in enumerate(deltas)]
        pieces.append((0.0, chunks.delta({}, finish_reason)))
        if with_usage:
            pieces.append((0.0, chunks.usage(usage)))
        if plan.done:
            pieces.append((0.0, wire.DONE))
        return Answer(200, "text/event-stream; charset=utf-8", pieces, "events")

    def _said(self, body: wire.Json, messages: list[tuple[str, str]], plan: Plan) -> list[Any]:
        """In pieces: text, or what a plan wants as a delta."""
        if plan.deltas is not None:
            return list(plan.deltas)
        text = plan.text if plan.text is not None else self.settings.reply
        if plan.text is None and self.settings.replies:
            asked = sum(role == "user" for role, _ in messages)
            text = self.settings.replies[(asked - 1) % len(self.settings.replies)]
        if text is None:
            text = chat.told(body["messages"])
        if text is None:
            last = next((text for role, text in reversed(messages) if role == "user"), "")
            text = echo(last)
        size = self.settings.token_chars
        return [text[at : at + size] for at in range(0, len(text), size)]


def _scripted(plan: Plan) -> bool:
    return plan.text is not None or plan.deltas is not None


def echo(said: str) -> str:
    """The reply where none is set: two sentences, always the same for the same words."""
    words = said.strip().rstrip(".!?")
    return f"You said: {words}. Is there anything else?" if words else "I heard nothing. Is anybody there?"


# --- checks -----------------------------------------------------------------------------------------------


def _missing(param: str) -> Refusal:
    message = f"Missing required parameter: '{param}'."
    return Refusal(400, message, param=param, code="missing_required_parameter")


def _invalid(param: str, value: object, allowed: list[str]) -> Refusal:
    message = f"Invalid value: {value!r}. Supported values are: {', '.join(map(repr, allowed))}."
    return Refusal(400, message, param=param, code="invalid_value")


def _wanted(value: object, param: str) -> str:
    if value is None or value == "":
        raise _missing(param)
    if not isinstance(value, str):
        raise Refusal(
            400, f"Invalid type for '{param}': expected a string.", param=param, code="invalid_type"
        )
    return value


def _known(model: str, names: Sequence[str]) -> None:
    if model not in names:
        message = f"The model `{model}` does not exist or you do not have access to it."
        raise Refusal(404, message, code="model_not_found")


def _number(body: wire.Json, param: str, low: float, high: float) -> float | None:
    value = body.get(param)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refusal(
            400, f"Invalid type for '{param}': expected a number.", param=param, code="invalid_type"
        )
    if not low <= value <= high:
        message = (
            f"Invalid '{param}': expected a value between {low:g} and {high:g}, but got {value:g} instead."
        )
        raise Refusal(400, message, param=param, code="decimal_out_of_range")
    return float(value)


def _check_format(model: str, kind: str) -> None:
    allowed = ["json", "text"] + (["verbose_json"] if model.startswith("whisper") else [])
    if kind not in allowed:
        message = (
            f"response_format '{kind}' is not compatible with model '{model}'. Use one of {allowed} instead."
        )
        raise Refusal(400, message, param="response_format", code="unsupported_value")


def _samples(file: form.File, model: str) -> tuple[Pcm, int]:
    """Of a WAV file; of any other kind, which is not looked into, a second of silence."""
    if not file.filename.endswith(".wav"):
        return np.zeros(16_000, np.int16), 16_000
    try:
        pcm, rate_hz = wav.decode(file.data, "the file")
    except ValueError:
        message = "Audio file might be corrupted or unsupported"
        raise Refusal(400, message, param="file", code="invalid_value") from None
    if len(pcm) < MIN_AUDIO_S * rate_hz:
        if model.startswith("whisper"):
            message = "Audio file is too short. Minimum audio length is 0.1 seconds."
            raise Refusal(400, message, param="file", code="audio_too_short")
        message = f"audio duration {len(pcm) / rate_hz:.1f} seconds is shorter than 0.1 seconds, the minimum"
        raise Refusal(400, message, code="invalid_value")
    return pcm, rate_hz


def _transcript(
    model: str, kind: str, text: str, language: str, audio_s: float, fields: dict[str, list[str]]
) -> Answer:
    if kind == "text":
        return Answer(200, "text/plain; charset=utf-8", [(0.0, f"{text}\n".encode())])
    whisper = model.startswith("whisper")
    if kind == "verbose_json":
        wanted = fields.get("timestamp_granularities[]", ["segment"])
        spoken = "english" if language == "en" else language
        words, segments = "word" in wanted, "segment" in wanted
        return whole(wire.verbose(text, spoken, audio_s, words=words, segments=segments))
    usage = wire.duration_usage(audio_s) if whisper else wire.token_usage(audio_s, text)
    body: wire.Json = {"text": text, "usage": usage}
    if "logprobs" in fields.get("include[]", ()):
        body["logprobs"] = wire.logprobs(re.findall(r"\s*\S+", text))
    return whole(body)


def _messages(value: object) -> list[tuple[str, str]]:
    """Role and text of each."""
    if value is None:
        raise _missing("messages")
    if not isinstance(value, list) or not value:
        raise Refusal(
            400, "Invalid 'messages': expected a list of messages.", param="messages", code="invalid_type"
        )
    found = []
    for i, message in enumerate(value):
        role = message.get("role") if isinstance(message, dict) else None
        if role not in ("developer", "system", "user", "assistant", "tool"):
            raise _invalid(f"messages[{i}].role", role, ["system", "assistant", "user", "tool", "developer"])
        content = message.get("content")
        if isinstance(content, list):
            content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
        if not isinstance(content, str):
            if role != "assistant":
                text = f"Invalid value for 'content': expected a string, got {content!r}."
                raise Refusal(400, text, param=f"messages[{i}].content")
            if content is not None or not message.get("tool_calls"):
                text = f"Invalid value for 'content': expected a string, got {content!r}."
                raise Refusal(400, text, param=f"messages[{i}].content")
            content = ""
        found.append((role, content))
    chat.check_order(value)
    return found


def _limit(body: wire.Json, model: str) -> int | None:
    """How many pieces the reply may have."""
    temperature = _number(body, "temperature", 0, 2)
    old, new = _number(body, "max_tokens", 1, 1e6), _number(body, "max_completion_tokens", 1, 1e6)
    if _REASONING.match(model):
        if old is not None:
            message = "Unsupported parameter: 'max_tokens' is not supported with this model. "
            message += "Use 'max_completion_tokens' instead."
            raise Refusal(400, message, param="max_tokens", code="unsupported_parameter")
        if temperature not in (None, 1.0):
            message = f"Unsupported value: 'temperature' does not support {temperature:g} with this model. "
            message += "Only the default (1) value is supported."
            raise Refusal(400, message, param="temperature", code="unsupported_value")
    limit = new if new is not None else old
    return None if limit is None else int(limit)
