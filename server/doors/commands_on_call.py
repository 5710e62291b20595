"""What a command does to a call, and what becomes of it: the same by whatever connection it came."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.events import EndReason
from pipeline.message import Placed
from pipeline.session import Session
from pipeline.tools import ToolResult
from server import protocol as wire
from server.call import Call
from server.protocol import DONE, ErrorCode, Outcome, failed
from server.routing import text_of

Tell = Callable[[wire.Event], None]
"""Says something to the connection that the command came by."""


def no_call(call_id: str) -> Outcome:
    text = f"there is no call {call_id!r} of this connection: it is over, or another one has it"
    return failed(ErrorCode.CALL_UNKNOWN, text)


def on_call(call: Call | None, command: wire.AnyCallCommand, tell: Tell) -> Outcome:
    """Carry a command out. ``call``: None where the connection has no such call.

    A call that is over does not answer: clients send commands after a reconnect, and while the end is on
    its way to them.
    """
    session = call.session if call is not None else None
    if call is None or session is None or session.ended:
        return no_call(command.call_id)
    outcomes: list[Outcome] = []
    # A bug that one call's command meets is that call's, not this connection's.
    session.guarded(lambda: outcomes.append(_carry_out(call, session, command, tell)))
    if not outcomes:
        return failed(ErrorCode.INTERNAL_ERROR, "the command met a fault of the server, and the call ended")
    return outcomes[0]


def _carry_out(call: Call, session: Session, command: wire.AnyCallCommand, tell: Tell) -> Outcome:
    match command:
        case wire.BotReply():
            placed = session.saying.reply(
                command.message_id,
                command.text,
                command.in_reply_to,
                known=command.add_to_history,
                interruptible=command.interruptible,
            )
            return _placed(command.message_id, placed)
        case wire.BotReplyStreamStart():
            start = session.saying.stream_start(
                command.message_id, command.in_reply_to, interruptible=command.interruptible
            )
            return _placed(command.message_id, start)
        case wire.BotReplyStreamChunk():
            more = session.saying.stream_chunk(command.message_id, command.token)
            if more.refused:
                return _rejected(command.message_id, more.refused)
            return DONE if more.place else _no_stream(command.message_id)
        case wire.BotReplyStreamEnd():
            return DONE if session.saying.stream_end(command.message_id) else _no_stream(command.message_id)
        case wire.BotCancel():
            return _cancel(call, session, command.message_id, tell)
        case wire.BotClear():
            return _clear(call, session, tell)
        case wire.LlmToolResult():
            return _take_results(call, session, command, tell)
        case wire.LlmReady():
            session.answering.readiness.ready(command.turn)
        case wire.SkillLoad():
            return _skill(session.answering.briefing.load_skill(command.skill), command.skill)
        case wire.SkillUnload():
            return _skill(session.answering.briefing.unload_skill(command.skill), command.skill)
        case wire.CallMute():
            session.mute()
        case wire.CallUnmute():
            session.unmute()
        case wire.CallHold():
            session.hold()
        case wire.CallUnhold():
            session.unhold()
        case wire.RecordingPause():
            return DONE if session.taping.pause() else _not_recorded()
        case wire.RecordingResume():
            return DONE if session.taping.resume() else _not_recorded()
        case wire.SetContext():
            return _set_context(session, command)
        case wire.SessionResetIdle():
            session.activity()
        case wire.CallHangup():
            session.end(EndReason.CLIENT_HANGUP, command.reason or "the agent hung up")
    return DONE


def _set_context(session: Session, command: wire.SetContext) -> Outcome:
    try:
        session.answering.briefing.prompt.put(command.key, text_of(command.value))
    except ValueError as error:
        return failed(ErrorCode.REQUEST_REFUSED, str(error))
    return DONE


# --- messages ---------------------------------------------------------------------------------------------


def _placed(message_id: str, placed: Placed) -> Outcome:
    if placed.refused:
        return _rejected(message_id, placed.refused)
    extras = {"message_id": message_id, "queue_length": placed.place}
    if not placed.place:
        return Outcome(extras=extras)  # There was nothing in it to be spoken, which its events have told.
    return Outcome("processing" if placed.place == 1 else "pending", extras=extras)


_WHY = {
    "message_obsolete": "the user has gone on, and this answers an earlier turn",
    "duplicate_message_id": "a message with this id waits or is being spoken: use a new one",
    "queue_full": "too many messages wait to be spoken",
    "taken_over": "a person has taken the call over: wait for handoff.released",
    "message_too_long": "the text of the stream has grown over its bound",
}


def _rejected(message_id: str, reason: str) -> Outcome:
    text = f"not spoken: {_WHY.get(reason, reason)}"
    return failed(ErrorCode.REPLY_REJECTED, text, message_id=message_id, reason=reason)


def _no_stream(message_id: str) -> Outcome:
    text = f"no stream {message_id!r} is open: it has ended, was refused or was never started"
    return failed(ErrorCode.MESSAGE_UNKNOWN, text, message_id=message_id)


def _cancel(call: Call, session: Session, message_id: str | None, tell: Tell) -> Outcome:
    wanted = session.saying.next if message_id is None else message_id
    if session.saying.is_a_persons(wanted):
        return _a_persons(call, [wanted], tell)
    if session.saying.cancel(wanted):
        return Outcome(extras={"message_id": wanted})
    if message_id is None:
        return DONE
    text = f"no message {message_id!r} is being spoken or waits"
    return failed(ErrorCode.MESSAGE_UNKNOWN, text, message_id=message_id)


def _clear(call: Call, session: Session, tell: Tell) -> Outcome:
    stopped, kept = session.saying.clear()
    if kept and not stopped:
        return _a_persons(call, kept, tell)
    return Outcome(extras={"kept": kept}) if kept else DONE


def _a_persons(call: Call, message_ids: list[str], tell: Tell) -> Outcome:
    """These are not the agent's to stop: it is told in any case, for it may count on silence."""
    ids = ", ".join(message_ids[:5])
    text = f"not stopped: {ids} is what a person beside the bot says (supervisor.said); wait for its bot.finished"
    place = {"agent_id": call.facts.agent_id, "call_id": call.call_id, "session_id": call.call_id}
    tell(wire.ErrorEvent(error=text, code=ErrorCode.CANCEL_REFUSED, **place))
    return failed(ErrorCode.CANCEL_REFUSED, text, kept=message_ids)


