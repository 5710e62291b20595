from __future__ import annotations

from pipeline.events import Utterance
from pipeline.transcript import Transcript


def test_a_turn_that_grows_stays_one_line() -> None:
    transcript = Transcript()
    transcript.user(1, "I want")
    transcript.user(1, "I want a room")
    transcript.bot("For how many?")
    transcript.user(2, "two")
    assert transcript.lines() == (
        Utterance("user", "I want a room"),
        Utterance("assistant", "For how many?"),
        Utterance("user", "two"),
    )


def test_a_turn_that_goes_on_after_the_bot_was_heard_is_a_new_line() -> None:
    transcript = Transcript()
    transcript.user(1, "one")
    transcript.bot("Yes")
    transcript.user(1, "one two")
    assert [line.content for line in transcript.lines()] == ["one", "Yes", "one two"]
