"""What a call comes to, folded out of its events."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.protocol import EVENTS
from server.ring import Entry
from server.summary import _FOLDS, MAX_RESPONSES, MAX_TEXT, CallSummary
from server.wire import CallFacts
from tests.protocol import golden
from tests.protocol.schema import DEFINITIONS, sample

NAMES = {event.__name__: str(event.model_fields["event"].default) for event in EVENTS}

FACTS = CallFacts("CA1", "My Agent", "+1", "+2", direction="outbound")


class Told:
    """A summary, and events by name."""

    def __init__(self) -> None:
        self.summary = CallSummary(FACTS, "my-agent", 990.0)
        self.ts = 1000.0

    def add(self, event: str, after_s: float = 0.0, **fields: Any) -> bool:
        self.ts += after_s
        seq = self.summary.last_seq + 1
        data = orjson.dumps({"event": event, "seq": seq, "ts": self.ts, **fields})
        return self.summary.add(Entry("CA1", seq, self.ts, event, data))

    def shown(self, **fields: Any) -> None:
        told = self.summary.as_json(self.ts)
        assert {key: told[key] for key in fields} == fields


def test_a_call_from_ringing_to_its_end() -> None:
    call = Told()
    call.shown(state="ringing", started_at=None, duration_ms=0, **{"from": "+1"}, direction="outbound")
    assert call.add("call.started", language="en")
    call.shown(state="live", started_at=1000.0, language="en")
    assert call.add("call.updated", language="es")
    call.ts += 2.5
    call.shown(duration_ms=2500, language="es", ended_at=None, reason=None)
    ended = {"ended_at": 1003.0, "duration_seconds": 3.0004, "reason": "hangup", "detail": "he hung up"}
    assert call.add("call.ended", 0.5, **ended)
    call.ts += 60
    call.shown(state="ended", ended_at=1003.0, duration_ms=3000, reason="hangup", detail="he hung up")
    assert not call.add("call.recording", audio="x")
    call.shown(last_seq=4, state="ended")


def test_a_call_that_is_dialled_and_not_picked_up() -> None:
    call = Told()
    call.add("call.dialing")
    call.shown(state="dialing", created_at=990.0)
    call.add("call.ended", 20.0, reason="no_answer", ended_at=1020.0, duration_seconds=0.0)
    call.shown(state="ended", started_at=None, reason="no_answer", duration_ms=0)


def test_a_call_that_a_machine_picks_up() -> None:
    call = Told()
    call.add("call.dialing")
    call.add("call.started")
    call.add("call.answered_by", answered_by="machine")
    call.shown(state="live", answered_by="machine")


def test_a_call_that_rings_for_its_agent_is_given_up_without_having_begun() -> None:
    call = Told()
    call.add("call.ringing")
    call.summary.close()
    call.shown(state="ended", started_at=None, reason="failed", duration_ms=0)


def test_a_repeated_start_changes_nothing() -> None:
    call = Told()
    call.add("call.started")
    call.add("call.started", 5.0, metadata={"resumed": True})
    call.shown(started_at=1000.0)


def test_a_call_whose_end_was_not_told_ended_with_its_last_event() -> None:
    call = Told()
    call.add("call.started")
    call.add("bot.word", 4.0)
    call.summary.close()
    call.shown(state="ended", reason="failed", ended_at=1004.0, duration_ms=4000)
    call.summary.close()
    call.shown(reason="failed", ended_at=1004.0)


def test_turns_are_counted_once_though_they_go_on() -> None:
    call = Told()
    for turn_id in (1, 1, 2):
        call.add("turn.end", turn_id=turn_id, latency_ms=300)
    call.add("turn.started", turn_id=3)
    call.shown(turns=2)


def test_what_the_user_cut_off_is_counted_and_what_the_agent_took_back_is_not() -> None:
    call = Told()
    for reason in ("early", "user_spoke", "cancelled"):
        call.add("bot.interrupted", reason=reason)
    call.add("error")
    call.shown(interruptions=2, errors=1)


@pytest.mark.parametrize("ends", [True, False])
def test_whose_move_it_is_while_there_is_a_call(ends: bool) -> None:
    call = Told()
    call.add("call.started")
    call.shown(agent_state=None)
    for state in ("idle", "listening", "thinking", "speaking"):
        assert call.add("agent.state", state=state)
        call.shown(agent_state=state)
    if ends:
        call.add("call.ended", ended_at=1003.0, duration_seconds=3.0, reason="hangup")
    else:
        call.summary.close()
    call.shown(agent_state=None)


def test_the_last_words_of_both_sides() -> None:
    call = Told()
    call.add("user.message", text="What time is it?")
    call.add("message.confirmed", text="It is " + "very " * 200)
    call.shown(last_user_text="What time is it?", last_bot_text=("It is " + "very " * 200)[:MAX_TEXT])


def test_response_times_are_those_that_were_measured() -> None:
    call = Told()
    call.shown(response_ms_p50=None, response_ms_p95=None)
    for total in [*range(100, 2000, 100), None, 5000]:
        call.add("turn.metrics", total_ms=total)
    call.shown(response_ms_p50=1000, response_ms_p95=1900)


def test_without_measurements_they_are_told_from_the_events() -> None:
    call = Told()
    call.add("turn.end", turn_id=1, latency_ms=400)
    call.add("bot.speaking", 0.8, turn_id=1)
    call.add("bot.speaking", 3.0, turn_id=1)
    call.add("bot.speaking", 1.0)
    call.shown(response_ms_p50=1200)
    call.add("turn.metrics", total_ms=1111)
    call.shown(response_ms_p50=1111)


def test_response_times_are_bounded() -> None:
    call = Told()
    for _ in range(MAX_RESPONSES + 10):
        call.add("turn.metrics", total_ms=1)
    assert len(call.summary._measured) == MAX_RESPONSES


@given(st.lists(st.integers(0, 100_000), min_size=1))
def test_percentiles_are_nearest_ranks(times: list[int]) -> None:
    call = Told()
    for total in times:
        call.add("turn.metrics", total_ms=total)
    ordered = sorted(times)
    for percent in (50, 95):
        found = call.summary.percentile_ms(percent)
        assert found in ordered
        assert found is not None
        assert sum(time <= found for time in ordered) * 100 >= percent * len(ordered)
        assert sum(time < found for time in ordered) * 100 < percent * len(ordered)


def test_most_events_are_not_even_read() -> None:
    summary = CallSummary(FACTS, "my-agent", 990.0)
    assert not summary.add(Entry("CA1", 7, 1.0, "bot.word", b"no JSON at all"))
    assert summary.last_seq == 7


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_every_event_that_the_wire_allows_can_be_folded(name: str, full: bool) -> None:
    """An exception here would end the call."""
    summary = CallSummary(FACTS, "my-agent", 990.0)
    event = sample(DEFINITIONS[name], full=full)
    summary.add(Entry("CA1", 1, 1.0, NAMES[name], orjson.dumps(event)))
    orjson.dumps(summary.as_json(2.0))


def test_only_events_that_exist_are_looked_for() -> None:
    assert set(_FOLDS) <= set(NAMES.values())


def test_the_golden_log_comes_to_what_is_in_it() -> None:
    frames = golden.load()
    summary = CallSummary(FACTS, "my-agent", 990.0)
    for frame in frames:
        summary.add(Entry("CA1", frame["seq"], frame["ts"], frame["event"], orjson.dumps(frame)))
    told = summary.as_json(0.0)
    ended = next(frame for frame in frames if frame["event"] == "call.ended")
    assert (told["state"], told["reason"], told["last_seq"]) == ("ended", ended["reason"], len(frames))
    assert told["ended_at"] == ended["ended_at"]
    assert told["turns"] == len({f["turn_id"] for f in frames if f["event"] == "turn.end"})
    totals = [f["total_ms"] for f in frames if f["event"] == "turn.metrics" and "total_ms" in f]
    assert told["response_ms_p95"] == max(totals, default=None)
