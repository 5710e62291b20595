"""Which words over the bot mean "go on", and which do not."""

from __future__ import annotations

import unicodedata

import pytest

from pipeline.backchannels import LANGUAGES, is_backchannel, is_filler

YES = {
    "en": ["uh huh", "Uh-huh.", "mhm", "mm-hmm", "M-hm", "hmm", "ok", "O.K.", "Okay!", "right", "I see", "yeah",
           "Yeah, yeah.", "ok right", "uh huh yeah", "that\u2019s right", "uh, yeah", "yeaaah", "oh okay I see"],
    "es": ["sí", "Si", "ajá", "aja", "claro", "¡Vale!", "sí, sí, claro", "ya veo", "de acuerdo", "ok vale"],
    "fr": ["oui", "d'accord", "D\u2019ACCORD", "ouais ouais", "ah bon", "euh oui", "c'est ça", "tres bien"],
    "de": ["ja", "genau", "mhm", "aha", "ach so", "Ja, genau.", "alles klar", "natürlich", "verstehe"],
    "pt": ["sim", "pois", "tá bom", "ta bom", "é", "é, é", "pois é", "uhum", "isso mesmo"],
    "it": ["sì", "certo", "va bene", "Sì, sì, certo", "ho capito", "eh già", "d'accordo"],
}  # fmt: skip
NO = {
    "en": ["stop", "wait", "no", "hold on", "but", "what", "okay but", "yeah no", "right, stop", "huh", "sorry",
           "I see a problem", "ok tell me the price", "a", "o", "100", "yes 2"],
    "es": ["no", "espera", "para", "sí pero", "qué", "perdón", "un momento", "vale pues no"],
    "fr": ["non", "attends", "attendez", "oui mais", "quoi", "pardon", "stop"],
    "de": ["nein", "warte", "halt", "ja aber", "was", "moment", "doch"],
    "pt": ["não", "espera", "para", "sim mas", "e", "o quê", "um", "desculpe"],
    "it": ["no", "aspetta", "sì ma", "che", "scusa", "o", "un attimo"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("language", "text"), [(code, text) for code, texts in YES.items() for text in texts]
)
def test_a_backchannel_is_one_however_it_is_written(language: str, text: str) -> None:
    assert is_backchannel(text, language)
    assert is_backchannel(text.upper(), language)
    assert is_backchannel(unicodedata.normalize("NFD", f" {text}... "), f"{language}-XX")


@pytest.mark.parametrize(("language", "text"), [(code, text) for code, texts in NO.items() for text in texts])
def test_what_wants_the_floor_is_none(language: str, text: str) -> None:
    assert not is_backchannel(text, language)
    assert not is_filler(text, language)


@pytest.mark.parametrize("text", ["mhm", "uh-huh", "Mm-hmm", "aha", "ok", "ok mhm", "hm"])
def test_sounds_and_ok_are_known_in_any_language(text: str) -> None:
    for language in (*LANGUAGES, "ja", "multi", ""):
        assert is_backchannel(text, language)


def test_words_of_one_language_are_not_those_of_another() -> None:
    assert not is_backchannel("genau", "en")
    assert not is_backchannel("yeah", "ja")
    assert is_backchannel("Claro", "es_MX")


@pytest.mark.parametrize(
    ("language", "text"),
    [("en", "um"), ("en", "uh, um"), ("fr", "euh..."), ("de", "Äh"), ("es", "eh, este"), ("it", "ehm"), ("pt", "eh"),
     ("xx", "uhhh")],
)  # fmt: skip
def test_a_hesitation_is_told_apart(language: str, text: str) -> None:
    assert is_filler(text, language)
    assert not is_backchannel(text, language)


@pytest.mark.parametrize("text", ["", "   ", "...", "?!", "🙂"])
def test_nothing_said_is_neither(text: str) -> None:
    assert not is_backchannel(text, "en")
    assert not is_filler(text, "en")


def test_a_language_with_words_of_its_own_has_all_of_them_listed() -> None:
    assert set(LANGUAGES) == set(YES) == set(NO)
