"""From what happened (``pipeline.events``) to what is said of it on the wire (``server.protocol``).

The one place where the two vocabularies meet, and total: an event without a word for it does not type-check.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, assert_never

from pipeline import events
from server import protocol as wire
from server.clock import Clock
from server.protocol import AnyCallEvent, ErrorCode, WarningCode
from server.wire_derived import derived_to_wire
from server.wire_llm import history, line_transcript, mind_to_wire, spoken


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What is known of a call when it begins."""

    call_id: str
    agent_id: str
    """The agent as its own process spells it."""
    from_: str
    to: str
    direction: Literal["inbound", "outbound"] = "inbound"
    transport: Literal["phone", "webrtc", "bridge"] = "phone"
    metadata: Mapping[str, Any] | None = None
    owner: Literal["agent", "line"] | None = None
    """Who has it; None: an agent, as ever."""
    extension: str | None = None
    """What its caller dialled to be put through, or the user of the SIP address."""
    routed_from: str | None = None
    """Who had it before: ``line:<number>``, or ``agent:<slug>``."""
    context: Mapping[str, str] | None = None
    """What is known under a name, where it was handed over."""
    bridged_with: str | None = None
    """The call of the agent on the other side."""
    transfer_of: str | None = None
    """The call whose caller is to be joined to the other side of this one."""
    trace: Mapping[str, str] = field(default_factory=dict)
    """The trace that its own is part of, as who asked for the call has said (``server.tracing.received``)."""

    @property
    def contact(self) -> str:
        """The other side."""
        return self.from_ if self.direction == "inbound" else self.to


@dataclass(frozen=True, slots=True)
class Stamp:
    """Place and time that the journal gives to an event."""

    seq: int
    ts: float


