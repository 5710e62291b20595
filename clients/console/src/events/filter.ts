/** The filter of the raw events. Words, all of which must be found; `-word`: must not; `bot.`: begins an event's name. */

import type { WireEvent } from "../fold/model.ts";

export interface Query {
  readonly words: readonly { readonly text: string; readonly wanted: boolean }[];
  /** Families that are left out, see `familyOf`. */
  readonly hidden: ReadonlySet<Family>;
}

export type Family = "call" | "speech" | "turn" | "bot" | "llm" | "tool" | "error";
export const FAMILIES: readonly Family[] = ["call", "speech", "turn", "bot", "llm", "tool", "error"];

const FAMILY_OF: Readonly<Record<string, Family>> = {
  call: "call",
  session: "call",
  agent: "call",
  history: "call",
  audio: "speech",
  speech: "speech",
  user: "speech",
  turn: "turn",
  eager: "turn",
  bot: "bot",
  message: "bot",
  reply: "bot",
  barge_in: "bot",
  tts: "bot",
  llm: "llm",
  skill: "tool",
  tool: "tool",
  error: "error",
  server: "error",
};

export function familyOf(name: string): Family {
  if (name === "llm.tool_call") return "tool";
  if (name === "llm.error") return "error";
  return FAMILY_OF[name.split(".", 1)[0] ?? ""] ?? "call";
}

export function parseQuery(text: string, hidden: ReadonlySet<Family> = new Set()): Query {
  const words = text
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word && word !== "-")
    .map((word) => (word.startsWith("-") ? { text: word.slice(1), wanted: false } : { text: word, wanted: true }));
  return { words, hidden };
}

const lowered = new WeakMap<WireEvent, string>();

/** The event's text as it is searched: its own fields, without those that all events of a call share. */
function searched(event: WireEvent): string {
  let text = lowered.get(event);
  if (text === undefined) {
    const { agent_id, call_id, session_id, correlation_id, event: name, ...own } = event;
    text = `${name}\n${JSON.stringify(own, shortened)}`.toLowerCase();
    lowered.set(event, text);
  }
  return text;
}

export function matches(event: WireEvent, query: Query): boolean {
  if (query.hidden.size > 0 && query.hidden.has(familyOf(event.event))) return false;
  return query.words.every(({ text, wanted }) => found(event, text) === wanted);
}

function found(event: WireEvent, word: string): boolean {
  return word.endsWith(".") && /^[a-z_.]+$/.test(word) ? event.event.startsWith(word) : searched(event).includes(word);
}

/** Filters a log that only grows: what was looked at is not looked at again while the query is the same. */
export class Filtered {
  #query: Query | null = null;
  #seen = 0;
  #log: readonly WireEvent[] | null = null;
  #found: WireEvent[] = [];

  of(log: readonly WireEvent[], query: Query, until = log.length): readonly WireEvent[] {
    if (query !== this.#query || log !== this.#log || until < this.#seen) {
      this.#query = query;
      this.#log = log;
      this.#seen = 0;
      this.#found = [];
    }
    for (; this.#seen < until; this.#seen++) {
      const event = log[this.#seen];
      if (event && matches(event, query)) this.#found.push(event);
    }
    return this.#found;
  }
}

const LONG = 2000;

/** For JSON: a recording within an event is nothing to read. */
export function shortened(_field: string, value: unknown): unknown {
  return typeof value === "string" && value.length > LONG ? `${value.slice(0, 80)}… (${value.length} characters)` : value;
}

/** What an event says beside its name, in one line. */
export function summary(event: WireEvent): string {
  const { agent_id, call_id, session_id, correlation_id, event: name, seq, ts, turn_id, ...own } = event;
  return Object.entries(own)
    .map(([field, value]) => `${field}: ${short(value)}`)
    .join("  ");
}

function short(value: unknown): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value, shortened) ?? "");
  return text.length > 160 ? `${text.slice(0, 159)}…` : text;
}
