"""Which of espeak's voices speaks a language tag, and which voices a request may name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """A voice as espeak lists it."""

    name: str
    """The name of its file, by which it is chosen, for example ``en-US``."""
    languages: tuple[tuple[int, str], ...]
    """Its language tags with their ranks; the lowest rank fits best."""


# A bare tag means what the Unicode CLDR takes as its most likely region, not what espeak happens to list
# first (which is British English and European Portuguese).
_LIKELY = {"en": "en-us", "pt": "pt-br", "zh": "cmn", "no": "nb"}
# CLDR again (parent locales): whose speech a region follows that espeak has no voice of.
_PARENTS = {
    "es-419": "ar bo br bz cl co cr cu do ec gt hn mx ni pa pe pr py sv us uy ve".split(),
    "en-gb": "au bw ie in ke mt ng nz pk sg za 001".split(),
    "pt": "ao ch cv gq gw lu mo mz pt st tl".split(),
}
_PARENT_OF = {
    f"{parent.partition('-')[0]}-{region}": parent
    for parent, regions in _PARENTS.items()
    for region in regions
}


class Voices:
    """The voices of one installation. All names are compared without regard to case."""

    def __init__(self, entries: Iterable[Entry], variants: Iterable[str]) -> None:
        self._by_name: dict[str, str] = {}
        best: dict[str, tuple[int, str]] = {}
        for entry in entries:
            self._by_name[entry.name.lower()] = entry.name
            for rank, tag in entry.languages:
                if rank < best.get(tag, (256, ""))[0]:
                    best[tag] = (rank, entry.name)
        self._by_tag = {tag: name for tag, (_, name) in best.items()}
        self._variants = {variant.lower(): variant for variant in variants}

    @property
    def languages(self) -> tuple[str, ...]:
        """BCP-47 base tags."""
        return tuple(sorted({tag.partition("-")[0] for tag in self._by_tag}))

    @property
    def names(self) -> tuple[str, ...]:
        """Languages, by name and by tag, and speakers that a request may name."""
        languages = {name.lower(): name for name in (*self._by_tag, *self._by_name.values())}
        return (*sorted(languages.values()), *sorted(self._variants.values(), key=str.lower))

    def find(self, language: str, voice: str | None) -> str:
        """The voice by espeak's name. Raises ``ValueError`` with what is allowed."""
        if voice is None:
            return self._for_language(language)
        base, plus, variant = voice.lower().partition("+")
        if not plus and base in self._variants:
            base, variant = "", base
        name = self._named(base) if base or not variant else self._for_language(language)
        if name is None or ((plus or variant) and variant not in self._variants):
            raise ValueError(
                f"no voice {voice!r}; use a language such as en-us, a speaker such as f3 or m1, or en-us+f3"
            )
        return f"{name}+{self._variants[variant]}" if variant else name

    def _named(self, base: str) -> str | None:
        return self._by_name.get(base) or self._by_tag.get(base)

    def _for_language(self, language: str) -> str:
        tag = language.lower().replace("_", "-")
        while tag:
            for candidate in (_LIKELY.get(tag), tag, _PARENT_OF.get(tag)):
                name = self._named(candidate) if candidate is not None else None
                if name is not None:
                    return name
            tag = tag.rpartition("-")[0]
        raise ValueError(f"no language {language!r}; there are {', '.join(self.languages)}")
