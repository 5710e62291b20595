/** Draws the timeline. It reads; it decides nothing. */

import type { Item } from "./items.ts";
import { type Band, type Layout, TOOL_ROW_PX } from "./layout.ts";
import type { Palette } from "./palette.ts";
import type { Peaks } from "./peaks.ts";
import { type View, ticks, toMs, toPx } from "./scale.ts";

export interface Scene {
  readonly view: View;
  readonly shape: Layout;
  readonly items: readonly Item[];
  readonly user: Peaks;
  readonly bot: Peaks;
  readonly nowMs: number;
  /** Where the recording plays; null: it does not. */
  readonly cursorMs: number | null;
  readonly pointerMs: number | null;
  readonly chosen: Item | null;
  readonly live: boolean;
}

type Pen = CanvasRenderingContext2D;

export function draw(pen: Pen, scene: Scene, colours: Palette): void {
  const { view, shape } = scene;
  pen.clearRect(0, 0, view.widthPx, shape.height);
  ruler(pen, scene, colours);
  wave(pen, scene, shape.lanes.user, scene.user, "user", colours);
  wave(pen, scene, shape.lanes.bot, scene.bot, "bot", colours);
  for (const item of scene.items) if (inView(scene, item)) drawItem(pen, scene, item, colours);
  totals(pen, scene, colours);
  if (scene.live) verticalLine(pen, scene, scene.nowMs, colours["line-strong"], [2, 3]);
  if (scene.chosen) outline(pen, scene, scene.chosen, colours);
  if (scene.pointerMs !== null) verticalLine(pen, scene, scene.pointerMs, colours.faint, [1, 3]);
  if (scene.cursorMs !== null) verticalLine(pen, scene, scene.cursorMs, colours.text, []);
}

function inView(scene: Scene, item: Item): boolean {
  const { view } = scene;
  return toPx(view, item.endMs ?? scene.nowMs) >= -60 && toPx(view, item.startMs) <= view.widthPx + 10;
}

function ruler(pen: Pen, scene: Scene, colours: Palette): void {
  const { view, shape } = scene;
  pen.font = "11px system-ui, sans-serif";
  pen.textBaseline = "middle";
  for (const tick of ticks(view)) {
    const x = Math.round(toPx(view, tick.ms)) + 0.5;
    pen.strokeStyle = colours.line;
    pen.beginPath();
    pen.moveTo(x, shape.ruler.top + 16);
    pen.lineTo(x, shape.height);
    pen.stroke();
    pen.fillStyle = colours.muted;
    const width = pen.measureText(tick.label).width;
    if (x + width / 2 <= view.widthPx) pen.fillText(tick.label, Math.max(0, x - width / 2), shape.ruler.top + 8);
  }
}

/** A column for each pixel, symmetric about the middle; what lies within voice (or within a message) in full colour. */
function wave(pen: Pen, scene: Scene, band: Band, peaks: Peaks, side: "user" | "bot", colours: Palette): void {
  const { view } = scene;
  const middle = band.top + band.height / 2;
  pen.fillStyle = colours.sunken;
  pen.beginPath();
  pen.roundRect(0, band.top, view.widthPx, band.height, 4);
  pen.fill();
  spans(pen, scene, band, side, colours);
  pen.fillStyle = colours[`${side}-wave`];
  const ratio = 1 / peaks.hopMs;
  const last = Math.min(view.widthPx, toPx(view, peaks.untilMs));
  for (let x = 0; x < last; x += 1) {
    const from = toMs(view, x) * ratio;
    const peak = peaks.max(Math.floor(from), Math.max(Math.floor(from) + 1, toMs(view, x + 1) * ratio));
    const height = Math.max(1, (peak / 255) * (band.height - 8));
    pen.fillRect(x, middle - height / 2, view.msPerPx < 12 ? 1 : 0.8, height);
  }
}

function spans(pen: Pen, scene: Scene, band: Band, side: "user" | "bot", colours: Palette): void {
  const kind = side === "user" ? "speech" : "said";
  for (const item of scene.items) {
    if (item.kind !== kind || !inView(scene, item)) continue;
    const [x, width] = stretch(scene, item);
    pen.fillStyle = colours[`${side}-soft`];
    pen.fillRect(x, band.top, width, band.height);
    pen.fillStyle = colours[side];
    pen.fillRect(x, side === "user" ? band.top : band.top + band.height - 2, width, 2);
  }
}

function stretch(scene: Scene, item: Item): [x: number, width: number] {
  const x = toPx(scene.view, item.startMs);
  return [x, Math.max(2, toPx(scene.view, item.endMs ?? scene.nowMs) - x)];
}

