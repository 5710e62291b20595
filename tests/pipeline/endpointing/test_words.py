"""What a dialogue's usual utterances say about the end of a turn, as recognisers write them.

Scripted by hand: they test that the judgement is as meant, and are no evidence of how good it is.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.endpointing.evidence import Evidence
from pipeline.endpointing.lexicon import LEXICONS, of
from pipeline.endpointing.local import Local
from pipeline.endpointing.words import LEAST, MOST, bare, read

UNFINISHED = {
    "en": (
        "i would like to", "i would like to book a table for", "book a table for two and", "my name is", "because",
        "i want a pizza with", "the", "it's more than", "could you tell me whether", "i'm looking for a very",
        "i need", "if it rains tomorrow", "can i get uh", "um", "so um", "and so my fellow americans", "for example",
        "let me see", "I'd like to change my", "Book a table,", "I would like…", "we went to the", "is there any",
        "well", "and well", "could you", "give me", "is there", "no i", "when i get home", "hold on", "i mean",
        "i'd say around",
    ),
    "es": ("quiero una mesa para", "me llamo", "quisiera reservar una", "porque", "necesito un vuelo a", "eh",
           "y mi", "no sé si", "un momento"),
    "fr": ("je voudrais une table pour", "je m'appelle", "parce que", "euh", "je cherche un", "c'est l'", "est-ce que",
           "j'aimerais réserver", "j'aimerais"),
    "de": ("ich hätte gerne einen", "ich heiße", "weil", "äh", "einen tisch für", "ich möchte", "und dann der",
           "wenn es morgen regnet"),
    "pt": ("eu queria uma mesa para", "meu nome é", "porque", "quero marcar", "eu preciso de um", "hum", "e também"),
    "it": ("vorrei un tavolo per", "mi chiamo", "perché", "ehm", "sto cercando un", "vorrei prenotare", "e poi la",
           "un attimo"),
}  # fmt: skip
FINISHED = {
    "en": (
        "i would like to book a table", "book a table for two people", "what's the weather like", "no thanks", "yeah",
        "Yeah.", "yes please", "that's all", "thank you", "goodbye", "where are you from", "how old is the bridge",
        "no that's it", "i don't know", "What is it?", "can you help me", "of course", "my name is john smith",
        "uh yes", "i don't think so", "yes i do",
        "it works very well", "i want that as well", "who is this", "i want that", "when do you open", "call me back",
    ),
    "es": ("quiero una mesa para dos personas", "sí", "no gracias", "eso es todo", "me llamo ana", "¿Qué hora es?",
           "qué hora es", "no"),
    "fr": ("je voudrais une table pour deux personnes", "oui", "non merci", "c'est tout", "d'accord",
           "je m'appelle anne", "bonjour"),
    "de": ("ich hätte gerne einen tisch", "ja", "nein danke", "das ist alles", "ja gerne", "ich heiße anna",
           "wie spät ist es"),
    "pt": ("eu queria uma mesa para duas pessoas", "sim", "não obrigado", "é só isso", "meu nome é ana",
           "que horas são", "não"),
    "it": ("vorrei un tavolo per due persone", "sì", "no grazie", "va bene", "mi chiamo anna", "che ore sono"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("language", "text"), [(lang, text) for lang in UNFINISHED for text in UNFINISHED[lang]]
)
def test_a_sentence_that_is_not_over_waits(language: str, text: str) -> None:
    verdict = Local().judge(Evidence(text, language=language))
    assert verdict.unfinished
    assert 800 <= verdict.end_ms <= 1100


@pytest.mark.parametrize(("language", "text"), [(lang, text) for lang in FINISHED for text in FINISHED[lang]])
def test_a_sentence_that_may_be_over_does_not(language: str, text: str) -> None:
    verdict = Local().judge(Evidence(text, language=language))
    assert not verdict.unfinished
    assert verdict.eager_ms == 0
    assert verdict.end_ms <= 450


@pytest.mark.parametrize(
    ("language", "question", "text"),
    [
        ("en", "How many people will you be?", "two people"),
        ("en", "Which city?", "mountain view"),
        ("en", "Do you want a table?", "yeah"),
        ("en-US", "Would you like anything else?", "no thanks"),
        ("en", "What is your name?", "john smith"),
        ("es", "¿Para cuántas personas?", "dos"),
        ("fr", "Pour combien de personnes ?", "quatre personnes"),
        ("de", "Wie heißen Sie?", "anna schmidt"),
    ],
)
def test_a_short_answer_to_what_was_asked_ends_at_once(language: str, question: str, text: str) -> None:
    assert Local().judge(Evidence(text, language=language, question=question)).end_ms <= 350


def test_a_fragment_that_nothing_asked_for_is_waited_on_longer_than_the_same_answer() -> None:
    asked = Local().judge(Evidence("two people", question="How many people?")).end_ms
    assert asked < Local().judge(Evidence("two people")).end_ms


def test_an_answer_that_goes_on_is_not_an_answer_yet() -> None:
    assert Local().judge(Evidence("yes but", question="Do you want a table?")).unfinished
    assert Local().judge(Evidence("for the", question="For which day?")).unfinished
    assert Local().judge(Evidence("let me check", question="Which order number is it?")).unfinished
    assert Local().judge(Evidence("could you", question="What can I do for you?")).unfinished


def test_an_interim_text_is_trusted_less_either_way() -> None:
    for text in ("i would like to book a table", "i would like to"):
        final, interim = read(text, True, "en", ""), read(text, False, "en", "")
        assert abs(interim.odds) < abs(final.odds)


def test_punctuation_is_evidence_where_it_is_there() -> None:
    def odds(text: str) -> float:
        return read(text, True, "en", "").odds

    assert odds("mountain view?") > odds("mountain view.") > odds("mountain view") > odds("mountain view,")
    assert odds("mountain view -") < odds("mountain view")
    assert odds("book a table for.") == odds("book a table for")  # a recogniser's habit, no end


@pytest.mark.parametrize("language", ["ja", "nl-NL", "", "xx"])
def test_words_of_another_language_say_nothing(language: str) -> None:
    assert read("ik wil graag een", True, language, "").odds == 0.0


def test_the_tag_of_a_language_may_be_longer_and_in_any_case() -> None:
    assert of("EN-us") is LEXICONS["en"]
    assert of("pt_BR") is LEXICONS["pt"]


def test_no_word_both_opens_and_ends_what_is_said() -> None:
    for lexicon in LEXICONS.values():
        assert not lexicon.linking & lexicon.modifying
        assert all(word == word.lower() for words in (lexicon.linking, lexicon.leading) for word in words)


@given(st.text(max_size=200), st.booleans(), st.sampled_from([*LEXICONS, "ja"]), st.text(max_size=40))
def test_any_text_is_read_and_nothing_is_certain(
    text: str, final: bool, language: str, question: str
) -> None:
    reading = read(text, final, language, question)
    assert LEAST <= reading.odds <= MOST
    if not bare(text):
        assert reading.odds == 0.0
