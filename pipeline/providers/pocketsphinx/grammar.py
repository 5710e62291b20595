"""The phrases that an agent expects, as what a finite grammar needs: words with pronunciations.

Pure. A phrase is written the way people write ("What's the time?", "Room 42", "3:30 pm"); the grammar wants
words that the dictionary can pronounce. One phrase may be said in several ways ("2024"), so it may give
several ``Path``s. What comes back to the agent is its own spelling.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product

from pipeline.providers.pocketsphinx.pronounce import pronunciations
from pipeline.text import tokens

MAX_PHRASES = 200
MAX_WORDS = 12
"""Of one phrase. Longer ones are dropped with a warning: they are not menus but dictation."""
_MAX_WAYS = 6

Lookup = Callable[[str], str | None]
"""The dictionary: a word to its phones, blank-separated; other pronunciations are under ``word(2)`` on."""


@dataclass(frozen=True, slots=True)
class Path:
    """One way of saying one phrase."""

    phrase: str
    """As the agent wrote it."""
    tokens: tuple[tuple[str, tuple[str, ...]], ...]
    """Each token of the phrase with the words that it is spoken as."""

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(word for _, words in self.tokens for word in words)


@dataclass(frozen=True, slots=True)
class Grammar:
    paths: tuple[Path, ...]
    lexicon: dict[str, tuple[str, ...]]
    """Each word with its pronunciations."""
    dropped: tuple[tuple[str, str], ...]
    """Phrases that cannot be listened for, each with the reason."""

    @property
    def phones(self) -> tuple[tuple[str, ...], ...]:
        """Of each path, by the first pronunciation of each word."""
        return tuple(tuple(p for w in path.words for p in self.lexicon[w][0].split()) for path in self.paths)


def build(phrases: Iterable[str], lookup: Lookup) -> Grammar:
    """Make the grammar of these phrases; of two that are said the same way, the first one counts."""
    paths: dict[tuple[str, ...], Path] = {}
    lexicon: dict[str, tuple[str, ...]] = {}
    dropped: list[tuple[str, str]] = []
    for number, phrase in enumerate(dict.fromkeys(phrases)):
        if number >= MAX_PHRASES:
            dropped.append((phrase, f"only the first {MAX_PHRASES} phrases are taken"))
            continue
        ways = list(islice(spoken(phrase), _MAX_WAYS))
        if not ways or len(ways[0].words) > MAX_WORDS:
            reason = (
                f"it has more than {MAX_WORDS} words" if ways else "it holds nothing that English can say"
            )
            dropped.append((phrase, reason))
            continue
        for path in ways:
            lexicon.update((w, pronunciations(w, lookup)) for w in path.words if w not in lexicon)
            paths.setdefault(path.words, path)
    return Grammar(tuple(paths.values()), lexicon, tuple(dropped))


def jsgf(grammar: Grammar, key: Callable[[str], str]) -> str:
    """The grammar in the Java Speech Grammar Format; ``key`` names a word in it."""
    return (
        "#JSGF V1.0; grammar phrases; public <phrase> = "
        + " | ".join(" ".join(key(word) for word in path.words) for path in grammar.paths)
        + ";"
    )


def spoken(phrase: str) -> Iterator[Path]:
    """The ways to say a phrase, the likeliest first. None at all where it holds no letter or digit, or letters
    of another script."""
    marks: list[tuple[str, Sequence[tuple[str, ...]]]] = []
    for token in tokens(phrase):
        ways = _token_ways(token.text)
        if ways is None:
            return
        marks.append((token.text, ways))
    if not marks:
        return
    for choice in product(*(ways for _, ways in marks)):
        yield Path(phrase, tuple((text, words) for (text, _), words in zip(marks, choice, strict=True)))


_SIGNS = {
    "&": " and ",
    "%": " percent ",
    "@": " at ",
    "+": " plus ",
    "$": " dollars ",
    "€": " euros ",
    "£": " pounds ",
}
_PIECE = re.compile(r"\d+:\d\d|\d+(?:st|nd|rd|th)\b|\d+(?:[.,]\d+)*|[a-z](?:\.[a-z])+\b|[a-z']+")


def _token_ways(token: str) -> list[tuple[str, ...]] | None:
    """The ways to say one token; None where it has letters that are not Latin."""
    plain = unicodedata.normalize("NFKD", token.replace("\u2019", "'").replace("ß", "ss")).lower()
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    if any(c.isalnum() and not c.isascii() for c in plain):
        return None
    for sign, word in _SIGNS.items():
        plain = plain.replace(sign, word)
    pieces: list[list[tuple[str, ...]]] = []
    for match in _PIECE.finditer(plain):
        piece = match.group()
        if piece[0].isdigit():
            pieces.append(number_ways(piece))
        elif word := piece.replace(".", "").strip("'"):
            pieces.append([(word,)])
    return [tuple(w for part in choice for w in part) for choice in islice(product(*pieces), _MAX_WAYS)]


# --- numbers ----------------------------------------------------------------------------------------------

_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
_TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip


def number_ways(text: str) -> list[tuple[str, ...]]:
    """How digits are said: ``42``, ``2024`` (three ways), ``007``, ``3:30``, ``21st``, ``3.5``, ``1,000``."""
    if ":" in text:
        hour, minute = text.split(":")
        rest = ("o'clock",) if minute == "00" else _below_hundred(minute)
        return [cardinal(int(hour)) + rest] if len(hour) < 4 else [_digits(hour) + _digits(minute)]
    if text[-1].isalpha():
        *head, last = cardinal(int(text[:-2])) if len(text) < 9 else _digits(text[:-2])
        ordinal = _ORDINALS.get(last) or (last[:-1] + "ie" if last.endswith("y") else last) + "th"
        return [(*head, ordinal)]
    if "," in text:
        text = text.replace(",", "")
    if "." in text:
        whole, *parts = text.split(".")
        return [number_ways(whole)[0] + tuple(w for p in parts for w in ("point", *_digits(p)))]
    if len(text) > 6 or (text[0] == "0" and len(text) > 1):
        said = _digits(text)
        return list(dict.fromkeys((said, tuple("oh" if w == "zero" else w for w in said))))
    ways = [cardinal(int(text))]
    if len(text) == 4:
        tail = ("hundred",) if text[2:] == "00" else _below_hundred(text[2:])
        ways.append(cardinal(int(text[:2])) + tail)
    if len(text) >= 3:
        ways.append(_digits(text))
    return list(dict.fromkeys(ways))


def cardinal(value: int) -> tuple[str, ...]:
    """A number below a million in words."""
    if value < 20:
        return (_UNITS[value],)
    if value < 100:
        return (_TENS[value // 10], *(cardinal(value % 10) if value % 10 else ()))
    for size, name in ((1000, "thousand"), (100, "hundred")):
        if value >= size:
            return (*cardinal(value // size), name, *(cardinal(value % size) if value % size else ()))
    raise AssertionError(value)


def _below_hundred(two_digits: str) -> tuple[str, ...]:
    return ("oh", *cardinal(int(two_digits))) if two_digits[0] == "0" else cardinal(int(two_digits))


def _digits(text: str) -> tuple[str, ...]:
    return tuple(_UNITS[int(c)] for c in text if c.isdigit())
