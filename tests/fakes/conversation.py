"""Conversations that nobody would script, on virtual time, and what is promised of each of them.

``converse(seed)`` holds one: the real session between a caller who speaks, coughs and hangs up, an agent that answers
late, twice and to the wrong words, cancels, mutes and holds, gets ready or does not, changes the history, the skills
and the configuration (``tests.fakes.backstage``), engines that are slow, fail and break off, and a line that loses
marks. All that was told is held against ``tests.fakes.promises``. Tests and the benchmark of conversations share
both.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable
from dataclasses import replace

from media.music import HoldMusic
from pipeline.absence import Away
from pipeline.chain import Choice, Deadlines, Health, LlmChain, TtsChain
from pipeline.config import Engines, SessionConfig
from pipeline.errors import ProviderError
from pipeline.events import BotFinished, BotInterrupted, EagerTurn, EndReason, TurnEnd
from pipeline.limits import SessionLimits
from pipeline.monitor import Listener
from pipeline.session import Session
from pipeline.turnlog import Switches
from pipeline.turns import TurnParams
from tests.fakes.backstage import Backstage, asked_for, taught
from tests.fakes.leg import FakeLeg
from tests.fakes.llm import FakeLlm, Says
from tests.fakes.loop import run_virtual
from tests.fakes.promises import WROTE, Conversation, promises
from tests.fakes.stt import FakeStt, Hears
from tests.fakes.tts import FakeTts, Plan
from tests.fakes.vad import FakeVad

STEPS = (12, 12, 30)
LINGER_S = 20.0
"""After the end, in which nothing is told any more."""
MUSIC = HoldMusic()
DEADLINES = Deadlines(answer_s=1.5, last_s=4.0, gap_s=3.0)
HEARD = (
    "", "", "yes", "mhm", "uh-huh", "hold on", "what time is it", "I would like a room for two", "my number is",
)  # fmt: skip
SAID = (
    "Yes.", "It is ten. What else?", "one two three four five six seven eight nine ten", "Mr. Smith, 3.5 of **them**.",
    "Is that right?", "...", "la " * 25 + "end.",
)  # fmt: skip
PIECES = ("Well. ", "and so on ", "3.5 ", "Mr. ", "What now? ", "- ")


class WeakLeg(FakeLeg):
    """Loses some of its marks, and returns others twice."""

    rng: random.Random

    def mark(self, name: str) -> None:
        if self.rng.random() > 0.15:
            super().mark(name)

    def _tell(self, name: str) -> None:
        super()._tell(name)
        if self.rng.random() < 0.1:
            super()._tell(name)


def converse(seed: int, listener: Listener | None = None) -> Conversation:
    """Hold one. Raises what the session raises, and ``AssertionError`` where a promise is broken. ``listener`` gets its
    audio."""
    conversation = run_virtual(_converse(seed, listener))
    promises(conversation)
    return conversation


async def _converse(seed: int, listener: Listener | None = None) -> Conversation:
    rng = random.Random(seed)
    loop = asyncio.get_running_loop()
    leg = _leg(rng)
    out = Conversation(seed, leg, switches=_switches(seed))
    loop.set_exception_handler(lambda _, context: out.problems.append(context))
    ear = FakeStt((_hears(rng) for _ in range(40)), otherwise=Hears("yes"))
    await ear.start()
    out.model = _model(rng) if rng.random() < 0.6 else None
    mind = LlmChain([Choice(out.model)], DEADLINES, Health()) if out.model is not None else None
    engines = Engines(
        FakeVad(), ear, await _voice(rng), mind, hold_music=MUSIC if rng.random() < 0.7 else None
    )
    numbers = itertools.count(1)
    backstage = Backstage(out, rng, lambda: replace(_config(rng), events=out.switches))
    session = Session(
        leg,
        engines,
        replace(_config(rng), events=out.switches),
        backstage.emit,
        lambda: f"{next(numbers):012d}{0:020d}",
    )
    backstage.enter(session, engines)
    leg.listener = session
    if listener is not None:
        session.monitor.overheard_by(listener)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(session.run())
        await asyncio.sleep(0)
        people = _People(session, leg, out, rng, backstage)
        for _ in range(rng.randint(3, rng.choice(STEPS))):
            await people.step()
            if session.ended:
                break
        await asyncio.sleep(rng.choice((0.0, 0.05, 3.0)))
        _end(session, rng)
        people.after_the_end()
        out.log.append((loop.time(), await running))
    await asyncio.sleep(LINGER_S)
    return out


def _leg(rng: random.Random) -> FakeLeg:
    kind = rng.choice((FakeLeg, WeakLeg))
    leg = kind(delay_s=rng.choice((0.0, 0.04, 0.3)), marks_on_clear=rng.random() < 0.7)
    if isinstance(leg, WeakLeg):
        leg.rng = rng
    return leg


def _config(rng: random.Random) -> SessionConfig:
    params = TurnParams(
        interruption=rng.random() < 0.9,
        pause_first=rng.random() < 0.7,
        backchannel_filter=rng.random() < 0.8,
        interrupt_ms=rng.choice((200, 300, 500)),
    )
    config = SessionConfig(
        language=rng.choice(("en", "en", "en-GB", "es")),
        greeting=rng.choice(("", "", "Hello there, how are you?", "Hello {{who}}{{nobody}}.")),
        prompt=rng.choice(("Be kind.", "Be kind to {{who}} and {{nobody}}.")),
        holding_text=rng.choice(("", "One moment.")),
        trouble_text=rng.choice(("", "Say that again.")),
        away=rng.choice((Away(), Away("line", "One moment.", after_s=0.4), Away("message", "Bye."))),
        metrics_interval_ms=rng.choice((None, None, None, 100)),
        turns=params,
        limits=_limits(rng),
        mute_while_speaking=rng.random() < 0.2,
    )
    return taught(config, rng)


def _limits(rng: random.Random) -> SessionLimits:
    """Often such as are reached within the conversation."""
    if rng.random() < 0.7:
        return SessionLimits()
    return SessionLimits(
        max_duration_s=rng.choice((0.0, 5.0, 10.0, 600.0)),
        idle_timeout_s=rng.choice((0.0, 1.0, 2.0, 4.0)),
        idle_warning_s=rng.choice((0.0, 0.5, 3.0)),
        idle_grace_s=rng.choice((0.0, 0.5, 2.0)),
        farewell_s=rng.choice((0.0, 0.5, 3.0)),
    )


def _switches(seed: int) -> Switches:
    rng = random.Random(f"events of {seed}")  # Of its own: what is told changes nothing in the conversation.
    return Switches(
        bot_output=rng.choice(("sentence", "sentence", "word", "off")),
        history_snapshot=rng.random() < 0.3,
        reasoning=rng.random() < 0.7,
        metrics=rng.random() < 0.8,
        state=rng.random() < 0.8,
    )


def _fault(rng: random.Random, stage: str) -> ProviderError:
    return ProviderError("fake", stage, "as the dice fell", retryable=rng.random() < 0.7)


def _hears(rng: random.Random) -> Hears:
    text = rng.choice(HEARD)
    error = _fault(rng, "stt") if rng.random() < 0.08 else None
    partials = tuple(text.split()[:1]) if rng.random() < 0.6 else ()
    return Hears(text, partials, error, final_delay_s=rng.choice((0.0, 0.05, 0.05, 0.3, 2.5)))


async def _voice(rng: random.Random) -> TtsChain:
    voice = FakeTts(word_ms=rng.choice((80, 250)), word_times=rng.random() < 0.8)
    plans = [
        Plan(),
        Plan(per_word_s=0.4),
        Plan(first_audio_s=0.7),
        Plan(fail_after_words=rng.randrange(4), error=_fault(rng, "tts")),
        Plan(first_audio_s=1000.0),
    ]
    voice.script(*rng.choices(plans, weights=(8, 1, 1, 1, 0.3), k=40))
    await voice.start()
    return TtsChain([Choice(voice)], DEADLINES, Health())


def _model(rng: random.Random) -> FakeLlm:
    says = [Says(rng.choice(SAID), first_s=rng.choice((0.05, 0.3, 1.0)), word_s=rng.choice((0, 0.05, 0.4)))]
    says += [
        Says(rng.choice(SAID), fail_after=rng.randrange(5), error=_fault(rng, "llm")),
        Says(rng.choice(SAID), first_s=rng.choice((1.6, 3.0, 1000.0))),
        Says(rng.choice(SAID), word_s=1000.0),
    ]
    script = rng.choices(says, weights=(8, 1, 1, 0.3), k=40)
    return FakeLlm(*(asked_for(one, n, rng) for n, one in enumerate(script)))


def _end(session: Session, rng: random.Random) -> None:
    """The call may be over by itself; an end comes once more all the same."""
    if rng.random() < 0.2:
        session.presence.part(EndReason.FAILED, "the agent stayed away")
    if rng.random() < 0.5:
        session.on_closed("hangup", "the caller hung up")
    session.end(rng.choice(list(EndReason)), "enough")


class _People:
    """The caller and the agent, who do at each step what they might do, sensible or not."""

    def __init__(
        self, session: Session, leg: FakeLeg, out: Conversation, rng: random.Random, backstage: Backstage
    ) -> None:
        self._backstage = backstage
        self._session = session
        self._leg = leg
        self._out = out
        self._rng = rng
        self._ids = itertools.count()

    async def step(self) -> None:
        rng = self._rng
        for _ in range(rng.choice((0, 1, 1, 2))):
            if not self._session.ended:  # As the doors do it.
                self._act()
        if rng.random() < 0.5:
            await self._leg.speak(rng.choice((0.06, 0.2, 0.4, 0.6, 1.2)))
        await self._leg.silence(rng.choice((0.02, 0.1, 0.34, 0.6, 1.0, 1.5)))

    def _act(self) -> None:
        session = self._session
        acts: list[tuple[Callable[[], None], float]] = [
            (self._reply, 6),
            (self._stream, 3),
            (self._more, 3),
            (self._cancel, 2),
            (session.hold, 1),
            (session.unhold, 2),
            (session.mute, 1),
            (session.unmute, 2),
            (self._write, 1),
            (session.on_lost, 0.5),
            (session.on_back, 1.5),
            (session.activity, 1),
            (lambda: self._backstage.pause(on=True), 0.5),
            (lambda: self._backstage.pause(on=False), 1),
            (self._backstage.act, 4),
            (self._leave, 1),
            (self._return, 2),
        ]
        self._rng.choices([act for act, _ in acts], [weight for _, weight in acts])[0]()

    def _write(self) -> None:
        self._session.typed(WROTE)

    def _leave(self) -> None:
        self._session.presence.left()

    def _return(self) -> None:
        """The agent's process is back, and may greet as one that knows nothing."""
        self._session.presence.back()
        if self._session.ended:
            return  # It was about to.
        if self._out.sent and self._rng.random() < 0.5:
            self._session.saying.announced_again()
            message_id, first = self._message_id(), next(iter(self._out.sent.values())) or "Hello."
            self._out.sent.setdefault(message_id, first)
            self._session.saying.reply(message_id, first, "")

    def after_the_end(self) -> None:
        """What comes too late changes nothing."""
        session = self._session
        lates = (session.hold, session.mute, session.unmute, session.unhold, session.presence.left)
        for late in (*lates, session.presence.back):
            late()
        session.activity()
        session.pause(on=True)
        session.presence.part(EndReason.FAILED, "late")
        session.saying.cancel(None)
        session.saying.reply("late", "Hello?", "")
        session.saying.stream_start("late", "")
        session.on_mark("0")
        for _ in range(3):
            self._backstage.act()

    def _message_id(self) -> str:
        if self._out.sent and self._rng.random() < 0.03:
            old = self._rng.choice(list(self._out.sent))
            over = {event.message_id for event in self._out.of(BotFinished)}
            over |= {event.message_id for event in self._out.of(BotInterrupted)}
            if old not in over:
                self._out.twice.add(old)
                return old
        return f"m{next(self._ids)}"

    def _in_reply_to(self) -> str:
        known = [event.message_id for event in self._out.of(TurnEnd)[-2:]]
        known += [event.message_id for event in self._out.of(EagerTurn)[-2:]]
        return self._rng.choice(("", self._session.saying.reply_to, *known))

    def _reply(self) -> None:
        message_id, text = self._message_id(), self._rng.choice(SAID)
        self._out.sent.setdefault(message_id, text)
        interruptible = self._rng.random() < 0.9
        self._session.saying.reply(message_id, text, self._in_reply_to(), interruptible=interruptible)

    def _stream(self) -> None:
        message_id = self._message_id()
        self._out.sent.setdefault(message_id, None)
        self._out.pieces.setdefault(message_id, "")
        self._session.saying.stream_start(message_id, self._in_reply_to())
        self._pour(message_id)

    def _more(self) -> None:
        """A stream goes on, or is over already."""
        streams = list(self._out.pieces)[-2:]
        if streams:
            self._pour(self._rng.choice(streams))

    def _pour(self, message_id: str) -> None:
        rng, session = self._rng, self._session
        for piece in rng.choices(PIECES, k=rng.randrange(5)):
            self._out.pieces[message_id] += piece
            session.saying.stream_chunk(message_id, piece)
        if rng.random() < 0.6:
            session.saying.stream_end(message_id)

    def _cancel(self) -> None:
        self._session.saying.cancel(self._rng.choice((None, "nobody knows it", *list(self._out.sent)[-3:])))
