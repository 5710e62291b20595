"""Who says when a turn of a call is over: its judge, what that is given to hear, and whether a recogniser's word counts.

Like the session it acts and does not decide.
"""

from __future__ import annotations

from pipeline import turns
from pipeline.config import Engines, SessionConfig
from pipeline.endpointing import EndOfTurn, Native, judge_of
from pipeline.listening import Listening


def judge_for(engines: Engines, config: SessionConfig) -> EndOfTurn:
    """As it is configured: a recogniser that tells turns, where there is one."""
    ears = engines.stt
    return judge_of(config.endpointing, native=ears is not None and ears.capabilities.turns)


class Judging:
    """Of one call."""

    def __init__(
        self, machine: turns.TurnMachine, ears: Listening, engines: Engines, config: SessionConfig
    ) -> None:
        self._machine = machine
        self._ears = ears
        self._config = config
        self._judge_sound(engines)

    def change(self, engines: Engines, config: SessionConfig) -> None:
        """Judge otherwise from now on."""
        self._config = config
        self._machine.params, self._machine.judge = config.turns, judge_for(engines, config)
        self._judge_sound(engines)

    def recogniser_failed(self) -> None:
        """Whoever takes over may not tell turns; where nobody does, silence is all that there is."""
        self._machine.judge = judge_of(self._config.endpointing, native=False)

    def heeds(self, event: turns.Input) -> bool:
        """Who says when a turn is over is configured, and it may not be the recogniser."""
        return not isinstance(event, turns.ProviderTurn) or isinstance(self._machine.judge, Native)

    def _judge_sound(self, engines: Engines) -> None:
        endpointing = self._config.endpointing
        counts = endpointing.mode != "silence"
        model = engines.turn_model if counts else None
        self._ears.judge_sound(model, endpointing.recheck_ms, melody=counts)
