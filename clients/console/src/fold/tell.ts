/** What handlers of events have in common. */

import type { Call, Entry, MarkKind, WireEvent } from "./model.ts";
import { at } from "./read.ts";

export type Handler = (call: Call, event: WireEvent) => void;

export function mark(call: Call, event: WireEvent, kind: MarkKind, label: string, ms = at(call, event)): void {
  call.marks.push({ kind, label, ms, seq: event.seq });
}

export function note(call: Call, event: WireEvent, content: string, tone: "info" | "bad" = "info"): void {
  const entry: Entry = { kind: "note", seq: event.seq, ms: at(call, event), tone, text: content };
  call.entries.push(entry);
}
