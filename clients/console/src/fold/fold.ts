/** From events to what is known of a call. One event at a time, in place: a call has thousands, and they come live. */

import { botHandlers } from "./bot.ts";
import { type Call, type WireEvent, emptyCall } from "./model.ts";
import { at, clock, number, text } from "./read.ts";
import { type Handler, mark, note } from "./tell.ts";
import { userHandlers } from "./user.ts";

/** Takes in one event; false where it was known already. Events that nobody knows here are kept as raw events. */
export function apply(call: Call, event: WireEvent): boolean {
  if (event.seq <= call.lastSeq) return false;
  call.lost += event.seq - call.lastSeq - 1;
  call.lastSeq = event.seq;
  call.startTs ??= event.ts;
  call.events.push(event);
  HANDLERS[event.event]?.(call, event);
  call.lastMs = Math.max(call.lastMs, at(call, event));
  return true;
}

export function fold(events: Iterable<WireEvent>): Call {
  const call = emptyCall();
  for (const event of events) apply(call, event);
  return call;
}

function quietStarts(kind: "muted" | "held"): Handler {
  return (call, event) => {
    const by = text(event, "by") ?? "agent";
    call.quiet.push({ kind, by, seq: event.seq, startMs: at(call, event), endMs: null });
    note(call, event, by === "network" ? "Connection lost; waiting for it to come back" : `Call ${kind} by the ${by}`);
  };
}

function quietEnds(kind: "muted" | "held"): Handler {
  return (call, event) => {
    for (const stretch of call.quiet) if (stretch.kind === kind) stretch.endMs ??= at(call, event);
    const meanwhile = text(event, "muted_transcript");
    const done = kind === "muted" ? "Unmuted" : "No longer held";
    note(call, event, meanwhile ? `${done}. Meanwhile the caller said: “${meanwhile}”` : done);
  };
}

function tellError(call: Call, event: WireEvent): void {
  const what = text(event, "error") ?? "Unknown error";
  const fallback = text(event, "fallback");
  mark(call, event, fallback ? "warning" : "error", what);
  // Somebody else does what it was to do: the caller need not notice.
  note(call, event, fallback ? `${what}. ${fallback} takes over` : what, fallback ? "info" : "bad");
}

const callHandlers: Record<string, Handler> = {
  "call.ringing": (call) => {
    call.calling = "ringing";
  },
  "call.dialing": (call) => {
    call.calling = "dialing";
  },
  "call.started": (call, event) => {
    // Handed over, it began earlier, with another agent.
    if (text(event, "routed_from") === null) call.startTs = event.ts;
    call.calling = null;
    call.language = text(event, "language");
  },
  "call.updated": (call, event) => {
    call.language = text(event, "language") ?? call.language;
    note(call, event, `Language changed to ${call.language ?? "another one"}`);
  },
  "session.ready": (call) => {
    call.ready = true;
  },
  "agent.state": (call, event) => {
    const state = text(event, "state");
    if (state === "idle" || state === "listening" || state === "thinking" || state === "speaking") call.agentState = state;
  },
  "call.muted": quietStarts("muted"),
  "call.unmuted": quietEnds("muted"),
  "call.held": quietStarts("held"),
  "call.unheld": quietEnds("held"),
  "call.dtmf_received": (call, event) => {
    const digit = text(event, "digit") ?? "?";
    mark(call, event, "dtmf", digit);
    note(call, event, `Key ${digit} pressed`);
  },
  "recording.started": (call, event) => {
    const place = number(event, "at_ms") ?? 0;
    if (place > 0) note(call, event, "Recording began");
  },
  "recording.announced": (call, event) => note(call, event, "The caller was told that the call is recorded"),
  "recording.paused": (call, event) => note(call, event, "Recording paused"),
  "recording.resumed": (call, event) => note(call, event, "Recording goes on"),
  "session.idle_warning": (call, event) => {
    const left = number(event, "remaining_seconds") ?? 0;
    mark(call, event, "idle", left > 0 ? `silent; ${left} s left` : "silent for too long");
  },
  "session.timeout": (call, event) => {
    const why = text(event, "reason") === "max_duration" ? "The call is too long" : "The caller said nothing for too long";
    note(call, event, `${why}; it ends`);
  },
  "skill.loaded": (call, event) => mark(call, event, "skill", `+ ${text(event, "skill") ?? ""}`),
  "skill.unloaded": (call, event) => mark(call, event, "skill", `− ${text(event, "skill") ?? ""}`),
  error: tellError,
  "llm.error": tellError,
  "server.warning": (call, event) => {
    const what = text(event, "warning") ?? "Warning";
    mark(call, event, "warning", what);
    note(call, event, what);
  },
  "call.routed": (call, event) => {
    const agent = text(event, "agent") ?? "another agent";
    note(call, event, `Handed over to ${agent}`);
  },
  "call.route_failed": (call, event) => {
    const why = text(event, "detail") ?? text(event, "reason") ?? "unknown";
    note(call, event, `Not handed over to ${text(event, "agent") ?? "another agent"}: ${why}`, "bad");
  },
  "call.ended": (call, event) => {
    if (text(event, "reason") === "routed") return; // Only for the agent that had it.
    const ms = at(call, event);
    call.ending = { reason: text(event, "reason") ?? "ended", detail: text(event, "detail"), ms };
    call.agentState = call.calling = null;
    for (const stretch of [...call.quiet, ...call.speech]) stretch.endMs ??= ms;
    mark(call, event, "end", call.ending.detail ?? call.ending.reason);
  },
  "call.recording": (call, event) => {
    const began = number(event, "started_at");
    if (began !== null) call.recordingStartMs = clock(call, began);
  },
};

const HANDLERS: Readonly<Record<string, Handler>> = { ...callHandlers, ...userHandlers, ...botHandlers };
