import assert from "node:assert/strict";
import { test } from "node:test";

import { apply, fold } from "../src/fold/fold.ts";
import { heardOf } from "../src/fold/heard.ts";
import { type Entry, emptyCall } from "../src/fold/model.ts";
import { timings, turnsTaken } from "../src/fold/timing.ts";
import { GOLDEN, event } from "./golden.ts";

const call = fold(GOLDEN);
const line = (entry: Entry): string => {
  switch (entry.kind) {
    case "user":
      return `user ${entry.said.turnId}: ${entry.said.text}`;
    case "bot": {
      const { heard, rest } = heardOf(entry.message);
      return `bot: ${heard}${entry.message.state === "interrupted" ? ` |${rest}` : ""}`;
    }
    case "tool":
      return `tool: ${entry.tool.name}${entry.tool.error === null ? "" : " failed"}`;
    case "note":
      return `note: ${entry.text}`;
  }
};

test("the golden call is told as it was heard", () => {
  const told = call.entries.map(line);
  assert.deepEqual(told.slice(0, 5), [
    "bot: Hello, this is the front desk.",
    "user 1: how is it in Rome",
    "tool: weather",
    "tool: clock failed",
    "bot: It is clear in Rome, and twenty-one degrees, which is warm for this time of the year.",
  ]);
  assert.equal(told[5], "user 2: and tomorrow");
  assert.match(told[6] ?? "", /^bot: Tomorrow it will rain .* morning and \| in the evening/);
  assert.equal(told[7], "user 3: thank you that is all for now");
  assert.equal(told[8], "bot: You are welcome, goodbye.");
  assert.equal(told.at(-2), "user 4: wait I said yes");
  assert.equal(told.at(-1), "bot: All right.");
});

test("what is shown as heard is what the history keeps", () => {
  for (const message of call.messages.values()) {
    if (message.confirmed === null) continue;
    assert.equal(heardOf(message).heard, message.confirmed, message.id);
  }
});

test("each wait is the one that the server measured", () => {
  const all = timings(call, call.lastMs);
  assert.deepEqual(all.map(({ turn, totalMs, phase }) => [turn.id, totalMs, phase]), [
    [1, 1658, "answered"],
    [2, 846, "answered"],
    [3, 706, "answered"],
    [4, 666, "answered"],
  ]);
  assert.deepEqual(all.map(({ endpointMs }) => endpointMs), [338, 517, 365, 432]);
  for (const { endpointMs, answerMs, totalMs } of all) assert.equal(endpointMs + answerMs, totalMs);
});

test("a message is drawn where it was heard: without its pauses", () => {
  const message = call.messages.get("msg_000000000007");
  assert.deepEqual(message?.played, [
    { startMs: 5371, endMs: 7501 },
    { startMs: 7990, endMs: 10960 },
  ]);
  const cut = call.messages.get("msg_000000000010");
  assert.deepEqual(cut?.played, [{ startMs: 18511, endMs: 22924 }]);
  assert.equal(call.marks.find(({ kind }) => kind === "cut")?.ms, 22924);
});

test("a message that was cut ends when it fell silent, however many gaps it had", () => {
  const told = fold([
    event(0, "call.started"),
    event(1000, "bot.speaking", { message_id: "b", text: "One. Two. Three." }),
    event(4000, "bot.paused", { message_id: "b", played_ms: 2400, words_spoken: 2, reason: "user_spoke" }),
    event(4700, "bot.interrupted", { message_id: "b", played_ms: 2400, words_spoken: 2, reason: "user_spoke" }),
  ]);
  const message = told.messages.get("b");
  assert.deepEqual([message?.played, message?.playedMs], [[{ startMs: 1000, endMs: 4000 }], 2400]);
  assert.deepEqual(told.marks.map(({ kind, ms }) => [kind, ms]), [["cut", 4000]]);
});

test("mute, hold and the end", () => {
  assert.deepEqual(call.quiet.map(({ kind, startMs, endMs }) => [kind, startMs, endMs]), [
    ["held", 30080, 31080],
    ["muted", 34080, 35880],
  ]);
  assert.equal(call.ending?.reason, "hangup");
  assert.equal(call.lost, 0);
  assert.equal(call.events.length, GOLDEN.length);
});

