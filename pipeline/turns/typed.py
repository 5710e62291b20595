"""What the user writes instead of speaking."""

from __future__ import annotations

from pipeline.turns import said, silence
from pipeline.turns.memory import Memory, Over
from pipeline.turns.vocabulary import WRITTEN, Heard, Output, Segment, Typed


def typed(m: Memory, event: Typed, now: float, out: list[Output]) -> None:
    """Words without a voice: they end the turn, unless the user speaks as well."""
    segment = Segment(WRITTEN, m.coming_or_current(), now)
    said.take_final(m, _heard(event), segment, now, out)
    silence.settle(m, now, out)


def over_bot(m: Memory, event: Typed, now: float, out: list[Output]) -> None:
    """The bot may not be silenced: it is taken up when that has finished."""
    m.overlap.append(Over(_heard(event), now, late=True))


def unheard(m: Memory, event: Typed, now: float, out: list[Output]) -> None:
    """Who has muted himself may write all the same."""
    state = m.state
    if m.bot_audible:
        over_bot(m, event, now, out)
    else:
        typed(m, event, now, out)
    m.state = state


def _heard(event: Typed) -> Heard:
    return Heard(WRITTEN, event.text, 1.0, True)
