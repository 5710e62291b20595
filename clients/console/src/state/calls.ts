/** The list of calls, live and just ended, kept up to date by the server. */

import type { CallFacts } from "../net/api.ts";
import { openStream } from "../net/stream.ts";
import { type Listed, inOrder, listed, withCall } from "./list.ts";
import { Store } from "./store.ts";

export interface CallList {
  readonly calls: readonly Listed[];
  readonly connected: boolean;
  readonly known: boolean;
  readonly problem: string | null;
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
      if (name === "call") put({ calls: withCall(calls, listed(JSON.parse(data) as CallFacts, Date.now())) });
      else if (name === "gone") {
        const { call_id } = JSON.parse(data) as { call_id: string };
        put({ calls: calls.filter((call) => call.call_id !== call_id) });
      } else if (name === "calls") put({ calls: inOrder((JSON.parse(data) as { calls: CallFacts[] }).calls.map((call) => listed(call, Date.now()))), known: true, problem: null });
    },
  });
}
