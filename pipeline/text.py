"""Text as it is spoken: tokens (what one ``bot.word`` names) and sentences (what one synthesis is given)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
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


# --- where a sentence ends --------------------------------------------------------------------------------

# A full stop behind these ends no sentence.
_TITLES = frozenset(
    "mr mrs ms dr prof st vs e.g i.e dept ave blvd gen capt sra srta ud uds ee av bzw z.b d.h str mme mlle".split()
)
# Behind these, and behind single letters and initials, it does where a word follows that often begins a sentence.
_SHORTENED = frozenset("etc inc ltd co corp jr sr usw".split())
_BEGINNINGS = frozenset(
    "a after all although an and as at because before but by can could did do does during even for from have he "
    "her here his how however i i'm if in is it it's its let let's maybe my no not now of on once or our perhaps "
    "please she should since so some than that that's the their then there there's these they this those to we "
    "we're well what what's when where which while who why will with would yes you you're your "
    "el la los las un una y pero si en es con por para der die das ein eine und aber ich sie wir ist im le les "
    "une et mais il elle je vous nous est dans pour".split()
)
# These stand for something only before a number: else "No." is an answer.
_BEFORE_NUMBERS = frozenset("no nr num vol fig pag approx ca".split())
_INITIALS = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")
_AFTER_AN_HOUR = frozenset(
    "monday tuesday wednesday thursday friday saturday sunday january february march april may june july august "
    "september october november december est edt cst cdt mst pst pdt et ct pt gmt utc cet".split()
)
_GERMAN_MONTHS = frozenset(
    "januar februar märz april mai juni juli august september oktober november dezember".split()
)
# "1.", "2)", "**3.**", "iv.": at the start of a sentence it counts the items of a list.
_MARKER = re.compile(r"[\s#>*_~+(\[\-–•·\"]*(?:\d{1,3}|[ivx]{1,4}|[IVX]{2,4})[.)][*_)\]]*(?=\s|$)")
# Behind the stop come quotes, brackets, emphasis, emoji, but nothing with which the sentence goes on. The full-width
# marks of Chinese and Japanese need no white space behind them.
_END = re.compile(
    r"(?P<stops>[.!?…]+)(?P<closed>(?:[^\w\s.!?…,;:(\[{<\-–—]|_)*)(?=\s|$)"
    r"|[。！？]+[\"'”’)\]」』]*"
    r"|\n"
)
_WORD = re.compile(r"[\"'*_(“]*([\w'’]{0,12})")

# --- where it may be cut before that ----------------------------------------------------------------------

_AHEAD = 10
"""Characters behind a limit that have to be there before it is decided where to cut: the longest word below, and white
space on both sides."""
_JOINING = (
    "but because which while although though unless until whereas where when if who "
    "pero porque aunque cuando donde sino mientras aber weil dass wenn denn sondern damit obwohl "
    "mais parce car donc quand lorsque qui"
)
_LISTING = "and or so y e o u und oder et ou"
# "by which", "for when", "even though" are not parted.
_PARTED = r"(?<! by| in| of| to| on| at| as)(?<! for| and)(?<! with| from| even| just)\s"
_CLAUSE = re.compile(
    r"(?P<mark>(?<!e\.g\.)(?<!i\.e\.)(?:(?<!\d)[,;:][\"'”’)\]]*\s(?=\S)|[,;:][\"'”’)\]]*\s(?=[^\s\d])"
    r"|\s[-–—]\s(?=\S)|—\s?(?=\w)|[，、；：](?=\S)))"
    rf"|(?P<joining>{_PARTED}(?=(?:{'|'.join(_JOINING.split())})\s))"
    rf"|(?P<listing>\s(?=(?:{'|'.join(_LISTING.split())})\s))"
)
_RANKS = {"mark": 0, "joining": 1, "listing": 2}
_INSIDE = 3
"""Added to the rank of a place in quotes or brackets."""
_BREAK = re.compile(r"\s|(?<=[\u2e80-\uffff])(?=[\u2e80-\uffff])")


class SentenceSplitter:
    """Cuts a growing text into sentences, each as soon as it is sure to be over.

    Feed it tokens of a language model as they come. What it returns, joined, is the text that it was given, cut at
    the same places however that is divided; what ``flush`` returns may be white space alone.

    ``first_clause_chars``: where the first sentence is longer than this, what is given out first is its last clause
    that ends before, or else the first one after that, but not less than ``least_clause_chars``. So that a voice can
    begin early. ``max_chars``: a sentence that is longer is cut at a clause, or else between words.
    """

    def __init__(
        self,
        min_chars: int = 2,
        *,
        first_clause_chars: int | None = None,
        least_clause_chars: int = 25,
        max_chars: int = 300,
    ) -> None:
        self._buffer = ""
        self._min_chars = min_chars
        self._first_chars = first_clause_chars
        self._least_chars = least_clause_chars
        self._max_chars = max_chars

    def feed(self, chunk: str) -> list[str]:
        """Add text; return the sentences that are complete now, each with one character of the white space behind
        it."""
        self._buffer += chunk
        out: list[str] = []
        while cut := self._next_cut():
            out.append(self._buffer[:cut])
            self._buffer = self._buffer[cut:]
            if any(c.isalnum() for c in out[-1]):
                self._first_chars = None
        return out

    def flush(self) -> str:
        """The text is over: return what is left."""
        rest, self._buffer = self._buffer, ""
        return rest

    # Each decision looks at what is behind its place no further than needed, and waits while that is not here: so
    # it cannot depend on how the text came.

    def _next_cut(self) -> int:
        """0: nowhere yet."""
        if self._first_chars is not None:
            cut = self._first_cut(self._first_chars)
            if cut is not None:
                return cut
        end = self._sentence_end(self._max_chars)
        if end is not None:
            return end[1]
        return self._forced_cut() if len(self._buffer) >= self._max_chars + _AHEAD else 0

    def _first_cut(self, limit: int) -> int | None:
        """None: only the bound of all sentences holds."""
        end = self._sentence_end(limit)
        if end is not None:
            return end[1]
        if len(self._buffer) < limit + _AHEAD:
            return 0
        clause = self._last_clause(self._least_chars, limit, _INSIDE)
        if clause:
            return clause
        later = next((c for c, rank in self._clauses(self._max_chars) if c > limit and rank < _INSIDE), None)
        end = self._sentence_end(self._max_chars)
        if end is None or (later is not None and later <= end[0]):
            return later
        return end[1]

    def _forced_cut(self) -> int:
        text, most = self._buffer, self._max_chars
        clause = self._last_clause(most // 3, most, 2 * _INSIDE)
        if clause:
            return clause
        begin = len(text) - len(text.lstrip())
        breaks = [match.end() for match in _BREAK.finditer(text, begin, most + 1) if match.end() <= most]
        if breaks:
            return breaks[-1]
        after = _BREAK.search(text, max(begin, most))
        # Longer than that no word is.
        return after.end() if after and after.end() <= 2 * most else 2 * most if len(text) >= 2 * most else 0

    def _sentence_end(self, limit: int) -> tuple[int, int] | None:
        """Where the sentence stops, if that is before the limit, and where to cut behind it; 0 while that is not
        decided."""
        text = self._buffer
        marker = _MARKER.match(text)
        for match in _END.finditer(text):
            if match.start() >= limit:
                return None
            if marker and match.end() <= marker.end():
                continue
            cut = match.end()
            if match.group() != "\n":
                goes_on = self._goes_on(match)
                if goes_on is None:
                    return match.start(), 0
                if goes_on:
                    continue
                cut += text[cut].isspace()
            said = text[:cut].strip()
            if len(said) >= self._min_chars and not (marker and said == marker.group().strip()):
                return match.start(), cut
        return None

    def _goes_on(self, stop: re.Match[str]) -> bool | None:
        """It ends no sentence. None where what decides that is not here yet."""
        following = self._buffer[stop.end() :]
        if not following:
            return None  # "3." may become "3.5", "..." may go on
        following = following.lstrip()
        if stop["stops"] is None:
            return False
        if any(c in "\"'”’)]»" for c in stop["closed"]):
            return following[0].islower() if following else None
        if stop["stops"] != ".":
            return False
        word = self._word_before(stop.start())
        if word.lower() in _TITLES:
            return True
        if word.lower() in _BEFORE_NUMBERS:
            return following[0].isdigit() if following else None
        if word.isdigit() and len(word) < 3:  # "am 3. Mai", "der 2. und 3."
            return _goes_on_with(following, _GERMAN_MONTHS.__contains__)
        if _INITIALS.fullmatch(word):
            if word.islower():  # "3 p.m. on Monday"
                return _goes_on_with(following, _AFTER_AN_HOUR.__contains__)
        elif word.lower() not in _SHORTENED and (len(word) != 1 or not word.isalpha() or word == "I"):
            return False
        return _goes_on_with(following, lambda next_word: next_word not in _BEGINNINGS)

    def _word_before(self, stop: int) -> str:
        """Empty where it is a part of something longer, such as an address."""
        start = stop
        while start > 0 and (self._buffer[start - 1].isalnum() or self._buffer[start - 1] in "._"):
            start -= 1
        whole = start == 0 or self._buffer[start - 1].isspace() or self._buffer[start - 1] in "\"'*_([“‘¿¡"
        return self._buffer[start:stop].strip("_") if whole else ""

    def _last_clause(self, least: int, limit: int, worse: int) -> int:
        """Of the best places from ``least`` to ``limit`` whose rank is below ``worse`` the last; 0: there is none."""
        places = [(-rank, cut) for cut, rank in self._clauses(limit) if cut >= least and rank < worse]
        return max(places)[1] if places else 0

    def _clauses(self, limit: int) -> Iterator[tuple[int, int]]:
        """Places to cut, with their rank: the lower the better."""
        text = self._buffer[: limit + _AHEAD]
        for match in _CLAUSE.finditer(text):
            cut = match.end()
            if cut > limit:
                return
            if any(c.isalnum() for c in text[:cut]):
                yield cut, _RANKS[match.lastgroup or ""] + (_INSIDE if _inside(text[:cut]) else 0)


def _inside(text: str) -> bool:
    """A quotation or a bracket is open at its end."""
    depth = sum((c in "([{“«「") - (c in ")]}”»」") for c in text)
    return depth > 0 or text.count('"') % 2 == 1


def _goes_on_with(following: str, known: Callable[[str], bool]) -> bool | None:
    """A sentence does with a word that does not begin with a capital; with one that does where it is known for
    that. None: the word is not whole yet."""
    found = _WORD.match(following)
    word = found[1] if found else ""
    over = found is None or found.end() < len(following)
    if not word and not over:
        return None
    if not word[:1].isupper():
        return True
    return known(word.lower().replace("’", "'")) if over or len(word) == 12 else None


def sentences(text: str) -> list[str]:
    """Cut a whole text into sentences; joined they are the text. Only a text of white space alone gives a
    sentence without a word."""
    splitter = SentenceSplitter()
    found: list[str] = []
    lead = ""
    for piece in [*splitter.feed(text), splitter.flush()]:
        body = piece.lstrip()
        space = piece[: len(piece) - len(body)]
        if found:
            found[-1] += space
        else:
            lead += space
        if body:
            found.append(lead + body)
            lead = ""
    return found or ([text] if text else [])


_MARKUP = re.compile(r"(?<!\w)[*_~`#]+|[*_~`#]+(?!\w)")


def speakable(text: str) -> str:
    """The text without the marks of markdown, which a voice would read out or stumble over.

    Its tokens are those of the text, in the same number: where they would not be, it is the text itself.
    """
    plain = _MARKUP.sub("", text)
    return plain if len(tokens(plain)) == len(tokens(text)) else text
