"""How a word is said: by the dictionary where it is in there, else by a fair guess.

Pure. The guess is for names ("Talkwire", "Abigail's", "FAQ"): possessives, compounds of two known words,
letters spelt out, and at last rules from letters to sounds. Phones are those of the CMU dictionary.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_VOWELS = "aeiouy"
_ABBREVIATION = 4
"""Unknown words up to this many letters ("faq") may be read or spelt."""


def pronunciations(word: str, lookup: Callable[[str], str | None]) -> tuple[str, ...]:
    """The ways to say a lower-case word of ``a-z'``; never empty."""
    known = _known(word, lookup)
    if known:
        return known
    if word.endswith(("'s", "s'")):
        return tuple(p + _plural(p) for p in pronunciations(word[:-2], lookup))
    bare = word.replace("'", "")
    known = _known(bare, lookup) or _compound(bare, lookup)
    if known:
        return known
    letters = " ".join(lookup(letter) or by_rule(letter) for letter in bare)
    if not any(c in _VOWELS for c in bare):
        return (letters,)
    return (by_rule(bare), letters) if len(bare) <= _ABBREVIATION else (by_rule(bare),)


def _known(word: str, lookup: Callable[[str], str | None]) -> tuple[str, ...]:
    found: list[str] = []
    name = word
    while (phones := lookup(name)) is not None:
        found.append(phones)
        name = f"{word}({len(found) + 1})"
    return tuple(found)


def _plural(phones: str) -> str:
    last = phones.split()[-1]
    if last in {"S", "Z", "SH", "ZH", "CH", "JH"}:
        return " IH Z"
    return " S" if last in {"P", "T", "K", "F", "TH"} else " Z"


def _compound(word: str, lookup: Callable[[str], str | None]) -> tuple[str, ...]:
    """Two known words of three letters and more, the longer first part first."""
    for cut in range(len(word) - 3, 2, -1):
        first, second = lookup(word[:cut]), lookup(word[cut:])
        if first and second:
            return (f"{first} {second}",)
    return ()


_RULES: tuple[tuple[str, str], ...] = (
    # (letters, phones); the first that matches at a place is taken. "^" binds to the beginning, "$" to the end.
    ("^kn", "N"), ("^wr", "R"), ("^ps", "S"), ("^x", "Z"), ("^y", "Y"),
    ("tion", "SH AH N"), ("sion", "ZH AH N"), ("ture", "CH ER"), ("igh", "AY"), ("eigh", "EY"), ("ough", "AO"),
    ("augh", "AO"), ("tch", "CH"), ("dge", "JH"), ("sch", "SH"), ("ck", "K"), ("ch", "CH"), ("sh", "SH"),
    ("th", "TH"), ("ph", "F"), ("wh", "W"), ("gh", ""), ("qu", "K W"), ("ng$", "NG"), ("nk", "NG K"),
    ("ee", "IY"), ("ea", "IY"), ("oo", "UW"), ("ou", "AW"), ("ow$", "OW"), ("ow", "AW"), ("oi", "OY"),
    ("oy", "OY"), ("ai", "EY"), ("ay", "EY"), ("au", "AO"), ("aw", "AO"), ("oa", "OW"), ("ie$", "IY"),
    ("ie", "IY"), ("ei", "EY"), ("ey", "IY"), ("ue", "UW"), ("ew", "UW"), ("er", "ER"), ("ir", "ER"),
    ("ur", "ER"), ("ar", "AA R"), ("or", "AO R"), ("le$", "AH L"), ("ce", "S"), ("ge$", "JH"), ("e$", ""),
    ("ci", "S IH"), ("cy", "S IY"), ("ge", "JH EH"), ("gi", "JH IH"), ("y$", "IY"), ("o$", "OW"), ("a$", "AH"),
    ("i$", "IY"), ("a", "AE"), ("e", "EH"), ("i", "IH"), ("o", "AA"), ("u", "AH"), ("y", "IH"), ("b", "B"),
    ("c", "K"), ("d", "D"), ("f", "F"), ("g", "G"), ("h", "HH"), ("j", "JH"), ("k", "K"), ("l", "L"),
    ("m", "M"), ("n", "N"), ("p", "P"), ("q", "K"), ("r", "R"), ("s", "S"), ("t", "T"), ("v", "V"), ("w", "W"),
    ("x", "K S"), ("z", "Z"),
)  # fmt: skip
_LONG = {"a": "EY", "e": "IY", "i": "AY", "o": "OW", "u": "UW"}


def by_rule(word: str) -> str:
    """Letters to sounds, roughly as English does it. A word that would be silent is said as "uh"."""
    text = re.sub(r"([b-df-hj-np-tv-z])\1", r"\1", word)
    phones: list[str] = []
    at = 0
    while at < len(text):
        if re.match(r"[aeiou][b-df-hj-np-tvz]e$", text[at:]):
            phones.append(_LONG[text[at]])  # the silent e of "note" makes the vowel before it long
            at += 1
            continue
        letters, sound = next((r for r in _RULES if _fits(r[0], text, at)), ("?", ""))
        phones += sound.split()
        at += len(letters.strip("^$"))
    return " ".join(phones) or "AH"


def _fits(rule: str, text: str, at: int) -> bool:
    letters = rule.strip("^$")
    if not text.startswith(letters, at) or (rule[0] == "^" and at > 0):
        return False
    return rule[-1] != "$" or at + len(letters) == len(text)
