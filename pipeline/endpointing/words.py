"""What the words say about whether a turn is over. Pure.

The evidence is added up as log-odds: 0 says nothing, 1 makes the end 2.7 times as likely against going on.
The weights are prior knowledge about how sentences end, rounded; they were not fitted to recordings.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.endpointing import dictation, lexicon
from pipeline.endpointing.lexicon import Lexicon

_WORD = re.compile(r"[^\W_]+(?:['’.@/_:+-]+[^\W_]+)*['’]?|@")
_TAIL = re.compile(r"[^\w\s'’\"”»)]+[\s'’\"”»)]*$")
LEAST, MOST = -3.5, 3.0
"""Words alone make nothing certain."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read out of a turn's text."""

    odds: float = 0.0
    """For the end of the turn, as log-odds."""
    dictated: bool = False
    """Something is being dictated: its pauses are the longest."""
    told: bool = False
    """The words are of a language that we know, or something else in them spoke."""


def read(text: str, final: bool, language: str, question: str) -> Reading:
    """Judge the turn's text so far. An interim text may still change, and is trusted less."""
    words = bare(text)
    if not words:
        return Reading()
    primary = language.partition("-")[0].partition("_")[0].lower()
    known = lexicon.of(primary)
    mark = _mark(text)
    dictated = dictation.find(words, question, primary)
    if dictated is not None:
        # The full stop behind each group of digits is the recogniser's own habit.
        odds = dictated.odds
    else:
        odds = _syntax(words, known, question, mark) if known else 0.0
        odds += _punctuation(mark, odds)
    if not final:
        odds = 0.6 * odds - 0.3
    return Reading(
        min(MOST, max(LEAST, odds)), dictated is not None and odds < 0, known is not None or bool(odds)
    )


def bare(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation."""
    return [word.replace("’", "'") for word in _WORD.findall(text.lower())]


def _mark(text: str) -> str:
    """The punctuation that a text ends with."""
    found = _TAIL.search(text.rstrip())
    return found.group().strip(" \t\n'’\"”»)") if found else ""


def _punctuation(mark: str, odds: float) -> float:
    """A recogniser that punctuates has looked at the sentence, but sets a full stop behind each piece too."""
    if mark in ("...", "…") or mark.endswith(("-", "–", "—")):
        return -2.0
    if mark.endswith((",", ":", ";")):
        return -1.2
    if mark.endswith("?"):
        return 1.5
    if mark.endswith((".", "!", "。")):
        return 0.7 if odds > -1.0 else 0.0
    return 0.0


def _syntax(words: Sequence[str], known: Lexicon, question: str, mark: str) -> float:
    last = words[-1]
    if last in known.fillers and not (len(words) == 1 and last in known.answers):
        return -2.5
    opened = _opened(words, known)
    if opened == len(words) and not question:
        return -1.8
    answer = _answer(words, known, question)
    if answer is not None:
        return answer
    if _ends(words, known.closing):
        return 1.2
    asking = mark.endswith("?")
    if last in known.linking or last.endswith("'"):
        return -1.0 if asking else -3.0
    if last in known.leading:
        # "Where are you from", "What is it like": a question may well end so.
        return 0.0 if asking or words[0].partition("'")[0] in _WH else -2.3
    if last in known.modifying or _asks(words, known):
        return 0.0 if asking else -1.2
    return _sentence(words, known)


def _asks(words: Sequence[str], known: Lexicon) -> bool:
    """It ends in a verb that wants more; "the order" is none."""
    return words[-1] in known.asking and (len(words) < 2 or words[-2] not in known.linking - {"to"})


_WH = frozenset("what who where when which how whom".split())


def _answer(words: Sequence[str], known: Lexicon, question: str) -> float | None:
    """A short answer to what was just asked; of one word where nothing was asked, it counts less."""
    asked = question.rstrip().endswith("?") or dictation.asked(question) is not None
    if len(words) <= 4 and all(word in known.answers for word in words):
        if len(words) == 1 and words[0] in known.linking | known.leading:
            return None
        return 2.5 if asked else 1.3
    if (
        asked
        and len(words) <= 3
        and words[-1] not in known.linking | known.leading | known.asking | known.modifying
    ):
        return 1.5
    return None


def _ends(words: Sequence[str], endings: frozenset[str]) -> bool:
    return any(" ".join(words[-count:]) in endings for count in range(1, min(4, len(words)) + 1))


def _sentence(words: Sequence[str], known: Lexicon) -> float:
    """It ends in a word that may end a sentence. Is there a sentence?"""
    predicates = sum(word in known.verbs for word in words)
    if predicates == 0 and _opened(words, known):
        return -1.0
    if words[0] in known.subordinating and words[0] not in _WH and predicates < 2:
        return -1.2
    if predicates == 0 and len(words) > 2:
        return _CONTENT - 0.6  # a list, or the beginning of a sentence
    # A name or a number by itself may be all of an answer.
    return _CONTENT + (0.6 if predicates and len(words) > 2 else 0.0)


def _opened(words: Sequence[str], known: Lexicon) -> int:
    """How many words at the beginning only open a thought."""
    return max(
        (n for n in range(1, min(4, len(words)) + 1) if " ".join(words[:n]) in known.opening), default=0
    )


_CONTENT = 0.5
"""Of the pauses within sentences at most 60 % follow a word that could end one, of those behind them nearly all
do."""
