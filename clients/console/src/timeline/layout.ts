/** Where on the canvas each lane lies, and what lies under a point. Pure. */

import type { Item, Lane } from "./items.ts";
import { type View, toPx } from "./scale.ts";

export interface Band {
  readonly top: number;
  readonly height: number;
}

export interface Layout {
  readonly ruler: Band;
  readonly lanes: Readonly<Record<Lane, Band>>;
  readonly height: number;
}

const RULER_PX = 22;
const WAVE_PX = 68;
const TURNS_PX = 26;
export const TOOL_ROW_PX = 20;
const GAP_PX = 4;

/** `toolRows`: how many rows the tools need; at least one is kept for what else is told there. */
export function layout(toolRows: number): Layout {
  let top = 0;
  const band = (height: number): Band => {
    const made = { top, height };
    top += height + GAP_PX;
    return made;
  };
  const ruler = band(RULER_PX);
  const user = band(WAVE_PX);
  const turns = band(TURNS_PX);
  const bot = band(WAVE_PX);
  const tools = band(Math.max(1, toolRows) * TOOL_ROW_PX + 2);
  return { ruler, lanes: { user, turns, bot, tools }, height: top };
}

/** Instants are pointed at within this distance. */
const NEAR_PX = 7;

/** The item at a point: an instant before a stretch, and of several the nearest or the shortest. */
export function itemAt(items: readonly Item[], view: View, shape: Layout, x: number, y: number, nowMs: number): Item | null {
  let best: Item | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (const item of items) {
    const band = shape.lanes[item.lane];
    if (y < band.top || y > band.top + band.height) continue;
    const start = toPx(view, item.startMs);
    const end = toPx(view, item.endMs ?? nowMs);
    const instant = item.endMs === item.startMs;
    if (instant ? Math.abs(x - start) > NEAR_PX : x < start - 2 || x > end + 2) continue;
    if (item.lane === "tools" && !instant && Math.floor((y - band.top) / TOOL_ROW_PX) !== item.row) continue;
    const cost = instant ? Math.abs(x - start) : 1000 + end - start;
    if (cost < least) [best, least] = [item, cost];
  }
  return best;
}

/** The item before or after another in time, for the keyboard; the one nearest to `fromMs` where none is chosen. */
export function neighbour(items: readonly Item[], chosen: Item | null, step: 1 | -1, fromMs: number): Item | null {
  if (items.length === 0) return null;
  const index = chosen ? items.findIndex((item) => item.seq === chosen.seq && item.kind === chosen.kind && item.startMs === chosen.startMs) : -1;
  if (index >= 0) return items[Math.min(items.length - 1, Math.max(0, index + step))] ?? null;
  const after = items.findIndex((item) => item.startMs >= fromMs);
  return items[after < 0 ? items.length - 1 : after] ?? null;
}
