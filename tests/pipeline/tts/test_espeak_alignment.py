"""espeak's events, as recorded from the library, and the spans that they must become."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.providers.espeak.alignment import Aligner
from pipeline.providers.espeak.worker import spoken
from pipeline.synthesis.spans import Span
from pipeline.text import tokens

Event = tuple[str, int, int]
"""``word``, place in the text, sample; or ``sound`` / ``pause``, nothing, sample."""


def align(text: str, events: list[Event], length: int) -> list[Span]:
    aligner = Aligner(text)
    spans: list[Span] = []
    for kind, place, sample in events:
        if kind == "word":
            spans += aligner.word(place, sample)
        else:
            aligner.phoneme(kind == "sound", sample)
    return spans + aligner.finish(length)


def test_a_number_is_one_word_however_many_espeak_makes_of_it() -> None:
    text = "costs 234.56 dollars"
    events = [("word", 0, 0), ("word", 6, 100), ("word", 7, 200), ("word", 7, 300), ("word", 13, 400)]
    assert align(text, events, 500) == [Span(0, 0, 100), Span(1, 100, 400), Span(2, 400, 500)]


def test_the_parts_of_a_time_and_of_an_address_are_one_word() -> None:
    text = "at 3:30pm, see a.b/c?d"
    events = [("word", place, 100 * i) for i, place in enumerate([0, 3, 5, 7, 11, 15, 16, 17, 18, 20, 21])]
    assert align(text, events, 1100) == [
        Span(0, 0, 100),
        Span(1, 100, 400),
        Span(2, 400, 500),
        Span(3, 500, 1100),
    ]


def test_merged_words_share_their_time_at_the_start_of_a_phoneme() -> None:
    text = "I have been there"
    events = [("word", 0, 0), ("word", 2, 3650), *[("sound", 0, s) for s in (3662, 3714, 3778, 3882, 3905)]]
    spans = align(text, [*events, ("word", 12, 4035)], 4500)
    assert spans == [Span(0, 0, 3650), Span(1, 3650, 3882), Span(2, 3882, 4035), Span(3, 4035, 4500)]


def test_a_word_ends_with_its_last_sound_and_not_with_the_pause_behind_it() -> None:
    text = "yes, no."
    events: list[Event] = [("word", 0, 0), ("sound", 0, 10), ("sound", 0, 50), ("pause", 0, 300)]
    events += [("pause", 0, 400), ("word", 5, 600), ("sound", 0, 600), ("pause", 0, 900)]
    assert align(text, events, 1000) == [Span(0, 0, 300), Span(1, 600, 900)]


def test_a_pause_inside_a_word_does_not_end_it() -> None:
    events: list[Event] = [("word", 0, 0), ("sound", 0, 0), ("pause", 0, 100), ("sound", 0, 150)]
    assert align("pm now", [*events, ("word", 3, 400)], 500) == [Span(0, 0, 400), Span(1, 400, 500)]


def test_the_space_behind_a_full_stop_is_the_next_word_but_behind_a_digit_it_is_not() -> None:
    assert align("Dr. at noon", [("word", 0, 0), ("word", 3, 130), ("word", 7, 200)], 300) == [
        Span(0, 0, 130),
        Span(1, 130, 200),
        Span(2, 200, 300),
    ]
    assert align("5 dollars", [("word", 0, 0), ("word", 1, 100), ("word", 2, 200)], 300) == [
        Span(0, 0, 200),
        Span(1, 200, 300),
    ]


def test_punctuation_that_is_read_aloud_belongs_to_its_token() -> None:
    text = "**bold** text"
    events = [("word", 0, 0), ("word", 2, 100), ("word", 6, 200), ("word", 9, 300)]
    assert align(text, events, 400) == [Span(0, 0, 300), Span(1, 300, 400)]


def test_what_espeak_never_mentions_gets_a_word_all_the_same() -> None:
    assert align("a b c", [], 100) == [Span(0, 0, 0), Span(1, 0, 0), Span(2, 0, 0)]
    assert align("a bb c", [("word", 2, 0)], 90)[0] == Span(0, 0, 0)


def test_audio_is_released_up_to_the_word_that_is_open() -> None:
    aligner = Aligner("one two")
    aligner.word(0, 0)
    assert aligner.horizon == 0
    aligner.word(4, 500)
    assert aligner.horizon == 500
    aligner.finish(900)
    assert aligner.horizon == 900


@given(
    st.text("ab .5-\u00e9", max_size=30),
    st.lists(st.tuples(st.sampled_from(["word", "sound", "pause"]), st.integers(-1, 40)), max_size=30),
)
def test_any_events_give_each_token_one_span_in_order(text: str, events: list[tuple[str, int]]) -> None:
    placed = [(kind, place, 10 * i) for i, (kind, place) in enumerate(events)]
    spans = align(text, placed, 1000)
    assert [span.index for span in spans] == list(range(len(tokens(text))))
    at = 0
    for span in spans:
        assert at <= span.start <= span.end <= 1000
        at = span.end


def test_the_spoken_text_keeps_its_places() -> None:
    text = "a\x01b \U0001f44d\U0001f3fd 1\ufe0f\u20e3 caf\u00e9\n\u2708\ufe0f 5\u00b0 \u00a9"
    assert len(spoken(text)) == len(text)
    assert spoken(text).split() == ["a", "b", "1", "caf\u00e9", "5\u00b0", "\u00a9"]
