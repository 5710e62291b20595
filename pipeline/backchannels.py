"""What a listener says without wanting the floor: "mhm", "ok", "claro", "genau". Pure.

A backchannel tells the speaker to go on (Yngve, "On getting a word in edgewise", 1970). Said over the bot it
must not cut it off, however many of them there are. A hesitation ("uh", "euh") wants the floor perhaps, but
has nothing to say yet; it is told apart here and is no backchannel by itself.

Texts come from recognisers: case, punctuation, accents and hyphens are theirs, and mean nothing here, save
for the Portuguese "é" (it is so) and the German "äh" (uh), which without them are "and" and "ah".
"""

from __future__ import annotations

import re
import unicodedata

LANGUAGES = ("de", "en", "es", "fr", "it", "pt")
"""Those with words of their own. In any other only sounds and "ok" count."""

_WORD = re.compile(r"\w+")
_RUN = re.compile(r"(.)\1{2,}")
_SOUND = re.compile(r"m+(h+m+)*h?|h+m+|m+h+|a+h+a+|u+h+u+m*|a+h+a+m+|a+h+|o+h+")
"""mm, mhm, mmhmm, hm, aha, uhuh, aham, ah, oh."""
_HESITATION = re.compile(r"u+h+|u+h+m+|e+r+m+|e+h+|e+h+m+|h+u+m+|a+h+m+")
"""uh, uhm, erm, eh, ehm, hum, ahm. "um", "em" and "er" are words in some languages: um is one in Portuguese."""
_ACCENT_MATTERS = frozenset({"é", "äh"})

_EVERYWHERE = "ok; okay; okey; oki; o k; uh huh; uh hu; a ha; m huh; mm huh"

_WORDS = {
    "en": """
        yeah; yea; yah; ya; yes; yep; yup; yas; aye; right; alright; all right; sure; sure thing; for sure;
        i see; i got it; got it; gotcha; got you; i got you; i understand; understood; of course; exactly;
        absolutely; definitely; totally; indeed; certainly; true; correct; fine; good; very good; great; nice;
        cool; perfect; lovely; awesome; wow; really; yes sir; thats right; thats true;
        that is right; that is true; thats fine; that is fine; thats good; thats great; makes sense;
        that makes sense; go on; fair enough; no problem; oh i see; oh wow; oh really
    """,
    "es": """
        sí; sip; ajá; aha; ajam; claro; claro que sí; claro claro; vale; bueno; bien; muy bien; está bien;
        ya; ya ya; ya veo; ya entiendo; entiendo; entendido; lo entiendo; comprendo; de acuerdo; exacto;
        exactamente; eso; eso es; así es; cierto; es cierto; es verdad; verdad; correcto; perfecto; genial;
        por supuesto; desde luego; dale; listo; órale; ándale; okay; venga; estupendo; qué bien; ah sí;
        anda; de veras; en serio; no me digas; siga; adelante; tal cual; efectivamente; obvio
    """,
    "fr": """
        oui; ouais; ouaip; mouais; oui oui; d'accord; dac; bien; très bien; bien sûr; c'est ça; c'est vrai;
        c'est bon; exact; exactement; tout à fait; voilà; je vois; je comprends; compris; j'ai compris;
        entendu; ça marche; parfait; super; génial; ah bon; ah oui; ah ouais; bon; ben oui; absolument;
        effectivement; en effet; vrai; vraiment; évidemment; certes; ça va; ok d'accord; okay; allez y;
        pas de problème; pas de souci; tiens; nickel; carrément
    """,
    "de": """
        ja; jo; joa; jawohl; jap; jep; jepp; ja ja; jaja; na ja gut; genau; ganz genau; aha; achso; ach so;
        ach ja; stimmt; das stimmt; richtig; ganz richtig; klar; na klar; alles klar; gut; sehr gut; na gut;
        also gut; in ordnung; verstehe; ich verstehe; verstanden; hab ich verstanden; sicher; natürlich;
        eben; ebend; okay; passt; super; prima; toll; schön; perfekt; echt; wirklich; tatsächlich;
        einverstanden; freilich; logisch; selbstverständlich; kein problem; weiß ich; so ist es
    """,
    "pt": """
        sim; sim sim; pois; pois é; pois sim; pois claro; é; é isso; é verdade; isso; isso mesmo; isso aí; tá;
        tá bom; tá bem; tá certo; tá legal; está bem; está bom; está certo; certo; claro; com certeza;
        entendi; entendo; percebo; percebi; compreendo; estou a ver; exato; exatamente; exacto; exactamente;
        beleza; bom; bem; muito bem; ótimo; perfeito; legal; uhum; aham; ahã; ah é; né; verdade; de acordo;
        sem dúvida; sem problema; combinado; okay; tudo bem; fixe; pode ser; correto; ah sim; já
    """,
    "it": """
        sì; sì sì; certo; ma certo; certamente; va bene; va benissimo; bene; benissimo; molto bene; d'accordo;
        esatto; esattamente; giusto; giustissimo; capito; ho capito; capisco; chiaro; è chiaro; vero; è vero;
        davvero; infatti; appunto; perfetto; ottimo; ok va bene; okay; già; eh già; eh sì; ah sì; ecco;
        proprio così; è così; sicuro; senz'altro; naturalmente; come no; immagino; ah ecco; ci sta; vabbè
    """,
}

