"""What an agent asks and changes of what a call's language model knows: each request has one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final, assert_never

import orjson

from pipeline.answering import Answering
from pipeline.ports import ChatMessage, ToolCall
from server import protocol as wire
from server.agents import Owner
from server.book import CallBook
from server.calls import CallRegistry
from server.past import StoreUnavailable
from server.wire_llm import history, spoken

PAST_S: Final = 8.0
"""For what is read of calls that are over: clients wait for ten."""

Answer = wire.HistoryData | wire.HistoryUpdated


def answer(command: wire.AnyHistoryCommand, calls: CallRegistry, owner: Owner) -> Answer:
    """Carry out a request of a connection, as far as it can be."""
    call = calls.get(command.call_id)
    if call is None or call.owner is not owner or call.session is None or call.session.ended:
        over = calls.is_over(command.call_id) or (call is not None and call.session is not None)
        ours = call is None or call.owner is owner
        error = "the call is over" if over and ours else f"this connection has no call {command.call_id!r}"
        return _answer(command, error=error)
    agent_id, answering = call.facts.agent_id, call.session.answering
    if not answering.thinks:
        if isinstance(command, wire.HistoryGet):
            # For an agent process that asks a model itself.
            ids = {"agent_id": agent_id, "call_id": command.call_id, "request_id": command.request_id}
            return wire.HistoryData(**ids, messages=spoken(call.session.transcript))
        error = "this call has no language model in the server: configure llm"
        return _answer(command, agent_id=agent_id, error=error)
    found = [_answer(command, agent_id=agent_id, error="internal error")]
    session = call.session
    session.guarded(lambda: found.append(_carried_out(command, answering, agent_id)))
    if not isinstance(command, wire.HistoryGet):
        session.guarded(session.history_changed)
    return found[-1]


async def past(command: wire.HistoryGet, book: CallBook, ours: Callable[[str], bool]) -> wire.HistoryData:
    """What the model of a call knew that is over, where this connection's agent had it (``ours``, by the agent's id)."""
    asked: dict[str, Any] = {"call_id": command.call_id, "request_id": command.request_id}
    try:
        async with asyncio.timeout(PAST_S):
            ends = [orjson.loads(e.data) for e in await book.told(command.call_id, ("call.ended",))]
    except (StoreUnavailable, TimeoutError) as error:
        why = str(error) or f"it took longer than {PAST_S:g} s"
        text = f"the call is over, and what is kept of calls cannot be read at the moment ({why}): try again"
        return wire.HistoryData(**asked, messages=(), error=text)
    mine = [end for end in ends if ours(end["agent_id"])]
    if not mine:
        text = f"this connection has no call {command.call_id!r}, and had none that is still kept"
        return wire.HistoryData(**asked, messages=(), error=text)
    return wire.HistoryData(**asked, agent_id=mine[-1]["agent_id"], messages=mine[-1]["messages"])


def _carried_out(command: wire.AnyHistoryCommand, answering: Answering, agent_id: str) -> Answer:
    try:
        _change(command, answering)
    except ValueError as error:
        return _answer(command, answering, agent_id, error=str(error))
    return _answer(command, answering, agent_id)


def _change(command: wire.AnyHistoryCommand, answering: Answering) -> None:
    """Raises ``ValueError`` with what is wrong; then nothing is changed."""
    match command:
        case wire.HistoryGet():
            pass
        case wire.HistoryAdd():
            answering.dialogue.add(_messages(command.messages))
        case wire.HistorySet():
            answering.dialogue.set(_messages(command.messages))
        case wire.HistoryClear():
            answering.dialogue.clear()
        case wire.HistorySetVars():
            answering.briefing.prompt.set_vars(command.vars)
        case wire.HistoryAddContext():
            answering.briefing.prompt.add_context(command.text)
        case wire.HistorySetInstructions():
            answering.briefing.prompt.instruct(command.prompt)
        case _:
            assert_never(command)


def _answer(
    command: wire.AnyHistoryCommand,
    answering: Answering | None = None,
    agent_id: str | None = None,
    error: str | None = None,
) -> Answer:
    asked: dict[str, Any] = {
        "agent_id": agent_id,
        "call_id": command.call_id,
        "request_id": command.request_id,
        "error": error,
    }
    if isinstance(command, wire.HistoryGet):
        known = answering.dialogue.get() if answering is not None else ()
        return wire.HistoryData(**asked, messages=history(known))
    return wire.HistoryUpdated(**asked, count=answering.dialogue.count if answering is not None else 0)


def _messages(messages: Iterable[wire.KnownMessage]) -> list[ChatMessage]:
    return [
        ChatMessage(
            message.role,
            message.content,
            tuple(ToolCall(call.id, call.name, call.arguments) for call in message.tool_calls or ()),
            message.tool_call_id,
        )
        for message in messages
    ]
