"""What an agent does behind the scenes of a random conversation: it gets ready or does not, gives results of tools late,
twice or never, teaches skills, changes the history and the configuration, and hands the call to somebody else."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

from pipeline.config import Engines, SessionConfig
from pipeline.events import Event, LlmBefore, ToolCallsRequested
from pipeline.ports import ChatMessage, ToolCall, ToolSpec
from pipeline.preparing import Preparing
from pipeline.session import Session
from pipeline.skills import LOAD, UNLOAD, Skill
from pipeline.tools import Tool, ToolResult
from tests.fakes.llm import Says
from tests.fakes.promises import Conversation

TOOLS = (
    Tool(ToolSpec("quick"), timeout_s=1.0),
    Tool(ToolSpec("slow"), filler="I am at it."),
    Tool(ToolSpec("broken"), run=lambda arguments: 1 / 0),
)
SKILLS = (
    Skill("billing", "Money.", "Talk of {{money}}.", (Tool(ToolSpec("pay"), timeout_s=2.0),)),
    Skill("travel", "Trips.", "Talk of trips."),
    Skill("secret", "Nobody knows.", "Hush.", activation="manual"),
    Skill("manners", "", "Be polite.", activation="always"),
)
PREPARING = (None, None, Preparing(), Preparing(400, opted_in=True), Preparing(1500, opted_in=True))
NAMES = ("billing", "travel", "secret", "manners", "nothing")


def taught(config: SessionConfig, rng: random.Random) -> SessionConfig:
    """A configuration with what the model of a call can do."""
    return replace(
        config,
        preparing=rng.choice(PREPARING),
        tools=TOOLS if rng.random() < 0.6 else (),
        skills=tuple(skill for skill in SKILLS if rng.random() < 0.5),
        variables=rng.choice(({}, {"who": "Ann"})),
        tool_timeout_s=rng.choice((2.0, 30.0)),
    )


def asked_for(says: Says, number: int, rng: random.Random) -> Says:
    """What the model says, now and then with tools; some that nobody has."""
    if rng.random() < 0.6:
        return says
    names = ("quick", "quick", "slow", "slow", "broken", "pay", "none", LOAD, LOAD, UNLOAD)
    calls = [
        ToolCall(f"call_{number}_{i}", name, f'{{"name": "{rng.choice(NAMES)}"}}')
        for i, name in enumerate(rng.choices(names, k=rng.choice((1, 1, 2))))
    ]
    return replace(says, calls=tuple(calls))


class Backstage:
    """Of one conversation. ``emit`` is what the session tells its events to."""

    def __init__(self, out: Conversation, rng: random.Random, config: Callable[[], SessionConfig]) -> None:
        self._out = out
        self._rng = rng
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._session: Session | None = None
        self._engines: Engines | None = None

    def enter(self, session: Session, engines: Engines) -> None:
        self._session, self._engines = session, engines

    @property
    def session(self) -> Session:
        assert self._session is not None
        return self._session

    def emit(self, event: Event) -> None:
        if self.session.ended:
            self._out.problems.append(f"{event} behind the end")
        self._out.log.append((self._loop.time(), event))
        rng = self._rng
        match event:
            case LlmBefore():
                turn = event.turn.turn_id if event.turn is not None else 0
                for _ in range(rng.choice((0, 1, 1, 1, 2))):
                    number = rng.choice((turn, turn, turn, None, turn - 1))
                    self._later(
                        (0.0, 0.05, 0.3, 2.0), partial(self.session.answering.readiness.ready, number)
                    )
            case ToolCallsRequested():
                for call in event.calls:
                    for _ in range(rng.choice((0, 1, 1, 1, 2))):
                        result = ToolResult(call.id, "done", rng.random() < 0.2, rng.random() < 0.2)
                        give = partial(self.session.answering.tool_result, event.msg_id, [result])
                        self._later((0.0, 0.1, 0.5, 2.0, 4.0), give)

    def _later(self, delays_s: tuple[float, ...], act: Callable[[], object]) -> None:
        self._loop.call_later(self._rng.choice(delays_s), self._carry_out, act)

    def _carry_out(self, act: Callable[[], object]) -> None:
        """As the doors do it."""

        def carry_out() -> None:
            act()

        if not self.session.ended:
            self.session.guarded(carry_out)

    def pause(self, *, on: bool) -> None:
        """Somebody takes the call over, or gives it back."""
        if not self.session.ended:
            self._out.pauses.append((len(self._out.log), on))
        self.session.pause(on=on)

    def act(self) -> None:
        """Something of all that, sensible or not."""
        rng, answering = self._rng, self.session.answering
        acts: list[Callable[[], object]] = [
            lambda: answering.briefing.load_skill(rng.choice(NAMES)),
            lambda: answering.briefing.unload_skill(rng.choice(NAMES)),
            lambda: answering.readiness.ready(rng.choice((None, 0, 1, 2))),
            self._change_history,
            self._reconfigure,
            self.session.presence.gone,
            self._supervise,
        ]
        self._carry_out(rng.choices(acts, weights=(2, 2, 1, 2, 2, 0.3, 3))[0])

    def _supervise(self) -> None:
        """A person beside the bot."""
        rng, person = self._rng, self.session.supervised
        match rng.choice(("say", "say", "whisper", "hand", "hand", "conclude")):
            case "say":
                text = rng.choice(("This is Ann.", "...", "One two three four five six."))
                with suppress(ValueError):  # Too much waits.
                    message_id, _ = person.say(text, "Ann", interrupt=rng.random() < 0.3)
                    self._out.sent.setdefault(message_id, text)
            case "whisper":
                person.whisper("Be quick.", "Ann")
            case "hand" if person.by is None:
                self.pause(on=True)
                person.take_over("Ann", interrupt=rng.random() < 0.3)
            case "hand":
                self.pause(on=False)
                person.release("Ann")
            case "conclude" if rng.random() < 0.1:
                self.session.conclude()

    def _change_history(self) -> None:
        session, rng = self.session, self._rng
        messages = [ChatMessage("user", "Before."), ChatMessage("assistant", "Yes.")]
        dialogue, prompt = session.answering.dialogue, session.answering.briefing.prompt
        acts: list[Callable[[], object]] = [
            lambda: dialogue.add(messages),
            lambda: dialogue.set(messages),
            dialogue.clear,
            lambda: prompt.set_vars(rng.choice(({"who": "Bob"}, {"who": None}, {"nobody": "x"}))),
            lambda: prompt.add_context("It rains."),
            lambda: prompt.instruct("Be quick, {{other}}."),
        ]
        rng.choice(acts)()
        session.history_changed()

    def _reconfigure(self) -> None:
        assert self._engines is not None
        engines = replace(self._engines, llm=self._engines.llm if self._rng.random() < 0.7 else None)
        self.session.reconfigure(engines, self._config(), other_ears=self._rng.random() < 0.3)
