"""Numbers, letters and addresses that are being dictated: is the last group already said? Pure.

People dictate in groups with long pauses between them; what they were asked for says how many there will be.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Asked(StrEnum):
    """What the bot asked to be dictated."""

    PHONE = "phone"
    CARD = "card"
    CODE = "code"
    EMAIL = "email"
    SPELLING = "spelling"
    BIRTH = "birth"


# In the order in which they are looked for: "the number on your card" is a card, "phone number" no code.
_ASKED: tuple[tuple[Asked, re.Pattern[str]], ...] = tuple(
    (asked, re.compile(pattern))
    for asked, pattern in (
        (Asked.EMAIL, r"e-?mail|\bcorreo|courriel|\bposta elettronica"),
        (Asked.SPELLING, r"\bspell|deletre|\bépel|\bepel|buchstabier|soletr|compit|sillab"),
        (Asked.BIRTH, r"birth|nacimiento|naciste|naissance|geburt|geboren|nascimento|nascita"),
        (
            Asked.CARD,
            r"\bcard\b|\btarjeta\b|carte (bancaire|de crédit|bleue)|\bkarte|kartennummer|\bcartão|\bcarta\b",
        ),
        (
            Asked.PHONE,
            r"phone|mobile|\bcell\b|(reach|call) you (at|on)|teléfono|telefono|móvil|celular|téléphone"
            r"|\bportable\b|telefon|handy|telefone|telemóvel|cellulare",
        ),
        (
            Asked.CODE,
            r"\bcode\b|number\b(?! of)|zip\b|postcode|reference|digits|código|codigo|número|numéro|nummer"
            r"|\bplz\b|codice|numero",
        ),
    )
)

_ONES = {
    "en": "zero one two three four five six seven eight nine",
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve",
    "fr": "zéro un deux trois quatre cinq six sept huit neuf",
    "de": "null eins zwei drei vier fünf sechs sieben acht neun",
    "pt": "zero um dois três quatro cinco seis sete oito nove",
    "it": "zero uno due tre quattro cinque sei sette otto nove",
}
_ALSO_ONES = {"en": "oh o", "de": "zwo fuenf", "es": "un una", "fr": "une", "pt": "uma meia", "it": "un"}
_TENS = {
    "en": "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty "
    "fifty sixty seventy eighty ninety",
    "es": "diez once doce trece catorce quince veinte veintiuno veintidós treinta cuarenta cincuenta sesenta "
    "setenta ochenta noventa",
    "fr": "dix onze douze treize quatorze quinze seize vingt trente quarante cinquante soixante",
    "de": "zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn zwanzig dreißig vierzig fünfzig sechzig siebzig "
    "achtzig neunzig",
    "pt": "dez onze doze treze catorze quinze vinte trinta quarenta cinquenta sessenta setenta oitenta noventa",
    "it": "dieci undici dodici tredici quattordici quindici venti trenta quaranta cinquanta sessanta settanta "
    "ottanta novanta",
}
_BETWEEN = frozenset(
    "dash hyphen minus plus double triple guion guión tiret strich traço trattino doble doppio".split()
)
_AT = frozenset("at arroba arobase @ at-sign chiocciola ät klammeraffe".split())
_NO_ADDRESS = frozenset(
    "yes yeah sure okay ok no i we sí yo oui non je ja nein ich wir sim não eu sì io what sorry why".split()
)
"""An answer to a question for an address that is none begins so."""
_DOT = frozenset("dot punto point punkt ponto".split())
_DOMAINS = frozenset("com net org edu es fr de it pt uk br us io co eu mx ar ch at info".split())
_MONTHS = frozenset(
    "january february march april may june july august september october november december enero febrero marzo "
    "abril mayo junio julio agosto septiembre octubre noviembre diciembre janvier février mars avril mai juin "
    "juillet août septembre octobre novembre décembre januar februar märz juni juli oktober dezember janeiro "
    "fevereiro março maio junho julho setembro outubro novembro dezembro gennaio febbraio aprile maggio giugno "
    "luglio settembre ottobre dicembre".split()
)
_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)*\.[a-z]{2,}$")

_NUMBERS = {
    language: {
        **dict.fromkeys(f"{_ONES[language]} {_ALSO_ONES.get(language, '')}".split(), 1),
        **dict.fromkeys(_TENS[language].split(), 2),
    }
    for language in _ONES
}
"""How many digits a word stands for."""


@dataclass(frozen=True, slots=True)
class Dictation:
    """Something is being dictated."""

    odds: float
    """What that says of the end of the turn, as log-odds: negative while something is missing."""


def asked(question: str) -> Asked | None:
    """What the bot's last words ask the caller to dictate."""
    sentences = re.split(r"(?<=[.?!])\s+", question.lower().strip())
    # What is told before a question ("I have your number. What time would you like?") is not asked for.
    last = next((said for said in reversed(sentences) if said.endswith("?")), sentences[-1])
    return next((kind for kind, pattern in _ASKED if pattern.search(last)), None)


