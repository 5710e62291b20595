"""The judges of silence and of all that is known: their edges, and that these fit their probability."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.endpointing.evidence import EndOfTurn, Evidence, TurnReason
from pipeline.endpointing.local import EARLIEST_MS, Local
from pipeline.endpointing.silence import SURE, Silence

TEXTS = (
    "",
    "yes",
    "um",
    "i would like to",
    "i would like to book a table",
    "my number is five five",
    "book a table for,",
    "What is it?",
    "john at",
)

evidences = st.builds(
    Evidence,
    text=st.sampled_from(TEXTS),
    final=st.booleans(),
    language=st.sampled_from(("en", "en-GB", "es", "ja", "")),
    question=st.sampled_from(("", "Do you want a table?", "What is your phone number?", "Hello.")),
    pauses_ms=st.lists(st.integers(200, 3000), max_size=8).map(tuple),
    model=st.none() | st.floats(0, 1),
)
judges = st.builds(
    Local,
    patience=st.floats(0.25, 4),
    threshold=st.floats(0.05, 0.95),
    earliest_ms=st.integers(100, 600),
    latest_ms=st.integers(50, 3000),
    max_ms=st.integers(600, 5000),
)


def test_fixed_silence_ends_each_turn_there_and_lets_thinking_begin_at_once() -> None:
    judge: EndOfTurn = Silence(650)
    for text in TEXTS:
        verdict = judge.judge(Evidence(text=text))
        assert (verdict.eager_ms, verdict.end_ms, verdict.reason) == (0, 650, TurnReason.SILENCE)
        assert judge.probability(Evidence(text=text), 650) == pytest.approx(SURE)
        assert 0.5 <= judge.probability(Evidence(text=text), 0) < judge.probability(Evidence(text=text), 100)


@pytest.mark.parametrize("end_ms", [0, -1])
def test_a_silence_that_is_none_is_refused(end_ms: int) -> None:
    with pytest.raises(ValueError, match="end_ms must be positive"):
        Silence(end_ms)


@given(judges, evidences)
def test_edges_are_ordered_and_within_bounds(judge: Local, evidence: Evidence) -> None:
    verdict = judge.judge(evidence)
    assert 0 <= verdict.eager_ms <= verdict.end_ms
    assert judge.earliest_ms <= verdict.end_ms <= judge.max_ms
    assert 0 < verdict.complete < 1


@given(judges, evidences)
def test_the_probability_reaches_what_each_edge_stands_for(judge: Local, evidence: Evidence) -> None:
    verdict = judge.judge(evidence)
    sure = SURE * judge.threshold / (SURE * judge.threshold + (1 - SURE) * (1 - judge.threshold))
    assert judge.probability(evidence, verdict.end_ms) >= sure - 1e-6
    if verdict.eager_ms < verdict.end_ms:
        assert judge.probability(evidence, verdict.eager_ms) >= 0.5 - 1e-6
    if judge.earliest_ms < verdict.end_ms:
        assert judge.probability(evidence, verdict.end_ms - 2) < sure + 1e-6


@given(judges, evidences, st.floats(0, 4000), st.floats(0.5, 4000))
def test_the_probability_rises_with_the_silence(
    judge: Local, evidence: Evidence, silence_ms: float, more_ms: float
) -> None:
    before = judge.probability(evidence, silence_ms)
    after = judge.probability(evidence, silence_ms + more_ms)
    assert before < after or before > 1 - 1e-9
    assert judge.probability(evidence, 0) == pytest.approx(judge.judge(evidence).complete)


@given(evidences, st.floats(0.25, 2), st.floats(1, 2), st.floats(0.05, 0.5), st.floats(0, 0.45))
def test_more_patience_and_a_higher_threshold_never_end_a_turn_sooner(
    evidence: Evidence, patience: float, times: float, threshold: float, higher: float
) -> None:
    end_ms = Local(patience, threshold).judge(evidence).end_ms
    assert Local(patience * times, threshold).judge(evidence).end_ms >= end_ms
    assert Local(patience, threshold + higher).judge(evidence).end_ms >= end_ms


@given(evidences, st.floats(0, 1), st.floats(0, 1))
def test_a_model_that_is_surer_never_ends_a_turn_later(evidence: Evidence, one: float, other: float) -> None:
    def end_ms(model: float) -> int:
        asked = Evidence(evidence.text, evidence.final, evidence.language, evidence.question, model=model)
        return Local().judge(asked).end_ms

    assert end_ms(max(one, other)) <= end_ms(min(one, other))


def test_a_wrong_not_finished_costs_well_below_a_second() -> None:
    """Even where words and model agree on it."""
    verdict = Local().judge(Evidence("i would like to", model=0.01))
    complete = Local().judge(Evidence("i would like to book a table", model=0.99))
    assert verdict.unfinished
    assert not complete.unfinished
    assert complete.end_ms == EARLIEST_MS
    assert verdict.end_ms - complete.end_ms <= 800


def test_the_reason_is_what_moved_the_end() -> None:
    judge = Local()
    assert judge.judge(Evidence()).reason is TurnReason.SILENCE
    assert judge.judge(Evidence("i would like to")).reason is TurnReason.TRANSCRIPT
    assert judge.judge(Evidence("", model=0.95)).reason is TurnReason.MODEL
    assert judge.judge(Evidence("mountain view", model=0.05)).reason is TurnReason.MODEL
    assert judge.judge(Evidence("i would like to", model=0.5)).reason is TurnReason.TRANSCRIPT


def test_whoever_pauses_longer_or_more_often_is_waited_for_longer() -> None:
    def end_ms(*pauses_ms: int) -> int:
        return Local().judge(Evidence("mountain view", pauses_ms=pauses_ms)).end_ms

    assert end_ms(900, 1100, 1000) > end_ms(900, 1100) > end_ms(900) > end_ms(350) > end_ms()
    assert end_ms(250) == end_ms()
    assert end_ms(*[3000] * 8) <= 1100 * 1.3 + 1


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"patience": 0.2}, "patience"),
        ({"patience": 4.1}, "patience"),
        ({"threshold": 0.0}, "threshold"),
        ({"threshold": 1.0}, "threshold"),
        ({"earliest_ms": 0}, "earliest_ms"),
        ({"earliest_ms": 500, "max_ms": 400}, "earliest_ms"),
        ({"latest_ms": 0}, "latest_ms"),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(settings: dict[str, float], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        Local(**settings)  # type: ignore[arg-type]