function drawItem(pen: Pen, scene: Scene, item: Item, colours: Palette): void {
  const band = scene.shape.lanes[item.lane];
  switch (item.kind) {
    case "speech":
    case "said":
      return;
    case "ending":
      return block(pen, scene, item, { top: band.top + 4, height: band.height - 8 }, colours["wait-soft"], colours.wait);
    case "answering":
      return block(pen, scene, item, { top: band.top + 4, height: band.height - 8 }, colours["think-soft"], colours.think);
    case "tool":
    case "tool-failed":
      return tool(pen, scene, item, band, colours);
    case "muted":
    case "held":
      return hatch(pen, scene, item, band, colours);
    case "eager":
      return flag(pen, scene, item, band, colours.wait, false);
    case "turn-end":
      return flag(pen, scene, item, band, colours.wait, true);
    case "continued":
      return chevron(pen, scene, item, band, colours.user);
    case "cut":
      return cut(pen, scene, item, band, colours);
    case "end":
      return verticalLine(pen, scene, item.startMs, colours["line-strong"], []);
    case "error":
    case "rejected":
      return diamond(pen, scene, item, band, colours.cut);
    case "dtmf":
      return keycap(pen, scene, item, band, colours);
    case "warning":
    case "idle":
    case "skill":
      return diamond(pen, scene, item, band, colours.muted);
  }
}

/** The whole wait in figures, behind its bar, where nothing else is in the way. */
function totals(pen: Pen, scene: Scene, colours: Palette): void {
  const band = scene.shape.lanes.turns;
  const lane = scene.items.filter((item) => item.lane === "turns" && item.kind !== "end");
  pen.font = "11px system-ui, sans-serif";
  for (const item of lane) {
    if (item.kind !== "answering" || !item.brief || item.endMs === null) continue;
    const end = item.endMs;
    const x = toPx(scene.view, end) + 5;
    const next = lane.find((other) => other.startMs >= end && other !== item);
    const room = (next ? toPx(scene.view, next.startMs) : scene.view.widthPx) - x - 4;
    const width = pen.measureText(item.brief).width + 2;
    if (width < room && x > 0) words(pen, item.brief, x, band.top + band.height / 2, width, colours.muted);
  }
}

function block(pen: Pen, scene: Scene, item: Item, band: Band, fill: string, edge: string): void {
  const [x, width] = stretch(scene, item);
  pen.fillStyle = fill;
  pen.fillRect(x, band.top, width, band.height);
  pen.fillStyle = edge;
  pen.fillRect(x, band.top + band.height - 2, width, 2);
}

/** Text, where there is room for enough of it. */
function words(pen: Pen, text: string, x: number, y: number, room: number, colour: string): void {
  pen.font = "11px system-ui, sans-serif";
  if (room < Math.min(40, pen.measureText(text).width)) return;
  pen.save();
  pen.beginPath();
  pen.rect(x, y - 10, room, 20);
  pen.clip();
  pen.textBaseline = "middle";
  pen.fillStyle = colour;
  pen.fillText(text, x, y);
  pen.restore();
}

function tool(pen: Pen, scene: Scene, item: Item, band: Band, colours: Palette): void {
  const failed = item.kind === "tool-failed";
  const [x, width] = stretch(scene, item);
  const top = band.top + item.row * TOOL_ROW_PX + 1;
  const colour = failed ? colours.cut : colours.think;
  pen.fillStyle = failed ? colours.surface : colours["think-soft"];
  pen.strokeStyle = colour;
  pen.beginPath();
  pen.roundRect(x + 0.5, top + 0.5, Math.max(3, width - 1), TOOL_ROW_PX - 5, 3);
  pen.fill();
  pen.stroke();
  if (width > 44) words(pen, item.label, x + 6, top + 8, width - 10, colour);
  else if (!dense(scene)) words(pen, item.label, x + Math.max(3, width) + 4, top + 8, 90, colours.muted);
}

function hatch(pen: Pen, scene: Scene, item: Item, band: Band, colours: Palette): void {
  const [x, width] = stretch(scene, item);
  const both = item.kind === "held";
  const bottom = both ? scene.shape.lanes.bot.top + scene.shape.lanes.bot.height : band.top + band.height;
  const height = bottom - band.top;
  pen.save();
  pen.beginPath();
  pen.rect(x, band.top, width, height);
  pen.clip();
  pen.strokeStyle = colours["line-strong"];
  pen.beginPath();
  const from = Math.floor((x - height) / 7) * 7;
  for (let at = from; at < x + width; at += 7) {
    pen.moveTo(at, bottom);
    pen.lineTo(at + height, band.top);
  }
  pen.stroke();
  pen.restore();
  words(pen, item.label, x + 5, band.top + band.height - 10, width - 8, colours.text);
}

