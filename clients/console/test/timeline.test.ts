import assert from "node:assert/strict";
import { test } from "node:test";

import { fold } from "../src/fold/fold.ts";
import { itemsOf, millis } from "../src/timeline/items.ts";
import { itemAt, layout, neighbour } from "../src/timeline/layout.ts";
import { Peaks, fromBase64 } from "../src/timeline/peaks.ts";
import { clamp, fit, follow, pan, reveal, stamp, ticks, toMs, toPx, untilMs, zoom } from "../src/timeline/scale.ts";
import { GOLDEN } from "./golden.ts";

const call = fold(GOLDEN);
const extent = { startMs: 0, endMs: 42_080 };
const all = fit(extent, 1000);

test("all of the call is in view, with a little room behind it", () => {
  assert.equal(toPx(all, 0), 0);
  assert.ok(toPx(all, extent.endMs) < 1000 && toPx(all, extent.endMs) > 970);
  assert.equal(toMs(all, toPx(all, 12_345)), 12_345);
});

test("zooming keeps what is under the pointer, and ends at a hop and at the whole", () => {
  const closer = zoom(all, 4, 600, extent);
  assert.ok(Math.abs(toMs(closer, 600) - toMs(all, 600)) < 1e-6);
  let view = all;
  for (let count = 0; count < 40; count++) view = zoom(view, 2, 300, extent);
  assert.equal(view.msPerPx, 4);
  for (let count = 0; count < 40; count++) view = zoom(view, 0.5, 300, extent);
  assert.deepEqual(view, all);
});

test("one cannot leave the call", () => {
  const close = zoom(all, 10, 0, extent);
  assert.equal(pan(close, -1e6, extent).fromMs, 0);
  const end = pan(close, 1e6, extent);
  assert.ok(untilMs(end) >= extent.endMs && untilMs(end) < extent.endMs * 1.03);
  assert.deepEqual(follow(close, extent), end);
  assert.deepEqual(clamp(end, extent), end);
});

test("what is chosen is brought into sight, and what is there stays", () => {
  const close = zoom(all, 10, 0, extent);
  assert.equal(reveal(close, 2000, extent), close);
  const px = toPx(reveal(close, 20_000, extent), 20_000);
  assert.ok(Math.abs(px - 500) < 1);
});

test("ticks are round, and do not touch", () => {
  for (const factor of [1, 3, 10, 100]) {
    const view = zoom(all, factor, 200, extent);
    const places = ticks(view).map(({ ms }) => toPx(view, ms));
    for (let index = 1; index < places.length; index++) assert.ok((places[index] ?? 0) - (places[index - 1] ?? 0) >= 84);
  }
  assert.deepEqual(ticks(all).slice(0, 3).map(({ label }) => label), ["0:00", "0:05", "0:10"]);
});

test("times are written so that they can be compared", () => {
  assert.equal(stamp(0), "0:00");
  assert.equal(stamp(64_900), "1:04");
  assert.equal(stamp(5370, 2), "0:05.37");
  assert.equal(stamp(3_723_400, 1), "1:02:03.4");
  assert.equal(stamp(-3100, 1), "−0:03.1");
  assert.equal(stamp(-3), "0:00");
  assert.equal(millis(845.6), "846 ms");
  assert.equal(millis(1658), "1.66 s");
});

test("the largest peak of any stretch, however long", () => {
  const peaks = new Peaks();
  const bytes = Uint8Array.from({ length: 5000 }, (_, index) => (index * 7919) % 251);
  for (let from = 0; from < bytes.length; from += 333) peaks.put(from, bytes.slice(from, from + 333));
  assert.equal(peaks.length, 5000);
  for (const [from, to] of [[0, 5000], [1, 2], [7, 8], [8, 64], [63, 513], [1000, 4999], [4990, 9999]] as const) {
    assert.equal(peaks.max(from, to), Math.max(...bytes.slice(from, to)), `${from}..${to}`);
  }
  assert.equal(peaks.max(5000, 6000), 0);
});

test("peaks that come again, or later than others, are put in their place", () => {
  const peaks = new Peaks(10);
  peaks.put(100, Uint8Array.of(9));
  assert.equal(peaks.max(0, 100), 0);
  assert.equal(peaks.untilMs, 1010);
  peaks.put(100, Uint8Array.of(3));
  assert.equal(peaks.max(0, 101), 3);
  assert.deepEqual([...fromBase64("AP8Q")], [0, 255, 16]);
});

test("the items of the golden call are in order, and each names an event", () => {
  const items = itemsOf(call, call.lastMs);
  const seqs = new Set(GOLDEN.map(({ seq }) => seq));
  for (const [index, item] of items.entries()) {
    assert.ok(seqs.has(item.seq), `${item.kind} ${item.seq}`);
    assert.ok(index === 0 || (items[index - 1]?.startMs ?? 0) <= item.startMs);
    assert.ok(item.endMs === null || item.endMs >= item.startMs, `${item.kind} ${item.startMs} ${item.endMs}`);
  }
  const kinds = new Set(items.map(({ kind }) => kind));
  for (const kind of ["speech", "ending", "answering", "said", "tool", "tool-failed", "muted", "held", "eager", "turn-end", "continued", "cut", "error", "rejected", "end"] as const) {
    assert.ok(kinds.has(kind), kind);
  }
});

test("tools that run side by side are drawn below one another", () => {
  const rows = itemsOf(call, call.lastMs).filter(({ kind }) => kind.startsWith("tool")).map(({ label, row }) => [label, row]);
  assert.deepEqual(rows, [["weather", 0], ["clock", 1]]);
});

test("a point finds what lies there: an instant before the stretch behind it", () => {
  const items = itemsOf(call, call.lastMs);
  const shape = layout(2);
  const at = (ms: number, lane: "user" | "turns" | "bot" | "tools"): string | undefined => {
    const band = shape.lanes[lane];
    return itemAt(items, all, shape, toPx(all, ms), band.top + band.height / 2, call.lastMs)?.kind;
  };
  assert.equal(at(3000, "user"), "speech");
  assert.equal(at(15_000, "user"), undefined);
  assert.equal(at(20_000, "bot"), "said");
  assert.equal(at(22_924, "bot"), "cut");
  assert.equal(at(4800, "turns"), "answering");
});

test("the arrow keys go through all items, and stay at the ends", () => {
  const items = itemsOf(call, call.lastMs);
  let item = neighbour(items, null, 1, 0);
  const seen = new Set();
  for (let count = 0; count < items.length + 3; count++) {
    seen.add(item);
    item = neighbour(items, item, 1, 0);
  }
  assert.equal(seen.size, items.length);
  assert.equal(item, items.at(-1));
  assert.equal(neighbour(items, null, 1, 20_000)?.startMs, items.find(({ startMs }) => startMs >= 20_000)?.startMs);
});