def to_wire(event: events.Event, call: CallFacts, stamp: Stamp, clock: Clock) -> AnyCallEvent:
    """The message that tells ``event``."""
    ids: dict[str, Any] = {
        "agent_id": call.agent_id,
        "call_id": call.call_id,
        "session_id": call.call_id,
        "seq": stamp.seq,
        "ts": stamp.ts,
    }
    turn = getattr(event, "turn", None)
    if turn is not None:
        ids["turn_id"] = turn.turn_id
        ids["correlation_id"] = turn.correlation_id
    match event:
        case events.SpeechStarted():
            return wire.SpeechStarted(
                **ids,
                confidence=_share(event.confidence),
                timestamp=clock.epoch(event.at),
                segment_id=event.segment_id,
            )
        case events.SpeechEnded():
            return wire.SpeechEnded(
                **ids,
                duration_ms=event.duration_ms,
                timestamp=clock.epoch(event.at),
                segment_id=event.segment_id,
            )
        case events.UserSpeaking():
            return wire.UserSpeaking(
                **ids,
                text=event.text,
                confirmed_text=event.confirmed_text,
                confidence=_share(event.confidence),
            )
        case events.UserMessage():
            return wire.UserMessage(
                **ids,
                text=event.text,
                message_id=event.message_id,
                confidence=_share(event.confidence),
                segment_ids=event.segment_ids,
                language=event.language,
                lag_ms=event.lag_ms,
            )
        case events.EagerTurn():
            return wire.EagerTurn(**ids, **_signal(event))
        case events.TurnEnd():
            called_bot = call.transport == "bridge" and call.direction == "outbound"
            return wire.TurnEnd(**ids, **_signal(event), source="bot" if called_bot else None)
        case events.TurnPause():
            return wire.TurnPause(**ids, probability=event.probability, latency_ms=event.latency_ms)
        case events.TurnResumed():
            return wire.TurnResumed(**ids, timestamp=clock.epoch(event.at))
        case events.TurnContinued():
            return wire.TurnContinued(**ids, timestamp=clock.epoch(event.at))
        case events.BotSpeaking():
            return wire.BotSpeaking(**ids, message_id=event.message_id, text=event.text)
        case events.BotWord():
            return wire.BotWord(
                **ids,
                message_id=event.message_id,
                word=event.word,
                word_index=event.word_index,
                start_time=round(event.start_s, 3),
                end_time=round(event.end_s, 3),
            )
        case events.BotPaused():
            return wire.BotPaused(
                **ids,
                message_id=event.message_id,
                played_ms=event.played_ms,
                words_spoken=event.words_spoken,
                reason=event.reason,
            )
        case events.BotResumed():
            return wire.BotResumed(**ids, message_id=event.message_id, word_index=event.word_index)
        case events.BotFinished():
            return wire.BotFinished(**ids, message_id=event.message_id, duration_ms=event.duration_ms)
        case events.BotInterrupted():
            return wire.BotInterrupted(
                **ids,
                message_id=event.message_id,
                played_ms=event.played_ms,
                words_spoken=event.words_spoken,
                last_word=event.last_word,
                reason=event.reason,
            )
        case events.MessageConfirmed():
            return wire.MessageConfirmed(
                **ids, message_id=event.message_id, text=event.text, finished=event.finished
            )
        case events.MessageAborted():
            return wire.MessageAborted(**ids, message_id=event.message_id, reason=event.reason)
        case events.ReplyRejected():
            return wire.ReplyRejected(
                **ids,
                message_id=event.message_id,
                in_reply_to=event.in_reply_to,
                expected_reply_to=event.expected_reply_to,
                reason=event.reason,
            )
        case (
            events.BargeIn()
            | events.TtsStarted()
            | events.TtsStopped()
            | events.BotOutput()
            | events.TurnStarted()
            | events.TurnCompleted()
            | events.TurnMetrics()
            | events.AgentState()
            | events.HistorySnapshot()
        ):
            return derived_to_wire(event, ids)
        case (
            events.LlmBefore()
            | events.PreparingTimeout()
            | events.LlmAsked()
            | events.LlmReasoned()
            | events.LlmAnswered()
            | events.LlmFailed()
            | events.NoResponse()
            | events.ToolCallsRequested()
            | events.ToolStarted()
            | events.ToolCompleted()
            | events.ToolFailed()
            | events.SkillLoaded()
            | events.SkillUnloaded()
        ):
            return mind_to_wire(event, ids)
        case events.CallRinging():
            return wire.CallRinging(**ids, from_=call.from_, to=call.to, metadata=_metadata(call))
        case events.CallRejected():
            return wire.CallRejected(**ids, reason=event.reason)
        case events.CallDialing():
            return wire.CallDialing(
                **ids, from_=call.from_, to=call.to, metadata=_metadata(call), dial_id=event.dial_id
            )
        case events.CallAnsweredBy():
            return wire.CallAnsweredBy(
                **ids, answered_by=event.answered_by, known_from=event.known_from, detail=event.detail or None
            )
        case events.CarrierFault():
            return wire.ErrorEvent(
                **ids, error=event.text, code=ErrorCode(event.code), retryable=event.retryable
            )
        case events.CallStarted():
            return wire.CallStarted(
                **ids,
                from_=call.from_,
                to=call.to,
                direction=call.direction,
                transport=call.transport,
                metadata=_metadata(call),
                language=event.language.split("-")[0],
                owner=call.owner,
                extension=call.extension,
                routed_from=call.routed_from,
                line_transcript=line_transcript(event.said) if call.routed_from is not None else None,
                context=dict(call.context) if call.context else None,
                bridged_with=call.bridged_with,
                transfer_of=call.transfer_of,
            )
        case (
            events.SessionCreated()
            | events.SessionReady()
            | events.SessionIdleWarning()
            | events.SessionTimeout()
            | events.UserMuteStarted()
            | events.UserMuteStopped()
        ):
            return _rules_to_wire(event, ids)
        case events.LanguageChanged():
            return wire.CallUpdated(**ids, language=event.language.split("-")[0])
        case events.CallMuted():
            return wire.CallMuted(**ids, by=event.by)
        case events.CallUnmuted():
            return wire.CallUnmuted(**ids, muted_transcript=event.muted_transcript)
        case events.CallHeld():
            return wire.CallHeld(**ids, by=event.by)
        case events.CallUnheld():
            return wire.CallUnheld(**ids)
        case (
            events.DigitReceived()
            | events.DigitsSent()
            | events.Forwarded()
            | events.ForwardFailed()
            | events.Routed()
            | events.RouteFailed()
            | events.Transferring()
            | events.Transferred()
            | events.TransferFailed()
        ):
            return _control_to_wire(event, ids)
        case (
            events.SupervisorSaid()
            | events.SupervisorWhispered()
            | events.HandoffRequested()
            | events.HandoffActive()
            | events.HandoffReleased()
        ):
            return _supervision_to_wire(event, ids)
        case events.CallEnded():
            lines = spoken(event.transcript)
            return wire.CallEnded(
                **ids,
                reason=event.reason.value,
                detail=event.detail or None,
                duration_seconds=round(event.duration_s, 3),
                started_at=clock.epoch(event.at - event.duration_s),
                ended_at=clock.epoch(event.at),
                messages=history(event.messages) or lines,
                transcript=lines,
                direction=call.direction,
                from_=call.from_,
                to=call.to,
            )
        case events.AudioMetrics():
            return wire.AudioMetrics(
                **ids,
                source=event.source,
                energy_db=event.level.energy_db,
                rms=event.level.rms,
                peak=event.level.peak,
                is_speech=event.is_speech,
                vad_prob=event.vad_probability,
                timestamp=clock.epoch(event.at),
            )
        case (
            events.RecordingStarted()
            | events.RecordingAnnounced()
            | events.RecordingPaused()
            | events.RecordingResumed()
            | events.Recorded()
        ):
            return _recording_to_wire(event, ids, clock)
        case events.EngineFault():
            return wire.ErrorEvent(
                **ids,
                error=event.text,
                code=ErrorCode(event.code),
                provider=event.provider,
                stage=event.stage,
                retryable=event.retryable,
                fallback=event.fallback,
            )
        case events.Warned():
            return wire.ServerWarning(
                **ids, code=WarningCode(event.code), warning=event.text, keys=event.names or None
            )
        case _:
            assert_never(event)


