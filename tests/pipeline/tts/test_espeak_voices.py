"""Language tags and voice names, over a list as espeak gives it."""

from __future__ import annotations

import pytest

from pipeline.providers.espeak.voices import Entry, Voices

VOICES = Voices(
    [
        Entry("en-029", ((5, "en-029"), (10, "en"))),
        Entry("en", ((2, "en-gb"), (2, "en"))),
        Entry("en-US", ((2, "en-us"), (3, "en"))),
        Entry("en-GB-scotland", ((5, "en-gb-scotland"), (4, "en"))),
        Entry("es", ((5, "es"),)),
        Entry("es-419", ((5, "es-419"), (6, "es-mx"))),
        Entry("fr-BE", ((5, "fr-be"), (8, "fr"))),
        Entry("fr", ((5, "fr-fr"), (5, "fr"))),
        Entry("pt", ((5, "pt"), (5, "pt-pt"))),
        Entry("pt-BR", ((5, "pt-br"), (6, "pt"))),
        Entry("cmn", ((5, "cmn"), (5, "zh-cmn"), (5, "zh"))),
        Entry("nb", ((5, "nb"), (5, "no"))),
    ],
    ["f3", "Annie"],
)


@pytest.mark.parametrize(
    ("language", "voice"),
    [
        ("en", "en-US"),
        ("en-US", "en-US"),
        ("en_us", "en-US"),
        ("en-GB", "en"),
        ("en-AU", "en"),
        ("en-CA", "en-US"),
        ("en-GB-scotland", "en-GB-scotland"),
        ("es", "es"),
        ("es-ES", "es"),
        ("es-419", "es-419"),
        ("es-MX", "es-419"),
        ("es-AR", "es-419"),
        ("fr", "fr"),
        ("fr-BE", "fr-BE"),
        ("fr-CA", "fr"),
        ("pt", "pt-BR"),
        ("pt-PT", "pt"),
        ("pt-AO", "pt"),
        ("zh", "cmn"),
        ("zh-Hans-CN", "cmn"),
        ("no", "nb"),
    ],
)
def test_the_voice_of_a_language(language: str, voice: str) -> None:
    assert VOICES.find(language, None) == voice


@pytest.mark.parametrize(
    ("language", "named", "voice"),
    [
        ("en", "en-us+f3", "en-US+f3"),
        ("en", "en-gb+ANNIE", "en+Annie"),
        ("en", "fr", "fr"),
        ("es", "f3", "es+f3"),
        ("es", "annie", "es+Annie"),
        ("es", "+f3", "es+f3"),
    ],
)
def test_a_voice_by_name(language: str, named: str, voice: str) -> None:
    assert VOICES.find(language, named) == voice


@pytest.mark.parametrize(
    "named", ["", "nobody", "en-us+nobody", "en-us+", "nobody+f3", "+", "../f3", "f3+f3"]
)
def test_an_unknown_voice_says_what_is_allowed(named: str) -> None:
    with pytest.raises(ValueError, match=r"en-us\+f3"):
        VOICES.find("en", named)


@pytest.mark.parametrize("language", ["xx", "", "-", "x-en"])
def test_an_unknown_language_says_which_there_are(language: str) -> None:
    with pytest.raises(ValueError, match="there are cmn, en, es"):
        VOICES.find(language, None)


def test_the_languages_are_base_tags() -> None:
    assert VOICES.languages == ("cmn", "en", "es", "fr", "nb", "no", "pt", "zh")
