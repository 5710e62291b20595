/** The list of calls, live and just ended, kept up to date by the server. */

import { type CallFacts, api } from "../net/api.ts";
import { openStream } from "../net/stream.ts";
import { Store } from "./store.ts";

export interface CallList {
  readonly calls: readonly CallFacts[];
  readonly connected: boolean;
  readonly known: boolean;
  readonly problem: string | null;
}

/** Puts a changed call in its place: newest first. */
export function withCall(calls: readonly CallFacts[], changed: CallFacts): readonly CallFacts[] {
  const others = calls.filter((call) => call.call_id !== changed.call_id);
  return [...others, changed].sort((a, b) => b.started_at - a.started_at);
}

export const callList = new Store<CallList>({ calls: [], connected: false, known: false, problem: null });

/** Follows the list while somebody looks at it. */
export function followCalls(): () => void {
  const put = (change: Partial<CallList>): void => callList.set({ ...callList.value, ...change });
  void api.calls("ended").then(
    (ended) => put({ calls: ended.reduce(withCall, callList.value.calls) }),
    () => undefined,
  );
  return openStream("/v1/calls?state=live", {
    onState: (connected) => put({ connected }),
    onRefused: (refused) => put({ problem: refused.message }),
    onSent: (sent) => {
      if (sent.name === "call") put({ calls: withCall(callList.value.calls, JSON.parse(sent.data) as CallFacts), known: true });
      else if (sent.name === "calls") put({ calls: whole(JSON.parse(sent.data)), known: true, problem: null });
    },
  });
}

/** The whole list as the server has it; the ended calls that were known stay, and what ended unseen has gone from it. */
function whole(told: unknown): readonly CallFacts[] {
  const calls = (Array.isArray(told) ? told : (told as { calls: CallFacts[] }).calls) as CallFacts[];
  const ids = new Set(calls.map((call) => call.call_id));
  const ended = callList.value.calls.filter((call) => call.state === "ended" && !ids.has(call.call_id));
  return [...calls, ...ended].sort((a, b) => b.started_at - a.started_at);
}
