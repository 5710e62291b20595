/** How long a turn's answer took, or takes by now. */

import type { Call, Message, Turn } from "./model.ts";

export type Phase = "speaking" | "ending" | "answering" | "answered" | "unanswered";

export interface Timing {
  readonly turn: Turn;
  readonly phase: Phase;
  /** From the end of the voice to `turn.end`; still growing while the phase is `ending`. */
  readonly endpointMs: number;
  /** From `turn.end` to the first sound of the answer; still growing while the phase is `answering`. */
  readonly answerMs: number;
  readonly totalMs: number;
  readonly parts: readonly { readonly name: string; readonly ms: number }[];
}

const PART_NAMES = [
  ["endpointingMs", "end of turn"],
  ["sttMs", "recogniser"],
  ["llmMs", "model"],
  ["agentMs", "agent"],
  ["ttsMs", "voice"],
  ["transportMs", "line"],
] as const;

/** `nowMs`: how far the call is by now; of a call that is over, its end. */
export function timingOf(turn: Turn, nowMs: number): Timing {
  const voiceEnd = turn.voiceEndMs;
  const end = turn.endMs;
  if (voiceEnd === null) return { turn, phase: "speaking", endpointMs: 0, answerMs: 0, totalMs: 0, parts: [] };
  if (end === null) {
    const waited = Math.max(0, nowMs - voiceEnd);
    return { turn, phase: turn.completedMs === null ? "ending" : "unanswered", endpointMs: waited, answerMs: 0, totalMs: waited, parts: [] };
  }
  const endpointMs = end - voiceEnd;
  const first = turn.metrics?.totalMs != null ? voiceEnd + turn.metrics.totalMs : turn.answerMs;
  if (first === null) {
    const over = turn.completedMs !== null;
    const answerMs = over ? 0 : Math.max(0, nowMs - end);
    return { turn, phase: over ? "unanswered" : "answering", endpointMs, answerMs, totalMs: endpointMs + answerMs, parts: [] };
  }
  const totalMs = Math.max(0, first - voiceEnd);
  return {
    turn,
    phase: "answered",
    endpointMs: Math.min(endpointMs, totalMs),
    answerMs: Math.max(0, totalMs - endpointMs),
    totalMs,
    parts: partsOf(turn),
  };
}

function partsOf(turn: Turn): { name: string; ms: number }[] {
  const metrics = turn.metrics;
  if (!metrics) return [];
  return PART_NAMES.flatMap(([key, name]) => {
    const ms = metrics[key];
    return ms === null ? [] : [{ name, ms }];
  });
}

/** Turns with words or a signal, in order. Speech over the bot may announce a turn that is nothing yet. */
export function timings(call: Call, nowMs: number): Timing[] {
  const turns = [...call.turns.values()].filter((turn) => turn.text || turn.endMs !== null);
  return turns.sort((a, b) => a.id - b.id).map((turn) => timingOf(turn, call.ending?.ms ?? nowMs));
}

/** How many turns the user took, answered or not. */
export function turnsTaken(call: Call): number {
  return [...call.turns.values()].filter((turn) => turn.endMs !== null).length;
}

/** The median, lower of the two in the middle; null of nothing. */
export function median(values: readonly number[]): number | null {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? null;
}

/** The message that is being heard, or paused. */
export function speakingNow(call: Call): Message | null {
  for (let index = call.entries.length - 1; index >= 0; index--) {
    const entry = call.entries[index];
    if (entry?.kind === "bot") return entry.message.state === "speaking" || entry.message.state === "paused" ? entry.message : null;
  }
  return null;
}
