"""What the user says, taken into his turn; and whether it says anything."""

from __future__ import annotations

from pipeline.backchannels import is_backchannel
from pipeline.events import CallUnmuted, TurnContinued, TurnResumed, UserMessage, UserSpeaking
from pipeline.turns.memory import Memory
from pipeline.turns.vocabulary import WRITTEN, DiscardReply, Heard, Output, Segment, State, Turn

ANSWER_S = 1.5
"""An "uh-huh" that ended no longer ago when the bot's question was over is the answer to it."""


def goes_on(m: Memory, now: float, out: list[Output]) -> None:
    """The user speaks on in the turn that he had paused in."""
    turn = m.current()
    m.learn_pause(now)
    if turn.signalled:
        continue_turn(m, now, out)
    _end_pause(m, turn, now, out)


def _end_pause(m: Memory, turn: Turn, now: float, out: list[Output]) -> None:
    if turn.paused:
        turn.paused = False
        out.append(TurnResumed(turn.ref, now))


def continue_turn(m: Memory, now: float, out: list[Output]) -> None:
    """The user goes on. Where a signal went out it is taken back, and the message id changes with it."""
    turn = m.current()
    if not turn.signalled:
        return
    turn.paused = False
    old, turn.message_id = turn.message_id, m.ids()
    turn.signalled = turn.ended = turn.typed = False
    m.reply_to = turn.message_id
    out.append(TurnContinued(turn.ref, now))
    out.append(DiscardReply(old))


def say_interim(m: Memory, event: Heard, out: list[Output]) -> None:
    """What the recogniser believes so far."""
    if m.unmuted_by is not None:
        out += told_unmuted(m)
    turn = m.current()
    confirmed = turn.text
    text = f"{confirmed} {event.text}" if confirmed else event.text
    out.append(UserSpeaking(turn.ref, text, confirmed, event.confidence))


def take_final(m: Memory, event: Heard, segment: Segment, now: float, out: list[Output]) -> None:
    """These words belong to his turn."""
    if m.unmuted_by is not None:
        out += told_unmuted(m)
    if m.turn is None or m.turn.answered:
        m.open_turn()
    if m.current().signalled:
        # The words have changed: what was begun on the old ones is void.
        continue_turn(m, now, out)
    if m.voice is None:
        m.state = State.ANALYSING
    turn = m.current()
    _end_pause(m, turn, now, out)
    weight = len(turn.parts)
    turn.parts.append(event.text)
    turn.typed = event.segment_id == WRITTEN
    if not turn.typed:
        turn.segment_ids.append(event.segment_id)
    turn.language = event.language or turn.language
    turn.confidence = (turn.confidence * weight + event.confidence) / (weight + 1)
    _say_message(m, turn, out)


def _say_message(m: Memory, turn: Turn, out: list[Output]) -> None:
    if m.reply_to not in ("", turn.message_id):
        out.append(DiscardReply(m.reply_to))
    m.reply_to, m.reply_turn = turn.message_id, turn.ref
    segment_ids = tuple(turn.segment_ids)
    out.append(UserMessage(turn.ref, turn.message_id, turn.text, turn.confidence, segment_ids, turn.language))


def told_unmuted(m: Memory) -> list[Output]:
    """What he said muted is waited for no longer, and told."""
    m.unmuted_by = None
    # Of what is still owed the interim text has to do.
    texts = [*m.muted_text, *(segment.partial for segment in m.muted_owed.values())]
    m.muted_text = []
    return [CallUnmuted(" ".join(text for text in texts if text))]


def was_over_bot(m: Memory, segment: Segment) -> bool:
    """It lay over the bot for the most part, which has finished since."""
    if not segment.over_bot or segment.ended is None:
        return False
    return m.bot_quiet_at - segment.onset > (segment.ended - segment.onset) / 2


def filtered(m: Memory, text: str) -> bool:
    """A mere "mhm", where that is to count for nothing."""
    return m.params.backchannel_filter and is_backchannel(text, m.params.language)


def says_nothing(m: Memory, text: str, ended: float | None, now: float) -> bool:
    """The same, unless it answers what the bot has asked; ``ended``: the end of its voice."""
    if not filtered(m, text):
        return False
    asked = m.question.rstrip("\"' )").endswith("?")
    return not (asked and ended is not None and now - ended <= ANSWER_S)
