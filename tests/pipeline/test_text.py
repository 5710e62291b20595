"""Tokens and sentences: properties over any text, and the cases that speech depends on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.text import SentenceSplitter, sentences, tokens

# Text as models write it, dense in what the splitter looks at.
_WORDS = (
    "Hello no No etc U.S p.m 3 234.56 I J \u4f60\u597d caf\u00e9 \U0001f600 "
    '. ... ?! ! \u2026 \u3002 \u201d " ) - ,'
)
_GAPS = [" ", "  ", "\n", "\n\n", "\t"]
prose = st.lists(st.sampled_from([*_WORDS.split(), *_GAPS]), max_size=40).map("".join)
any_text = prose | st.text(max_size=80)


@given(any_text)
def test_every_visible_character_is_in_exactly_one_token_or_there_is_none(text: str) -> None:
    found = tokens(text)
    if not any(c.isalnum() for c in text):
        assert found == []
        return
    at = 0
    for token in found:
        assert text[at : token.start].strip() == ""
        assert token.text == text[token.start : token.end]
        assert any(c.isalnum() for c in token.text)
        assert not token.text[0].isspace()
        assert not token.text[-1].isspace()
        at = token.end
    assert text[at:].strip() == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello there", ["Hello", "there"]),
        ("It is $234.56 at 3:30pm.", ["It", "is", "$234.56", "at", "3:30pm."]),
        ("caf\u00e9 na\u00efve \u00a1Hola!", ["caf\u00e9", "na\u00efve", "\u00a1Hola!"]),
        ("yes \u2014 no", ["yes \u2014", "no"]),
        ("- one - two", ["- one -", "two"]),
        ("\u00bf Qu\u00e9 ?", ["\u00bf Qu\u00e9 ?"]),
        ("fine \U0001f600 \U0001f44d ok", ["fine \U0001f600 \U0001f44d", "ok"]),
        ("  spaced\n\nout  ", ["spaced", "out"]),
        ("...", []),
        ("\U0001f600", []),
        ("", []),
    ],
)
def test_tokens(text: str, expected: list[str]) -> None:
    assert [token.text for token in tokens(text)] == expected


@given(any_text)
def test_joined_sentences_are_the_text(text: str) -> None:
    found = sentences(text)
    assert "".join(found) == text
    assert all(found)
    if text.strip():
        assert all(sentence.strip() for sentence in found)


@given(st.lists(any_text, max_size=8))
def test_fed_in_parts_nothing_is_lost(parts: list[str]) -> None:
    splitter = SentenceSplitter()
    out = [sentence for part in parts for sentence in splitter.feed(part)]
    assert "".join(out) + splitter.flush() == "".join(parts)
    assert splitter.flush() == ""


@given(prose)
def test_a_text_fed_by_characters_is_cut_at_the_same_places(text: str) -> None:
    """But for white space, which comes after its sentence has gone out and so leads the next one."""
    splitter = SentenceSplitter()
    out = [sentence for c in text for sentence in splitter.feed(c)] + [splitter.flush()]
    assert [s.strip() for s in out if s.strip()] == [s.strip() for s in sentences(text) if s.strip()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One. ", "Two! ", "Three? ", "Four"]),
        ("Dr. Smith is in. Wait.", ["Dr. Smith is in. ", "Wait."]),
        ("It costs 3.50 today. Yes.", ["It costs 3.50 today. ", "Yes."]),
        ("J. Smith called.", ["J. Smith called."]),
        ("So do I. And you?", ["So do I. ", "And you?"]),
        ("No. I do not.", ["No. ", "I do not."]),
        ("See no. 5 please.", ["See no. 5 please."]),
        ("At 3 p.m. on Monday. Fine.", ["At 3 p.m. on Monday. ", "Fine."]),
        ("The U.S. army.", ["The U.S. army."]),
        ("At 3 p.m. We close then.", ["At 3 p.m. ", "We close then."]),
        ('He said "stop." Then he left.', ['He said "stop." ', "Then he left."]),
        ("Well... maybe", ["Well... ", "maybe"]),
        ("A list\none\n\ntwo", ["A list\n", "one\n\n", "two"]),
        ("\u4f60\u597d\u3002\u6211\u662f\u3002", ["\u4f60\u597d\u3002", "\u6211\u662f\u3002"]),
        ("Visit example.com now. Ok.", ["Visit example.com now. ", "Ok."]),
        (" \n ", [" \n "]),
        ("", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_a_sentence_is_given_as_soon_as_it_is_sure() -> None:
    splitter = SentenceSplitter()
    assert splitter.feed("Hello there.") == []  # "there.com" may still come
    assert splitter.feed(" ") == ["Hello there. "]
    assert splitter.feed("It is 3.") == []
    assert splitter.feed("5 now!") == []
    assert splitter.feed(" No.") == ["It is 3.5 now! "]
    assert splitter.feed(" ") == []  # "No. 5" may still come
    assert splitter.feed("T") == ["No. "]
    assert splitter.flush() == "T"
