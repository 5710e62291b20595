"""Numbers, letters and addresses, group by group."""

from __future__ import annotations

import pytest

from pipeline.endpointing.dictation import Asked, asked, find
from pipeline.endpointing.evidence import Evidence
from pipeline.endpointing.local import LATEST_MS, Local

PHONE = "What is your phone number?"
EMAIL = "Could you tell me your e-mail address?"


def end_ms(text: str, question: str = "", language: str = "en") -> int:
    return Local().judge(Evidence(text, question=question, language=language)).end_ms


@pytest.mark.parametrize(
    ("language", "question", "groups"),
    [
        ("en", PHONE, ("five five five", "five five five oh one four", "five five five oh one four two eight nine one")),
        ("en", PHONE, ("555", "555-014", "555-014-2891")),
        ("en", "Your card number, please.", ("4111", "4111 1111", "4111 1111 1111 1111")),
        ("en", EMAIL, ("john", "john dot smith at", "john dot smith at gmail", "john dot smith at gmail dot com")),
        ("en", EMAIL, ("john.smith@", "john.smith@gmail.com")),
        ("en", "When were you born? Your date of birth?", ("march", "march the fifth", "march 5 1984")),
        ("es", "¿Cuál es su número de teléfono?", ("seis uno dos", "seis uno dos tres cuatro cinco seis siete ocho")),
        ("es", "¿Su correo electrónico?", ("ana arroba", "ana arroba gmail punto com")),
        ("fr", "Quel est votre numéro de téléphone ?", ("zéro six", "zéro six douze trente vingt quarante")),
        ("de", "Wie ist Ihre Telefonnummer?", ("null eins sieben", "null eins sieben zwei drei vier fünf sechs sieben")),
        ("pt", "Qual é o seu telefone?", ("nove um dois", "nove um dois três quatro cinco seis sete oito")),
        ("it", "Il suo numero di telefono?", ("tre quattro otto", "tre quattro otto uno due tre quattro cinque sei")),
    ],
)  # fmt: skip
def test_all_groups_but_the_last_are_waited_on_the_longest(
    language: str, question: str, groups: tuple[str, ...]
) -> None:
    *open_groups, whole = groups
    for group in open_groups:
        assert end_ms(group, question, language) >= LATEST_MS
    assert end_ms(whole, question, language) <= 450


def test_digits_are_a_dictation_though_nothing_asked_for_them() -> None:
    assert end_ms("my number is five five five") > LATEST_MS
    assert end_ms("it's oh one seven") > LATEST_MS


@pytest.mark.parametrize(
    "text",
    [
        "a table for two",
        "at seven thirty",
        "i have one",
        "two thirty pm",
        "oh",
        "i was born in nineteen eighty four",
        "it costs 200",
        "in 1984",
    ],
)
def test_a_number_in_a_sentence_is_none(text: str) -> None:
    assert find(text.split(), "", "en") is None
    assert find(text.split(), "How can I help?", "en") is None


def test_letters_that_are_spelled() -> None:
    assert end_ms("s m i", "Could you spell that for me?") > LATEST_MS * 0.9
    assert end_ms("s", "Could you spell that for me?") > LATEST_MS
    assert find(["i"], "", "en") is None
    assert find("plan b".split(), "", "en") is None


def test_an_answer_that_is_no_dictation_stays_one() -> None:
    assert end_ms("yes", PHONE) <= 350
    assert end_ms("yes", EMAIL) <= 350
    assert end_ms("i don't have one", EMAIL) <= 450
    assert end_ms("i don't have a card with me", "What is your card number?") <= 450


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        (PHONE, Asked.PHONE),
        (EMAIL, Asked.EMAIL),
        ("The number on your card?", Asked.CARD),
        ("How do you spell your name?", Asked.SPELLING),
        ("Your zip code?", Asked.CODE),
        ("Wann sind Sie geboren?", Asked.BIRTH),
        ("I have your number. What time would you like?", None),
        ("What is your phone number? I will call you there.", Asked.PHONE),
        ("For what number of people?", None),
        ("How are you today?", None),
        ("", None),
    ],
)
def test_what_was_asked_for(question: str, kind: Asked | None) -> None:
    assert asked(question) is kind
