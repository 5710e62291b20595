"""flite reads ASCII; its tokens, found again in our text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.providers.flite.alignment import Alignment, fold
from pipeline.synthesis.spans import Span
from pipeline.text import tokens


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("caf\u00e9 na\u00efve \u00a1Hola!", "cafe naive Hola!"),
        ("don\u2019t \u201cquote\u201d", 'don\'t "quote"'),
        ("Stra\u00dfe \u0153uvre \u00d8re", "Strasse oeuvre Ore"),
        ("one \u2014 two\u2026", "one , two,"),
        ("\u20ac5 22\u00b0C", " euro 5 22 degrees C"),
        ("\u4f60\u597d \U0001f600\x00\n", " "),
        ("\uff21\uff11 \u00bd", "A1 12"),
    ],
)
def test_fold(text: str, folded: str) -> None:
    assert fold(text) == folded


def test_tokens_are_found_by_their_names_in_order() -> None:
    alignment = Alignment("the (the) \u201cthe\u201d end.")
    assert alignment.text == 'the (the) "the" end.'
    spoken = [("the", 10, 20), ("the", 30, 40), ("the", 50, 60), ("end", 70, 80)]
    assert alignment.spans(spoken) == [Span(i, 10 + 20 * i, 20 + 20 * i) for i in range(4)]


def test_a_token_that_flite_takes_apart_is_one_word() -> None:
    assert Alignment("f(x) now").spans([("f", 0, 10), ("x", 12, 20), ("now", 30, 40)]) == [
        Span(0, 0, 20),
        Span(1, 30, 40),
    ]


def test_what_is_not_spoken_lies_between_its_neighbours() -> None:
    alignment = Alignment("one \u4f60\u597d two \u597d")
    assert alignment.spans([("one", 5, 20), ("two", 30, 40)]) == [
        Span(0, 5, 20),
        Span(1, 20, 30),
        Span(2, 30, 40),
        Span(3, 40, 40),
    ]
    assert Alignment("\u597d one").spans([("one", 5, 20)]) == [Span(0, 5, 5), Span(1, 5, 20)]
    assert Alignment("\u597d \u4f60").spans([]) == [Span(0, 0, 0), Span(1, 0, 0)]


def test_a_name_that_is_not_in_the_text_is_passed_over() -> None:
    assert Alignment("one two").spans([("one", 0, 10), ("nine", 10, 20), ("two", 20, 30)]) == [
        Span(0, 0, 10),
        Span(1, 20, 30),
    ]


@given(
    st.text("ab .\u00e9\u597d(", max_size=25),
    st.lists(st.tuples(st.sampled_from(["a", "b", "ab", "e", "."]), st.integers(0, 30)), max_size=12),
)
def test_any_tokens_give_each_of_ours_one_span_in_order(text: str, named: list[tuple[str, int]]) -> None:
    alignment = Alignment(text)
    assert alignment.text.isascii()
    spoken = [(name, 10 * i, 10 * i + length) for i, (name, length) in enumerate(named)]
    spans = alignment.spans(spoken)
    assert [span.index for span in spans] == list(range(len(tokens(text))))
    at = 0
    for span in spans:
        assert at <= span.start <= span.end
        at = span.end
