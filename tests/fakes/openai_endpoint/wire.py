"""The JSON that OpenAI's interface speaks, as values. Source: https://platform.openai.com/docs/api-reference,
and the types of the official Python client, which must parse all of it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

Json = dict[str, Any]

CREATED = 1_700_000_000
"""When everything here was made, in epoch seconds."""

_TYPES = {429: "requests", 500: "server_error", 503: "server_error"}
_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
_MESSAGES = {
    400: "We could not parse the body of your request.",
    401: "Incorrect API key provided: {key}. You can find your API key at https://example.com/keys.",
    404: "The model does not exist or you do not have access to it.",
    429: "Rate limit reached for requests. Please try again later.",
    500: "The server had an error while processing your request. Sorry about that!",
    503: "The engine is currently overloaded, please try again later",
}


class Refusal(Exception):
    """The request gets an error instead of an answer."""

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code


def error(status: int, message: str | None = None, **fields: str | None) -> Json:
    """``fields``: ``type``, ``param`` and ``code``, where they are not those usual for the status."""
    return {
        "error": {
            "message": _MESSAGES.get(status, "Something went wrong.") if message is None else message,
            "type": fields.get("type") or _TYPES.get(status, "invalid_request_error"),
            "param": fields.get("param"),
            "code": fields["code"] if "code" in fields else _CODES.get(status),
        }
    }


def masked(key: str) -> str:
    """A key as the hosted service writes it into its error."""
    return key if len(key) < 8 else f"{key[:5]}{'*' * (len(key) - 9)}{key[-4:]}"


def models(names: Iterable[str]) -> Json:
    return {"object": "list", "data": [model(name) for name in names]}


def model(name: str) -> Json:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "fixture"}


def dump(value: object) -> bytes:
    return orjson.dumps(value)


def event(value: object, name: str | None = None) -> bytes:
    """One server-sent event."""
    head = b"" if name is None else b"event: %s\n" % name.encode()
    return b"%sdata: %s\n\n" % (head, orjson.dumps(value))


DONE = b"data: [DONE]\n\n"
GARBAGE_EVENT = b'data: {"id": "chatcmpl-, "choices": [{\n\n'
ERROR_EVENT = event(error(500), "error")


# --- transcriptions ---------------------------------------------------------------------------------------


def token_usage(audio_s: float, text: str) -> Json:
    """Ten tokens for a second of audio, as the hosted service counts, and one for four letters."""
    heard, said = math.ceil(audio_s * 10), math.ceil(len(text) / 4)
    return {
        "type": "tokens",
        "input_tokens": heard,
        "input_token_details": {"text_tokens": 0, "audio_tokens": heard},
        "output_tokens": said,
        "total_tokens": heard + said,
    }


def duration_usage(audio_s: float) -> Json:
    return {"type": "duration", "seconds": math.ceil(audio_s)}


def logprobs(pieces: Iterable[str]) -> list[Json]:
    return [{"token": piece, "logprob": -0.105, "bytes": list(piece.encode())} for piece in pieces]


def verbose(text: str, language: str, audio_s: float, *, words: bool, segments: bool) -> Json:
    """Words are spread evenly over the audio."""
    found: Json = {
        "task": "transcribe",
        "language": language,
        "duration": round(audio_s, 3),
        "text": text,
        "usage": duration_usage(audio_s),
    }
    if words:
        split = text.split()
        each_s = audio_s / max(len(split), 1)
        found["words"] = [
            {"word": word.strip(".,!?"), "start": round(i * each_s, 2), "end": round((i + 1) * each_s, 2)}
            for i, word in enumerate(split)
        ]
    if segments:
        found["segments"] = [_segment(text, audio_s)] if text else []
    return found


def _segment(text: str, audio_s: float) -> Json:
    return {
        "id": 0,
        "seek": 0,
        "start": 0.0,
        "end": round(audio_s, 2),
        "text": f" {text}",
        "tokens": [50364, 50414],
        "temperature": 0.0,
        "avg_logprob": -0.25,
        "compression_ratio": 0.9,
        "no_speech_prob": 0.02,
    }


# --- chat -------------------------------------------------------------------------------------------------


def chat_usage(prompt_chars: int, tokens: int) -> Json:
    prompt = math.ceil(prompt_chars / 4)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": tokens,
        "total_tokens": prompt + tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def call_id(number: int, index: int) -> str:
    return f"call_{number:08d}{index:02d}"


def tool_call(number: int, index: int, name: str, arguments: str) -> Json:
    """One whole call."""
    function = {"name": name, "arguments": arguments}
    return {"id": call_id(number, index), "type": "function", "function": function}


def call_deltas(number: int, index: int, name: str, arguments: str, chars: int) -> list[Json]:
    """One call in pieces: the first has all but the arguments."""
    head = {"index": index, **tool_call(number, index, name, "")}
    rest = [arguments[at : at + chars] for at in range(0, len(arguments), chars)]
    pieces = [{"index": index, "function": {"arguments": piece}} for piece in rest]
    return [{"tool_calls": [piece]} for piece in (head, *pieces)]


def completion(
    number: int,
    model_name: str,
    text: str,
    finish_reason: str,
    usage: Json,
    calls: Sequence[tuple[str, str]] = (),
) -> Json:
    message: Json = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    if calls:
        message["content"] = text or None
        message["tool_calls"] = [tool_call(number, i, *call) for i, call in enumerate(calls)]
    return {
        "id": f"chatcmpl-{number:08d}",
        "object": "chat.completion",
        "created": CREATED,
        "model": model_name,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}],
        "usage": usage,
        "service_tier": "default",
        "system_fingerprint": "fp_fixture",
    }


class Chunks:
    """The events of one streamed chat completion. What is the same in all of them is put into JSON once."""

    def __init__(self, number: int, model_name: str, *, with_usage: bool) -> None:
        head = {
            "id": f"chatcmpl-{number:08d}",
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": model_name,
            "service_tier": "default",
            "system_fingerprint": "fp_fixture",
        }
        self._head = b"data: " + orjson.dumps(head)[:-1]
        self._tail = b',"usage":null}\n\n' if with_usage else b"}\n\n"

    def delta(self, delta: Mapping[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return b'%s,"choices":[%s]%s' % (self._head, orjson.dumps(choice), self._tail)

    def role(self) -> bytes:
        return self.delta({"role": "assistant", "content": "", "refusal": None})

    def usage(self, usage: Json) -> bytes:
        return b'%s,"choices":[],"usage":%s}\n\n' % (self._head, orjson.dumps(usage))


def parse_object(body: bytes) -> Json:
    """Raises ``Refusal`` for what is no JSON object."""
    try:
        value = json.loads(body)
    except ValueError:
        raise Refusal(400, "We could not parse the JSON body of your request.") from None
    if not isinstance(value, dict):
        raise Refusal(400, "The body of your request must be a JSON object.")
    return value
