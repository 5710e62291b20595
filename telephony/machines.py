"""Is it a human who answered? What voicemails, and robots that screen calls, give away by their words.

A call's first words are looked at. Humans say some of it, too ("would you like to leave a message?"), so only what
no human says at a telephone counts. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

MAX_CHARS: Final = 2000
"""Of a text that are looked at."""


@dataclass(frozen=True, slots=True)
class Machine:
    kind: Literal["machine", "screening"]
    words: str
    """Those that gave it away."""


_OFFER: Final = re.compile(
    r"\b(like|want|wish|need|able|prefer) to (please )?$"
    r"|\b(can|could|may|shall|should|will|did|to) (i|you|we) (please )?$"
)
"""Before words that are a machine's: a human offers."""

_SCREENING: Final = (
    r"(record|say|state|tell me) your name (and|along with)( state)?( the| your)? (reason|purpose)[\w ]*",
    r"i('|’)?ll see if (this person|they|he|she) (is|are) available",
    r"(is )?using (a )?(call )?screening( service)?",
    r"call screening service",
    r"(google|virtual|automated|ai|digital) (call )?assistant .{0,60}(calling|screen|call)",
    r"screening service from google",
    r"press (1|one|any key) to (be )?connect(ed)?",
    r"press (1|one) (if|to prove) you are (a )?(human|person)",
)
_MACHINE: Final = (
    # English
    r"(at|after|following) the (tone|beep|signal)",
    r"(please )?(leave|record) (me |us )?(a|your|the) (brief |short |detailed )*(message|name)",
    r"(reached|reaching) the (voice ?mail|mailbox|voice mailbox)",
    r"(voice ?mail|mailbox) (box )?(is full|of|has not been set up|that has not been)",
    r"(forwarded|transferred) to (an? )?(automated )?(voice|message|answering)",
    r"when you (have|are|'re|'ve) finished( recording)?",
    r"hang up or press",
    r"the (number|person|party|customer|subscriber|caller) you( have|'ve| are|'re)? "
    r"(dialed|dialled|calling|called|trying to reach) (is|has|can|could|does)",
    r"(can('|’)?t|cannot|unable to|not able to) (come to|answer|take|get to) (the phone|your call) "
    r"(right now|at the moment)",
    # Spanish
    r"(deje|deja|grabe) (su|un|tu) (nombre|mensaje|recado)",
    r"despu(é|e)s (del|de o(í|i)r el|de escuchar el) (tono|señal|se(ñ|n)al)",
    r"buz(ó|o)n de voz",
    # German
    r"nach dem (signal|piep|ton|signalton|piepton)",
    r"(hinterlassen|sprechen) sie (mir |uns )?(bitte )?(eine|ihre) nachricht",
    r"(der|die) (gew(ü|ue)nschte )?(gespr(ä|ae)chspartner|teilnehmer|mailbox).{0,40}(nicht erreichbar|ist voll)",
    # French
    r"laissez?( moi| nous|-moi|-nous)? (un|votre) message",
    r"apr(è|e)s le (bip|signal)",
    r"(messagerie|boîte) vocale",
    # Portuguese, Italian
    r"deixe (a sua|sua|uma) mensagem",
    r"ap(ó|o)s o (sinal|bipe)",
    r"lasci(a|ate)? (un|il) (suo )?messaggio",
    r"dopo il (segnale|bip)",
)
_KINDS: Final[tuple[tuple[Literal["machine", "screening"], re.Pattern[str]], ...]] = (
    ("screening", re.compile("|".join(_SCREENING))),
    ("machine", re.compile("|".join(_MACHINE))),
)


def recognise(text: str) -> Machine | None:
    """What speaks so; None: nothing says that it is no human."""
    words = " ".join(text[:MAX_CHARS].lower().split())
    for kind, pattern in _KINDS:
        for found in pattern.finditer(words):
            if not _OFFER.search(words[: found.start()]):
                return Machine(kind, found.group().strip())
    return None
