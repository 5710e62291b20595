import assert from "node:assert/strict";
import { test } from "node:test";

import { FAMILIES, Filtered, familyOf, matches, parseQuery, shortened, summary } from "../src/events/filter.ts";
import { rowsInSight, scrollTo } from "../src/events/rows.ts";
import { SseParser } from "../src/net/sse.ts";
import { parseRoute } from "../src/state/route.ts";
import { GOLDEN } from "./golden.ts";

const found = (text: string): string[] => GOLDEN.filter((event) => matches(event, parseQuery(text))).map(({ event }) => event);

test("words are found in names and in what events say, in any case", () => {
  assert.deepEqual(new Set(found("rome")), new Set(["user.message", "eager.turn", "turn.end", "tool.started", "bot.output", "llm.response", "llm.tool_call", "bot.word", "bot.finished", "message.confirmed", "call.ended"]));
  assert.ok(found("bot.word").every((name) => name === "bot.word"));
  assert.ok(found("bot.").every((name) => name.startsWith("bot.")));
  assert.ok(!found("bot. -word").includes("bot.word"));
  assert.equal(found("").length, GOLDEN.length);
  assert.deepEqual(found("no such word"), []);
});

test("what all events share is not searched", () => {
  assert.deepEqual(found("front-desk"), []);
});

test("a log that grows is looked at once", () => {
  const log = GOLDEN.slice(0, 50);
  const filtered = new Filtered();
  const query = parseQuery("bot.");
  const before = filtered.of(log, query);
  const count = before.length;
  log.push(...GOLDEN.slice(50));
  assert.equal(filtered.of(log, query), before);
  assert.ok(before.length > count);
  assert.equal(filtered.of(log, query, 10).length, found("bot.").length - GOLDEN.slice(10).filter(({ event }) => event.startsWith("bot.")).length);
  assert.equal(filtered.of(log, parseQuery("", new Set(FAMILIES))).length, 0);
});

test("each event of the golden call has a family and a line", () => {
  for (const event of GOLDEN) {
    assert.ok(FAMILIES.includes(familyOf(event.event)));
    assert.ok(!summary(event).includes("correlation_id"));
  }
  assert.equal(familyOf("llm.tool_call"), "tool");
  assert.equal(familyOf("barge_in"), "bot");
  assert.equal(familyOf("something.new"), "call");
});

test("a recording within an event is neither shown nor searched", () => {
  const event = { event: "call.recording", seq: 1, ts: 1, audio: "QUJD".repeat(100_000), format: "wav" };
  assert.ok(JSON.stringify(event, shortened).length < 300);
  assert.match(summary(event), /format: wav/);
  assert.ok(summary(event).length < 300);
  assert.equal(matches(event, parseQuery("wav")), true);
  assert.equal(matches(event, parseQuery("400000")), true);
});

test("only the rows in sight, and a few beside them", () => {
  assert.deepEqual(rowsInSight(0, 400, 26, 10_000), { first: 0, end: 24, totalPx: 260_000 });
  const { first, end } = rowsInSight(130_000, 400, 26, 10_000);
  assert.deepEqual([first, end], [4992, 5024]);
  assert.deepEqual(rowsInSight(99_999, 400, 26, 3), { first: 0, end: 3, totalPx: 78 });
  assert.equal(scrollTo(0, 500, 400, 26), 0);
  assert.equal(scrollTo(100, 0, 400, 26), 2600 - 187);
  assert.equal(scrollTo(20, 500, 400, 26), 500);
});

test("server-sent events, however they are cut", () => {
  const stream = ': ping\n\nid: 1\nevent: call.started\ndata: {"a":1}\n\nid: 2\ndata: one\ndata: two\n\nevent: end\ndata:\n\n';
  const whole = [
    { name: "call.started", data: '{"a":1}', id: "1" },
    { name: "message", data: "one\ntwo", id: "2" },
    { name: "end", data: "", id: "2" },
  ];
  for (const size of [1, 3, 7, 1000]) {
    const parser = new SseParser();
    const sent = [];
    for (let from = 0; from < stream.length; from += size) sent.push(...parser.feed(stream.slice(from, from + size)));
    assert.deepEqual(sent, whole, `pieces of ${size}`);
  }
  assert.deepEqual(new SseParser().feed("data: x\r\n\r\n"), [{ name: "message", data: "x", id: null }]);
});

test("addresses", () => {
  assert.deepEqual(parseRoute(""), { at: "talk" });
  assert.deepEqual(parseRoute("#/calls"), { at: "calls" });
  assert.deepEqual(parseRoute("#/calls/CA1%2F2"), { at: "call", id: "CA1/2" });
  assert.deepEqual(parseRoute("#/calls/%"), { at: "call", id: "%" });
});