def _not_recorded() -> Outcome:
    return failed(ErrorCode.NOT_RECORDED, "this call is not recorded: recording.start begins it")


def _skill(known: bool, name: str) -> Outcome:
    return DONE if known else failed(ErrorCode.SKILL_UNKNOWN, f"this call has no skill {name!r}")


# --- tools ------------------------------------------------------------------------------------------------


def _take_results(call: Call, session: Session, command: wire.LlmToolResult, tell: Tell) -> Outcome:
    found = session.answering.tool_result(
        command.msg_id,
        [
            ToolResult(given.tool_call_id, given.result, given.ephemeral, given.no_followup)
            for given in command.results
        ],
    )
    unknown = [tool_call_id for tool_call_id, taken in found.items() if taken == "unknown"]
    if not unknown:
        return DONE
    text = f"no tool was asked for by msg_id {command.msg_id!r} and {', '.join(map(repr, unknown[:5]))}: "
    text += "repeat the ids of llm.tool_call"
    tell(
        wire.ServerWarning(
            agent_id=call.facts.agent_id,
            call_id=call.call_id,
            code=wire.WarningCode.TOOL_RESULT_UNKNOWN,
            warning=text,
        )
    )
    if len(unknown) == len(found):
        return failed(ErrorCode.RESULT_UNKNOWN, text)
    return Outcome(extras={"unknown": unknown})
