/** Where in the console one is, kept behind the `#` of the address. */

import { Store } from "./store.ts";

export type Route = { readonly at: "talk" } | { readonly at: "calls" } | { readonly at: "call"; readonly id: string };

export function parseRoute(hash: string): Route {
  const [first, id] = hash.replace(/^#\/?/, "").split("/");
  if (first === "calls" && id) return { at: "call", id: decode(id) };
  return first === "calls" ? { at: "calls" } : { at: "talk" };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function callHref(id: string): string {
  return `#/calls/${encodeURIComponent(id)}`;
}

export const route = new Store<Route>(parseRoute(globalThis.location?.hash ?? ""));

export function followAddress(): void {
  addEventListener("hashchange", () => {
    route.set(parseRoute(location.hash));
    scrollTo(0, 0);
  });
}
