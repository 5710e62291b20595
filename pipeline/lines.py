"""What the server says by itself, by language: when an answer is late or does not come, and of being recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

HOLDING = {
    "en": "One moment, please.",
    "es": "Un momento, por favor.",
    "de": "Einen Moment, bitte.",
    "fr": "Un instant, s'il vous pla\u00eet.",
    "it": "Un momento, per favore.",
    "pt": "Um momento, por favor.",
    "nl": "Een ogenblik, alstublieft.",
}
TROUBLE = {
    "en": "I am sorry, I cannot answer right now. Please say that again.",
    "es": "Lo siento, ahora no puedo responder. Por favor, rep\u00edtalo.",
    "de": "Es tut mir leid, ich kann gerade nicht antworten. Bitte sagen Sie das noch einmal.",
    "fr": "D\u00e9sol\u00e9, je ne peux pas r\u00e9pondre pour le moment. Veuillez r\u00e9p\u00e9ter.",
    "it": "Mi dispiace, ora non posso rispondere. Per favore, lo ripeta.",
    "pt": "Desculpe, n\u00e3o consigo responder agora. Por favor, repita.",
    "nl": "Het spijt me, ik kan nu niet antwoorden. Zegt u het alstublieft nog eens.",
}
FAREWELL = {
    "en": "I am sorry, we have a technical problem. Please call again in a moment.",
    "es": "Lo siento, tenemos un problema t\u00e9cnico. Por favor, vuelva a llamar en un momento.",
    "de": "Es tut mir leid, wir haben ein technisches Problem. Bitte rufen Sie gleich noch einmal an.",
    "fr": "D\u00e9sol\u00e9, nous avons un probl\u00e8me technique. Veuillez rappeler dans un instant.",
    "it": "Mi dispiace, abbiamo un problema tecnico. Per favore, richiami tra un momento.",
    "pt": "Desculpe, temos um problema t\u00e9cnico. Por favor, ligue de novo daqui a pouco.",
    "nl": "Het spijt me, we hebben een technisch probleem. Belt u alstublieft zo nog eens.",
}

RECORDED = {
    "en": "This call is recorded.",
    "es": "Esta llamada se est\u00e1 grabando.",
    "de": "Dieses Gespr\u00e4ch wird aufgezeichnet.",
    "fr": "Cet appel est enregistr\u00e9.",
    "it": "Questa chiamata viene registrata.",
    "pt": "Esta chamada est\u00e1 sendo gravada.",
    "nl": "Dit gesprek wordt opgenomen.",
}


def in_language(text: str | Mapping[str, str], languages: Sequence[str]) -> str:
    """Of a text in several languages (BCP-47) the one in the first of these that there is, each also by its base tag;
    else the first."""
    if isinstance(text, str):
        return text
    tags = (tag for language in languages for tag in (language, language.split("-")[0]))
    return next((text[tag] for tag in tags if text.get(tag)), "") or next(iter(text.values()), "")


def line(lines: dict[str, str], language: str) -> str:
    """The line in a language (BCP-47); empty where it is not known: a wrong language is worse than silence."""
    return lines.get(language.split("-")[0].lower(), "")
