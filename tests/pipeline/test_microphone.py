"""Reasons not to listen to the user come and go in pairs, whatever the bot does meanwhile."""

from __future__ import annotations

import pytest

from pipeline.events import (
    BotFinished,
    BotInterrupted,
    BotPaused,
    BotResumed,
    BotSpeaking,
    CallHeld,
    CallMuted,
    Event,
    UserMuteStarted,
    UserMuteStopped,
)
from pipeline.microphone import Microphone

SPEAKS = BotSpeaking(None, "m1", "Hello.")
FINISHED = BotFinished(None, "m1", 900)
CUT = BotInterrupted(None, "m1", 2100, 3, "there", "cancelled")
PAUSED = BotPaused(None, "m1", 300, 1, "held")


@pytest.mark.parametrize("end", [FINISHED, CUT, PAUSED])
def test_the_bot_is_not_interrupted_while_it_is_heard(end: Event) -> None:
    mic = Microphone(while_speaking=True)
    assert mic.after(SPEAKS) == [UserMuteStarted("bot_speaking")]
    assert mic.deaf
    assert mic.after(end) == [UserMuteStopped("bot_speaking")]
    assert not mic.deaf


def test_a_message_that_was_never_heard_ends_nothing() -> None:
    mic = Microphone(while_speaking=True)
    mic.after(SPEAKS)
    assert mic.after(BotInterrupted(None, "m2", 0, 0, None, "cancelled")) == []
    assert mic.deaf


def test_it_goes_on_when_the_bot_does() -> None:
    mic = Microphone(while_speaking=True)
    mic.after(SPEAKS)
    mic.after(PAUSED)
    assert mic.after(BotResumed(None, "m1", 1)) == [UserMuteStarted("bot_speaking")]


def test_usually_the_user_is_listened_to_over_the_bot() -> None:
    mic = Microphone(while_speaking=False)
    assert mic.after(SPEAKS) == mic.after(FINISHED) == []


def test_switched_off_while_the_bot_is_heard_it_ends_with_the_message() -> None:
    mic = Microphone(while_speaking=True)
    mic.after(SPEAKS)
    mic.while_speaking = False
    assert mic.after(FINISHED) == [UserMuteStopped("bot_speaking")]


def test_reasons_hold_beside_each_other_and_end_with_the_call() -> None:
    mic = Microphone(while_speaking=True)
    assert mic.after(CallMuted()) == [UserMuteStarted("muted")]
    assert mic.after(CallHeld()) == [UserMuteStarted("held")]
    assert mic.after(CallHeld()) == []
    assert not mic.deaf
    assert mic.open("muted") == [UserMuteStopped("muted")]
    assert mic.open("muted") == []
    assert mic.after(SPEAKS) == [UserMuteStarted("bot_speaking")]
    assert mic.end() == [UserMuteStopped("held"), UserMuteStopped("bot_speaking")]
    assert mic.end() == []
