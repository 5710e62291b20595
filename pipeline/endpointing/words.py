"""What the words say about whether a turn is over. Pure.

The evidence is added up as log-odds: 0 says nothing, 1 makes the end 2.7 times as likely against going on.
The weights are prior knowledge about how sentences end, rounded; they were not fitted to recordings. Two rules
are there because the sentences of ``benchmarks.turns`` showed that they were missing: what only opens a thought,
and the preposition that closes a question.
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
        odds = _syntax(_started(words, known), known, question, mark) if known else 0.0
        odds += _punctuation(mark, odds)
    if not final:
        odds = 0.6 * odds - 0.3
    return Reading(min(MOST, max(LEAST, odds)), dictated is not None and odds < 0)


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
        return -1.8
    if mark.endswith("?"):
        return 1.5
    if mark.endswith((".", "!", "。")):
        return 0.7 if odds > -1.0 else 0.0
    return 0.0


def _started(words: Sequence[str], known: Lexicon) -> Sequence[str]:
    """Without what was said while looking for the first word."""
    first = next((n for n, word in enumerate(words) if word not in known.fillers), len(words) - 1)
    return words[first:]


def _syntax(words: Sequence[str], known: Lexicon, question: str, mark: str) -> float:
    last = _tail(words[-1], known)
    if _hesitates(words, known):
        return -2.5
    if _opened(words, known) == len(words):
        return -1.8
    if len(words) == 1 and last in _WH:
        return 0.0
    if known is lexicon.ENGLISH and _english_begun(words):
        return -1.5
    answer = _answer(words, known, question)
    if answer is not None:
        return answer
    if _ends(words, known.closing):
        return 1.2
    asking = mark.endswith("?")
    if (last in known.linking or last.endswith("'")) and not _asked_in_order(words, known):
        return -1.0 if asking else -3.0
    if last in known.leading:
        # "Where are you from", "What is it like": a question may well end so.
        if words[0].partition("'")[0] in _WH and len(words) >= 4 and last in _STRANDED:
            return 0.8
        if _asked_in_order(words, known):
            return 0.8 if len(words) >= 3 else 0.2
        return 0.0 if asking else -2.3
    if _modifies(words, known) or _asks(words, known):
        return 0.0 if asking else -1.2
    return _sentence(words, known)


def _hesitates(words: Sequence[str], known: Lexicon) -> bool:
    """It ends in a filler. "Well" is one by itself or behind another, "very well" is none."""
    if words[-1] not in known.fillers or (len(words) == 1 and words[-1] in known.answers):
        return False
    return words[-1] not in _ALSO_WORDS or len(words) == 1 or words[-2] in known.fillers | known.linking


def _asks(words: Sequence[str], known: Lexicon) -> bool:
    """It ends in a verb that wants more; "the order" is none."""
    return _tail(words[-1], known) in known.asking and (
        len(words) < 2 or words[-2] not in known.linking - {"to"}
    )


def _tail(word: str, known: Lexicon) -> str:
    """Of "j'aimerais" and "dell'altro" the latter part, where the language runs words together."""
    return word.rpartition("'")[2] or word if known in (lexicon.FRENCH, lexicon.ITALIAN) else word


def _asked_in_order(words: Sequence[str], known: Lexicon) -> bool:
    """Where a question is in the order of its words: "qué hora es", "wie spät ist es"."""
    return (
        len(words) >= 2
        and words[0] in _INTERROGATIVE
        and known is not lexicon.ENGLISH
        and (words[-1] in known.verbs or words[-1] in ("es", "das", "sie"))
    )


def _modifies(words: Sequence[str], known: Lexicon) -> bool:
    """It ends in what stands before a noun; "I want that", "what is this" do not."""
    if words[-1] in _POINTING and len(words) > 1:
        return words[-2] in (known.linking | known.leading) - known.verbs
    return words[-1] in known.modifying


def _english_begun(words: Sequence[str]) -> bool:
    """A question of which there is only the beginning ("could you"), a gift without the thing ("give me")."""
    if len(words) == 2 and words[0] in _AUXILIARIES:
        return words[1] in _SUBJECTS
    return len(words) >= 2 and words[-2] in _GIVING and words[-1] in _RECEIVERS


_ALSO_WORDS = frozenset("well bueno este pues bon ben also naja bem bom tipo assim é allora insomma".split())
_WH = frozenset("what who where when which how whom".split())
_INTERROGATIVE = frozenset(
    "qué cuál cuándo cuánto cuánta cuántos cuántas dónde cómo quién quel quelle quand où comment combien qui was wer "
    "wann wo wie warum welche que qual quando quanto onde como quem che cosa quale dove come chi".split()
)
_STRANDED = frozenset("about at by for from like near on to with".split())
_POINTING = frozenset("this that these those".split())
_AUXILIARIES = frozenset(
    "is are was were do does did can could will would should have has had may might isn't aren't don't doesn't "
    "didn't can't couldn't won't wouldn't".split()
)
_SUBJECTS = frozenset("you i it he she we they there this that".split())
_GIVING = frozenset("give get send bring show let tell buy lend hand".split())
_RECEIVERS = frozenset("me us him her them".split())


def _answer(words: Sequence[str], known: Lexicon, question: str) -> float | None:
    """A short answer to what was just asked; of one word where nothing was asked, it counts less."""
    asked = question.rstrip().endswith("?") or dictation.asked(question) is not None
    if len(words) <= 4 and all(word in known.answers for word in words):
        if words[-1] in known.linking | known.leading and not _ends(words, known.closing):
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
    predicates = sum(
        word in known.verbs or _tail(word, known) in known.verbs or word.partition("'")[2] in _CONTRACTED
        for word in words
    )
    if predicates == 0 and _opened(words, known):
        return -1.0
    if words[0] in known.subordinating and predicates < 2 and not _inverted(words):
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


def _inverted(words: Sequence[str]) -> bool:
    """ "When do you open" is a question, "when I get home" is half a sentence."""
    return words[0] in _WH and len(words) > 1 and words[1] in _AUXILIARIES


_CONTRACTED = frozenset("s re m ve ll d t".split())
"""What is left of an English verb behind an apostrophe; a possessive is mistaken for one."""
_CONTENT = 0.5
"""Of the pauses within sentences at most 60 % follow a word that could end one, of those behind them nearly all
do."""
