"""How well the words of a voice that gives no times are found in its audio.

``python -m benchmarks.alignment`` has the embedded voices say sentences, which tell when each word is spoken, feeds the
audio to ``pipeline.alignment`` as an endpoint would, and prints how far the told words lie from the spoken ones: while
the audio comes at several times the speed at which it is heard, and once all of it is there. The system's libflite
adds four voices, the folder of recorded speech beside the checkout (or ``TALKWIRE_SPEECH_DIR``) real speakers, whose
words the embedded recogniser aligns to their transcripts. The constants of the aligner were chosen on the first sixty
sentences; the second sixty, the Spanish and the German ones were not looked at for that. The recordings were
listened to for robustness, and each of them is by a speaker of whom nothing is known yet.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from media import wav
from media.frames import Pcm
from media.resample import resample
from pipeline.alignment import Aligner, Pace
from pipeline.errors import ProviderUnavailable
from pipeline.ports import TextToSpeech, TtsAudio, TtsRequest, TtsWord
from pipeline.providers.espeak import EspeakTts
from pipeline.providers.flite import FliteTts
from pipeline.text import tokens

SPEECH = Path(os.environ.get("TALKWIRE_SPEECH_DIR") or Path(__file__).parents[2] / "shared" / "speech")
VOICE_HZ, RATE_HZ = 24000, 8000
SPEEDS = (5.0, 2.0, 1.05)
"""Seconds of audio that come in a second, after the first."""
FIRST_S = CHUNK_S = 0.1
STEP_S = 0.01
CUTS = 25
"""Instants for each sentence at which the words heard so far are counted."""

TUNED = """\
Thanks for calling, how can I help you today?
Your appointment is confirmed for Tuesday, March 14th at 3:30 pm.
I can help with that.
The total comes to $234.56, including tax and shipping.
Let me check the calendar for you, one moment please.
We have three options: the small one, the medium one, and the family size.
Is there anything else that you would like to know before we finish?
Sure!
Your order number is 48213, and it should arrive on Friday.
Unfortunately, Dr. Henderson isn't available until the 22nd, but Dr. Patel has an opening tomorrow morning.
Please say yes or no.
The store opens at 9 am and closes at 6 pm on weekdays.
I'm sorry to hear that, let me see what I can do.
To reset your password, open the settings page, choose security, and then press the reset button.
It takes about 45 minutes by car, depending on traffic.
Great question!
The flight from Chicago to Amsterdam leaves at 17:45 and lands at 8:10 the next morning.
Could you spell your last name for me?
You can pay with a credit card, a debit card, or a bank transfer.
There were 1,250 people at the concert last night.
The weather will be mostly sunny, with a high of 72 degrees and a light breeze from the west.
If you don't mind, I'd like to ask a few questions about your recent experience with our support team.
Nobody knows exactly why the old lighthouse was abandoned, although there are plenty of stories about it.
My name is Alexandra, and I'll be your assistant.
That's right.
We'll send a confirmation email to the address on file within the next ten minutes.
The recipe needs two cups of flour, half a teaspoon of salt, one egg, and a little bit of butter.
He was born in 1967 in a small village near the mountains.
Turn left at the second traffic light, drive for half a mile, and you will see the building on your right.
Your balance is $1,045.20 as of this morning.
Congratulations, you have qualified for the premium plan!
Do you want me to repeat the instructions?
The process, which usually takes a week, can be completed in two days if you pay an extra fee.
Room 512 has a view of the lake.
Would you prefer a window seat or an aisle seat?
I understand your frustration, and I really appreciate your patience while we look into this.
Interest rates have fallen by 0.75 percent since January.
The phone number of the clinic is 555 0142.
First, unplug the device; second, wait for thirty seconds; third, plug it back in.
Of course, no problem at all.
Photosynthesis is the process by which plants turn sunlight, water, and carbon dioxide into sugar and oxygen.
Our refund policy allows returns within 30 days, as long as the item is unused and in its original packaging.
She said that the meeting was moved to Thursday because several people couldn't make it on Wednesday.
What kind of music do you like?
Well, that depends on how much time you have.
I found four restaurants nearby, and the closest one is Luigi's on Maple Street.
The cat sat on the mat and looked out of the window at the falling snow.
Your package was shipped yesterday, but it seems to be delayed at the customs office.
Okay, I've added milk, bread, and a dozen eggs to your shopping list.
Hello, this is the reservation desk of the Grand Hotel, how may I direct your call?
Actually, the museum is closed on Mondays, so I would recommend going there at the weekend instead.
The distance between the earth and the moon is about 384,000 kilometers.
You're welcome, have a nice day!
Please hold the line while I transfer you to a specialist in our billing department.
The new model is faster, lighter, and cheaper than the previous one - and it comes in five colors.
I have two slots left: Monday at 10 and Wednesday at 2:15.
As far as I can tell, everything seems to be working normally again.
In general, you should drink enough water, sleep at least seven hours, and take regular breaks from the screen.
Do you need a hotel as well?
The answer is 42, but nobody remembers the question.
"""

HELD = """\
Good afternoon, you've reached the front desk, what can I do for you?
Your table for four is booked for Saturday, June 7th at 8:15 pm.
Let me look into that.
That will be $89.99 per month, plus a one time activation fee of $25.
Just a second, I'm opening your account now.
There are two ways to do this: online, or in person at any of our branches.
Before we continue, may I have the last four digits of your card?
Absolutely!
Your ticket number is 90417, and the gate closes at noon.
Ms. Rodriguez is on vacation until the 3rd of May, but her colleague would be happy to take your call.
Press one for sales, press two for support, or stay on the line.
The library is open from 10 am to 7 pm, except on Sundays.
I apologize for the inconvenience, we are working hard to fix it.
To change your address, sign in to the website, click on profile, and type in the new one.
The trip takes roughly 90 minutes by train.
Good idea!
The train from Boston to Philadelphia departs at 6:50 and gets there just after 12 o'clock.
Would you mind telling me your date of birth?
You could try restarting the router, checking the cables, or moving a little closer.
More than 3,400 runners took part in the marathon this year.
Tomorrow will be cloudy in the morning, with rain moving in from the north and temperatures around 58 degrees.
If it's all right with you, I will record this conversation for training purposes.
Scientists still argue about how the birds find their way across the ocean, even though they have studied it for decades.
I'm Benjamin from technical support.
Exactly.
A technician will come to your house between eight and twelve, and he will call you half an hour before he arrives.
For the soup you need carrots, onions, celery, a can of tomatoes, and some fresh basil.
The company was founded in 1984 by two brothers from Ohio.
Go straight ahead until you reach the river, cross the bridge, and take the first street on the left.
The remaining amount is $2,310.75, due on the first of September.
Wonderful, your application has been approved!
Shall I send you a text message with the details?
The old contract, which ended last month, is no longer valid, so we need a new signature from you.
Flight 287 is now boarding at gate 14.
Is this your first visit to our clinic?
Thank you so much for waiting, I know that it has been a very long day for you.
Unemployment dropped to 4.2 percent in the third quarter.
Our emergency number is 555 0199, available day and night.
Open the lid; pour in the water; close the lid again and press the green button.
Yes, certainly, I can do that for you.
Electricity flows through a wire because tiny particles called electrons are pushed along by a voltage.
The warranty covers all parts for 24 months, but it does not include damage caused by water or misuse.
My grandfather used to tell us that the best time to plant a tree was twenty years ago.
How many people are in your party?
Hmm, I'm not sure that I understood that correctly.
There's a pharmacy about five hundred yards from here, right next to the post office on Oak Avenue.
A little boy in a red jacket ran across the street without looking.
Your payment went through this morning, however the invoice has not been issued yet.
Done, I have set an alarm for 6:45 and a reminder to call your sister.
Welcome back, would you like to continue where we left off last time?
To be honest, the cheaper plan is probably enough for you, since you rarely use more than two gigabytes.
The speed of light is roughly 299,792 kilometers per second.
Goodbye, and take care!
One of our agents will be with you shortly, your estimated waiting time is six minutes.
The apartment is bright, quiet, and close to the park - but there is no elevator.
We have openings on Tuesday at 9:30 and on Friday at 4.
From what I can see here, your subscription renews automatically at the end of each year.
Generally speaking, it is better to book early, compare several offers, and read the small print twice.
Are you calling about an existing claim?
Seventeen thousand people signed the petition in less than a week.
"""

SPANISH = """\
Hola, gracias por llamar, ¿en qué puedo ayudarle?
Su cita es el martes 14 de marzo a las 15:30.
El precio total es de 234 euros, con impuestos incluidos.
Un momento, por favor, voy a comprobar la agenda.
Tenemos tres opciones: la pequeña, la mediana y la grande.
¿Quiere que le envíe un mensaje con los detalles?
Lo siento mucho, el doctor no está disponible hasta la próxima semana.
Gire a la izquierda en el segundo semáforo y siga todo recto.
Muy bien, he añadido leche, pan y huevos a su lista.
La biblioteca está cerrada los domingos, pero abre todos los sábados por la mañana.
"""

GERMAN = """\
Guten Tag, vielen Dank für Ihren Anruf, was kann ich für Sie tun?
Ihr Termin ist am Dienstag, dem 14. März um 15:30 Uhr.
Das macht zusammen 234 Euro, Versand und Steuern sind enthalten.
Einen Augenblick bitte, ich sehe im Kalender nach.
Wir haben drei Möglichkeiten: klein, mittel oder groß.
Soll ich Ihnen eine Nachricht mit den Einzelheiten schicken?
Leider ist der Arzt erst in der nächsten Woche wieder zu sprechen.
Biegen Sie an der zweiten Ampel links ab und fahren Sie dann geradeaus.
In Ordnung, ich habe Milch, Brot und Eier auf die Liste gesetzt.
Die Bibliothek ist sonntags geschlossen, aber samstags den ganzen Vormittag geöffnet.
"""

RECORDED = """\
jfk: And so, my fellow Americans, ask not what your country can do for you, ask what you can do for your \
country.
librivox_0870: And Mister John Dashwood had then leisure to consider how much there might be prudently in \
his power to do for them.
librivox_0880: He was not an ill disposed young man.
librivox_0930: He might even have been made amiable himself.
arctic_a0024: It was my reports from the north which chiefly induced people to buy.
LJ050_0131: Unless a system is established for the frequent, formal review of activities thereunder, in this \
regard.
libri_1088: As you know, and as I have given you proof, I have the greatest admiration in the world for one \
whose work for humanity has won such universal recognition. I hope that we shall both forget this unhappy \
morning, and that you will give me an opportunity of rendering to you in person
watson_speech: Thunderstorms could produce large hail, isolated tornadoes, and heavy rain.
watson_pause: Isolated tornadoes and heavy rain.
az_weather: What's the weather like?
gcp_brooklyn: How old is the Brooklyn Bridge?
sb_example1: The birch canoe slid on the smooth planks.
new_home: We must find a new home in the stars.
something: Go somewhere and do something.
goforward: Go forward ten meters.
forever4: Feels like these days go on forever.
cards_002: Four, queen of clubs.
two_cities: It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of \
foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the season of light, it was \
the season of darkness, it was the spring of hope, it was the winter of despair, we had everything before \
us, we had nothing before us, we were all going direct to heaven, we were all going direct the other way. In \
short, the period was so far like the present period, that some of its noisiest authorities insisted on its \
being received, for good or for evil, in the superlative degree of comparison only.
"""
"""Files of the folder of recorded speech, and what is said in them."""


class Utterance(NamedTuple):
    group: str
    voice: str
    language: str
    text: str
    pcm: Pcm
    starts: list[float]
    """When each token begins, in seconds."""


@dataclass
class Figures:
    told: dict[float, list[float]] = field(default_factory=lambda: defaultdict(list))
    """By the speed of the audio: milliseconds from the beginning of a word to when it is told."""
    crude: dict[float, list[float]] = field(default_factory=lambda: defaultdict(list))
    """The same for words that share the audio by their letters once it is whole."""
    counted: dict[float, list[int]] = field(default_factory=lambda: defaultdict(list))
    """Words told at some instant, less those heard."""
    done: list[float] = field(default_factory=list)
    """Milliseconds by which a start lies too late once the sentence is whole."""
    crude_done: list[float] = field(default_factory=list)

    def add(self, other: Figures) -> None:
        for speed in SPEEDS:
            self.told[speed] += other.told[speed]
            self.crude[speed] += other.crude[speed]
            self.counted[speed] += other.counted[speed]
        self.done += other.done
        self.crude_done += other.crude_done


# --- speech -----------------------------------------------------------------------------------------------


async def synthetic(seed: int) -> list[Utterance]:
    chance = np.random.default_rng(seed)
    made: list[Utterance] = []
    english = [("tuned", text) for text in TUNED.splitlines()] + [
        ("held out", text) for text in HELD.splitlines()
    ]
    for engine, names, speed in (
        (FliteTts(), ("slt", "rms", "awb", "kal16"), 1.0),
        (EspeakTts(), ("en-us", "en-gb+f3"), 1.1),
    ):
        try:
            await engine.start()
        except ProviderUnavailable as error:
            print(f"without {engine.name}: {error.cause}")
            continue
        for name in names:
            for group, text in english:
                request = TtsRequest(text, VOICE_HZ, voice=name, speed=speed * chance.uniform(0.93, 1.07))
                made.append(await _spoken(engine, request, group, chance))
        if engine.name == "espeak":
            for language, texts in (("es", SPANISH), ("de", GERMAN)):
                for text in texts.splitlines():
                    request = TtsRequest(text, VOICE_HZ, language=language, speed=chance.uniform(0.93, 1.07))
                    made.append(await _spoken(engine, request, "held out", chance))
        await engine.aclose()
    return made


async def _spoken(
    engine: TextToSpeech, request: TtsRequest, group: str, chance: np.random.Generator
) -> Utterance:
    lead_s = float(chance.choice((0.0, 0.05, 0.1, 0.2, 0.3)))
    audio, starts = [np.zeros(int(lead_s * VOICE_HZ), np.int16)], []
    async for event in engine.speak(request):
        if isinstance(event, TtsWord):
            starts.append(lead_s + event.start_s)
        elif isinstance(event, TtsAudio):
            audio.append(event.pcm)
    pcm = resample(np.concatenate(audio), VOICE_HZ, RATE_HZ)
    voice = f"{engine.name} {request.voice or request.language}"
    return Utterance(group, voice, request.language, request.text, pcm, starts)


def recorded() -> Iterable[Utterance]:
    from pocketsphinx import Decoder

    decoder = Decoder(loglevel="FATAL")
    for word, phones in (("thereunder", "DH EH R AH N D ER"),):
        decoder.add_word(word, phones, True)
    for line in RECORDED.splitlines():
        name, _, text = line.partition(": ")
        pcm, rate_hz = wav.read(SPEECH / f"{name}.wav")
        starts = _aligned(decoder, resample(pcm, rate_hz, 16000), text)
        yield Utterance("recorded", "people", "en", text, resample(pcm, rate_hz, RATE_HZ), starts)


def _aligned(decoder: object, pcm: Pcm, text: str) -> list[float]:
    """The start of each token; the second pass has the mean of the first."""
    words = ["".join(c for c in t.text.lower() if c.isalnum() or c == "'") for t in tokens(text)]
    found: list[float] = []
    for _ in range(2):
        decoder.set_align_text(" ".join(words))  # type: ignore[attr-defined]
        decoder.start_utt()  # type: ignore[attr-defined]
        decoder.process_raw(pcm.tobytes(), full_utt=True)  # type: ignore[attr-defined]
        decoder.end_utt()  # type: ignore[attr-defined]
        found = [s.start_frame / 100 for s in decoder.seg() if s.word[0] not in "<[("]  # type: ignore[attr-defined]
    assert len(found) == len(words), text
    return found


# --- listening --------------------------------------------------------------------------------------------


def listen(utterance: Utterance, speed: float, pace: Pace) -> tuple[list[float], list[float], float, float]:
    """When each word is told, where each start is found in the end, when the audio was whole, and what it took:
    all in seconds."""
    texts = [token.text for token in tokens(utterance.text)]
    aligner = Aligner(texts, RATE_HZ, pace, utterance.language)
    pcm, size = utterance.pcm, int(CHUNK_S * RATE_HZ)
    told: list[float] = []
    fed, now, whole, cost = 0, 0.0, 0.0, 0.0
    words = aligner.words()
    while len(told) < len(words) or fed < len(pcm):
        while fed < len(pcm) and min(fed + size, len(pcm)) <= (FIRST_S + now * speed) * RATE_HZ:
            began = time.perf_counter()
            aligner.audio(pcm[fed : fed + size])
            words = aligner.words()
            cost += time.perf_counter() - began
            fed += size
            if fed >= len(pcm):
                aligner.done()
                words, whole = aligner.words(), now
        while len(told) < len(words) and words[len(told)][0] <= now * RATE_HZ:
            told.append(now)
        now += STEP_S
    return told, [start / RATE_HZ for start, _ in words], whole, cost


def shared(utterance: Utterance) -> list[float]:
    """Starts where words share the audio by their letters."""
    ends = np.cumsum([len(token.text) + 1 for token in tokens(utterance.text)], dtype=np.float64)
    starts = np.concatenate(([0.0], ends[:-1])) / ends[-1] * len(utterance.pcm) / RATE_HZ
    return [float(start) for start in starts]


def measure(utterances: Sequence[Utterance], seed: int) -> tuple[dict[tuple[str, str], Figures], list[float]]:
    """Figures by group and voice, and microseconds for each chunk of audio."""
    found: dict[tuple[str, str], Figures] = defaultdict(Figures)
    costs = []
    for speed in SPEEDS:
        chance = np.random.default_rng(seed)
        paces: dict[str, Pace] = defaultdict(Pace)
        for utterance in utterances:
            figures = found[utterance.group, utterance.voice]
            # Of a person nothing is known from before.
            pace = Pace() if utterance.group == "recorded" else paces[utterance.voice]
            told, final, whole, cost = listen(utterance, speed, pace)
            costs.append(1e6 * cost / (len(utterance.pcm) / RATE_HZ / CHUNK_S))
            crude = shared(utterance)
            starts = np.array(utterance.starts)
            figures.told[speed] += list(1000 * (told - starts))
            figures.crude[speed] += list(1000 * (np.maximum(crude, whole) - starts))
            instants = chance.uniform(starts[0], len(utterance.pcm) / RATE_HZ, CUTS)
            heard = np.searchsorted(starts, instants, side="right")
            figures.counted[speed] += list(np.searchsorted(told, instants, side="right") - heard)
            if speed == SPEEDS[0]:
                figures.done += list(1000 * (final - starts))
                figures.crude_done += list(1000 * (crude - starts))
    return found, costs


# --- the tables -------------------------------------------------------------------------------------------


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    print(f"\n### {title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def spread(errors: Sequence[float]) -> str:
    middle, late = np.percentile(np.abs(errors), (50, 95))
    return f"{middle:.0f} / {late:.0f}"


def rows(found: dict[tuple[str, str], Figures]) -> list[tuple[str, Figures]]:
    named = []
    for group in ("tuned", "held out", "recorded"):
        voices = [(voice, figures) for (of, voice), figures in found.items() if of == group]
        total = Figures()
        for voice, figures in voices:
            total.add(figures)
            if group == "held out":
                named.append((voice, figures))
        if voices:
            named.append((f"**{group}**", total))
    return named


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of tempo, leading silence and cuts")
    seed = parser.parse_args().seed
    utterances = asyncio.run(synthetic(seed))
    if (SPEECH / "jfk.wav").exists():
        utterances += recorded()
    found, costs = measure(utterances, seed)
    named = rows(found)
    speeds = [f"audio {speed:g} x" for speed in SPEEDS]
    print(f"{len(utterances)} sentences, {sum(len(u.starts) for u in utterances)} words; p50 / p95 in ms")
    table(
        "From the beginning of a word to when it is told (bar T2: p95 <= 200)",
        (
            "voice",
            *speeds,
            "found in the end",
            *(f"by letters, {speed}" for speed in speeds),
            "by letters, in the end",
        ),
        (
            (
                name,
                *(spread(f.told[speed]) for speed in SPEEDS),
                spread(f.done),
                *(spread(f.crude[speed]) for speed in SPEEDS),
                spread(f.crude_done),
            )
            for name, f in named
        ),
    )
    table(
        "Words counted at a random instant (bar T3: 95 % within one; none that was not heard)",
        ("voice", *(f"within one, {speed}" for speed in speeds), *(f"too many, {speed}" for speed in speeds)),
        (
            (
                name,
                *(f"{100 * np.mean(np.abs(f.counted[speed]) <= 1):.1f} %" for speed in SPEEDS),
                *(f"{100 * np.mean(np.array(f.counted[speed]) > 0):.1f} %" for speed in SPEEDS),
            )
            for name, f in named
        ),
    )
    quick, middle, slow = np.percentile(costs, (5, 50, 95))
    print(
        f"\nEach 100 ms of audio took {quick:.0f} / {middle:.0f} / {slow:.0f} us (p5 / p50 / p95 of the sentences)."
    )


if __name__ == "__main__":
    main()
