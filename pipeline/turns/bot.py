"""The bot begins to be heard, has finished, or was cut off."""

from __future__ import annotations

from pipeline.turns import said, silence
from pipeline.turns.memory import Memory
from pipeline.turns.over_bot import EARLY_MS
from pipeline.turns.vocabulary import BotCut, BotDone, BotStarted, Output, Segment, State


def starts(m: Memory, event: BotStarted, now: float, out: list[Output]) -> None:
    m.bot_started, m.bot_audible, m.bot_paused = event.at, True, None
    m.interruptible, m.doubts = event.interruptible, 0
    if m.state is not State.MUTED:
        m.state = State.BOT_SPEAKING


def done(m: Memory, event: BotDone, now: float, out: list[Output]) -> None:
    m.bot_audible, m.bot_quiet_at = False, now
    if event.answered:
        m.answer()
    is_quiet(m, now, out)


def done_over_voice(m: Memory, event: BotDone, now: float, out: list[Output]) -> None:
    m.bot_audible, m.bot_quiet_at = False, now
    if event.answered:
        m.answer()
    m.gate.drop()
    _voice_takes_floor(m, out, now)


def done_in_doubt(m: Memory, event: BotDone, now: float, out: list[Output]) -> None:
    if m.voice is not None:
        done_over_voice(m, event, now, out)
    else:
        done(m, event, now, out)


def cut(m: Memory, event: BotCut, now: float, out: list[Output]) -> None:
    m.bot_audible, m.bot_quiet_at = False, now
    m.gate.drop()
    if not event.by_user:
        # The agent silenced its own bot. Where nothing was heard the turn still waits for an answer.
        if event.played_ms > 0 and event.answered:
            m.answer()
        if m.voice is not None:
            _voice_takes_floor(m, out, now)
        else:
            is_quiet(m, now, out)
        return
    for segment in m.awaited.values():
        segment.over_bot = False  # It has silenced the bot: whatever it says is said to it.
    turn = m.turn
    if turn is not None and not turn.answered and (event.played_ms < EARLY_MS or not event.answered):
        m.learn_pause(now)
        said.continue_turn(m, now, out)
    else:
        m.open_turn()
    adopt_overlap(m, now, out)


def is_quiet(m: Memory, now: float, out: list[Output]) -> None:
    m.state = m.at_rest()
    drop_backchannels(m, now)
    turn = m.turn
    if m.overlap or (turn is not None and turn.parts and not turn.ended):
        if m.turn is None or m.turn.answered:
            m.open_turn()
        adopt_overlap(m, now, out)


def drop_backchannels(m: Memory, now: float) -> None:
    """A mere "mhm" over the bot is no turn of the user, unless it answers what the bot asks."""
    m.overlap = [
        over for over in m.overlap if over.late or not said.says_nothing(m, over.heard.text, over.ended, now)
    ]


def _voice_takes_floor(m: Memory, out: list[Output], now: float) -> None:
    """The bot is silent and the user speaks: the speech that began over the bot is his turn."""
    drop_backchannels(m, now)
    turn = m.turn
    if turn is not None and not turn.answered:
        said.continue_turn(m, now, out)
    else:
        m.open_turn()
    adopt_overlap(m, now, out)


def adopt_overlap(m: Memory, now: float, out: list[Output]) -> None:
    """What was said over the bot belongs to the turn that begins or goes on now."""
    overlap, m.overlap = m.overlap, []
    m.state = State.LISTENING if m.voice else State.ANALYSING
    for over in overlap:
        segment = Segment(over.heard.segment_id, m.current().ref, 0.0)
        said.take_final(m, over.heard, segment, now, out)
    silence.settle(m, now, out)
