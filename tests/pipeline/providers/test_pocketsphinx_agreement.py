"""When a phrase is believed. The figures behind the limits come from ``benchmarks/recognition.py``."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.providers.pocketsphinx.agreement import (
    LIMITS,
    Evidence,
    Judgement,
    align,
    distance,
    judge,
    open_confidence,
    phrase_confidence,
    possible,
    similarity,
    substitution,
)

BELIEVED, REJECTED, SCORE_WANTED = Judgement.BELIEVED, Judgement.REJECTED, Judgement.SCORE_WANTED
PHONES = sorted({p for a in "AA AE AH B D F IY K M N S T".split() for p in (a,)})


def words(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(word.split()) for word in text.split("|"))


def evidence(
    heard: str, phrase: str, *, worse: float | None = None, frames: int = 60, pace: int = 8
) -> Evidence:
    """Both searches have found words in the same frames; ``worse`` is how much worse the phrase fits."""
    return Evidence(
        open_words=words(heard) if heard else (),
        phrase_words=words(phrase),
        word_frames=tuple(pace * len(w) for w in words(phrase)),
        open_frames=frames,
        phrase_frames=frames,
        common_frames=frames,
        phrase_score=-300.0,
        open_score=None if worse is None else -300.0 + worse * frames,
    )


BYE, BUY, HI = "B AY", "B AY", "HH AY"
GOODBYE = "G UH D B AY"
BOOK_A_ROOM = "B UH K|AH|R UW M"
TELL_ME_A_STORY = "T EH L|M IY|AH|S T AO R IY"


@pytest.mark.parametrize(
    ("heard", "phrase", "judgement"),
    [
        pytest.param(BYE, BYE, BELIEVED, id="the same word"),
        pytest.param("B AY", BUY, BELIEVED, id="a homophone: no ear can tell"),
        pytest.param(HI, BYE, REJECTED, id="a rhyme of two phones"),
        pytest.param("AY", BYE, REJECTED, id="half of a short word"),
        pytest.param("", BYE, REJECTED, id="nothing"),
        pytest.param("", TELL_ME_A_STORY, REJECTED, id="nothing, and a long phrase"),
        pytest.param("B UH K ER|R UW M", BOOK_A_ROOM, SCORE_WANTED, id="booker room"),
        pytest.param("HH EH L|N OW", "HH AH L OW", SCORE_WANTED, id="hell no, hello"),
        pytest.param("G UH D|D EY", GOODBYE, SCORE_WANTED, id="good day, goodbye"),
        pytest.param("T EH L|M IY|M AO R", TELL_ME_A_STORY, SCORE_WANTED, id="tell me more"),
        pytest.param("S IY|Y UW|T AH D EY", GOODBYE, REJECTED, id="another sentence"),
        pytest.param(" ".join(["AY"] * 30), TELL_ME_A_STORY, REJECTED, id="far too long"),
        pytest.param(
            "T EH L|M IY|AH|S T AO R IY|AH B AW T|AH|M AE N", TELL_ME_A_STORY, REJECTED, id="and more"
        ),
    ],
)
def test_what_the_sounds_alone_decide(heard: str, phrase: str, judgement: Judgement) -> None:
    assert judge(evidence(heard, phrase)) is judgement


@pytest.mark.parametrize("limit", LIMITS[1:])
def test_the_score_decides_the_rest(limit: object) -> None:
    close = evidence("B UH K ER|R UW M", BOOK_A_ROOM)
    assert judge(replace(close, open_score=close.phrase_score)) is BELIEVED
    assert judge(evidence("B UH K ER|R UW M", BOOK_A_ROOM, worse=0.2)) is BELIEVED
    assert judge(evidence("B UH K ER|R UW M", BOOK_A_ROOM, worse=0.8)) is REJECTED
    assert judge(evidence("HH EH L|N OW", "HH AH L OW", worse=1.1)) is REJECTED


def test_a_phrase_must_explain_all_of_the_speech() -> None:
    seen = evidence("B UH K ER|R UW M", BOOK_A_ROOM, worse=0.0)
    assert judge(seen) is BELIEVED
    assert judge(replace(seen, phrase_frames=45, common_frames=45)) is REJECTED


def test_a_word_that_was_squeezed_in_is_not_believed() -> None:
    # "what is it" is not "what day is it", though only two phones are missing.
    heard, phrase = "W AH T|IH Z|IH T", "W AH T|D EY|IH Z|IH T"
    assert judge(evidence(heard, phrase, worse=0.0)) is BELIEVED
    assert judge(evidence(heard, phrase, worse=0.0, pace=4)) is REJECTED


def test_a_longer_phrase_may_be_misheard_more() -> None:
    assert [limit.up_to_phones for limit in LIMITS] == sorted(limit.up_to_phones for limit in LIMITS)
    alike = [limit.alike for limit in LIMITS]
    assert alike == sorted(alike, reverse=True)
    assert all(limit.related <= limit.alike for limit in LIMITS[1:])
    assert LIMITS[0].related > 1  # three phones are never saved by a score


sounds = st.lists(st.sampled_from(PHONES), max_size=12).map(tuple)
phrases = st.lists(
    st.lists(st.sampled_from(PHONES), min_size=1, max_size=4).map(tuple), min_size=1, max_size=4
)


@given(sounds, phrases)
def test_the_alignment_is_the_cheapest_and_its_words_add_up(
    heard: tuple[str, ...], phrase: list[tuple[str, ...]]
) -> None:
    laid = align(heard, phrase)
    flat = tuple(p for word in phrase for p in word)
    assert laid.cost == pytest.approx(sum(laid.word_costs))
    assert laid.cost == pytest.approx(distance(heard, flat))
    assert distance(flat, flat) == 0
    assert distance(heard, flat) == pytest.approx(distance(flat, heard))


@given(sounds, phrases, st.integers(1, 200))
def test_whatever_is_believed_was_possible(
    heard: tuple[str, ...], phrase: list[tuple[str, ...]], pace: int
) -> None:
    seen = replace(
        evidence("AA", "AA", worse=-5.0),
        open_words=(heard,) if heard else (),
        phrase_words=tuple(phrase),
        word_frames=tuple(pace * len(w) for w in phrase),
    )
    if judge(seen) is BELIEVED:
        assert possible(heard, tuple(p for w in phrase for p in w))
        assert 0.5 < phrase_confidence(seen) <= 0.95
        assert similarity(seen) <= 1


def test_related_sounds_cost_less() -> None:
    assert substitution("B", "B") == 0
    assert (
        substitution("B", "P") < substitution("AA", "IY") < substitution("B", "S") < substitution("B", "AA")
    )
    assert all(substitution(a, b) == substitution(b, a) for a in PHONES for b in PHONES)


def test_confidence_of_open_text_is_the_mean_posterior() -> None:
    assert open_confidence(()) == 0.0
    assert open_confidence((1.0, 0.5)) == 0.75