def find(words: Sequence[str], question: str, language: str) -> Dictation | None:
    """Whether the words (lower case, bare) end within a dictation or are one. None: they are not."""
    if not words:
        return None
    kind = asked(question)
    if (address := _address(words, kind)) is not None:
        return address
    if kind is Asked.BIRTH and (birth := _birth(words, language)) is not None:
        return birth
    digits, numerals, singles = _digits(words, language)
    unasked = numerals >= 2 and singles >= 3 and not any(word in _MONTHS for word in words)
    if numerals and (kind in _LENGTHS or unasked or digits >= 7):
        return _number(digits, kind)
    letters = _letters(words)
    if letters >= 2 or (letters and kind is Asked.SPELLING):
        return Dictation(-2.0 if letters < 3 else -1.2)
    return None


_LENGTHS = {Asked.PHONE: (7, 9), Asked.CARD: (15, 16), Asked.CODE: (4, 6)}
"""With fewer digits than the first something is missing; from the second on perhaps nothing is."""


def _number(digits: int, kind: Asked | None) -> Dictation:
    least, enough = _LENGTHS.get(kind, (7, 10)) if kind is not None else (7, 10)
    if digits < least:
        return Dictation(-2.5)
    return Dictation(-1.0 if digits < enough else 0.8)


def _digits(words: Sequence[str], language: str) -> tuple[int, int, int]:
    """Digits at the end, the words that they are said in, and how many of the digits were said one by one."""
    values = _NUMBERS.get(language, _NUMBERS["en"])
    digits = numerals = singles = 0
    for word in reversed(words):
        figures = sum(c.isdigit() for c in word)
        if figures and not any(c.isalpha() for c in word):
            digits += figures
            singles += figures
        elif word in values:
            digits += values[word]
            singles += values[word] == 1
        elif word not in _BETWEEN:
            break
        numerals += word not in _BETWEEN
    # "um", "un" and "uma" are articles, and "oh" is a word, unless they stand among numerals.
    return (0, 0, 0) if numerals == 1 and words[-1] in _NOT_ALONE else (digits, numerals, singles)


_NOT_ALONE = frozenset("o oh un une um uma una".split())


def _letters(words: Sequence[str]) -> int:
    count = 0
    for word in reversed(words):
        if len(word) != 1 or not word.isalpha():
            break
        count += 1
    return count


def _address(words: Sequence[str], kind: Asked | None) -> Dictation | None:
    last = words[-1]
    if _ADDRESS.match(last):
        return Dictation(1.0)
    dotted = any(word in _DOT for word in words)
    spoken_at = any(word in _AT for word in words[1:]) and (kind is Asked.EMAIL or dotted)
    if spoken_at or "@" in last:
        ended = last in _DOMAINS and words[-2] in _DOT if len(words) > 1 else False
        return Dictation(1.0 if ended or last.rpartition(".")[2] in _DOMAINS - {last} else -2.5)
    if kind is Asked.EMAIL and len(words) <= 6 and words[0] not in _NO_ADDRESS:
        return Dictation(-1.5)
    return None


def _birth(words: Sequence[str], language: str) -> Dictation | None:
    """A date with its year: four digits at the end, or two words of two."""
    digits, numerals, _ = _digits(words, language)
    slashed = [part for part in re.split(r"[/.-]", words[-1]) if part.isdigit()]
    if digits >= 4 or len(slashed) == 3:
        return Dictation(1.0)
    if numerals or any(word in _MONTHS for word in words):
        return Dictation(-1.8)
    return None
