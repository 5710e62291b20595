/** How facts are put in words. Pure. */

import type { CallFacts } from "../net/api.ts";
import { stamp } from "../timeline/scale.ts";

const REASONS: Readonly<Record<string, string>> = {
  hangup: "The caller hung up",
  client_hangup: "Hung up",
  max_duration: "Reached the longest duration",
  idle_timeout: "The caller said nothing for too long",
  timeout: "A limit was reached",
  no_answer: "Nobody answered",
  busy: "Busy",
  failed: "Failed",
  chat_completed: "Completed",
  chat_error: "Failed",
};

export function reasonOf(reason: string, detail?: string | null): string {
  const known = REASONS[reason] ?? reason;
  return detail && detail.toLowerCase() !== known.toLowerCase() ? `${known}: ${detail}` : known;
}

/** Who is at the other end. */
export function partyOf(facts: Pick<CallFacts, "transport" | "direction" | "from" | "to">): string {
  if (facts.transport === "webrtc") return "Browser";
  return facts.direction === "outbound" ? facts.to : facts.from;
}

export function transportOf(transport: string): string {
  return { phone: "Phone", webrtc: "Browser", chat: "Chat", whatsapp: "WhatsApp", bridge: "Agent" }[transport] ?? transport;
}

/** As much of a call's id as tells it from others: behind what is the same for all of its kind. */
export function shortId(callId: string): string {
  return callId.replace(/^[a-z]+-/, "").slice(0, 8);
}

export function duration(ms: number): string {
  return stamp(ms);
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** `14:03:22` today, with the day before it otherwise. */
export function clockTime(epochS: number, now = new Date()): string {
  const date = new Date(epochS * 1000);
  const time = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  if (date.toDateString() === now.toDateString()) return time;
  return `${date.toLocaleDateString([], { day: "numeric", month: "short" })}, ${time}`;
}
