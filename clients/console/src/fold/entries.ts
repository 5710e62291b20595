/** What the lines of a transcript have in common, whatever they tell. */

import type { Entry } from "./model.ts";

export function startOf(entry: Entry): number {
  switch (entry.kind) {
    case "user":
      return entry.said.startMs;
    case "bot":
      return entry.message.startMs ?? entry.message.endMs ?? 0;
    case "tool":
      return entry.tool.startMs;
    case "note":
      return entry.ms;
  }
}

/** The event that began it. */
export function seqOf(entry: Entry): number {
  switch (entry.kind) {
    case "user":
      return entry.said.seq;
    case "bot":
      return entry.message.seq;
    case "tool":
      return entry.tool.seq;
    case "note":
      return entry.seq;
  }
}

/** Tells it from all other entries, and stays. */
export function keyOf(entry: Entry): string {
  return entry.kind === "bot" ? `bot-${entry.message.id}` : `${entry.kind}-${seqOf(entry)}`;
}

/** Another one whenever what is shown of it has changed. */
export function stampOf(entry: Entry): string {
  switch (entry.kind) {
    case "user":
      return `${entry.said.final}${entry.said.typed}${entry.said.settled.length}:${entry.said.text}`;
    case "bot": {
      const { state, words, sentences, text, confirmed, aborted, playedMs } = entry.message;
      return `${state}${words.length}:${text.length}:${sentences.length}:${confirmed?.length}:${aborted}:${playedMs}`;
    }
    case "tool":
      return `${entry.tool.endMs}`;
    case "note":
      return "";
  }
}

/** The one that is current at a moment of the call: the last that had begun. */
export function entryAt(entries: readonly Entry[], ms: number): Entry | null {
  let found: Entry | null = null;
  for (const entry of entries) if (startOf(entry) <= ms && (found === null || startOf(entry) >= startOf(found))) found = entry;
  return found;
}