_HESITATIONS = {
    "en": "uh; um; er; erm; ah; well; so; like; you know; hm; let me see; lets see",
    "es": "eh; em; um; este; esto; pues; o sea; a ver; mm; bueno pues",
    "fr": "euh; heu; um; euhm; ben; bah; bon ben; hum; alors; eh bien; voyons",
    "de": "äh; ähm; öh; öhm; ehm; tja; na ja; naja; also; hm; nun; mal sehen",
    "pt": "eh; hum; hã; ahn; bem; então; tipo; deixa ver; pronto",
    "it": "eh; ehm; em; um; mah; beh; allora; dunque; cioè; vediamo",
}


def is_backchannel(text: str, language: str) -> bool:
    """Nothing was said but backchannels, one or several; hesitations between them change nothing.

    ``language`` is BCP-47; of one that is not in ``LANGUAGES``, or "", only sounds and "ok" are known.
    """
    words, primary = _words(text), _primary(language)
    plain, hesitant = _PHRASES[primary], _FILLERS[primary]
    # Which places can be reached by whole phrases, and whether by hesitations alone.
    reached: dict[int, bool] = {0: False}
    for at in range(len(words)):
        if at not in reached:
            continue
        for size in range(1, min(_LONGEST, len(words) - at) + 1):
            phrase = words[at : at + size]
            if phrase in plain or (size == 1 and _SOUND.fullmatch(phrase[0])):
                reached[at + size] = True
            elif phrase in hesitant or (size == 1 and _HESITATION.fullmatch(phrase[0])):
                reached[at + size] = reached.get(at + size, False) or reached[at]
    return reached.get(len(words), False)


def is_filler(text: str, language: str) -> bool:
    """Nothing was said but hesitations ("uh", "euh", "pues"): he is about to speak, and has said nothing."""
    words = _words(text)
    fillers = _FILLERS[_primary(language)]
    reached = {0}
    for at in range(len(words)):
        if at not in reached:
            continue
        for size in range(1, min(_LONGEST, len(words) - at) + 1):
            phrase = words[at : at + size]
            if phrase in fillers or (size == 1 and _HESITATION.fullmatch(phrase[0])):
                reached.add(at + size)
    return bool(words) and len(words) in reached


def _primary(language: str) -> str:
    primary = language.replace("_", "-").split("-")[0].casefold()
    return primary if primary in LANGUAGES else ""


def _words(text: str) -> tuple[str, ...]:
    joined = re.sub(r"['\u2019\u02bc`\u00b4]", "", unicodedata.normalize("NFC", text).casefold())
    return tuple(_fold(word) for word in _WORD.findall(joined))


def _fold(word: str) -> str:
    word = _RUN.sub(r"\1", word)
    if word in _ACCENT_MATTERS:
        return word
    return "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))


def _table(*lists: str) -> frozenset[tuple[str, ...]]:
    return frozenset(words for entry in ";".join(lists).split(";") if (words := _words(entry)))


_PHRASES = {"": _table(_EVERYWHERE), **{code: _table(_EVERYWHERE, words) for code, words in _WORDS.items()}}
_FILLERS = {"": _table("um; mm"), **{code: _table(words) for code, words in _HESITATIONS.items()}}
_LONGEST = max(len(phrase) for phrases in (*_PHRASES.values(), *_FILLERS.values()) for phrase in phrases)