def _rules_to_wire(event: events.RuleEvent, ids: dict[str, Any]) -> AnyCallEvent:
    match event:
        case events.SessionCreated():
            return wire.SessionCreated(**ids, interaction_id=event.interaction_id)
        case events.SessionReady():
            return wire.SessionReady(**ids)
        case events.SessionIdleWarning():
            return wire.SessionIdleWarning(
                **ids, remaining_seconds=event.remaining_s, idle_timeout_seconds=event.idle_timeout_s
            )
        case events.SessionTimeout():
            return wire.SessionTimeout(**ids, reason=event.reason, farewell_seconds=event.farewell_s)
        case events.UserMuteStarted():
            return wire.UserMuteStarted(**ids, reason=event.reason)
        case events.UserMuteStopped():
            return wire.UserMuteStopped(**ids, reason=event.reason)
        case _:
            assert_never(event)


def _control_to_wire(event: events.ControlEvent, ids: dict[str, Any]) -> AnyCallEvent:
    match event:
        case events.DigitReceived():
            return wire.CallDtmfReceived(**ids, digit=event.digit, digits=event.digits)
        case events.DigitsSent():
            return wire.CallDtmfSent(**ids, digits=event.digits)
        case events.Forwarded():
            return wire.CallForwarded(**ids, to=event.to)
        case events.ForwardFailed():
            return wire.CallForwardFailed(
                **ids, to=event.to, reason=event.reason, detail=event.detail or None
            )
        case events.Routed():
            return wire.CallRouted(**ids, agent=event.agent)
        case events.RouteFailed():
            return wire.CallRouteFailed(
                **ids, agent=event.agent, reason=event.reason, detail=event.detail or None
            )
        case events.Transferring():
            return wire.CallTransferring(**ids, to=event.to)
        case events.Transferred():
            return wire.CallTransferred(**ids, to=event.to)
        case events.TransferFailed():
            return wire.CallTransferFailed(
                **ids, to=event.to, reason=event.reason, detail=event.detail or None
            )
        case _:
            assert_never(event)


def _supervision_to_wire(event: events.SupervisionEvent, ids: dict[str, Any]) -> AnyCallEvent:
    match event:
        case events.SupervisorSaid():
            return wire.SupervisorSaid(**ids, text=event.text, by=event.by, message_id=event.message_id)
        case events.SupervisorWhispered():
            return wire.SupervisorWhispered(**ids, text=event.text, by=event.by)
        case events.HandoffRequested():
            return wire.HandoffRequested(**ids, by=event.by)
        case events.HandoffActive():
            return wire.HandoffActive(**ids, by=event.by)
        case events.HandoffReleased():
            return wire.HandoffReleased(**ids, by=event.by)
        case _:
            assert_never(event)


def _metadata(call: CallFacts) -> dict[str, Any] | None:
    return dict(call.metadata) if call.metadata else None


def _recording_to_wire(event: events.RecordingEvent, ids: dict[str, Any], clock: Clock) -> AnyCallEvent:
    match event:
        case events.RecordingStarted():
            how = {"format": event.format, "channels": event.channels, "consent": event.consent}
            return wire.RecordingStarted(**ids, at_ms=event.at_ms, **how)
        case events.RecordingAnnounced():
            return wire.RecordingAnnounced(
                **ids, at_ms=event.at_ms, by=event.consent, text=event.text or None
            )
        case events.RecordingPaused():
            return wire.RecordingPaused(**ids, at_ms=event.at_ms)
        case events.RecordingResumed():
            return wire.RecordingResumed(**ids, at_ms=event.at_ms)
        case events.Recorded():
            return wire.CallRecording(
                **ids,
                url=event.url,
                duration_ms=event.duration_ms,
                format=event.format,
                sample_rate=event.sample_rate_hz,
                channels=event.channels,
                started_at=round(clock.epoch(event.at), 3),
            )
        case _:
            assert_never(event)


def _share(value: float) -> float:
    return round(min(1.0, max(0.0, value)), 3)


def _signal(event: events.EagerTurn | events.TurnEnd) -> dict[str, Any]:
    return {
        "message_id": event.message_id,
        "text": event.text,
        "probability": event.probability,
        "latency_ms": event.latency_ms,
        "reason": event.reason.value,
    }