test("an event that was told before changes nothing", () => {
  const again = fold(GOLDEN);
  for (const known of GOLDEN) assert.equal(apply(again, known), false);
  assert.deepEqual(again.entries.map(line), call.entries.map(line));
});

test("what is missing is counted, and what is left is shown", () => {
  const rest = fold(GOLDEN.slice(60));
  assert.equal(rest.lost, 60);
  assert.ok(rest.entries.length > 0);
});

test("a turn that an early interruption broke has two parts, and no word twice", () => {
  const told = fold([
    event(0, "call.started"),
    event(1000, "speech.started", { turn_id: 1, segment_id: 1, timestamp: 1_700_000_001 }),
    event(1900, "user.message", { turn_id: 1, text: "tell me", message_id: "u1", segment_ids: [1] }),
    event(2000, "turn.end", { turn_id: 1, text: "tell me", message_id: "u1", latency_ms: 300, probability: 0.8, reason: "silence" }),
    event(2500, "bot.speaking", { turn_id: 1, message_id: "b1", text: "What shall it be?" }),
    event(2500, "bot.word", { turn_id: 1, message_id: "b1", word: "What", word_index: 0 }),
    event(2800, "speech.started", { turn_id: 1, segment_id: 2, timestamp: 1_700_000_002.7 }),
    event(3100, "bot.interrupted", { turn_id: 1, message_id: "b1", played_ms: 500, words_spoken: 1, reason: "early" }),
    event(3100, "message.aborted", { turn_id: 1, message_id: "b1", reason: "early" }),
    event(3101, "turn.continued", { turn_id: 1, timestamp: 1_700_000_003.1 }),
    event(3300, "user.speaking", { turn_id: 1, text: "tell me a sto", confirmed_text: "tell me a" }),
    event(3900, "user.message", { turn_id: 1, text: "tell me a story", message_id: "u2", segment_ids: [1, 2] }),
  ]);
  assert.deepEqual(told.entries.map(line), ["user 1: tell me", "bot: What | shall it be?", "user 1:  a story"]);
  assert.equal(told.turns.get(1)?.text, "tell me a story");
  assert.deepEqual(timings(told, 4000)[0]?.phase, "speaking");
});

test("a wait that goes on grows, and stops with the call", () => {
  const log = [
    event(0, "call.started"),
    event(1000, "speech.started", { turn_id: 1, segment_id: 1, timestamp: 1_700_000_001 }),
    event(2300, "speech.ended", { turn_id: 1, segment_id: 1, timestamp: 1_700_000_002, duration_ms: 1000 }),
    event(2300, "user.message", { turn_id: 1, text: "hello", message_id: "u", segment_ids: [1] }),
  ];
  const told = fold(log);
  assert.deepEqual(timings(told, 2400).map(({ phase, totalMs }) => [phase, totalMs]), [["ending", 400]]);
  apply(told, event(2500, "turn.end", { turn_id: 1, text: "hello", message_id: "u", latency_ms: 500, probability: 1, reason: "silence" }));
  assert.deepEqual(timings(told, 3000).map(({ phase, endpointMs, totalMs }) => [phase, endpointMs, totalMs]), [["answering", 500, 1000]]);
  apply(told, event(4000, "call.ended", { reason: "hangup" }));
  assert.equal(timings(told, 9000)[0]?.totalMs, 2000);
  assert.equal(turnsTaken(told), 1, "nobody answers it, and it was a turn");
});

test("an answer that was begun anew is an answer, though only the first one was measured", () => {
  const signal = { turn_id: 1, text: "hello", message_id: "u", latency_ms: 500, probability: 1, reason: "silence" };
  const told = fold([
    event(0, "call.started"),
    event(2500, "turn.end", signal),
    event(2600, "bot.speaking", { turn_id: 1, message_id: "a", text: "Yes?" }),
    event(2600, "turn.metrics", { turn_id: 1, message_id: "a", total_ms: 600, slowest: "endpointing" }),
    event(2900, "bot.interrupted", { turn_id: 1, message_id: "a", played_ms: 300, words_spoken: 0, reason: "early" }),
    event(3000, "turn.continued", { turn_id: 1 }),
    event(4500, "turn.end", signal),
  ]);
  assert.equal(timings(told, 4600)[0]?.phase, "answering");
  apply(told, event(4700, "bot.speaking", { turn_id: 1, message_id: "b", text: "No." }));
  assert.deepEqual(timings(told, 9000).map(({ phase, totalMs, answerMs }) => [phase, totalMs, answerMs]), [["answered", 700, 200]]);
});

