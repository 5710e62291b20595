/** The list of calls, live and just ended, kept up to date by the server. */

import type { CallFacts } from "../net/api.ts";
import { openStream } from "../net/stream.ts";
import { Store } from "./store.ts";

export interface CallList {
  readonly calls: readonly CallFacts[];
  readonly connected: boolean;
  readonly known: boolean;
  readonly problem: string | null;
}

/** Puts a changed call in its place. */
export function withCall(calls: readonly CallFacts[], changed: CallFacts): readonly CallFacts[] {
  return inOrder([...calls.filter((call) => call.call_id !== changed.call_id), changed]);
}

/** Those that ring first, then the newest. */
function inOrder(calls: readonly CallFacts[]): readonly CallFacts[] {
  const began = (call: CallFacts): number => call.started_at ?? (call.state === "ended" ? (call.ended_at ?? 0) : Number.POSITIVE_INFINITY);
  return [...calls].sort((a, b) => (began(a) === began(b) ? 0 : began(b) - began(a)));
}

export const callList = new Store<CallList>({ calls: [], connected: false, known: false, problem: null });

const SHOWN = 200;

/** Follows the list while somebody looks at it. */
export function followCalls(): () => void {
  const put = (change: Partial<CallList>): void => callList.set({ ...callList.value, ...change });
  return openStream(`/v1/calls?limit=${SHOWN}`, {
    onState: (connected) => put({ connected }),
    onRefused: (refused) => put({ problem: refused.message }),
    onSent: ({ name, data }) => {
      const { calls } = callList.value;
      if (name === "call") put({ calls: withCall(calls, JSON.parse(data) as CallFacts) });
      else if (name === "gone") {
        const { call_id } = JSON.parse(data) as { call_id: string };
        put({ calls: calls.filter((call) => call.call_id !== call_id) });
      } else if (name === "calls") put({ calls: inOrder((JSON.parse(data) as { calls: CallFacts[] }).calls), known: true, problem: null });
    },
  });
}
