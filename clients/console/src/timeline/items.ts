/** What is drawn against the waveforms, as flat items in the order of time: for drawing, pointing and the keyboard alike. */

import { heardOf } from "../fold/heard.ts";
import type { Call, Mark, Message } from "../fold/model.ts";
import { timingOf } from "../fold/timing.ts";

export type Lane = "user" | "turns" | "bot" | "tools";

export type ItemKind =
  | "speech"
  | "ending"
  | "answering"
  | "said"
  | "tool"
  | "tool-failed"
  | "muted"
  | "held"
  | Mark["kind"];

export interface Item {
  readonly lane: Lane;
  readonly kind: ItemKind;
  readonly seq: number;
  readonly startMs: number;
  /** Null: it goes on. The same as the start: an instant. */
  readonly endMs: number | null;
  readonly label: string;
  readonly detail: string;
  /** A figure that is written beside it, where there is room. */
  readonly brief?: string;
  /** Rows of a lane whose items overlap, from 0. */
  readonly row: number;
}

const MARK_LANES: Readonly<Record<Mark["kind"], Lane>> = {
  eager: "turns",
  "turn-end": "turns",
  continued: "turns",
  cut: "bot",
  dtmf: "tools",
  error: "tools",
  warning: "tools",
  rejected: "tools",
  idle: "tools",
  skill: "tools",
  end: "turns",
};

const MARK_NAMES: Readonly<Record<Mark["kind"], string>> = {
  eager: "Eager end of turn",
  "turn-end": "End of turn",
  continued: "Turn continued",
  cut: "Cut",
  dtmf: "Key",
  error: "Error",
  warning: "Warning",
  rejected: "Reply refused",
  idle: "Silence",
  skill: "Skill",
  end: "Call ended",
};

/** `nowMs` is where things that go on have come to. */
export function itemsOf(call: Call, nowMs: number): Item[] {
  const made = [...speech(call), ...waits(call, nowMs), ...messages(call), ...tools(call, nowMs), ...quiet(call), ...marks(call)];
  return made.sort((a, b) => a.startMs - b.startMs || a.seq - b.seq);
}

function speech(call: Call): Item[] {
  return call.speech.map((segment) => ({
    lane: "user",
    kind: "speech",
    seq: segment.seq,
    startMs: segment.startMs,
    endMs: segment.endMs,
    label: "Speech",
    detail: segment.turnId > 0 ? `turn ${segment.turnId}` : "",
    row: 0,
  }));
}

/** The wait for an answer, in its two parts. */
function waits(call: Call, nowMs: number): Item[] {
  const made: Item[] = [];
  for (const turn of call.turns.values()) {
    const { phase, endpointMs, answerMs, totalMs } = timingOf(turn, call.ending?.ms ?? nowMs);
    if (turn.voiceEndMs === null || turn.endMs === null || phase === "speaking") continue;
    const seq = turn.endSeq ?? 0;
    const split = turn.voiceEndMs + endpointMs;
    const end = turn.voiceEndMs + totalMs;
    const base = { lane: "turns", seq, row: 0 } as const;
    made.push({ ...base, kind: "ending", startMs: turn.voiceEndMs, endMs: split, label: `Turn ${turn.id}: end found`, detail: millis(endpointMs) });
    if (phase === "unanswered") continue;
    const detail = phase === "answered" ? `${millis(answerMs)}; ${millis(totalMs)} in all` : millis(answerMs);
    made.push({ ...base, kind: "answering", startMs: split, endMs: end, label: `Turn ${turn.id}: answer`, detail, brief: millis(totalMs) });
  }
  return made;
}

function messages(call: Call): Item[] {
  return [...call.messages.values()].flatMap((message) =>
    message.played.map((part, index) => ({
      lane: "bot" as const,
      kind: "said" as const,
      seq: message.seq,
      startMs: part.startMs,
      endMs: part.endMs,
      label: index === 0 ? "Bot speaks" : "Bot goes on",
      detail: excerpt(message),
      row: 0,
    })),
  );
}

function excerpt(message: Message): string {
  const { heard } = heardOf(message);
  return heard.length > 120 ? `${heard.slice(0, 119)}…` : heard;
}

function tools(call: Call, nowMs: number): Item[] {
  const rows: number[] = [];
  return [...call.tools.values()].map((tool) => {
    const end = tool.endMs ?? nowMs;
    let row = rows.findIndex((until) => until <= tool.startMs);
    if (row < 0) row = rows.length;
    rows[row] = Math.max(end, tool.startMs + 1);
    const took = tool.endMs === null ? "runs" : millis(tool.endMs - tool.startMs);
    return {
      lane: "tools",
      kind: tool.error === null ? "tool" : "tool-failed",
      seq: tool.seq,
      startMs: tool.startMs,
      endMs: tool.endMs,
      label: tool.name,
      detail: tool.error === null ? took : `failed: ${tool.error}`,
      row,
    };
  });
}

function quiet(call: Call): Item[] {
  return call.quiet.map((stretch) => ({
    lane: "user",
    kind: stretch.kind,
    seq: stretch.seq,
    startMs: stretch.startMs,
    endMs: stretch.endMs,
    label: stretch.kind === "muted" ? "Muted" : "On hold",
    detail: stretch.by === "network" ? "connection lost" : `by the ${stretch.by}`,
    row: 0,
  }));
}

function marks(call: Call): Item[] {
  return call.marks.map((mark) => ({
    lane: MARK_LANES[mark.kind],
    kind: mark.kind,
    seq: mark.seq,
    startMs: mark.ms,
    endMs: mark.ms,
    label: MARK_NAMES[mark.kind],
    detail: mark.label,
    row: 0,
  }));
}

/** `846 ms`, `1.66 s`. */
export function millis(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`;
}
