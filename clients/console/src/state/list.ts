/** A list of calls that is kept up to date. Pure. */

import type { CallFacts } from "../net/api.ts";

export interface Listed extends CallFacts {
  /** When it was taken by our clock, epoch milliseconds: the server's may be another one. Null before. */
  readonly takenMs: number | null;
}

/** As it is told at `nowMs`, by our clock. */
export function listed(call: CallFacts, nowMs: number): Listed {
  return { ...call, takenMs: call.started_at === null ? null : nowMs - call.duration_ms };
}

/** How long it has lasted by now. */
export function lasted(call: Listed, nowMs: number): number {
  return call.state === "ended" || call.takenMs === null ? call.duration_ms : Math.max(call.duration_ms, nowMs - call.takenMs);
}

/** Puts a changed call in its place. */
export function withCall(calls: readonly Listed[], changed: Listed): readonly Listed[] {
  return inOrder([...calls.filter((call) => call.call_id !== changed.call_id), changed]);
}

/** The newest first. */
export function inOrder(calls: readonly Listed[]): readonly Listed[] {
  return [...calls].sort((a, b) => b.created_at - a.created_at);
}
