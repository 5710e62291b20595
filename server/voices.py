"""The voices of this server as directories list them: what each engine knows, with the languages that it speaks.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from server.selection import Available, Offer

LANGUAGES: Final = {
    "ar": ("Arabic", "العربية"),
    "ca": ("Catalan", "Català"),
    "cs": ("Czech", "Čeština"),
    "da": ("Danish", "Dansk"),
    "de": ("German", "Deutsch"),
    "el": ("Greek", "Ελληνικά"),
    "en": ("English", "English"),
    "es": ("Spanish", "Español"),
    "fi": ("Finnish", "Suomi"),
    "fr": ("French", "Français"),
    "he": ("Hebrew", "עברית"),
    "hi": ("Hindi", "हिन्दी"),
    "hu": ("Hungarian", "Magyar"),
    "it": ("Italian", "Italiano"),
    "ja": ("Japanese", "日本語"),
    "ko": ("Korean", "한국어"),
    "nb": ("Norwegian", "Norsk"),
    "nl": ("Dutch", "Nederlands"),
    "pl": ("Polish", "Polski"),
    "pt": ("Portuguese", "Português"),
    "ro": ("Romanian", "Română"),
    "ru": ("Russian", "Русский"),
    "sv": ("Swedish", "Svenska"),
    "tr": ("Turkish", "Türkçe"),
    "uk": ("Ukrainian", "Українська"),
    "zh": ("Chinese", "中文"),
}
"""Names in English, and in the language itself; others are told by their tag."""
SAMPLES: Final = {
    "de": "Guten Tag, so klinge ich.",
    "en": "Hello, this is what I sound like.",
    "es": "Hola, así suena mi voz.",
    "fr": "Bonjour, voici le son de ma voix.",
    "it": "Ciao, ecco come suona la mia voce.",
    "nl": "Hallo, zo klink ik.",
    "pt": "Olá, é assim que eu falo.",
}
"""What a preview says; in other languages what English ones say."""


def catalogue(offer: Offer, provider: str | None, language: str | None) -> list[dict[str, Any]]:
    """The voices of a provider. One that is not here has those that take its place."""
    engines = (*offer.engines, *offer.further)
    named = [engine for engine in engines if engine.name == provider]
    chosen = named or (engines if provider is None else engines[:1])
    wanted = None if language is None else base(language)
    return [
        told
        for engine in chosen
        for told in _voices(engine)
        if wanted is None or any(base(spoken["code"]) == wanted for spoken in told["languages"])
    ]


def base(tag: str) -> str:
    """A language tag without its region."""
    return tag.replace("_", "-").partition("-")[0].lower()


def _voices(engine: Available) -> Iterator[dict[str, Any]]:
    """Some engines call their voices by the language that they speak, and speakers besides, who speak them all."""
    names: Iterable[str] = sorted(engine.voices) or [engine.voice or "default"]
    for name in names:
        own = base(name) in engine.languages
        yield {
            "id": name,
            "voice_id": name,
            "name": name,
            "alias": f"{engine.name}/{name}",
            "provider": engine.name,
            "gender": None,
            "style": None,
            "languages": [spoken(name)] if own else [spoken(tag) for tag in engine.languages],
            "description": "",
            "preview_url": None,
        }


def spoken(tag: str) -> dict[str, Any]:
    """A language as an object."""
    _, _, region = tag.partition("-")
    region = region.upper() if len(region) == 2 and region.isalpha() else ""
    name, native = LANGUAGES.get(base(tag), (tag, tag))
    # The flag of a region is its two letters as regional indicators (Unicode, UTS 51).
    flag = "".join(chr(0x1F1E6 + ord(letter) - ord("A")) for letter in region)
    return {"code": tag, "name": name, "flag": flag, "nativeName": native, "region": region}
