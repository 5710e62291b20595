"""What is promised of the call's own model: of its questions, the tools and skills that it has, and what it waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.events import (
    CallEnded,
    CallStarted,
    Event,
    LanguageChanged,
    LlmAnswered,
    LlmAsked,
    LlmBefore,
    NoResponse,
    PreparingTimeout,
    SessionTimeout,
    SkillLoaded,
    SkillUnloaded,
    ToolCallsRequested,
    ToolCompleted,
    ToolFailed,
    ToolStarted,
    Warned,
)

if TYPE_CHECKING:
    from tests.fakes.promises import Conversation


def mind_in_order(call: Conversation, events: list[Event]) -> None:
    """Look at all of it."""
    nobody_is_asked_in_vain(call)
    waits_are_paired(events)
    tools_are_paired(events)
    skills_alternate(events)
    warnings_are_told_once(events)
    languages_change(events)
    histories_are_well_formed(call)


def nobody_is_asked_in_vain(call: Conversation) -> None:
    """Neither while somebody else answers, nor for an answer that would come behind the end."""
    asked: set[str] = set()
    answered: set[str] = set()
    timed_out = float("inf")
    for place, (at, event) in enumerate(call.log):
        on = next((on for since, on in reversed(call.pauses) if since <= place), False)
        match event:
            case SessionTimeout():
                timed_out = at
            case LlmBefore() if event.turn is not None:
                assert not on, "the agent was told of an answer while the model was paused"
                assert at <= timed_out, "an answer was begun behind the timeout"
            case LlmAsked():
                assert not on, "the model was asked while it was paused"
                assert event.message_id not in asked, "asked twice for one message"
                asked.add(event.message_id)
            case LlmAnswered():
                assert event.message_id in asked - answered, "an answer to no question"
                answered.add(event.message_id)
            case NoResponse() if event.reason == "paused":
                assert on, "silent for a pause that is over"


def waits_are_paired(events: list[Event]) -> None:
    """An agent that was late had been told, once for each time; nobody is asked while it is waited for."""
    waiting: LlmBefore | None = None
    for event in events:
        match event:
            case LlmBefore():
                waiting = event
            case PreparingTimeout():
                assert waiting is not None, "late for nothing"
                assert waiting.turn == event.turn
                assert event.waited_ms >= event.budget_ms > 0
                waiting = None
            case LlmAsked():
                waiting = None


def tools_are_paired(events: list[Event]) -> None:
    """Each begin has one end; the agent is asked once for each."""
    running: set[tuple[str, str]] = set()
    seen: set[tuple[str, str]] = set()
    sent: set[str] = set()
    for event in events:
        match event:
            case ToolCallsRequested():
                assert event.msg_id not in sent, "asked for twice"
                sent.add(event.msg_id)
            case ToolStarted():
                key = (event.msg_id, event.tool_call_id)
                assert key not in seen, "a tool was started twice"
                seen.add(key)
                running.add(key)
            case ToolCompleted() | ToolFailed():
                key = (event.msg_id, event.tool_call_id)
                assert key in running, "an end without a begin, or two"
                asked = event.kind == "system" or event.msg_id in sent
                assert asked or isinstance(event, ToolFailed), "a result of what nobody was asked for"
                running.remove(key)
            case CallEnded():
                assert not running, "a tool was left running"


def skills_alternate(events: list[Event]) -> None:
    """A skill is loaded where it was not, and the other way round."""
    loaded: dict[str, bool] = {}
    for event in events:
        if isinstance(event, SkillLoaded | SkillUnloaded):
            now = isinstance(event, SkillLoaded)
            assert loaded.get(event.skill) is not now, f"{event.skill} twice"
            loaded[event.skill] = now
            assert event.by == "manual" or event.skill in ("billing", "travel"), "not the model's to load"


def warnings_are_told_once(events: list[Event]) -> None:
    """A variable that nobody knows is named once in a call."""
    names: set[str] = set()
    for event in events:
        if isinstance(event, Warned) and event.code == "UNKNOWN_VARIABLE":
            assert not names & set(event.names), "told twice"
            names |= set(event.names)


def languages_change(events: list[Event]) -> None:
    language = ""
    for event in events:
        match event:
            case CallStarted() | LanguageChanged():
                base = event.language.split("-")[0]
                assert base != language, "the same language"
                language = base


def histories_are_well_formed(call: Conversation) -> None:
    """Each call of a tool has exactly one result, right behind it, in all that a model was told."""
    told = [request.messages for request in call.model.requests] if call.model is not None else []
    for messages in (*told, *(event.messages for event in call.of(CallEnded))):
        wanted: list[str | None] = []
        for message in messages:
            if message.role == "tool":
                assert wanted, "a result of nothing"
                assert message.tool_call_id == wanted.pop(0), "a result of another call"
            else:
                assert not wanted, "a call without a result"
                wanted = [asked.id for asked in message.tool_calls]
        assert not wanted, "a call without a result"
