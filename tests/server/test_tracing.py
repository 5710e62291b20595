"""Traces are made of what the journal tells: here of the golden log, a conversation held by the real session."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from server.ring import Entry
from server.settings import Settings, SettingsError
from server.tracing import endpoint, traced
from server.tracing.received import MAX_CHARS, received
from tests.protocol.golden import FILE

sdk = pytest.importorskip("opentelemetry.sdk.trace")
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: E402
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: E402

from server.tracing.export import MAX_WAITING, Tracing  # noqa: E402

GOLDEN: list[dict[str, Any]] = json.loads(FILE.read_text())["events"]
SAID = [
    e["text"] for e in GOLDEN if e["event"] in ("user.message", "message.confirmed", "bot.output", "turn.end")
]


@pytest.fixture
def kept() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    yield exporter
    exporter.clear()


def made(
    kept: InMemorySpanExporter, *, texts: bool = False, part_of: Mapping[str, str] | None = None
) -> Tracing:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    headers = {GOLDEN[0]["call_id"]: part_of or {}}
    return Tracing(provider, lambda: GOLDEN[-1]["ts"], lambda call_id: headers.get(call_id, {}), texts=texts)


def tell(tracing: Tracing, events: list[dict[str, Any]]) -> None:
    for event in events:
        data = json.dumps(event).encode()
        entry = Entry(event["call_id"], event.get("seq", 0), event["ts"], event["event"], data)
        assert tracing.offer(data, entry)
    tracing.make(len(events))


def spans(kept: InMemorySpanExporter) -> dict[str, list[ReadableSpan]]:
    found: dict[str, list[ReadableSpan]] = {}
    for span in kept.get_finished_spans():
        found.setdefault(span.name, []).append(span)
    return found


def seconds(span: ReadableSpan) -> float:
    assert span.start_time is not None
    assert span.end_time is not None
    return (span.end_time - span.start_time) / 1e9


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_call_holds_its_turns_and_they_their_stages(kept: InMemorySpanExporter) -> None:
    tell(made(kept), GOLDEN)
    found = spans(kept)
    (call,) = found["call"]
    assert call.parent is None
    assert seconds(call) == pytest.approx(42.08)
    assert attributes(call)["talkwire.call.id"] == GOLDEN[0]["call_id"]
    assert attributes(call)["talkwire.call.end_reason"] == "hangup"
    turns = {attributes(span)["talkwire.turn.id"]: span for span in found["turn"]}
    told = {e["turn_id"]: e for e in GOLDEN if e["event"] == "turn.completed"}
    assert set(turns) == set(told) == {1, 2, 3, 4}
    for turn, span in turns.items():
        assert span.parent is not None
        assert span.parent.span_id == call.context.span_id
        assert seconds(span) == pytest.approx(told[turn]["duration_ms"] / 1000, abs=0.002)
        assert attributes(span)["talkwire.turn.interrupted"] == told[turn]["interrupted"]
    for name in (
        "endpointing",
        "stt",
        "chat",
        "llm first token",
        "tts",
        "tts first byte",
        "playout",
        "user speech",
    ):
        assert found[name], name
    assert {span.context.trace_id for all_ in found.values() for span in all_} == {call.context.trace_id}


def test_stages_have_the_times_that_were_measured(kept: InMemorySpanExporter) -> None:
    tell(made(kept), GOLDEN)
    found = spans(kept)
    for name, key in (
        ("llm first token", "llm_first_token_ms"),
        ("tts first byte", "tts_first_byte_ms"),
    ):
        measured = [e[key] for e in GOLDEN if e["event"] == "turn.metrics" and key in e]
        assert [round(seconds(span) * 1000) for span in found[name]] == measured
    ends = [e for e in GOLDEN if e["event"] == "turn.end"]
    assert [round(seconds(span) * 1000) for span in found["endpointing"]] == [e["latency_ms"] for e in ends]
    assert [span.end_time for span in found["endpointing"]] == [round(e["ts"] * 1e9) for e in ends]
    first, second = found["chat"][:2]
    assert attributes(first)["gen_ai.usage.output_tokens"] == 2
    assert attributes(first)["gen_ai.response.finish_reasons"] == ("tool_calls",)
    assert seconds(second) == pytest.approx(0.92)
    assert any(attributes(span).get("talkwire.llm.discarded") for span in found["chat"])
    assert seconds(found["playout"][0]) == pytest.approx(1.76)
    cut = [attributes(span) for span in found["playout"] if attributes(span)["talkwire.playout.interrupted"]]
    assert [span["talkwire.playout.cut_by"] for span in cut] == ["user_spoke", "early"]


def test_tools_and_faults_are_told(kept: InMemorySpanExporter) -> None:
    tell(made(kept), GOLDEN)
    found = spans(kept)
    assert seconds(found["execute_tool weather"][0]) == pytest.approx(0.2)
    (failed,) = found["execute_tool clock"]
    assert attributes(failed)["error.type"] == "unknown_tool"
    assert not failed.status.is_ok
    (turn,) = (span for span in found["turn"] if attributes(span)["talkwire.turn.id"] == 4)
    (fault,) = (event for event in turn.events if event.name == "provider.error")
    assert dict(fault.attributes or {}) == {
        "error.type": "PROVIDER_ERROR",
        "talkwire.stage": "stt",
        "talkwire.provider": "pocketsphinx",
        "talkwire.retryable": True,
    }
    assert not turn.status.is_ok
    (call,) = found["call"]
    assert {"call.held", "call.unmuted"} <= {event.name for event in call.events}


@pytest.mark.parametrize("texts", [False, True])
def test_what_was_said_is_told_only_where_that_is_allowed(kept: InMemorySpanExporter, texts: bool) -> None:
    tell(made(kept, texts=texts), GOLDEN)
    everything = "\n".join(span.to_json() for span in kept.get_finished_spans())
    assert any(said in everything for said in SAID) is texts
    assert "+1555" not in everything


def test_a_call_that_is_handed_over_is_one_trace(kept: InMemorySpanExporter) -> None:
    routed = {
        **next(e for e in GOLDEN if e["event"] == "call.ended"),
        "reason": "routed",
        "ts": GOLDEN[18]["ts"],
    }
    tracing = made(kept)
    tell(tracing, [*GOLDEN[:19], routed, {**GOLDEN[0], "agent_id": "second"}, *GOLDEN[19:]])
    (call,) = spans(kept)["call"]
    assert attributes(call)["gen_ai.agent.id"] == "second"
    assert [event.name for event in call.events][:3] == ["call.started", "call.ended", "call.started"]


TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_call_is_part_of_the_trace_that_it_was_asked_for_in(kept: InMemorySpanExporter) -> None:
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "shop=7"}
    tracing = made(kept, part_of=headers)
    tell(tracing, GOLDEN)
    found = spans(kept)
    (call,) = found["call"]
    assert call.parent is not None
    assert (f"{call.parent.trace_id:032x}", f"{call.parent.span_id:016x}") == (TRACE, PARENT)
    assert call.parent.is_remote
    assert {f"{span.context.trace_id:032x}" for all_ in found.values() for span in all_} == {TRACE}
    assert call.context.trace_state.get("shop") == "7"
    assert not tracing._parents


def test_of_a_trace_that_nobody_keeps_nothing_is_kept_here(kept: InMemorySpanExporter) -> None:
    tell(made(kept, part_of={"traceparent": f"00-{TRACE}-{PARENT}-00"}), GOLDEN)
    assert not spans(kept)


@pytest.mark.parametrize(
    "nonsense", ["", "00", "00-0-0-01", f"00-{'0' * 32}-{PARENT}-01", f"ff-{TRACE}-{PARENT}-01"]
)
def test_what_names_no_trace_is_passed_over(kept: InMemorySpanExporter, nonsense: str) -> None:
    tell(made(kept, part_of={"traceparent": nonsense}), GOLDEN)
    (call,) = spans(kept)["call"]
    assert call.parent is None


def test_what_is_received_is_bounded() -> None:
    parent = f"00-{TRACE}-{PARENT}-01"
    assert received({"host": "x"}) == {}
    assert received({"traceparent": parent, "tracestate": "a=1", "baggage": "b=2"}) == {
        "traceparent": parent,
        "tracestate": "a=1",
    }
    assert received({"traceparent": parent, "tracestate": "x" * (MAX_CHARS + 1)}) == {"traceparent": parent}


def test_too_much_at_once_is_left_out_and_nothing_is_kept_of_calls_that_are_over(
    kept: InMemorySpanExporter,
) -> None:
    tracing = made(kept)
    entry = Entry("CA1", 1, 0.0, "turn.started", b"{}")
    for _ in range(MAX_WAITING + 5):
        assert tracing.offer(b"{}", entry)
    assert tracing.dropped == 5
    other = made(kept)
    tell(other, GOLDEN)
    assert not other._calls


async def test_the_end_of_the_server_ends_what_is_open(kept: InMemorySpanExporter) -> None:
    tracing = made(kept)
    tell(tracing, GOLDEN[:40])
    await tracing.close()
    assert seconds(spans(kept)["call"][0]) > 0
    assert spans(kept)["turn"]


def test_where_spans_go_is_opentelemetrys_own_to_say(tmp_path: Path) -> None:
    def of(**settings: Any) -> str | None:
        return endpoint(Settings(data_dir=tmp_path, **settings))

    base = "http://collector:4318"
    assert of() is None
    assert of(otlp_endpoint=base) == "http://collector:4318/v1/traces"
    assert of(otlp_endpoint=base, otlp_traces_endpoint="http://other/here") == "http://other/here"
    assert of(otlp_endpoint=base, otel_disabled=True) is None
    assert of(otlp_endpoint=base, otel_traces="none") is None
    assert of(otlp_protocol="grpc") is None
    with pytest.raises(SettingsError, match="OTEL_EXPORTER_OTLP_PROTOCOL: grpc"):
        of(otlp_endpoint=base, otlp_protocol="grpc")
    with pytest.raises(SettingsError, match="OTEL_TRACES_EXPORTER: zipkin"):
        of(otlp_endpoint=base, otel_traces="zipkin")


async def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError("No module named 'opentelemetry'", name="opentelemetry")

    monkeypatch.setattr("server.tracing.import_module", missing)
    settings = Settings(data_dir=tmp_path, otlp_endpoint="http://127.0.0.1:4318")
    with pytest.raises(
        SettingsError, match=r"opentelemetry is not installed: pip install 'talkwire\[otel\]'"
    ):
        async with traced(settings, None, None):  # type: ignore[arg-type]
            pass