test("what is typed stands where it was typed, also where speech had announced its turn before", () => {
  const told = fold([
    event(0, "call.started"),
    event(1000, "speech.started", { turn_id: 2, segment_id: 1, timestamp: 1_700_000_001 }),
    event(2000, "speech.ended", { turn_id: 2, segment_id: 1, timestamp: 1_700_000_002, duration_ms: 1000 }),
    event(9000, "user.message", { turn_id: 2, text: "thank you", message_id: "u", segment_ids: [] }),
  ]);
  assert.deepEqual(told.entries.map((entry) => entry.kind === "user" && entry.said.startMs), [9000]);
});

test("a message that nobody heard is told as such", () => {
  const told = fold([
    event(0, "call.started"),
    event(10, "bot.output", { message_id: "b", segment_id: 0, text: "Too late.", spoken: false, aggregated_by: "sentence" }),
    event(20, "bot.interrupted", { message_id: "b", played_ms: 0, words_spoken: 0, reason: "cancelled" }),
    event(20, "message.aborted", { message_id: "b", reason: "new_turn" }),
  ]);
  const message = told.messages.get("b");
  assert.ok(message);
  assert.deepEqual([message.startMs, message.played, heardOf(message)], [null, [], { heard: "", rest: "Too late." }]);
  assert.deepEqual(told.marks, []);
});

test("time counts from when the call was taken, not from when it began to ring", () => {
  const told = fold([
    { ...event(0, "call.started"), event: "call.ringing", seq: 1 },
    { ...event(3000, "call.started"), seq: 2 },
    { ...event(3500, "bot.speaking", { message_id: "b", text: "Hello." }), seq: 3 },
  ]);
  assert.equal(told.calling, null);
  assert.equal(told.messages.get("b")?.startMs, 500);
  assert.equal(fold([{ ...event(0, "call.started"), event: "call.dialing" }]).calling, "dialing");
});

test("a call that is handed over goes on", () => {
  const told = fold([
    event(0, "call.started"),
    event(1000, "bot.speaking", { message_id: "a", text: "One moment." }),
    event(2000, "call.routed", { agent: "sales" }),
    event(2000, "call.ended", { reason: "routed" }),
    event(2000, "call.started", { routed_from: "line:+15550002222", language: "en" }),
    event(3000, "bot.speaking", { message_id: "b", text: "Hello." }),
    event(4000, "call.route_failed", { agent: "other", reason: "offline" }),
  ]);
  assert.equal(told.ending, null);
  assert.equal(told.messages.get("b")?.startMs, 3000);
  assert.deepEqual(told.entries.filter(({ kind }) => kind === "note").map(line), [
    "note: Handed over to sales",
    "note: Not handed over to other: offline",
  ]);
});

test("the recording is laid against the call by its own beginning", () => {
  const told = fold([
    event(0, "call.started"),
    event(0, "recording.started", { at_ms: 0 }),
    event(4000, "recording.paused", { at_ms: 4000 }),
    event(9000, "call.ended", { reason: "hangup" }),
    event(9001, "call.recording", { started_at: 1_700_000_000.25, duration_ms: 8750 }),
  ]);
  assert.equal(told.recordingStartMs, 250);
  assert.deepEqual(told.entries.map(line), ["note: Recording paused"]);
});

test("fields of the wrong kind do no harm", () => {
  const told = emptyCall();
  for (const name of new Set(GOLDEN.map(({ event: each }) => each))) {
    apply(told, event(told.events.length, name === "call.started" ? "call.updated" : name, { message_id: 7, turn_id: 1, text: null, segment_id: "x", timestamp: "soon" }));
  }
  assert.ok(told.events.length > 30);
});
