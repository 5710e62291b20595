"""Which request is wanted about a segment, and which answer stands."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import ProviderError
from pipeline.providers.openai.segment import UNTOLD_CONFIDENCE, Limits, Segment, Span, joined
from pipeline.providers.openai.wire import Heard


def segment(**changes: int) -> Segment:
    return Segment(1, Limits(**{"part": 1000, "settle": 100, "partials": 0, **changes}))


def sound(samples: int) -> bytes:
    return np.full(samples, 500, "<i2").tobytes()


def heard(text: str, confidence: float | None = None) -> Heard:
    return Heard(text, True, confidence)


def wanted(one: Segment) -> Span | None:
    return one.wanted


def outcome(one: Segment) -> Heard | ProviderError | None:
    return one.outcome


FAULT = ProviderError("openai", "stt", "no")


def test_nothing_is_wanted_while_the_user_speaks() -> None:
    one = segment()
    for _ in range(9):
        assert not one.feed(sound(100))
    assert wanted(one) is None
    assert outcome(one) is None


def test_all_is_wanted_at_the_end() -> None:
    one = segment()
    one.feed(sound(300))
    one.ended = True
    assert wanted(one) == Span(300, "whole")
    one.take(Span(300, "whole"), heard("yes"))
    assert wanted(one) is None
    assert outcome(one) == Heard("yes", True, UNTOLD_CONFIDENCE)


def test_the_answer_begun_at_the_pause_is_the_final() -> None:
    one = segment()
    one.feed(sound(300))
    one.pause()
    span = wanted(one)
    assert span == Span(300, "whole")
    assert not one.feed(sound(100))
    assert one.wants(span)
    one.take(span, heard("yes", 0.5))
    assert outcome(one) is None, "it may go on"
    assert wanted(one) is None
    one.ended = True
    assert wanted(one) is None
    assert outcome(one) == Heard("yes", True, 0.5)


def test_the_answer_may_come_after_the_end() -> None:
    one = segment()
    one.feed(sound(300))
    one.pause()
    span = wanted(one)
    assert span is not None
    one.feed(sound(50))
    one.ended = True
    assert one.wants(span)
    one.take(span, heard("yes"))
    assert outcome(one) is not None


@pytest.mark.parametrize("answered", [False, True])
def test_more_audio_makes_it_void(answered: bool) -> None:
    one = segment()
    one.feed(sound(300))
    one.pause()
    span = wanted(one)
    assert span is not None
    if answered:
        one.take(span, heard("yes"))
    assert one.feed(sound(101)), "something has changed"
    assert not one.wants(span)
    assert wanted(one) is None, "the user goes on"
    one.ended = True
    assert outcome(one) is None
    assert wanted(one) == Span(401, "whole")


def test_another_pause_makes_it_void() -> None:
    one = segment()
    one.feed(sound(300))
    one.pause()
    span = wanted(one)
    assert span is not None
    one.pause()
    assert one.wants(span), "nothing was said in between"
    one.feed(sound(50))
    one.pause()
    assert not one.wants(span)
    assert wanted(one) == Span(350, "whole")


def test_a_failure_at_the_pause_is_the_outcome_unless_it_is_void() -> None:
    one = segment()
    one.feed(sound(300))
    one.pause()
    one.take(Span(300, "whole"), FAULT)
    assert outcome(one) is None
    one.ended = True
    assert outcome(one) is FAULT
    two = segment()
    two.feed(sound(300))
    two.pause()
    two.take(Span(300, "whole"), FAULT)
    two.feed(sound(200))
    two.ended = True
    assert wanted(two) == Span(500, "whole")


def test_what_is_too_long_is_settled_in_parts() -> None:
    one = segment()
    assert not one.feed(sound(1000))
    assert one.feed(sound(1))
    span = wanted(one)
    assert span == Span(1000, "part")
    assert len(one.audio(span)) == 2000
    one.pause()
    one.ended = True
    assert one.wants(span)
    assert wanted(one) == span, "one after the other"
    one.take(span, heard("one", 0.4))
    assert one.samples == 1
    assert outcome(one) is None
    assert one.text_with("two") == "one two"
    assert wanted(one) == Span(1, "whole")
    one.take(Span(1, "whole"), heard("two", 0.6))
    assert outcome(one) == Heard("one two", True, 0.5)


def test_a_pause_in_front_of_the_cut_is_kept() -> None:
    one = segment()
    one.feed(sound(950))
    one.pause()
    assert wanted(one) == Span(950, "whole")
    one.feed(sound(80))
    assert wanted(one) == Span(1000, "part")
    one.take(Span(1000, "part"), heard("one"))
    assert wanted(one) == Span(0, "whole")
    assert one.silent(Span(0, "whole"))


def test_a_part_that_is_lost_loses_the_segment_at_once() -> None:
    one = segment()
    one.feed(sound(1001))
    one.take(Span(1000, "part"), FAULT)
    assert outcome(one) is FAULT


def test_the_growing_segment_is_asked_about_now_and_then() -> None:
    one = segment(partials=200)
    assert not one.feed(sound(199))
    assert one.feed(sound(51))
    span = wanted(one)
    assert span == Span(250, "partial")
    one.asked(span)
    assert wanted(one) is None
    assert one.wants(span)
    one.take(span, heard("one"))
    assert not one.feed(sound(199))
    assert one.feed(sound(1))
    assert wanted(one) == Span(450, "partial")
    one.pause()
    assert not one.wants(span), "the whole is worth more"
    assert wanted(one) == Span(450, "whole")


@pytest.mark.parametrize(
    ("samples", "silent"),
    [([], True), ([0, 0], True), ([16, -16], True), ([0, 17], False), ([-17, 0], False), ([-32768], False)],
)
def test_silence(samples: list[int], silent: bool) -> None:
    one = segment()
    one.feed(np.array(samples, "<i2").tobytes())
    assert one.silent(Span(len(samples), "whole")) is silent


def test_after_its_outcome_nothing_is_kept_or_wanted() -> None:
    one = segment(partials=10)
    one.over = True
    assert not one.feed(sound(300))
    assert one.samples == 0
    one.pause()
    assert wanted(one) is None
    assert not one.wants(Span(0, "part"))


def test_parts_without_words_do_not_count() -> None:
    assert joined([heard(""), heard("yes", 0.5), heard("", 0.0)]) == Heard("yes", True, 0.5)
    assert joined([heard("")]) == Heard("", True, 0.0)
