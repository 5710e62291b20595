/** What the server says of itself and of us, and the agents that are online. */

import { type Agent, Refused, type ServerSession, api, whenUnauthorized } from "../net/api.ts";
import { Store } from "./store.ts";

export type Access =
  | { readonly at: "unknown" }
  | { readonly at: "unreachable"; readonly why: string }
  | { readonly at: "login"; readonly server: ServerSession }
  /** `reachable` false: it was, and does not answer now. What is looked at stays. */
  | { readonly at: "in"; readonly server: ServerSession; readonly reachable: boolean };

export const access = new Store<Access>({ at: "unknown" });
export const agents = new Store<readonly Agent[] | null>(null);

const EVERY_MS = 4000;

whenUnauthorized(() => {
  const now = access.value;
  if (now.at === "in") access.set({ at: "login", server: { ...now.server, authorized: false } });
});

export async function refresh(): Promise<void> {
  try {
    const server = await api.session();
    if (server.authorized) {
      const online = await api.agents();
      if (!same(online, agents.value)) agents.set(online);
      const next: Access = { at: "in", server, reachable: true };
      if (!same(access.value, next)) access.set(next);
    } else access.set({ at: "login", server });
  } catch (error) {
    const why = error instanceof Refused ? error.message : "The server cannot be reached.";
    const now = access.value;
    if (now.at === "in") access.set({ ...now, reachable: false });
    else if (now.at !== "unreachable") access.set({ at: "unreachable", why });
  }
}

/** Looks again and again while the page is looked at. */
export function keepFresh(): () => void {
  let timer = 0;
  const look = async (): Promise<void> => {
    if (!document.hidden) await refresh();
    timer = window.setTimeout(() => void look(), EVERY_MS);
  };
  void look();
  const shown = (): void => void (document.hidden || refresh());
  document.addEventListener("visibilitychange", shown);
  return () => {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", shown);
  };
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
