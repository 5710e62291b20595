/** The user's side: voice, words, and where his turns begin and end. */

import type { Call, Saying, Turn, WireEvent } from "./model.ts";
import { at, clock, happened, number, text } from "./read.ts";
import { type Handler, mark } from "./tell.ts";

export function turnOf(call: Call, event: WireEvent): Turn | null {
  const id = event.turn_id;
  if (id === undefined) return null;
  let turn = call.turns.get(id);
  if (!turn) {
    turn = {
      id,
      startMs: at(call, event),
      voiceEndMs: null,
      eagerMs: null,
      endMs: null,
      endSeq: null,
      reason: null,
      probability: null,
      text: "",
      answerMs: null,
      measured: false,
      metrics: null,
      completedMs: null,
      interrupted: false,
      unanswered: false,
    };
    call.turns.set(id, turn);
  }
  return turn;
}

/** The part of the turn that is being said: a new one where the bot was heard since, and the user spoke after that. */
function saying(call: Call, event: WireEvent, turnId: number, all: string): Saying {
  const segments = event["segment_ids"];
  const typed = Array.isArray(segments) && segments.length === 0;
  const last = lastOf(call, turnId);
  if (last && !brokenInto(call, last, all)) return last;
  const said: Saying = {
    turnId,
    seq: event.seq,
    startMs: (typed ? null : voiceBegan(call, turnId)) ?? at(call, event),
    base: last ? last.base + last.text : "",
    text: "",
    settled: "",
    final: false,
    typed: false,
  };
  call.entries.push({ kind: "user", said });
  return said;
}

function lastOf(call: Call, turnId: number): Saying | null {
  for (let index = call.entries.length - 1; index >= 0; index--) {
    const entry = call.entries[index];
    if (entry?.kind === "user" && entry.said.turnId === turnId) return entry.said;
  }
  return null;
}

function brokenInto(call: Call, last: Saying, all: string): boolean {
  const before = last.base + last.text;
  if (!all.startsWith(before) || all.length === before.length) return false;
  const voice = call.speech.at(-1);
  if (!voice) return false;
  for (let index = call.entries.length - 1; index >= 0; index--) {
    const entry = call.entries[index];
    if (entry?.kind === "user" && entry.said === last) return false;
    if (entry?.kind === "bot" && entry.message.startMs !== null) return voice.startMs > entry.message.startMs;
  }
  return false;
}

function voiceBegan(call: Call, turnId: number): number | null {
  const voice = call.speech.at(-1);
  return voice && voice.turnId === turnId ? voice.startMs : null;
}

function put(said: Saying, all: string, settled: string, final: boolean): void {
  const rest = (whole: string): string => (whole.startsWith(said.base) ? whole.slice(said.base.length) : whole);
  said.text = rest(all);
  said.settled = settled.length >= said.base.length ? rest(settled) : "";
  said.final = final;
}

function hear(final: boolean): Handler {
  return (call, event) => {
    const turn = turnOf(call, event);
    const all = text(event, "text") ?? "";
    if (!turn || !all) return;
    turn.text = all;
    put(saying(call, event, turn.id, all), all, final ? all : (text(event, "confirmed_text") ?? ""), final);
  };
}

/** `latency_ms` counts from the end of the voice, so that end is known to the millisecond. */
function signalled(call: Call, event: WireEvent, turn: Turn): void {
  turn.voiceEndMs = at(call, event) - (number(event, "latency_ms") ?? 0);
  turn.probability = number(event, "probability");
  turn.reason = text(event, "reason");
}

export const userHandlers: Record<string, Handler> = {
  "turn.started": (call, event) => void turnOf(call, event),
  "speech.started": (call, event) => {
    turnOf(call, event);
    call.speech.push({
      id: number(event, "segment_id") ?? -1,
      seq: event.seq,
      turnId: event.turn_id ?? 0,
      startMs: happened(call, event),
      endMs: null,
    });
  },
  "speech.ended": (call, event) => {
    const id = number(event, "segment_id");
    const open = call.speech.findLast((segment) => segment.id === id && segment.endMs === null);
    if (open) open.endMs = Math.max(open.startMs, happened(call, event));
    const turn = turnOf(call, event);
    if (turn && turn.endMs === null) turn.voiceEndMs = happened(call, event);
  },
  "user.speaking": hear(false),
  "user.message": hear(true),
  "eager.turn": (call, event) => {
    const turn = turnOf(call, event);
    if (!turn) return;
    signalled(call, event, turn);
    turn.eagerMs = at(call, event);
    mark(call, event, "eager", `turn ${turn.id} probably over`);
  },
  "turn.end": (call, event) => {
    const turn = turnOf(call, event);
    if (!turn) return;
    signalled(call, event, turn);
    turn.endMs = at(call, event);
    turn.endSeq = event.seq;
    mark(call, event, "turn-end", `turn ${turn.id} over`);
    const all = text(event, "text") ?? "";
    if (!all) return;
    turn.text = all;
    const said = saying(call, event, turn.id, all);
    put(said, all, all, true);
    said.typed = turn.reason === "typed";
  },
  "turn.continued": (call, event) => {
    const turn = turnOf(call, event);
    if (!turn) return;
    turn.eagerMs = turn.endMs = turn.endSeq = turn.voiceEndMs = null;
    turn.answerMs = turn.metrics = null;
    mark(call, event, "continued", `turn ${turn.id} goes on`, clock(call, number(event, "timestamp") ?? event.ts));
  },
  "turn.completed": (call, event) => {
    const turn = turnOf(call, event);
    if (!turn) return;
    turn.completedMs = at(call, event);
    turn.interrupted = event["interrupted"] === true;
    turn.unanswered = event["aborted"] === true;
  },
  "turn.metrics": (call, event) => {
    const turn = turnOf(call, event);
    if (!turn) return;
    turn.metrics = {
      messageId: text(event, "message_id") ?? "",
      seq: event.seq,
      totalMs: number(event, "total_ms"),
      endpointingMs: number(event, "endpointing_ms"),
      sttMs: number(event, "stt_ms"),
      llmMs: number(event, "llm_first_token_ms"),
      agentMs: number(event, "agent_ms"),
      ttsMs: number(event, "tts_first_byte_ms"),
      transportMs: number(event, "transport_ms"),
      slowest: text(event, "slowest"),
    };
    turn.measured = true;
    turn.answerMs = call.messages.get(turn.metrics.messageId)?.startMs ?? at(call, event);
  },
};
