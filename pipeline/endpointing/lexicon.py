"""The words by which one hears that a sentence is not over, in six languages. Data.

Closed classes of words, from common grammars: a sentence seldom ends in one of them. Spelled as a recogniser
does, in lower case; where accents are often lost, both spellings stand. Prepositions that also close a sentence
of everyday speech ("where are you from", "komm rein") count less, or not at all. Which of the frequent English
words lead on was also read off the language model of pocketsphinx (BSD-2-Clause): those after which it expects
the end of a sentence at most half as often as after the median word, less those that it was taught by films.
"""

from __future__ import annotations

from dataclasses import dataclass


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Of one language. All in lower case."""

    linking: frozenset[str]
    """Conjunctions, articles, possessives, relative words: something must follow."""
    leading: frozenset[str]
    """Prepositions, subject pronouns, auxiliaries, degrees: nearly always."""
    asking: frozenset[str]
    """Verbs that want an object or a complement: more often than not."""
    modifying: frozenset[str]
    """Adjectives and adverbs that stand before what they modify: more often than not."""
    fillers: frozenset[str]
    """Said while looking for the next word."""
    answers: frozenset[str]
    """Whole answers, and words that one is made of."""
    closing: frozenset[str]
    """Ends of what is said, as whole endings of one or more words."""
    subordinating: frozenset[str]
    """At the beginning of a sentence: its main clause is still to come."""
    opening: tuple[str, ...]
    """What opens a thought and is none itself."""
    verbs: frozenset[str]
    """Frequent finite verbs: where one of them is, there is a predicate."""


ENGLISH = Lexicon(
    linking=_set(
        "and or but nor because although unless whereas if than whether the a an my your his its our their "
        "whose every which who's and/or cause cos 'cause plus versus of"
    ),
    leading=_set(
        "i he she we they i'm i've i'd i'll you're you've you'd you'll he's she's we're we've we'd we'll "
        "they're they've they'd they'll it's that's there's what's is are was were am be been being has had "
        "have will would can could should shall might must may to from with without at by for into onto about "
        "between during until till upon toward towards via per like as since while very quite rather such "
        "when where how what who why not don't doesn't didn't isn't aren't can't won't couldn't wouldn't "
        "shouldn't some any under against among despite beside besides except near than gonna wanna gotta"
    ),
    asking=_set(
        "want need wants needs wanted get got give gave given giving take took taken taking make makes made "
        "making book order reserve schedule buy bought find found send put tell told see think thought say "
        "going went keep kept trying try let let's having looking getting using used seem seems seemed bring "
        "brought spend became become include provide allow require turn hold pick add called named looks "
        "feels sounds comes gets letting starting holding checking paying considering including based "
        "supposed depending willing able hoping due appreciate spell came"
    ),
    modifying=_set(
        "around approximately roughly nearly this these those another other each both few many several only "
        "just even also really most so actually basically probably maybe perhaps in new large small big first "
        "next last still never always almost usually especially after without within little hundred thousand "
        "whole main entire extremely incredibly relatively barely hardly certain various multiple extra "
        "current recent single double middle local full former totally simply particularly generally slightly "
        "fully greater larger largest greatest latest biggest highest financial social political national "
        "international foreign medical northern southern western eastern united san los european american "
        "kind sort couple bunch plenty lots previous additional whenever someone's somebody's here's how's "
        "where's name's one's it'll he'll she'll that'll there'll would've should've could've hasn't haven't "
        "hadn't wasn't weren't aren't"
    ),
    fillers=_set("uh um er erm uhm hmm hm mm well eh ah umm uhh"),
    answers=_set(
        "yes yeah yep yup no nope nah sure okay ok right correct exactly absolutely definitely certainly fine "
        "great perfect good thanks thank you please cool alright true maybe never none nothing sounds course "
        "not it's i do don't am is it that's mhm uh-huh else go ahead"
    ),
    closing=frozenset(
        (
            "thank you", "thanks", "think so", "hope so", "guess so", "as possible", "if possible",
            "if you can", "please", "bye", "goodbye", "bye bye", "that's it", "that's all", "that is all",
            "that's right", "thank you very much", "thanks a lot", "of course", "hello", "hi", "good morning",
            "good afternoon", "i think so", "i guess so", "i hope so", "i don't know", "no idea", "not really",
            "not yet", "nothing else", "never mind", "yes i do", "yes i am", "yes it is", "no i don't",
            "no it isn't", "yes i have", "no i haven't", "i do", "i don't", "i did", "i didn't",
            "of course not", "go ahead", "no that's it", "that's fine", "sounds good", "right now", "as well",
            "too", "is that right", "okay",
        )
    ),
    subordinating=_set(
        "if when because although though unless since while after before as whenever once until"
    ),
    opening=(
        "and then", "but then", "and also", "and so", "so", "but", "in short", "for example", "for instance",
        "by the way", "first of all", "on the other hand", "to be honest", "as you know", "as i said",
        "the thing is", "the reason is", "in fact", "however", "anyway", "also", "actually", "basically",
        "i mean", "you know", "you see", "let me see", "let's see", "let me think", "let me check", "hold on",
        "one moment", "one second", "just a second", "just a moment", "wait",
    ),
    verbs=_set(
        "is are was were am be cost costs took takes i'm you're he's she's it's we're they're that's there's "
        "what's who's where's how's has have had i've we've you've they've do does did don't doesn't didn't "
        "can can't could will won't would should shall might must may i'll we'll you'll i'd we'd you'd want "
        "wants need needs like likes know think get got go goes going went come comes came see say said make "
        "take give tell call called book order cancel change check find help let let's feel feels look looks "
        "looking work works try put pay send speak talk wait stop start begin thank thanks please hope love "
        "hate live lives leave left keep show move turn open close play isn't aren't wasn't weren't won ask "
        "run meant mean"
    ),
)  # fmt: skip

SPANISH = Lexicon(
    linking=_set(
        "y e o u pero sino ni porque aunque si que pues el la los las un una unos unas mi mis tu tus su sus "
        "nuestro nuestra nuestros nuestras cuyo cuya cada del al de lo como cuando donde mientras"
    ),
    leading=_set(
        "yo él ella nosotros ellos ellas usted ustedes me te se le les nos a ante bajo con contra desde en "
        "entre hacia hasta para por según sin sobre tras es son era eran soy eres somos está están estoy "
        "estaba ha han he hemos había puede puedo podría debe voy va vamos muy tan más menos no quién cuál "
        "qué cómo cuándo dónde"
    ),
    asking=_set(
        "quiero quería quisiera necesito busco tengo tiene quiere necesita hacer reservar pedir comprar "
        "cambiar creo pienso digo llamo gustaría"
    ),
    modifying=_set(
        "este esta estos estas ese esa esos esas otro otra otros otras algo sólo solo también entonces además "
        "todos todas primer primera gran"
    ),
    fillers=_set("eh em este mmm mm pues bueno o-sea ehm ah"),
    answers=_set(
        "sí si no claro vale bueno bien correcto exacto exactamente perfecto gracias por favor de acuerdo "
        "nada nunca ninguno ok okay cierto supuesto desde luego muchas quizás ajá"
    ),
    closing=frozenset(
        (
            "no", "gracias", "muchas gracias", "por favor", "adiós", "adios", "hasta luego", "eso es", "eso es todo",
            "nada más", "nada mas", "de acuerdo", "por supuesto", "claro que sí", "hola", "buenos días",
            "creo que sí", "creo que no", "no lo sé", "no sé", "también no", "así es", "desde luego",
        )
    ),
    subordinating=_set("si cuando porque aunque mientras como después antes"),
    opening=(
        "y entonces", "por ejemplo", "es decir", "en realidad", "la verdad es", "además", "a ver", "déjame ver",
        "un momento", "un segundo", "espera", "espere", "o sea",
    ),
    verbs=_set(
        "funciona cuesta falta llega sale paso pasa parece entiendo vale es son soy está están estoy era hay "
        "ha he han tengo tiene quiero quiere quería quisiera necesito puedo puede podría voy va vamos hago "
        "hace sé sabe creo llamo llama gusta gustaría busco vivo viene dice digo"
    ),
)  # fmt: skip

FRENCH = Lexicon(
    linking=_set(
        "et ou mais ni car donc parce que qu' qui dont où quand si lorsque puisque quoique le la les un une "
        "des du de d' l' au aux mon ma mes ton ta tes son sa ses notre nos votre vos leur leurs ce cet cette "
        "ces chaque quel quelle quels quelles comme"
    ),
    leading=_set(
        "je j' tu il elle on nous vous ils elles ne n' se s' me m' te t' c' y à a en dans sur sous avec sans "
        "pour par vers chez entre depuis pendant contre est sont suis es sommes êtes était étaient étais ai "
        "as avons avez ont avait aurais peux peut peuvent pouvez pourrais doit dois vais va allons veux très "
        "trop plus moins aussi pourquoi comment jusqu' jusque dès"
    ),
    asking=_set(
        "voudrais aimerais souhaite souhaiterais cherche réserver prendre commander acheter changer faire "
        "pense crois dis appelle m'appelle besoin"
    ),
    modifying=_set(
        "autre autres seulement puis alors plusieurs quelques tout toute tous toutes premier première grand "
        "petit petite nouveau"
    ),
    fillers=_set("euh heu ben bah hum hein mmh bon"),
    answers=_set(
        "oui ouais si non d'accord bien sûr merci parfait exactement exact voilà ok okay s'il vous plaît "
        "jamais rien aucun tout à fait c'est ça bon absolument certainement"
    ),
    closing=frozenset(
        (
            "merci", "merci beaucoup", "s'il vous plaît", "s'il te plaît", "au revoir", "c'est tout",
            "c'est ça", "d'accord", "bien sûr", "tout à fait", "bonjour", "bonsoir", "je ne sais pas",
            "je crois", "non plus", "je pense", "rien d'autre", "moi aussi", "ça va", "pas du tout",
        )
    ),
    subordinating=_set("si quand parce comme lorsque puisque quoique après avant pendant"),
    opening=(
        "par exemple", "c'est-à-dire", "en fait", "en effet", "du coup", "d'ailleurs", "alors", "voyons",
        "attendez", "un instant", "un moment", "une seconde", "je veux dire",
    ),
    verbs=_set(
        "marche coûte manque arrive comprends semble parle reste est sont suis es sommes êtes était ai as a "
        "avons avez ont avait c'est j'ai peux peut pouvez pourrais vais va voudrais aimerais veux veut "
        "cherche faut dois doit fais fait sais pense crois appelle m'appelle habite"
    ),
)  # fmt: skip

GERMAN = Lexicon(
    linking=_set(
        "und oder aber sondern denn weil dass daß ob wenn falls obwohl während als der die das den dem des "
        "ein eine einen einem einer eines mein meine meinen meinem meiner dein deine ihr ihre ihren ihrem "
        "ihrer sein seine seinen unser unsere euer kein keine keinen jeder jede jedes dieser diese dieses "
        "diesen diesem welche welcher welches wo wie bis"
    ),
    leading=_set(
        "ich du er wir sie es man in im ins am an auf aus bei beim von vom zu zum zur für mit ohne gegen um "
        "über unter zwischen nach vor hinter neben durch seit wegen trotz ist sind war waren bin bist hat "
        "habe haben hatte wird werden würde würden kann können könnte könnten muss müssen soll sollte darf "
        "möchte will wollen sehr so ganz mehr weniger noch was wer wann warum"
    ),
    asking=_set("brauche hätte suche nehme bestelle kaufe heiße glaube denke sage"),
    modifying=_set(
        "gerne gern bitte also dann nur auch andere anderen einige mehrere etwa ungefähr ganz alle großen "
        "kleinen neuen erste ersten nächste nächsten"
    ),
    fillers=_set("äh ähm hm hmm öhm naja tja also mmh eh ehm"),
    answers=_set(
        "ja jawohl jo nein nee doch genau richtig klar gerne gern gut okay ok danke bitte schön sicher "
        "natürlich stimmt nichts nie niemals keine perfekt passt in ordnung vielen dank"
    ),
    closing=frozenset(
        (
            "danke", "danke schön", "vielen dank", "bitte", "tschüss", "auf wiederhören", "auf wiedersehen",
            "das ist alles", "das war's", "das wars", "in ordnung", "hallo", "guten tag", "guten morgen",
            "genau", "weiß ich nicht", "ich weiß nicht", "ich glaube schon", "sonst nichts", "ja gerne",
            "ja gern", "ja bitte", "nein danke", "das stimmt", "an", "auf", "aus", "ab", "mit", "vor", "zu",
        )
    ),
    subordinating=_set("wenn weil dass ob falls obwohl während als bevor nachdem da sobald"),
    opening=(
        "zum beispiel", "das heißt", "eigentlich", "übrigens", "außerdem", "mal sehen", "moment",
        "einen moment", "einen augenblick", "warten sie", "ich meine",
    ),
    verbs=_set(
        "kostet fehlt kommen steht heißt verstehe funktioniert rufe rufen ist sind war waren bin bist hat "
        "habe haben hatte hätte wird werden würde kann können könnte muss soll möchte will brauche suche "
        "heiße geht gibt kommt weiß glaube denke nehme bestelle wohne sagt macht machen"
    ),
)  # fmt: skip

PORTUGUESE = Lexicon(
    linking=_set(
        "e ou mas nem porque que se embora pois o a os as um uma uns umas meu minha meus minhas seu sua seus "
        "suas nosso nossa nossos nossas cujo cuja cada do da dos das no na nos nas de ao aos à às como quando "
        "onde enquanto pelo pela num numa"
    ),
    leading=_set(
        "eu tu ele ela você vocês nós eles elas me te lhe em com contra desde entre até para pra por sem sob "
        "sobre após é são era eram sou está estão estou estava tem há foi pode posso podia poderia deve vou "
        "vai vamos muito tão mais menos não quem qual quê"
    ),
    asking=_set(
        "quero queria gostaria preciso procuro tenho quer precisa fazer reservar pedir comprar mudar marcar "
        "acho penso digo chamo"
    ),
    modifying=_set(
        "este esta esse essa outro outra outros outras algo só também então todos todas primeiro primeira "
        "grande"
    ),
    fillers=_set("eh hum hm ahn bem bom tipo assim mmm"),
    answers=_set(
        "sim não claro está certo correto exato exatamente perfeito obrigado obrigada por favor bem ok okay "
        "nada nunca nenhum pode ser isso tá com certeza"
    ),
    closing=frozenset(
        (
            "não", "obrigado", "obrigada", "muito obrigado", "muito obrigada", "por favor", "se faz favor", "tchau",
            "adeus", "é isso", "é só isso", "só isso", "mais nada", "com certeza", "olá", "bom dia",
            "boa tarde", "não sei", "acho que sim", "acho que não", "está bem", "tá bom", "pode ser",
            "isso mesmo", "também não",
        )
    ),
    subordinating=_set("se quando porque embora enquanto como depois antes"),
    opening=(
        "por exemplo", "quer dizer", "na verdade", "além disso", "aliás", "deixa eu ver", "deixe-me ver",
        "um momento", "um segundo", "espera", "só um momento",
    ),
    verbs=_set(
        "funciona custa falta chega sai parece entendo é são sou está estão estou era há tem tenho foi quero "
        "quer queria gostaria preciso posso pode poderia vou vai vamos faço faz sei acho chamo chama gosto "
        "moro"
    ),
)  # fmt: skip

ITALIAN = Lexicon(
    linking=_set(
        "e ed o oppure ma né perché anche se che cui mentre il lo la i gli le un uno una l' un' mio mia miei "
        "mie tuo tua suo sua suoi sue nostro nostra vostro vostra loro ogni di del dello della dei degli "
        "delle dell' d' al allo alla ai agli alle all' dal dalla nel nella nei nelle nell' sul sulla come "
        "quando dove quale quali"
    ),
    leading=_set(
        "io tu lui lei noi voi mi ti si ci vi a da in con su per tra fra senza sotto sopra verso contro è "
        "sono era erano sei siamo ho ha hai abbiamo hanno aveva posso può potrei potrebbe devo deve vado va "
        "vorrei molto troppo più meno così non chi cosa c' dall' sull'"
    ),
    asking=_set(
        "voglio volevo cerco prendo desidero bisogno prenotare ordinare comprare cambiare fare credo penso "
        "dico chiamo"
    ),
    modifying=_set(
        "questo questa questi queste quello quella altro altra altri altre solo allora poi tutti tutte primo "
        "prima grande"
    ),
    fillers=_set("eh ehm uhm mmm mm beh cioè allora boh insomma"),
    answers=_set(
        "sì si no certo esatto esattamente giusto bene perfetto grazie per favore prego va d'accordo niente "
        "mai nessuno ok okay certamente volentieri"
    ),
    closing=frozenset(
        (
            "grazie", "grazie mille", "per favore", "per piacere", "arrivederci", "ciao", "è tutto",
            "tutto qui", "basta così", "nient'altro", "va bene", "d'accordo", "pronto", "buongiorno",
            "buonasera", "non lo so", "credo di sì", "credo di no", "penso di sì", "certo che sì", "anche a me",
            "così",
        )
    ),
    subordinating=_set("se quando perché mentre come dopo prima siccome sebbene appena"),
    opening=(
        "per esempio", "cioè", "in realtà", "comunque", "a proposito", "vediamo", "un momento", "un attimo",
        "un secondo", "aspetti", "aspetta", "voglio dire",
    ),
    verbs=_set(
        "funziona costa manca arriva capisco sembra parla sta è sono era siamo sei c'è ho ha hai abbiamo "
        "hanno aveva posso può potrei vorrei voglio vuole volevo devo deve vado va faccio fa so sa credo "
        "penso chiamo chiama cerco prendo abito piace piacerebbe"
    ),
)  # fmt: skip

LEXICONS = {
    "en": ENGLISH,
    "es": SPANISH,
    "fr": FRENCH,
    "de": GERMAN,
    "pt": PORTUGUESE,
    "it": ITALIAN,
}


def of(language: str) -> Lexicon | None:
    """By BCP-47 tag, the primary part of which decides. None: words of this language tell us nothing."""
    return LEXICONS.get(language.partition("-")[0].partition("_")[0].lower())
