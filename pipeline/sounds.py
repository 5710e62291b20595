"""How a text sounds, roughly: the words that a voice makes of what is written, and the kinds of sound that their
letters stand for, each with its usual length. Pure.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
_TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()
_SCALES = ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))
_SYMBOLS = dict(
    pair.split(":")
    for pair in "%:percent &:and +:plus @:at =:equals #:number /:slash €:euros £:pounds °:degrees".split()
)
_SHORT = {"dr": "doctor", "mr": "mister", "mrs": "misses", "ms": "miz", "st": "street", "vs": "versus"}
_LETTERS = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyz",
        "ay bee see dee ee eff jee aych eye jay kay ell em en oh pee cue ar ess tee you vee doubleyou ex why "
        "zee".split(),
        strict=True,
    )
)
_PIECE = re.compile(r"\$?\d[\d,.:]*\d|\$?\d|[^\W\d_]+(?:['’][^\W\d_]+)*|[%&+@=#/€£°]")
_MOST = 100
"""Words of a token, and letters of a word, that count: no voice says more in one breath."""


def _cardinal(number: int) -> list[str]:
    if number < 20:
        return [_ONES[number]]
    if number < 100:
        return [_TENS[number // 10]] + ([_ONES[number % 10]] if number % 10 else [])
    size, name = next((size, name) for size, name in _SCALES if number >= size)
    rest = number % size
    return [*_cardinal(number // size), name, *(_cardinal(rest) if rest else [])]


def _number(text: str) -> list[str]:
    """How a voice reads digits with commas, points and colons among them. English words stand for those of other
    languages: only the length counts."""
    if re.fullmatch(r"\d{1,2}:\d\d", text):
        hour, minute = map(int, text.split(":"))
        return _cardinal(hour) + (["oh"] if 0 < minute < 10 else []) + (_cardinal(minute) if minute else [])
    plain = text.lstrip("$").replace(",", "")
    whole, point, decimals = plain.partition(".")
    if not (plain.isascii() and whole.isdigit() and len(whole) < 10) or (len(whole) > 1 and whole[0] == "0"):
        return [_ONES[unicodedata.digit(c, 0)] for c in plain if c.isdigit()]
    if text[0] == "$":
        cents = int(decimals) if len(decimals) == 2 and decimals.isdigit() else 0
        return [*_cardinal(int(whole)), "dollars", *(["and", *_cardinal(cents), "cents"] if cents else [])]
    if point:
        return [*_cardinal(int(whole)), "point", *(_ONES[int(c)] for c in decimals if c.isdigit())]
    if len(text) == 4 and "11" <= text[:2] <= "20" and text[1:3] != "00":  # a year
        return _cardinal(int(text[:2])) + (_cardinal(int(text[2:])) if text[2:] != "00" else ["hundred"])
    return _cardinal(int(whole))


def spoken(token: str) -> list[str]:
    """The words that a voice is likely to say for a token, in lower case: numbers, prices and times read out,
    initials spelt."""
    words: list[str] = []
    for match in _PIECE.finditer(token):
        piece, lower = match.group(), match.group().lower()
        after_digit = bool(words) and token[match.start() - 1].isdigit()
        initials = (
            1 < len(piece) <= 5 and piece.isupper() and (len(piece) < 4 or not re.search("[AEIOUY]", piece))
        )
        if piece[-1].isdigit():
            words += _number(piece)
        elif piece in _SYMBOLS:
            words.append(_SYMBOLS[piece])
        elif after_digit and lower in ("st", "nd", "rd", "th"):
            words[-1] += "th"
        elif lower in _SHORT and token[match.end() : match.end() + 1] == ".":
            words.append(_SHORT[lower])
        elif initials or lower == "pm" or (lower == "am" and after_digit):
            words += [_LETTERS.get(c, c) for c in lower]
        else:
            words.append(lower)
        if len(words) >= _MOST:
            break
    return words[:_MOST]


# --- words, as sounds -------------------------------------------------------------------------------------

_VOWEL, _SONORANT, _HISS, _STOP, PAUSE, _BUZZ, _VOICED_STOP = range(7)

# Latin, Cyrillic and Greek letters, without their accents.
_KIND_OF = {
    letter: kind
    for kind, letters in (
        (_VOWEL, "aeiouyæøœ" "аеиоуыэюя" "αεηιουω"),
        (_SONORANT, "lmnrw" "лмнр" "λμνρ"),
        (_HISS, "sfxß" "сфшщхцч" "σςφχξψθ"),
        (_STOP, "ptkqc" "птк" "πτκ"),
        (_BUZZ, "vzjh" "взж" "ζβγδ"),
        (_VOICED_STOP, "bdg" "бдг"),
    )
    for letter in letters
}  # fmt: skip
_PAIRS = {"th": _BUZZ, "sh": _HISS, "ch": _HISS, "ph": _HISS, "ck": _STOP, "ng": _SONORANT}
# Seconds, fitted by least squares to the words of six synthetic voices: a word is off by 70 ms (rms).
_LENGTH = {_VOWEL: 0.072, _SONORANT: 0.042, _HISS: 0.065, _STOP: 0.057, _BUZZ: 0.062, _VOICED_STOP: 0.057}
_MORE_VOWELS = 0.033
_ANY_WORD, _SMALL_WORD, _AT_A_PAUSE = 0.080, 0.015, 0.110
_SMALL_WORDS = frozenset(
    "a an the of to in on at for and or is are was be by it he she we you i my our your us me him her his that "
    "as with if but do can from this will have has had not so up".split()
)

Sound = tuple[int, float]
"""Its kind, and how long it usually takes in seconds."""


@lru_cache(maxsize=8192)
def _sounds(word: str, language: str) -> tuple[Sound, ...]:
    """The sounds of one word, in lower case."""
    bare = (unicodedata.normalize("NFD", c)[0] for c in word[:_MOST])
    text = "".join(b if b in _KIND_OF else c for b, c in zip(bare, word, strict=False) if c.isalnum())
    if language in ("en", "fr"):
        text = _without_silent_e(text)
    found = list(_spell(text)) or [(_VOWEL, 0.080)]
    small = word in _SMALL_WORDS if language == "en" else len(text) <= 3
    total = sum(length for _, length in found)
    scale = (total + (_SMALL_WORD if small else _ANY_WORD)) / total
    return tuple((kind, length * scale) for kind, length in found)


def _without_silent_e(word: str) -> str:
    if len(re.findall(r"[aeiouy]+", word)) > 1:
        if re.search(r"[^aeiouyl]e$", word):
            return word[:-1]
        if re.search(r"[^aeiouytd]ed$|[^aeiouysxzcgh]es$", word):
            return word[:-2] + word[-1]
    return word


def _spell(text: str) -> Iterator[Sound]:
    at = 0
    while at < len(text):
        letter, pair = text[at], text[at : at + 2]
        kind = _KIND_OF.get(letter)
        step = 1
        if kind == _VOWEL:
            while at + step < len(text) and _KIND_OF.get(text[at + step]) == _VOWEL:
                step += 1
            yield _VOWEL, _LENGTH[_VOWEL] + _MORE_VOWELS * min(2, step - 1)
        elif pair == "gh" and at:
            step = 2
            yield _SONORANT, 0.020
        elif pair in _PAIRS:
            step = 2
            yield _PAIRS[pair], _LENGTH[_PAIRS[pair]]
        elif kind is not None:
            if letter == "c" and text[at + 1 : at + 2] in ("e", "i", "y"):
                kind = _HISS
            if not at or letter != text[at - 1]:  # a double one is said once
                yield kind, _LENGTH[kind]
        else:  # a syllable of Chinese, Japanese or Korean, or a letter of a script that writes few vowels
            yield _STOP, 0.055
            yield _VOWEL, 0.120 if ord(letter) > 0x2E80 else 0.050
        at += step


_NO_STOP = re.compile(r"\W*(?:(?:[^\W\d_]\.)+|(?:dr|mrs?|ms|prof|st|no|vs)\.)", re.IGNORECASE)


def pause_odds(token: str) -> float:
    """How likely the voice pauses after a token."""
    mark = token.rstrip("\"'”’)]*_")[-1:]
    if mark in ",、，":
        return 0.8
    if mark in ".;:?!。！？" and not _NO_STOP.fullmatch(token):
        return 0.85
    return 0.5 if mark in "-–—…" else 0.03


def token_sounds(token: str, last: bool, language: str) -> list[Sound]:
    found = [sound for word in spoken(token) or ["a"] for sound in _sounds(word, language)]
    if last or pause_odds(token) > 0.1:  # the last syllable before a pause is drawn out
        start = max((i for i, (kind, _) in enumerate(found) if kind == _VOWEL), default=len(found) - 1)
        total = sum(length for _, length in found[start:])
        scale = (total + _AT_A_PAUSE) / total
        found[start:] = [(kind, length * scale) for kind, length in found[start:]]
    return found
