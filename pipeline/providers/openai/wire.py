"""What goes over the wire to an endpoint of OpenAI's shape, and what comes back. Pure.

Source: the OpenAPI description of the service, as typed by the ``openai`` package 3.54 (``types.audio``,
``types.chat``); server-sent events: WHATWG HTML, section 9.2.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

import orjson

from media import wav
from pipeline.ports import ChatMessage, LlmRequest, SttOptions, ToolCall, ToolSpec, TtsRequest
from pipeline.providers.openai.calls import CallPiece, is_object

MAX_EVENT_BYTES = 1 << 20
"""Of a stream without a line's end."""
MAX_PROMPT_CHARS = 600
"""Recognisers heed the last 224 tokens of a prompt."""
MAX_REASON_CHARS = 200
_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_MIN_AUDIO_S = 0.2
"""The hosted service refuses less than a tenth of a second."""


# --- addresses and refusals -------------------------------------------------------------------------------


def is_http_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def is_hosted(url: str) -> bool:
    """Whether it is OpenAI's own service, of whatever region."""
    host = _credentials_apart(url)[1].hostname or ""
    return f".{host}".endswith(".api.openai.com")


def is_header_text(value: str) -> bool:
    return value.isascii() and value.isprintable() and " " not in value


def without_credentials(url: str) -> str:
    """For errors and logs: also without its query, which may hold a key."""
    return urlunsplit((*_credentials_apart(url)[1][:3], "", ""))


def credentials(url: str) -> tuple[str, str] | None:
    """User and password of an address, as ``https://user:password@host/v1`` has them."""
    user, _, password = _credentials_apart(url)[0].partition(":")
    return (unquote(user), unquote(password)) if user or password else None


def reachable(url: str) -> str:
    """The address without them: a client would write them into its log."""
    return urlunsplit(_credentials_apart(url)[1])


def _credentials_apart(url: str) -> tuple[str, SplitResult]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", urlsplit("unreadable")
    given, _, host = parts.netloc.rpartition("@")
    return given, parts._replace(netloc=host)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer of HTTP 4xx or 5xx."""

    status: int
    reason: str = ""
    """What the server says, as it says it."""
    code: str = ""
    param: str = ""
    """The field that it does not like, where it says so."""
    retry_after_s: float | None = None
    """How long it wants to be left alone, where it says so."""


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """What an answer says of when to ask again (RFC 9110, section 10.2.3; and in milliseconds, as some do)."""
    exact, usual = headers.get("retry-after-ms", ""), headers.get("retry-after", "")
    try:
        found = float(exact) / 1000 if exact else float(usual)
    except ValueError:
        try:
            # A date counts from the server's own clock.
            wait = parsedate_to_datetime(usual) - parsedate_to_datetime(headers.get("date", ""))
            found = wait.total_seconds()
        except (ValueError, TypeError):
            return None
    return max(0.0, found) if math.isfinite(found) else None


def refusal(status: int, body: object) -> Refusal:
    """``body`` as the package has it: the error's object, or the text."""
    if not isinstance(body, Mapping):
        return Refusal(status, body if isinstance(body, str) else "")
    inner = body.get("error")
    if isinstance(inner, Mapping):
        body = inner
    message = body.get("message") or body.get("detail") or inner or ""
    if isinstance(message, list):  # as FastAPI tells which fields are wrong
        message = "; ".join(
            f"{'.'.join(map(str, m.get('loc', ())))}: {m.get('msg')}"
            for m in message
            if isinstance(m, Mapping)
        )
    code = str(body.get("code") or body.get("type") or "")
    return Refusal(status, str(message), code, str(body.get("param") or ""))


