import assert from "node:assert/strict";
import { test } from "node:test";

import { entryAt, keyOf, stampOf, startOf } from "../src/fold/entries.ts";
import { apply } from "../src/fold/fold.ts";
import { emptyCall } from "../src/fold/model.ts";
import { median } from "../src/fold/timing.ts";
import type { CallFacts } from "../src/net/api.ts";
import { inOrder, lasted, listed, withCall } from "../src/state/list.ts";
import { clockTime, duration, partyOf, plural, reasonOf, shortId, transportOf } from "../src/ui/words.ts";
import { GOLDEN } from "./golden.ts";

const facts = (call_id: string, change: Partial<CallFacts> = {}): CallFacts => ({
  call_id,
  agent_id: "demo",
  transport: "phone",
  direction: "inbound",
  from: "+1555",
  to: "+1666",
  state: "live",
  created_at: 100,
  started_at: 100,
  ended_at: null,
  duration_ms: 0,
  reason: null,
  detail: null,
  turns: 0,
  interruptions: 0,
  last_seq: 1,
  recording: false,
  response_ms_p50: null,
  ...change,
});

test("a changed call takes the place of what was known of it; the newest come first", () => {
  const calls = inOrder([facts("a"), facts("b", { created_at: 200 }), facts("c", { state: "ringing", created_at: 300, started_at: null })].map((call) => listed(call, 0)));
  assert.deepEqual(calls.map(({ call_id }) => call_id), ["c", "b", "a"]);
  const changed = withCall(calls, listed(facts("a", { turns: 3, state: "ended", ended_at: 300 }), 0));
  assert.deepEqual(changed.map(({ call_id, turns }) => [call_id, turns]), [["c", 0], ["b", 0], ["a", 3]]);
  assert.equal(calls.length, 3);
  assert.equal(withCall(changed, listed(facts("d", { created_at: 150 }), 0)).map(({ call_id }) => call_id).join(""), "cbda");
});

test("a call's duration goes on by our own clock, whatever the server's says", () => {
  const live = listed(facts("a", { started_at: 5, duration_ms: 4000 }), 1_000_000);
  assert.equal(lasted(live, 1_000_000), 4000);
  assert.equal(lasted(live, 1_002_500), 6500);
  assert.equal(lasted(listed(facts("a", { state: "ended", duration_ms: 4000 }), 0), 9000), 4000);
  assert.equal(lasted(listed(facts("a", { state: "ringing", started_at: null }), 0), 9000), 0);
});

test("who is at the other end", () => {
  assert.equal(partyOf(facts("a")), "+1555");
  assert.equal(partyOf(facts("a", { direction: "outbound" })), "+1666");
  assert.equal(partyOf(facts("a", { transport: "webrtc", from: "webrtc" })), "Browser");
  assert.equal(transportOf("carrier pigeon"), "carrier pigeon");
});

test("reasons in words, and nothing said twice", () => {
  assert.equal(reasonOf("hangup", "the caller hung up"), "The caller hung up");
  assert.equal(reasonOf("failed", "the carrier closed the socket"), "Failed: the carrier closed the socket");
  assert.equal(reasonOf("something_new"), "something_new");
});

test("ids are told from one another by what differs", () => {
  assert.equal(shortId("15f4f387-4583-4729-805c-1a52a9055c5a"), "15f4f387");
  assert.equal(shortId("bridge-3eb4d0b936b68c6bce9dddc4"), "3eb4d0b9");
});

test("figures", () => {
  assert.equal(duration(65_000), "1:05");
  assert.equal(plural(1, "call"), "1 call");
  assert.equal(plural(2, "call"), "2 calls");
  assert.equal(median([]), null);
  assert.equal(median([9, 1, 5]), 5);
  assert.equal(median([4, 1, 3, 2]), 2);
  const now = new Date(2026, 3, 2, 12);
  assert.match(clockTime(new Date(2026, 3, 2, 9, 5, 7).getTime() / 1000, now), /^09:05:07$/);
  assert.match(clockTime(new Date(2026, 3, 1, 9, 5, 7).getTime() / 1000, now), /, 09:05:07$/);
});

test("an entry's key stays, and its stamp is another one whenever it has changed", () => {
  const call = emptyCall();
  const keys = new Map<object, string>();
  for (const event of GOLDEN) {
    const before = call.entries.map((entry) => [entry, stampOf(entry), JSON.stringify(entry)] as const);
    apply(call, event);
    for (const [entry, stamp, whole] of before) {
      const shown = event.event !== "turn.end" || entry.kind !== "user";
      if (JSON.stringify(entry) !== whole && shown) assert.notEqual(stampOf(entry), stamp, `${event.event} ${whole}`);
    }
    for (const entry of call.entries) {
      assert.equal(keys.get(entry) ?? keyOf(entry), keyOf(entry));
      keys.set(entry, keyOf(entry));
    }
  }
  assert.equal(new Set(keys.values()).size, call.entries.length);
});

test("the entry of a moment is the last that had begun", () => {
  const call = emptyCall();
  for (const event of GOLDEN) apply(call, event);
  assert.equal(entryAt(call.entries, -1), null);
  const at = entryAt(call.entries, 6000);
  assert.ok(at?.kind === "bot" && startOf(at) === 5371);
});
