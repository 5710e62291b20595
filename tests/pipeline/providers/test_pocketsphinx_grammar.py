"""Phrases as people write them, as words that a dictionary can pronounce."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.providers.pocketsphinx.grammar import MAX_PHRASES, MAX_WORDS, build, cardinal, jsgf, spoken
from pipeline.providers.pocketsphinx.pronounce import by_rule, pronunciations

WORDS = {
    "the": "DH AH", "the(2)": "DH IY", "talk": "T AO K", "wire": "W AY ER", "cat": "K AE T", "dog": "D AO G",
    "bus": "B AH S", "f": "EH F", "q": "K Y UW", "x": "EH K S", "z": "Z IY", "a": "AH", "a(2)": "EY",
}  # fmt: skip


@pytest.mark.parametrize(
    ("phrase", "ways"),
    [
        ("What's the time?", ["what's the time"]),
        ("What\u2019s  up", ["what's up"]),
        ("'quoted', yes!", ["quoted yes"]),
        ("Room 42", ["room forty two"]),
        ("e-mail", ["e mail"]),
        ("Cr\u00e8me br\u00fbl\u00e9e", ["creme brulee"]),
        ("B2B", ["b two b"]),
        ("a.m.", ["am"]),
        ("3:30 pm", ["three thirty pm"]),
        ("9:05", ["nine oh five"]),
        ("12:00", ["twelve o'clock"]),
        ("the 21st", ["the twenty first"]),
        ("20th, 5th, 12th", ["twentieth fifth twelfth"]),
        ("3.5 %", ["three point five percent"]),
        ("2024", ["two thousand twenty four", "twenty twenty four", "two zero two four"]),
        ("1900", ["one thousand nine hundred", "nineteen hundred", "one nine zero zero"]),
        ("911", ["nine hundred eleven", "nine one one"]),
        ("007", ["zero zero seven", "oh oh seven"]),
        ("1,000,000", ["one zero zero zero zero zero zero", "one oh oh oh oh oh oh"]),
        ("AT&T", ["at and t"]),
        ("wait - what", ["wait what"]),
        ("\u65e5\u672c", []),
        ("yes \u65e5\u672c", []),
        ("...", []),
        ("", []),
    ],
)
def test_how_a_phrase_is_said(phrase: str, ways: list[str]) -> None:
    assert [" ".join(path.words) for path in spoken(phrase)] == ways


def test_a_path_keeps_the_tokens_of_the_agent() -> None:
    (path,) = spoken("Room 42, please!")
    assert path.phrase == "Room 42, please!"
    assert path.tokens == (("Room", ("room",)), ("42,", ("forty", "two")), ("please!", ("please",)))


@given(st.integers(0, 999_999))
def test_cardinals_say_the_number(value: int) -> None:
    digits = {w: i for i, w in enumerate("zero one two three four five six seven eight nine".split())}
    tens = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80}
    teens = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
    total = part = 0
    for word in cardinal(value):
        if word == "thousand":
            total, part = part * 1000, 0
        elif word == "hundred":
            part *= 100
        else:
            part += digits.get(word, tens.get(word, 90 if word == "ninety" else 0))
            part += 10 + teens.index(word) if word in teens else 0
    assert total + part == value


@given(st.text(max_size=40))
def test_no_phrase_is_too_strange(phrase: str) -> None:
    grammar = build([phrase], WORDS.get)
    assert len(grammar.paths) + len(grammar.dropped) >= 1
    for path in grammar.paths:
        assert path.phrase == phrase
        assert path.words
        assert all(set(word) <= set("abcdefghijklmnopqrstuvwxyz'") for word in path.words)
        assert all(all(p.split() for p in grammar.lexicon[word]) for word in path.words)


def test_what_cannot_be_listened_for_is_told() -> None:
    phrases = [
        "cat",
        "\u65e5\u672c",
        "a " * (MAX_WORDS + 1),
        *(f"dog {'x' * n}" for n in range(1, MAX_PHRASES + 1)),
    ]
    grammar = build(phrases, WORDS.get)
    dropped = dict(grammar.dropped)
    assert "nothing that English can say" in dropped["\u65e5\u672c"]
    assert str(MAX_WORDS) in dropped["a " * (MAX_WORDS + 1)]
    assert str(MAX_PHRASES) in dropped["dog " + "x" * MAX_PHRASES]
    assert grammar.paths[0].phrase == "cat"


def test_the_same_words_are_one_phrase_and_the_first_spelling_counts() -> None:
    grammar = build(["The cat!", "the cat", "The cat!"], WORDS.get)
    assert [path.phrase for path in grammar.paths] == ["The cat!"]
    assert grammar.lexicon == {"the": ("DH AH", "DH IY"), "cat": ("K AE T",)}
    assert grammar.phones == (("DH", "AH", "K", "AE", "T"),)
    assert grammar.dropped == ()


def test_the_grammar_as_text() -> None:
    grammar = build(["the cat", "dog"], WORDS.get)
    keys = {"the": "w0", "cat": "w1", "dog": "w2"}
    assert jsgf(grammar, keys.__getitem__) == ("#JSGF V1.0; grammar phrases; public <phrase> = w0 w1 | w2;")


@pytest.mark.parametrize(
    ("word", "ways"),
    [
        ("the", ("DH AH", "DH IY")),
        ("talkwire", ("T AO K W AY ER",)),  # two known words
        ("cat's", ("K AE T S",)),
        ("dog's", ("D AO G Z",)),
        ("bus's", ("B AH S IH Z",)),
        ("fq", ("EH F K Y UW",)),  # spelt, for want of a vowel
        ("zax", ("Z AE K S", "Z IY AH EH K S")),  # short: read or spelt
        ("grokking", ("G R AA K IH NG",)),
    ],
)
def test_how_a_word_is_said(word: str, ways: tuple[str, ...]) -> None:
    assert pronunciations(word, WORDS.get) == ways


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("note", "N OW T"), ("knight", "N AY T"), ("base", "B EY S"), ("station", "S T AE SH AH N"),
        ("butter", "B AH T ER"), ("city", "S IH T IY"), ("queen", "K W IY N"), ("boy", "B OY"), ("e", "AH"),
    ],
)  # fmt: skip
def test_letters_to_sounds(word: str, phones: str) -> None:
    assert by_rule(word) == phones
