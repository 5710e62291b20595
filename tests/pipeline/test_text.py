"""Tokens and sentences: properties over any text, and the cases that speech depends on."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.text import SentenceSplitter, sentences, speakable, tokens

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


_RICH = (
    "1. 2) - * ** # e.g. Dr Inc St Then It Monday und porque mais and which because so — – : ; ， 14 3. Mai (but"
).split()
rich_prose = st.lists(st.sampled_from([*_WORDS.split(), *_RICH, *_GAPS, *[" "] * 40]), max_size=120).map(
    "".join
)
options = st.sampled_from(
    [
        {},
        {"max_chars": 20},
        {"first_clause_chars": 20, "least_clause_chars": 8, "max_chars": 40},
        {"first_clause_chars": 10, "least_clause_chars": 3},
    ]
)


@given(rich_prose | st.text(max_size=80), options, st.randoms(use_true_random=False))
def test_the_cuts_do_not_depend_on_how_the_text_comes(
    text: str, chosen: dict[str, int], chance: random.Random
) -> None:
    at_once, in_parts = SentenceSplitter(**chosen), SentenceSplitter(**chosen)
    whole = [*at_once.feed(text), at_once.flush()]
    parts: list[str] = []
    at = 0
    while at < len(text):
        step = chance.choice((1, 1, 2, 3, 7, 30))
        parts += in_parts.feed(text[at : at + step])
        at += step
    assert [*parts, in_parts.flush()] == whole
    assert "".join(whole) == text
    assert all(len(piece) <= 2 * chosen.get("max_chars", 300) + 20 for piece in whole)


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
        # Lists: a marker is no sentence.
        ("1. Eggs\n2. Milk", ["1. Eggs\n", "2. Milk"]),
        ("1) Eggs\n- a\n- b\n\u2022 c", ["1) Eggs\n", "- a\n", "- b\n", "\u2022 c"]),
        ("Buy:\n\n**1. Eggs.**\n**2.** Milk.", ["Buy:\n\n", "**1. Eggs.**\n", "**2.** Milk."]),
        ("1.\nEggs", ["1.\nEggs"]),
        ("ii. Then this. iii. Then that.", ["ii. Then this. ", "iii. Then that."]),
        ("Install Version 2. Then restart.", ["Install Version 2. ", "Then restart."]),
        ("Am 3. Mai, beim 2. oder so. Gut.", ["Am 3. Mai, beim 2. oder so. ", "Gut."]),
        # What is shortened.
        ("The U.S. Army left the U.S. It did.", ["The U.S. Army left the U.S. ", "It did."]),
        ("At Apple Inc. The end, etc. We go.", ["At Apple Inc. ", "The end, etc. ", "We go."]),
        ("Take vitamin C. It helps.", ["Take vitamin C. ", "It helps."]),
        ("At 3 p.m. Monday, e.g. at noon. Ok.", ["At 3 p.m. Monday, e.g. at noon. ", "Ok."]),
        ("Ask a.b@example.com. See x.org/a?b=c. Ok?", ["Ask a.b@example.com. ", "See x.org/a?b=c. ", "Ok?"]),
        # What stands behind a stop.
        ("**Done.** Next _one._ And `it.` Ok", ["**Done.** ", "Next _one._ ", "And `it.` ", "Ok"]),
        (
            "Great!\U0001f600 Let us go?! (Now.) Yes.",
            ["Great!\U0001f600 ", "Let us go?! ", "(Now.) ", "Yes."],
        ),
        ('"Really?" she asked. "Yes." He left.', ['"Really?" she asked. ', '"Yes." ', "He left."]),
        ("# Title\nText.", ["# Title\n", "Text."]),
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


def cut(text: str, **chosen: int) -> list[str]:
    splitter = SentenceSplitter(**chosen)
    return [*splitter.feed(text), splitter.flush()]


@pytest.mark.parametrize(
    "marked",
    [
        # The last mark before the limit, rather than a later conjunction.
        "Of course, I will gladly change that for you, |but I need the number and the date of it.",
        "The old grey building next to the station \u2014 |the post office and the bank of the town.",
        "Gerne helfe ich Ihnen bei der Buchung weiter, |aber zuerst brauche ich Ihre Nummer daf\u00fcr.",
        # A conjunction where there is no mark; one that makes a list only where there is nothing else.
        "You may return it within two weeks |because the law wants it and we are kind about that.",
        "You may return it in all of our shops |or at every post office of the country by now.",
        "It is the process by which plants turn all the light of the sun into sugar |and oxygen.",
        # Not in numbers, dates, quotations and brackets, where that can be helped.
        "The meeting on March 14, 2025 costs $1,234,567 at 3:30 at the latest, |as I was told.",
        'She told him "come home, because it rains, and bring a lot of bread" before the shop closed for good.',
        "I went (with my sister, my aunt and all of the others) to see the town, |as one does.",
        # A short sentence goes out as it is, and what is too short is no clause.
        "Sure! |I will gladly look into that for you, if you can give me the number of your order.",
        "Yes, I will gladly look into that for you today |if you give me the number of your order.",
    ],
)
def test_of_a_long_first_sentence_a_clause_goes_first(marked: str) -> None:
    first, _, rest = marked.partition("|")
    assert cut(first + rest, first_clause_chars=60) == [first, *([rest] if rest else [])]


def test_only_the_first_sentence_is_cut_at_a_clause() -> None:
    first, rest = (
        "Of course, I will gladly change that for you, ",
        "but I need the number and the date of it. ",
    )
    assert cut((first + rest) * 2, first_clause_chars=60) == [first, rest, first + rest, ""]
    assert cut(first + rest) == [first + rest, ""]


def test_a_first_clause_is_given_as_soon_as_the_limit_is_passed() -> None:
    splitter = SentenceSplitter(first_clause_chars=60)
    text = "Of course, I will gladly change that for you, but I need the number of it and"
    given = next(i for i in range(len(text)) if splitter.feed(text[i]))
    assert given == 69


def test_a_text_without_stops_is_cut_at_clauses_or_between_words() -> None:
    found = cut("so we went on, " * 60)
    assert all(100 < len(piece) <= 300 and piece.endswith(", ") for piece in found[:-1])
    found = cut("word " * 200)
    assert all(len(piece) == 300 for piece in found[:3])
    assert [len(piece) for piece in cut("\u4f60" * 700)] == [300, 300, 100]
    assert [len(piece) for piece in cut("x" * 1300)] == [600, 600, 100]
    assert cut("x" * 400 + " y") == ["x" * 400 + " ", "y"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("It is **very** important.", "It is very important."),
        ("_Really_? ~No~, `maybe`.", "Really? No, maybe."),
        ("# Heading", " Heading"),
        ("snake_case stays, and 2*3", "snake_case stays, and 2*3"),
        ("Nothing to do.", "Nothing to do."),
        ("***", ""),
        ("* one", " one"),
    ],
)
def test_markup_is_not_said(text: str, said: str) -> None:
    assert speakable(text) == said


@given(st.text(alphabet="ab *_#`~.-\n", max_size=40))
def test_what_is_said_has_the_same_tokens(text: str) -> None:
    assert len(tokens(speakable(text))) == len(tokens(text))
