/** The order of a list of calls. Pure. */

import type { CallFacts } from "../net/api.ts";

/** Puts a changed call in its place. */
export function withCall(calls: readonly CallFacts[], changed: CallFacts): readonly CallFacts[] {
  return inOrder([...calls.filter((call) => call.call_id !== changed.call_id), changed]);
}

/** Those that ring first, then the newest. */
export function inOrder(calls: readonly CallFacts[]): readonly CallFacts[] {
  const began = (call: CallFacts): number => call.started_at ?? (call.state === "ended" ? (call.ended_at ?? 0) : Number.POSITIVE_INFINITY);
  return [...calls].sort((a, b) => (began(a) === began(b) ? 0 : began(b) - began(a)));
}