/** So much in so few pixels that only lines are drawn. */
function dense(scene: Scene): boolean {
  return scene.view.msPerPx > 140;
}

function flag(pen: Pen, scene: Scene, item: Item, band: Band, colour: string, full: boolean): void {
  const x = Math.round(toPx(scene.view, item.startMs)) + 0.5;
  pen.strokeStyle = colour;
  pen.fillStyle = colour;
  pen.setLineDash(full ? [] : [2, 2]);
  pen.beginPath();
  pen.moveTo(x, band.top + (full ? 0 : 6));
  pen.lineTo(x, band.top + band.height);
  pen.stroke();
  pen.setLineDash([]);
  if (!full || dense(scene)) return;
  pen.beginPath();
  pen.arc(x, band.top + 3, 3, 0, Math.PI * 2);
  pen.fill();
}

function chevron(pen: Pen, scene: Scene, item: Item, band: Band, colour: string): void {
  const x = toPx(scene.view, item.startMs);
  const y = band.top + band.height / 2;
  pen.strokeStyle = colour;
  pen.lineWidth = 1.5;
  pen.beginPath();
  pen.moveTo(x - 3, y - 5);
  pen.lineTo(x + 2, y);
  pen.lineTo(x - 3, y + 5);
  pen.stroke();
  pen.lineWidth = 1;
}

function cut(pen: Pen, scene: Scene, item: Item, band: Band, colours: Palette): void {
  const x = toPx(scene.view, item.startMs);
  pen.fillStyle = colours.cut;
  pen.fillRect(x - 1, band.top, 2, band.height);
  if (dense(scene)) return;
  pen.strokeStyle = colours.cut;
  pen.lineWidth = 1.5;
  pen.beginPath();
  pen.moveTo(x + 4, band.top + 4);
  pen.lineTo(x + 10, band.top + 10);
  pen.moveTo(x + 10, band.top + 4);
  pen.lineTo(x + 4, band.top + 10);
  pen.stroke();
  pen.lineWidth = 1;
}

function diamond(pen: Pen, scene: Scene, item: Item, band: Band, colour: string): void {
  const x = toPx(scene.view, item.startMs);
  const y = band.top + 9;
  const size = dense(scene) ? 3 : 5;
  pen.fillStyle = colour;
  pen.beginPath();
  pen.moveTo(x, y - size);
  pen.lineTo(x + size, y);
  pen.lineTo(x, y + size);
  pen.lineTo(x - size, y);
  pen.fill();
}

function keycap(pen: Pen, scene: Scene, item: Item, band: Band, colours: Palette): void {
  const x = toPx(scene.view, item.startMs);
  pen.strokeStyle = colours.muted;
  pen.fillStyle = colours.surface;
  pen.beginPath();
  pen.roundRect(x - 7.5, band.top + 1.5, 15, 15, 3);
  pen.fill();
  pen.stroke();
  pen.textAlign = "center";
  pen.font = "11px system-ui, sans-serif";
  pen.fillStyle = colours.text;
  pen.fillText(item.detail, x, band.top + 9);
  pen.textAlign = "start";
}

function verticalLine(pen: Pen, scene: Scene, ms: number, colour: string, dash: number[]): void {
  const x = Math.round(toPx(scene.view, ms)) + 0.5;
  if (x < 0 || x > scene.view.widthPx + 1) return;
  pen.strokeStyle = colour;
  pen.setLineDash(dash);
  pen.beginPath();
  pen.moveTo(x, scene.shape.ruler.top + 16);
  pen.lineTo(x, scene.shape.height);
  pen.stroke();
  pen.setLineDash([]);
}

function outline(pen: Pen, scene: Scene, item: Item, colours: Palette): void {
  const band = scene.shape.lanes[item.lane];
  const instant = item.startMs === item.endMs;
  const [x, width] = stretch(scene, item);
  const top = item.lane === "tools" ? band.top + item.row * TOOL_ROW_PX : band.top;
  const height = item.lane === "tools" ? TOOL_ROW_PX - 2 : band.height;
  pen.strokeStyle = colours.focus;
  pen.lineWidth = 2;
  pen.beginPath();
  pen.roundRect(instant ? x - 8 : x - 1, top, instant ? 16 : width + 2, height, 4);
  pen.stroke();
  pen.lineWidth = 1;
}
