"""When a caller is told that his agent is away, and what counts as its greeting said twice."""

from __future__ import annotations

import pytest

from pipeline.absence import GREETED_AGAIN_S, Absence, Away, Greeted
from pipeline.message import Message

LINE = Away("line", "One moment.")


def due(absence: Absence) -> float | None:
    return absence.deadline


def gone(away: Away) -> Absence:
    absence = Absence(away, 2.0)
    absence.left(10.0)
    return absence


def test_the_line_is_said_once_where_an_answer_is_owed() -> None:
    absence = gone(LINE)
    assert absence.line(11.0, owed=False, quiet=True) == ""
    assert due(absence) is None
    assert absence.line(12.0, owed=True, quiet=True) == ""
    assert due(absence) == 14.0
    assert absence.line(13.0, owed=True, quiet=True) == ""
    assert absence.line(14.0, owed=True, quiet=True) == "One moment."
    assert due(absence) is None
    assert absence.line(30.0, owed=True, quiet=True) == ""
    absence.back()
    absence.left(40.0)
    absence.line(40.0, owed=True, quiet=True)
    assert absence.line(42.0, owed=True, quiet=True) == "One moment."


def test_a_debt_that_is_settled_is_counted_anew() -> None:
    absence = gone(LINE)
    absence.line(10.0, owed=True, quiet=True)
    absence.line(11.0, owed=False, quiet=True)
    absence.line(11.5, owed=True, quiet=True)
    assert absence.deadline == 13.5


def test_after_a_while_it_is_said_although_nothing_is_owed_but_not_over_anybody() -> None:
    absence = gone(Away("line", "One moment.", after_s=5.0))
    assert absence.deadline == 15.0
    assert absence.line(15.0, owed=False, quiet=False) == ""
    assert due(absence) is None
    assert absence.line(15.5, owed=False, quiet=True) == "One moment."


@pytest.mark.parametrize("away", [Away(), Away("message", "Sorry.", after_s=0.0), Away("line", "", 0.0)])
def test_nothing_is_said_meanwhile_where_that_is_not_wished(away: Away) -> None:
    absence = gone(away)
    absence.line(10.0, owed=True, quiet=True)
    assert absence.deadline is None
    assert absence.line(30.0, owed=True, quiet=True) == ""


def test_an_agent_that_is_there_needs_no_line() -> None:
    absence = Absence(LINE, 2.0)
    absence.line(1.0, owed=True, quiet=True)
    assert absence.deadline is None
    assert absence.line(30.0, owed=True, quiet=True) == ""


def test_a_last_word_is_the_messages_alone() -> None:
    assert gone(Away("message", "Sorry.")).farewell == "Sorry."
    assert gone(LINE).farewell == ""


# --- the greeting -----------------------------------------------------------------------------------------


def said(text: str, **fields: str) -> Message:
    return Message("m", text, **fields)  # type: ignore[arg-type]


def test_the_first_words_are_not_said_twice_after_an_announcement() -> None:
    greeted = Greeted()
    greeted.said(said("Hello,  how are you?"))
    greeted.said(said("It is ten."))
    again = said("hello, how\nare you?")
    assert not greeted.repeats(again, 1.0)
    greeted.announced_again(2.0)
    assert not greeted.repeats(said("It is ten."), 3.0)
    assert not greeted.repeats(said("Hello, how are you?", in_reply_to="u1"), 3.0)
    assert greeted.repeats(again, 3.0)
    assert not greeted.repeats(again, 3.0)


def test_later_it_is_meant() -> None:
    greeted = Greeted()
    greeted.said(said("Hello."))
    greeted.announced_again(2.0)
    assert not greeted.repeats(said("Hello."), 2.0 + GREETED_AGAIN_S)


def test_what_was_never_heard_was_no_greeting() -> None:
    greeted = Greeted()
    first = said("Hello.")
    greeted.said(first)
    greeted.unheard("m")
    greeted.announced_again(2.0)
    assert not greeted.repeats(said("Hello."), 3.0)
    greeted.said(said("Hello."))
    assert greeted.repeats(said("Hello."), 4.0)
    cut = Greeted()
    first.audible = True
    cut.said(first)
    cut.unheard("m")
    cut.announced_again(2.0)
    assert cut.repeats(said("Hello."), 3.0)