def shortened(text: str) -> str:
    """What somebody else said, as a part of one line of ours."""
    if "<html" in text.lower() or "<!doctype" in text.lower():
        title = re.search(r"<title>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
        text = title[1] if title else "a web page"
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= MAX_REASON_CHARS else text[: MAX_REASON_CHARS - 1] + "\u2026"


_UNKNOWN = re.compile(
    r"unsupported|not support|unknown|unrecogni[sz]ed|unexpected|extra|not permitted|not allowed",
    re.IGNORECASE,
)


def refuses_body(refusal: Refusal) -> bool:
    """Whether the server did not like what it was sent."""
    return refusal.status in (400, 415, 422, 501)


def unknown_field(refusal: Refusal, name: str) -> bool:
    """Whether the server refused the request because it does not know or take this field. A value out of its
    range is another matter."""
    if not refuses_body(refusal):
        return False
    named = refusal.param == name or re.search(rf"\b{re.escape(name)}\b", refusal.reason)
    return bool(named and _UNKNOWN.search(f"{refusal.code} {refusal.reason}"))


_TOOLS = re.compile(r"\btools?\b|tool_choice|tool[- ]call|function[- ]call", re.IGNORECASE)
_NO_TOOLS = re.compile(rf"requires? --|{_UNKNOWN.pattern}|no endpoints found", re.IGNORECASE)


def refuses_tools(refusal: Refusal) -> bool:
    """Whether the model, or the server as it was started, takes no tools at all. That one of them is described
    wrongly is another matter."""
    if not (refuses_body(refusal) or refusal.status in (404, 500)):
        return False
    if refusal.param not in ("", "tools", "tool_choice") or "schema" in refusal.reason.lower():
        return False
    named = refusal.param or _TOOLS.search(refusal.reason)
    return bool(named and _NO_TOOLS.search(f"{refusal.code} {refusal.reason}"))


def model_ids(body: bytes) -> frozenset[str] | None:
    """What ``/models`` lists; None where that is no list."""
    try:
        listed = orjson.loads(body)["data"]
        # Google lists them by a path that requests need not have.
        return frozenset(str(model["id"]).removeprefix("models/") for model in listed)
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None


# --- server-sent events -----------------------------------------------------------------------------------


class EventDecoder:
    """A stream of bytes, cut anywhere, into the data of its events."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The data of all lines that are complete now. Each event of these services is one line of data.

        Raises ``ValueError`` where a line does not end.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_EVENT_BYTES:
            raise ValueError(f"a line of more than {MAX_EVENT_BYTES >> 20} MB")
        return [line[5:].strip() for line in lines if line.startswith(b"data:")]

    def flush(self) -> list[bytes]:
        """The stream is over: its last line may lack an end."""
        return self.feed(b"\n")


DONE = b"[DONE]"


# --- chat completions -------------------------------------------------------------------------------------


def chat_body(request: LlmRequest, model: str, options: Mapping[str, object]) -> bytes:
    """``options`` are what may be refused: fields beyond the model and the messages. Where the request offers
    tools and the options do not, the model is not told of earlier calls either."""
    told = without_tools(request.messages) if request.tools and "tools" not in options else request.messages
    messages = [_message(message) for message in told]
    return orjson.dumps({"model": model, "messages": messages, "stream": True, **options})


def _message(message: ChatMessage) -> dict[str, object]:
    content = encodable(message.content)
    found: dict[str, object] = {"role": message.role, "content": content}
    if message.role == "tool":
        found["tool_call_id"] = encodable(message.tool_call_id or "")
    if message.tool_calls:
        found["content"] = content or None
        found["tool_calls"] = [_call(call) for call in message.tool_calls]
    return found


def _call(call: ToolCall) -> dict[str, object]:
    """Some servers read the arguments of the history, and refuse all of it where these are not JSON."""
    arguments = call.arguments if is_object(call.arguments) else "{}"
    function = {"name": encodable(call.name), "arguments": arguments}
    return {"id": encodable(call.id), "type": "function", "function": function}


def without_tools(messages: Iterable[ChatMessage]) -> list[ChatMessage]:
    """The history for a model that knows no tools: what was said is left."""
    said = (ChatMessage(m.role, m.content) for m in messages if m.role != "tool")
    return [m for m in said if m.content or m.role != "assistant"]


def tool(spec: ToolSpec) -> dict[str, object]:
    """A tool as the request describes it. A schema that is empty is one of an object without properties."""
    parameters = {"type": "object", "properties": {}, **spec.parameters}
    function: dict[str, object] = {"name": spec.name, "parameters": parameters}
    if spec.description:
        function["description"] = encodable(spec.description)
    return {"type": "function", "function": function}


@dataclass(frozen=True, slots=True)
class ChatPiece:
    """What one event of a chat stream says."""

    text: str
    finish_reason: str | None
    usage: tuple[int | None, int | None] | None
    """Tokens in and out."""
    calls: tuple[CallPiece, ...] = ()
    reasoning: str = ""
    """More of the model's thoughts, from servers that tell them."""
    model: str | None = None


def chat_piece(data: bytes) -> ChatPiece | Refusal:
    """One event of a stream, or an answer that is not streamed. A refusal is an error in the middle of it.

    Raises ``ValueError``, ``TypeError``, ``AttributeError`` or ``LookupError`` for what is neither.
    """
    event = orjson.loads(data)
    if event.get("error"):
        return refusal(0, event)
    text, reason, thought = "", None, ""
    calls: tuple[CallPiece, ...] = ()
    if choices := event.get("choices"):
        choice = choices[0]
        said = choice.get("delta") or choice.get("message")
        if said:
            text = said.get("content") or said.get("refusal") or ""
            if not isinstance(text, str):
                raise ValueError("text that is none")
            told = said.get("reasoning_content") or said.get("reasoning")
            thought = told if isinstance(told, str) else ""
            calls = tuple(_call_piece(call) for call in said.get("tool_calls") or ())
        reason = choice.get("finish_reason")
    usage = event.get("usage")
    counts = (usage.get("prompt_tokens"), usage.get("completion_tokens")) if usage else None
    model = event.get("model")
    return ChatPiece(text, reason, counts, calls, thought, model if isinstance(model, str) else None)


def _call_piece(call: Mapping[str, object]) -> CallPiece:
    function = call.get("function") or {}
    if not isinstance(function, Mapping):
        raise ValueError("a function that is none")
    index, arguments = call.get("index"), function.get("arguments")
    if isinstance(arguments, Mapping):  # as some servers give them: not as text
        arguments = orjson.dumps(arguments).decode()
    named = (call.get("id") or "", function.get("name") or "", arguments or "")
    if not all(isinstance(value, str) for value in named):
        raise ValueError("a call of a tool that is none")
    return CallPiece(index if isinstance(index, int) else None, *map(str, named))


# --- speech -----------------------------------------------------------------------------------------------


def speech_body(request: TtsRequest, model: str, voice: str) -> bytes:
    body: dict[str, object] = {
        "model": model,
        "voice": voice,
        "input": encodable(request.text),
        "response_format": "pcm",
    }
    if request.speed != 1:
        body["speed"] = request.speed
    return orjson.dumps(body)


# --- transcriptions ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Heard:
    """Text of an answer to a transcription, whole or the next piece of it."""

    text: str
    whole: bool
    confidence: float | None = None
    """From the probabilities of its tokens; None where the service gives none."""
    language: str | None = None
    """As the service names it by a tag; None where it does not."""


@dataclass(frozen=True, slots=True)
class Form:
    """A body of fields and one file, encoded as ``multipart/form-data``."""

    fields: dict[str, object]
    filename: str
    content_type: str
    file: bytes


def transcription_form(pcm: bytes, options: SttOptions, model: str, *, stream: bool, logprobs: bool) -> Form:
    """The request about the audio, which is 16-bit little-endian samples."""
    missing = int(_MIN_AUDIO_S * options.sample_rate_hz) * 2 - len(pcm)
    audio = pcm + bytes(missing) if missing > 0 else pcm
    fields: dict[str, object] = {"model": model, "response_format": "json"}
    language = base_tag(options.language)
    if language:
        fields["language"] = language
    prompt = hint(options.phrases)
    if prompt:
        fields["prompt"] = prompt
    if stream:
        fields["stream"] = True
    if logprobs:
        fields["include"] = ["logprobs"]
    file = wav.header(options.sample_rate_hz, 1, len(audio)) + audio
    return Form(fields, "speech.wav", "audio/wav", file)


def base_tag(language: str) -> str:
    """``en`` of ``en-US``; empty where the language is to be found out."""
    tag = language.replace("_", "-").split("-")[0].lower()
    return "" if tag in ("auto", "multi", "und") else tag


def language_tag(value: object) -> str | None:
    """What a service says that it has heard, where that is a tag: some say ``english``."""
    return value if isinstance(value, str) and _TAG.fullmatch(value) else None


def hint(phrases: Iterable[str]) -> str:
    """What the agent expects to hear, as a text that the recogniser takes for what was said before."""
    text = ""
    for phrase in phrases:
        longer = f"{text}, {phrase}" if text else phrase
        if len(longer) > MAX_PROMPT_CHARS:
            break
        text = longer
    return encodable(text)


def encodable(text: str) -> str:
    """Half a character, as a careless agent cuts it, cannot be sent: it becomes a question mark."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text


def transcription(body: bytes) -> Heard | Refusal:
    """The answer in one piece: JSON, or bare text as some servers have it. Raises ``ValueError``."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        if body.lstrip()[:1] in (b"{", b"[", b"<"):
            raise ValueError("an answer that is not what it begins as") from None
        return Heard(body.decode("utf-8").strip(), whole=True)
    if isinstance(answer, dict):
        if isinstance(answer.get("text"), str):
            language = language_tag(answer.get("language"))
            return Heard(answer["text"].strip(), True, confidence(answer.get("logprobs")), language)
        if answer.get("error"):
            return refusal(0, answer)
    raise ValueError("an answer without text")


def transcription_event(data: bytes) -> Heard | Refusal | None:
    """What one event of a streamed answer says; None where it is nothing to us. Raises ``ValueError``."""
    event = orjson.loads(data)
    if not isinstance(event, dict):
        raise ValueError("an event that is no object")
    match event.get("type"):
        case "transcript.text.delta":
            return Heard(str(event.get("delta") or ""), whole=False)
        case "transcript.text.done":
            return Heard(str(event.get("text") or "").strip(), True, confidence(event.get("logprobs")))
        case None if isinstance(event.get("choices"), list):  # as some servers stream it: like a chat
            piece = chat_piece(data)
            return piece if isinstance(piece, Refusal) else Heard(piece.text, whole=False)
        case None if isinstance(event.get("text"), str):  # a piece of text in each event
            return Heard(event["text"], whole=False)
    return refusal(0, event) if event.get("error") or event.get("type") == "error" else None


def confidence(logprobs: object) -> float | None:
    """The geometric mean of the tokens' probabilities."""
    if not isinstance(logprobs, list):
        return None
    values = [entry["logprob"] for entry in logprobs if isinstance(entry, dict) and "logprob" in entry]
    if not values or not all(isinstance(value, int | float) for value in values):
        return None
    return round(min(1.0, math.exp(sum(values) / len(values))), 3)
