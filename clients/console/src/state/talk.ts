/** The call that is made from this page. It goes on while one looks at other views. */

import { Store } from "./store.ts";

export type Talk =
  | { readonly at: "idle" }
  | { readonly at: "connecting"; readonly agentId: string; readonly step: "microphone" | "server" }
  | { readonly at: "live"; readonly agentId: string; readonly callId: string; readonly muted: boolean }
  | { readonly at: "over"; readonly agentId: string; readonly callId: string | null; readonly problem: string | null };

export const talk = new Store<Talk>({ at: "idle" });

export function hangUp(): void {
  const now = talk.value;
  if (now.at === "live") talk.set({ at: "over", agentId: now.agentId, callId: now.callId, problem: null });
}
