/** Fields of an event, read with care: a field that is missing or of another type is null. */

import type { Call, WireEvent } from "./model.ts";

export function text(event: WireEvent, field: string): string | null {
  const value = event[field];
  return typeof value === "string" ? value : null;
}

export function number(event: WireEvent, field: string): number | null {
  const value = event[field];
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

export function flag(event: WireEvent, field: string): boolean {
  return event[field] === true;
}

/** Epoch seconds as milliseconds of the call. */
export function clock(call: Call, epochS: number): number {
  return Math.round((epochS - (call.startTs ?? epochS)) * 1000);
}

/** When the event was made. */
export function at(call: Call, event: WireEvent): number {
  return clock(call, event.ts);
}

/** When it happened, where the event says so (`timestamp`); else when it was made. */
export function happened(call: Call, event: WireEvent): number {
  return clock(call, number(event, "timestamp") ?? event.ts);
}
