"""Text as it is spoken: tokens (what one ``bot.word`` names) and sentences (what one synthesis is given)."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Token:
    """A word as the text writes it, with the punctuation that hangs on it."""

    text: str
    start: int
    """Character offset of its first character in the text it came from."""
    end: int


def tokens(text: str) -> list[Token]:
    """Split at white space. What holds no letter or digit ("-", "...") is not a word of its own: it belongs
    to the token before it, or at the very start to the one after it, so that each token can be spoken.

    A text without any letter or digit has no tokens.
    """
    found: list[Token] = []
    leading: re.Match[str] | None = None
    for match in re.finditer(r"\S+", text):
        if any(c.isalnum() for c in match.group()):
            start = leading.start() if leading else match.start()
            found.append(Token(text[start : match.end()], start, match.end()))
            leading = None
        elif found:
            last = found[-1]
            found[-1] = Token(text[last.start : match.end()], last.start, match.end())
        elif leading is None:
            leading = match
    return found


# A full stop ends a sentence only where the word before it is none of these.
_ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof sr jr st vs etc e.g i.e inc ltd co corp dept ave blvd "
    "sra srta ud uds av bzw usw z.b d.h str mme mlle".split()
)
# These stand for something only before a number: else "No." is an answer.
_BEFORE_NUMBERS = frozenset("no nr num vol fig pag approx ca".split())
_INITIALS = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")
# The full-width marks of Chinese and Japanese need no white space behind them.
_END = re.compile(
    r"[.!?\u2026]+[\"'\u201d\u2019)\]]*(?=\s|$)"
    r"|[\u3002\uff01\uff1f]+[\"'\u201d\u2019)\]\u300d\u300f]*"
    r"|\n+"
)


class SentenceSplitter:
    """Cuts a growing text into sentences, each as soon as it is sure to be over.

    Feed it tokens of a language model as they come. What it returns, joined, is the text that it was given;
    what ``flush`` returns may be white space alone.
    """

    def __init__(self, min_chars: int = 2) -> None:
        self._buffer = ""
        self._min_chars = min_chars

    def feed(self, chunk: str) -> list[str]:
        """Add text; return the sentences that are complete now (with the white space behind them)."""
        self._buffer += chunk
        out: list[str] = []
        position = 0
        while True:
            cut = self._next_boundary(position)
            if cut is None:
                return out
            if len(self._buffer[:cut].strip()) < self._min_chars:
                position = cut
                continue
            out.append(self._buffer[:cut])
            self._buffer = self._buffer[cut:]
            position = 0

    def flush(self) -> str:
        """The text is over: return what is left."""
        rest, self._buffer = self._buffer, ""
        return rest

    def _next_boundary(self, position: int) -> int | None:
        for match in _END.finditer(self._buffer, position):
            end = match.end()
            if end >= len(self._buffer) and not match.group().startswith("\n"):
                return None  # more may follow: "3." may become "3.5", "..." may go on
            while end < len(self._buffer) and self._buffer[end].isspace():
                end += 1
            if match.group()[0] == ".":
                goes_on = self._goes_on(self._word_before(match.start()), self._buffer[end : end + 1])
                if goes_on is None:
                    return None
                if goes_on:
                    continue
            return end
        return None

    def _word_before(self, dot: int) -> str:
        start = dot
        while start > 0 and (self._buffer[start - 1].isalnum() or self._buffer[start - 1] in "._"):
            start -= 1
        return self._buffer[start:dot]

    @staticmethod
    def _goes_on(word: str, following: str) -> bool | None:
        """The full stop behind the word ends no sentence. None where the next character, which is not here
        yet, decides."""
        lower = word.lower()
        if lower in _ABBREVIATIONS or (len(word) == 1 and word.isalpha() and word != "I"):
            return True
        if lower in _BEFORE_NUMBERS:
            return following.isdigit() if following else None
        if _INITIALS.fullmatch(word):  # "3 p.m. on Monday", "the U.S. army"
            return not following.isupper() if following else None
        return False


def sentences(text: str) -> list[str]:
    """Cut a whole text into sentences; joined they are the text. Only a text of white space alone gives a
    sentence without a word."""
    splitter = SentenceSplitter()
    found = splitter.feed(text)
    rest = splitter.flush()
    if rest.strip() or not found:
        found += [rest] if rest else []
    else:
        found[-1] += rest
    return found
