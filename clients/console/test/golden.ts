/** The golden log of `tests/protocol`: all events of one call. */

import { readFileSync } from "node:fs";

import type { WireEvent } from "../src/fold/model.ts";

export const GOLDEN = (JSON.parse(readFileSync("../../tests/protocol/golden/conversation.json", "utf8")) as { events: WireEvent[] }).events;

let seq = 0;

/** An event `ms` after the call began. */
export function event(ms: number, name: string, fields: Record<string, unknown> = {}): WireEvent {
  seq = name === "call.started" && !("routed_from" in fields) ? 1 : seq + 1;
  return { event: name, seq, ts: 1_700_000_000 + ms / 1000, call_id: "c", ...fields } as WireEvent;
}
