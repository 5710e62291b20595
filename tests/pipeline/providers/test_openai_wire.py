"""Bodies, answers and addresses as they are on the wire."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media import wav
from pipeline.ports import ChatMessage, LlmRequest, SttOptions, TtsRequest
from pipeline.providers.openai import wire
from pipeline.providers.openai.dialect import Dialect
from pipeline.providers.openai.wire import ChatPiece, Heard, Refusal

# --- server-sent events -----------------------------------------------------------------------------------

STREAM = (
    b': hello\r\nevent: message\r\ndata: {"a": 1}\r\n\r\ndata:{"b": 2}\n\nid: 7\nretry: 3\n\ndata: [DONE]'
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_events_are_the_same_however_they_are_cut(cuts: list[int]) -> None:
    decoder = wire.EventDecoder()
    found: list[bytes] = []
    at = 0
    for cut in sorted(cuts):
        found += decoder.feed(STREAM[at:cut])
        at = cut
    found += decoder.feed(STREAM[at:])
    assert found == [b'{"a": 1}', b'{"b": 2}']
    assert decoder.flush() == [wire.DONE]


def test_a_line_without_an_end_is_refused_before_it_fills_the_memory() -> None:
    decoder = wire.EventDecoder()
    for _ in range(16):
        assert decoder.feed(b"x" * 65_536) == []
    with pytest.raises(ValueError, match="1 MB"):
        decoder.feed(b"x")


# --- chat -------------------------------------------------------------------------------------------------


def test_the_body_of_a_chat() -> None:
    messages = (ChatMessage("system", "Be brief."), ChatMessage("user", "Caf\u00e9?"))
    body = orjson.loads(wire.chat_body(LlmRequest(messages), "m", {"temperature": 0.5}))
    assert body == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Caf\u00e9?"}],
        "stream": True,
        "temperature": 0.5,
    }


@pytest.mark.parametrize(
    ("event", "piece"),
    [
        ({"choices": [{"delta": {"content": "Hi"}}]}, ChatPiece("Hi", None, None)),
        ({"choices": [{"delta": {"content": None}, "finish_reason": "stop"}]}, ChatPiece("", "stop", None)),
        ({"choices": [{"delta": None, "finish_reason": "length"}]}, ChatPiece("", "length", None)),
        ({"choices": [{"delta": {"reasoning_content": "Hm"}}]}, ChatPiece("", None, None, (), "Hm")),
        ({"choices": [{"delta": {"reasoning": "Hm"}}]}, ChatPiece("", None, None, (), "Hm")),
        ({"model": "m", "choices": []}, ChatPiece("", None, None, (), "", "m")),
        ({"choices": [{"delta": {"refusal": "No."}}]}, ChatPiece("No.", None, None)),
        (
            {"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]},
            ChatPiece("Hi", "stop", None),
        ),
        ({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}, ChatPiece("", None, (3, 4))),
        ({"choices": [], "usage": None}, ChatPiece("", None, None)),
        ({"usage": {"total_tokens": 3}}, ChatPiece("", None, (None, None))),
        ({"error": {"message": "Oh", "code": 429, "param": "x"}}, Refusal(0, "Oh", "429", "x")),
        ({"error": "Oh"}, Refusal(0, "Oh")),
    ],
)
def test_an_event_of_a_chat(event: object, piece: object) -> None:
    assert wire.chat_piece(orjson.dumps(event)) == piece


@pytest.mark.parametrize(
    "event", [b"{", b"[]", b"7", b'"x"', b'{"choices": [3]}', b'{"choices": {"a": 1}}', b"null"]
)
def test_what_is_no_event_of_a_chat(event: bytes) -> None:
    with pytest.raises((ValueError, TypeError, AttributeError, LookupError)):
        wire.chat_piece(event)


# --- dialects ---------------------------------------------------------------------------------------------

ASKED = LlmRequest((), None, 0.3, 50)


def learnt(dialect: Dialect, *refusals: Refusal) -> Dialect | None:
    for refusal in refusals:
        after = dialect.after(refusal, dialect.options(ASKED))
        if after is None:
            return None
        dialect = after
    return dialect


def unsupported(name: str) -> Refusal:
    return Refusal(400, f"Unsupported parameter: '{name}' is not supported with this model.", "x", name)


def test_the_hosted_service_is_asked_in_its_own_words() -> None:
    options = {"stream_options": {"include_usage": True}, "temperature": 0.3, "max_completion_tokens": 50}
    assert Dialect.of("gpt-4.1", hosted=True).options(ASKED) == options
    assert Dialect.of("gpt-5.4-mini", hosted=True).options(ASKED) == options | {"reasoning_effort": "none"}
    others = Dialect.of("gpt-5.4-mini", hosted=False).options(ASKED)
    assert others == {"stream_options": {"include_usage": True}, "temperature": 0.3, "max_tokens": 50}
    assert Dialect.of("m", hosted=True).options(LlmRequest(())) == {"stream_options": {"include_usage": True}}


def test_the_limit_changes_its_name_once() -> None:
    dialect = Dialect.of("m", hosted=False)
    other = learnt(dialect, unsupported("max_tokens"))
    assert other is not None
    assert other.options(ASKED)["max_completion_tokens"] == 50
    refusal = Refusal(422, "body.max_completion_tokens: Extra inputs are not permitted")
    back = learnt(Dialect.of("m", hosted=True), refusal)
    assert back is not None
    assert back.options(ASKED)["max_tokens"] == 50
    proven = Dialect("max_tokens", proven=True)
    assert learnt(proven, unsupported("max_tokens"), unsupported("max_completion_tokens")) is None


def test_effort_is_lowered_to_what_the_model_knows() -> None:
    dialect = Dialect.of("gpt-5-mini", hosted=True)
    refusal = Refusal(
        400, "Unsupported value: 'reasoning_effort' does not support 'none'.", "x", "reasoning_effort"
    )
    efforts = []
    for _ in range(4):
        efforts.append(dialect.options(ASKED).get("reasoning_effort"))
        dialect = dialect.after(refusal, dialect.options(ASKED)) or Dialect("none left")
    assert efforts == ["none", "minimal", "low", None]


def test_a_temperature_out_of_its_range_is_the_callers_fault() -> None:
    dialect = Dialect("max_tokens", proven=True)
    assert learnt(dialect, Refusal(400, "Invalid 'temperature': expected a value between 0 and 2.")) is None
    other = learnt(dialect, unsupported("temperature"))
    assert other is not None
    assert "temperature" not in other.options(ASKED)


def test_until_a_request_was_taken_the_options_of_the_stream_are_suspected() -> None:
    bad = Refusal(400, "Bad request")
    other = learnt(Dialect("max_tokens"), bad)
    assert other is not None
    assert "stream_options" not in other.options(ASKED)
    assert learnt(other, bad) is None
    assert learnt(Dialect("max_tokens", proven=True), bad) is None
    assert learnt(Dialect("max_tokens", proven=True), unsupported("stream_options")) is not None
    assert learnt(Dialect("max_tokens"), Refusal(500, "unknown stream_options")) is None


# --- transcriptions ---------------------------------------------------------------------------------------


def test_the_form_of_a_transcription() -> None:
    options = SttOptions(8000, "pt-BR", ("bom dia",))
    form = wire.transcription_form(b"\1\0" * 8000, options, "m", stream=True, logprobs=True)
    assert form.fields == {
        "model": "m",
        "response_format": "json",
        "language": "pt",
        "prompt": "bom dia",
        "stream": True,
        "include": ["logprobs"],
    }
    pcm, rate_hz = wav.decode(form.file)
    assert (len(pcm), rate_hz) == (8000, 8000)
    plain = wire.transcription_form(b"", SttOptions(16_000, "auto"), "m", stream=False, logprobs=False)
    assert plain.fields == {"model": "m", "response_format": "json"}
    assert len(wav.decode(plain.file)[0]) == 3200


def test_a_hint_is_cut_at_a_phrase() -> None:
    assert wire.hint(()) == ""
    assert wire.hint(("book a room", "a table")) == "book a room, a table"
    assert wire.hint(("word " * 100, "x" * 200, "y")) == "word " * 100


@pytest.mark.parametrize(
    ("body", "heard"),
    [
        (b'{"text": " Good morning. "}', Heard("Good morning.", True, None)),
        (b'{"text": "", "logprobs": []}', Heard("", True, None)),
        (b'{"text": "Hola", "language": "es-PE"}', Heard("Hola", True, None, "es-PE")),
        (b'{"text": "Hola", "language": "spanish"}', Heard("Hola", True, None)),
        (b'{"text": "Hola", "language": 3}', Heard("Hola", True, None)),
        (b'{"text": "Hi", "logprobs": [{"logprob": -0.1}, {"logprob": -0.3}]}', Heard("Hi", True, 0.819)),
        (b'{"text": "Hi", "logprobs": [{"logprob": null}]}', Heard("Hi", True, None)),
        (b'{"text": "Hi", "logprobs": 3}', Heard("Hi", True, None)),
        (b"Bare text\n", Heard("Bare text", True, None)),
        (b"", Heard("", True, None)),
        (b'{"error": {"message": "no"}}', Refusal(0, "no")),
    ],
)
def test_an_answer_in_one_piece(body: bytes, heard: object) -> None:
    assert wire.transcription(body) == heard


@pytest.mark.parametrize("body", [b"{", b"[", b"<html>", b"{}", b'{"text": 3}', b"7", b"\xff"])
def test_an_answer_that_is_none(body: bytes) -> None:
    with pytest.raises(ValueError):
        wire.transcription(body)


@pytest.mark.parametrize(
    ("event", "heard"),
    [
        ({"type": "transcript.text.delta", "delta": " Good"}, Heard(" Good", False)),
        ({"type": "transcript.text.done", "text": "Good. "}, Heard("Good.", True, None)),
        ({"type": "transcript.text.segment", "text": "x"}, None),
        ({"text": " Good"}, Heard(" Good", False)),
        ({"choices": [{"delta": {"content": " Good"}}]}, Heard(" Good", False)),
        ({"choices": [], "error": {"message": "no"}}, Refusal(0, "no")),
        ({"type": "error", "message": "no"}, Refusal(0, "no", "error")),
        ({"error": {"message": "no"}}, Refusal(0, "no")),
        ({}, None),
    ],
)
def test_an_event_of_a_transcript(event: object, heard: object) -> None:
    assert wire.transcription_event(orjson.dumps(event)) == heard


# --- speech -----------------------------------------------------------------------------------------------


def test_the_body_of_speech() -> None:
    body = orjson.loads(wire.speech_body(TtsRequest("Hi.", 8000), "m", "v"))
    assert body == {"model": "m", "voice": "v", "input": "Hi.", "response_format": "pcm"}
    assert orjson.loads(wire.speech_body(TtsRequest("Hi.", 8000, speed=1.5), "m", "v"))["speed"] == 1.5


# --- addresses, lists and refusals ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "shown", "given"),
    [
        ("http://localhost:8000/v1", "http://localhost:8000/v1", None),
        ("https://me:p%40ss@host/v1?key=x#y", "https://host/v1", ("me", "p@ss")),
        ("https://token@host/v1", "https://host/v1", ("token", "")),
        ("http://[::1", "unreadable", None),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, shown: str, given: object) -> None:
    assert wire.without_credentials(url) == shown
    assert wire.credentials(url) == given
    assert "p%40ss" not in wire.reachable(url)


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        (b'{"data": [{"id": "a"}, {"id": "b"}]}', {"a", "b"}),
        (b'{"data": []}', set()),
        (b"<html>", None),
        (b'{"models": []}', None),
        (b'{"data": [3]}', None),
        (b'[{"id": "a"}]', None),
    ],
)
def test_the_list_of_models(body: bytes, ids: object) -> None:
    assert wire.model_ids(body) == ids


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"message": "Oh", "code": "c", "param": "p", "type": "t"}, Refusal(400, "Oh", "c", "p")),
        ({"error": {"message": "Oh", "type": "t", "param": None}}, Refusal(400, "Oh", "t", "")),
        ({"error": "Oh"}, Refusal(400, "Oh")),
        ({"detail": "Oh"}, Refusal(400, "Oh")),
        ({"detail": [{"loc": ["body", "x"], "msg": "bad"}, 3]}, Refusal(400, "body.x: bad")),
        ("Oh", Refusal(400, "Oh")),
        (None, Refusal(400)),
        ({}, Refusal(400)),
    ],
)
def test_the_text_of_a_refusal(body: object, expected: Refusal) -> None:
    assert wire.refusal(400, body) == expected


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("One\n two\t\x00three", "One two three"),
        ("<!DOCTYPE html><html><title>Bad\nGateway</title>", "Bad Gateway"),
        ("<html>", "a web page"),
        ("x" * 300, "x" * 199 + "\u2026"),
    ],
)
def test_what_others_say_becomes_a_part_of_a_line(text: str, short: str) -> None:
    assert wire.shortened(text) == short


@pytest.mark.parametrize(
    ("url", "hosted"),
    [
        ("https://api.openai.com/v1", True),
        ("https://eu.api.openai.com/v1", True),
        ("https://api.openai.com.example/v1", False),
        ("https://myapi.openai.com/v1", False),
        ("http://localhost/api.openai.com", False),
        ("http://[::1", False),
    ],
)
def test_whose_service_it_is(url: str, hosted: bool) -> None:
    assert wire.is_hosted(url) is hosted


def test_half_a_character_can_be_sent() -> None:
    body = wire.chat_body(LlmRequest((ChatMessage("user", "oh \ud83d"),)), "m", {})
    assert orjson.loads(body)["messages"][0]["content"] == "oh ?"
    assert orjson.loads(wire.speech_body(TtsRequest("\udc00", 8000), "m", "v"))["input"] == "?"
    assert wire.hint(("a\ud83d", "b")) == "a?, b"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "20"}, 20.0),
        ({"retry-after": "1", "retry-after-ms": "350"}, 0.35),
        (
            {"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"},
            30.0,
        ),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "-3"}, 0.0),
        ({}, None),
    ],
)
def test_when_to_ask_again(headers: dict[str, str], seconds: float | None) -> None:
    assert wire.retry_after_s(headers) == seconds


def test_some_list_their_models_by_a_path() -> None:
    listed = b'{"data": [{"id": "models/gemini-3-flash"}, {"id": "org/x"}]}'
    assert wire.model_ids(listed) == frozenset({"gemini-3-flash", "org/x"})
