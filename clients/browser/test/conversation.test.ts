import assert from "node:assert/strict";
import { test } from "node:test";

import type { PageEvent } from "../src/wire.ts";
import { GOLDEN, Talk } from "./said.ts";

/** The golden conversation at its own pace. */
function golden(): Talk {
  const talk = new Talk();
  let last: number | undefined;
  for (const event of GOLDEN) {
    const ts = "ts" in event ? (event.ts as number) : undefined;
    if (ts !== undefined && last !== undefined) talk.pass((ts - last) * 1000);
    last = ts ?? last;
    talk.hear(event);
  }
  return talk;
}

test("a whole conversation ends with what was said and heard, and nothing open", () => {
  const talk = golden();
  const { view } = talk.conversation;
  const lines = view.messages.filter(({ final, kept }) => final && kept).map(({ role, text }) => `${role}: ${text}`);
  assert.deepEqual(lines, [
    "bot: Hello, this is the front desk.",
    "user: how is it in Rome",
    "bot: It is clear in Rome, and twenty-one degrees, which is warm for this time of the year.",
    "user: and tomorrow",
    "bot: Tomorrow it will rain in the morning and in the evening in the morning and",
    "user: thank you that is all for now",
    "bot: You are welcome, goodbye.",
    "bot: One more thing from your agent.",
    "user: wait I said yes",
    "bot: All right.",
  ]);
  assert.deepEqual(talk.of("history").at(-1), view.messages.filter(({ final, kept }) => final && kept));
  assert.equal(view.ended, "hangup");
  assert.equal(view.ready, true);
  assert.equal(view.language, "en");
});

test("what was cut off says so, and what was hardly heard is no part of the history", () => {
  const { messages } = golden().conversation.view;
  const cut = messages.filter(({ interrupted }) => interrupted);
  assert.deepEqual(cut.map(({ text, kept }) => [text.slice(0, 16), kept]), [
    ["Tomorrow it will", true],
    ["Please say that ", false],
  ]);
});

test("each beginning has its end, in this order", () => {
  const talk = golden();
  talk.told.push(...talk.conversation.close(talk.now));
  for (const [begin, end] of [["user.speech.started", "user.speech.ended"], ["bot.speech.started", "bot.speech.ended"]]) {
    const open = talk.names.filter((name) => name === begin || name === end);
    assert.deepEqual(open, open.map((_, index) => (index % 2 ? end : begin)), `${begin} and ${end} alternate`);
    assert.ok(open.length >= 14 && open.length % 2 === 0);
  }
  const { agentState, listening, userSpeaking, botSpeaking } = talk.conversation.view;
  assert.deepEqual({ agentState, listening, userSpeaking, botSpeaking }, {
    agentState: "idle", listening: false, userSpeaking: false, botSpeaking: false,
  });
});

test("captions grow word by word, and only by what is new", () => {
  const talk = golden();
  const first = talk.of("message").filter(({ message }) => message.id === "msg_000000000002");
  assert.deepEqual(first.map(({ delta }) => delta), ["", "Hello,", " this", " is", " the", " front", " desk.", ""]);
  assert.equal(first.at(-1)?.message.final, true);
  for (const { message, delta } of talk.of("message")) assert.ok(message.text.endsWith(delta));
});

test("each answered turn has its latency: until the first word, from the end of the voice", () => {
  assert.deepEqual(
    golden().of("turn.latency").map(({ turnId, endpointingMs, responseMs }) => [turnId, endpointingMs, responseMs]),
    [[1, 338, 1659], [2, 517, 847], [3, 365, 707], [4, 432, 667]],
  );
});

test("tools are told when they are asked for, and what they gave", () => {
  const talk = golden();
  const [asked] = talk.of("tool.call");
  assert.deepEqual([asked?.name, asked?.arguments, asked?.runHere], ["weather", { city: "Rome" }, false]);
  assert.deepEqual(talk.of("tool.result").map(({ name, error }) => [name, error !== undefined]), [
    ["clock", true], ["weather", false],
  ]);
  assert.deepEqual(talk.conversation.view.tools.map(({ result }) => result?.result), [{ sky: "clear", celsius: 21 }]);
});

test("what the model thinks is told as it comes, and whole at its end", () => {
  const talk = golden();
  assert.deepEqual(talk.of("reasoning").map(({ reasoning, delta }) => [reasoning.text, delta, reasoning.final]), [
    ["Warm.", "Warm.", false], ["Warm.", "", true],
  ]);
  assert.deepEqual(talk.of("reasoning.history"), [[{ id: "msg_000000000007", text: "Warm.", final: true }]]);
});

test("mute and hold say who did it", () => {
  const talk = golden();
  assert.deepEqual(talk.of("hold"), [{ held: true, by: "agent" }, { held: false, by: "agent" }]);
  assert.deepEqual(talk.of("mute"), [{ muted: true, by: "agent" }, { muted: false, by: "agent" }]);
});

test("what is told again after a loss has no effect", () => {
  const once = golden();
  const twice = new Talk();
  for (const event of GOLDEN.slice(0, 60)) twice.hear(event);
  const before = twice.told.length;
  for (const event of GOLDEN.slice(1, 60)) twice.hear(event);
  assert.equal(twice.told.length, before);
  for (const event of GOLDEN.slice(60)) twice.hear(event);
  assert.deepEqual(twice.conversation.view.messages, once.conversation.view.messages);
});

test("a view stays the same object until something changes in it", () => {
  const talk = new Talk();
  talk.say("bot.speaking", { message_id: "m", text: "Hello there." });
  const before = talk.conversation.view;
  talk.say("bot.paused", { message_id: "m", played_ms: 10, words_spoken: 0 });
  assert.equal(talk.conversation.view, before);
  talk.say("bot.word", { message_id: "m", word: "Hello", word_index: 0 });
  assert.notEqual(talk.conversation.view, before);
});

// --- speech -------------------------------------------------------------------------------------------------

function speaking(): Talk {
  const talk = new Talk();
  talk.say("speech.started", { segment_id: 1, timestamp: 999.9, confidence: 0.9 });
  return talk;
}

test("speech is told with the id of its turn, and the transcript carries the same", () => {
  const talk = speaking();
  talk.say("user.speaking", { text: "two tick", confirmed_text: "two" });
  talk.say("speech.ended", { segment_id: 1, duration_ms: 700, timestamp: 1000.6 });
  const [started] = talk.of("user.speech.started");
  assert.deepEqual(started, { correlationId: "turn-1", segmentId: 1, at: 999_900 });
  assert.equal(talk.of("message")[0]?.message.correlationId, started?.correlationId);
  assert.deepEqual(talk.of("user.speech.ended"), [
    { correlationId: "turn-1", segmentId: 1, durationMs: 700, lost: false },
  ]);
});

test("the indicator holds for 250 ms, so that a breath does not make it flicker", () => {
  const talk = speaking();
  talk.say("speech.ended", { segment_id: 1, duration_ms: 700 });
  talk.pass(249);
  assert.equal(talk.conversation.view.userSpeaking, false);
  assert.equal(talk.conversation.view.listening, true);
  talk.say("speech.started", { segment_id: 2, timestamp: 1000 });
  talk.pass(5000);
  talk.say("speech.ended", { segment_id: 2, duration_ms: 900 });
  talk.pass(250);
  assert.equal(talk.conversation.view.listening, false);
  assert.deepEqual(talk.of("listening"), [{ active: true }, { active: false }]);
});

test("a voice of whose end nothing is ever told counts as lost after 10 s of silence from the server", () => {
  const talk = speaking();
  talk.pass(9999);
  assert.equal(talk.conversation.view.userSpeaking, true);
  talk.pass(1);
  assert.equal(talk.of("user.speech.ended")[0]?.lost, true);
  assert.equal(talk.of("server.warning")[0]?.code, "SPEECH_LOST");
  talk.pass(250);
  assert.equal(talk.conversation.view.listening, false);
  assert.equal(talk.conversation.deadline, undefined);
  talk.say("speech.ended", { segment_id: 1, duration_ms: 12_000 });
  assert.equal(talk.of("user.speech.ended").length, 1, "it has ended already");
});

test("every sign of life renews that: a person may speak for a minute", () => {
  const talk = speaking();
  for (let second = 0; second < 60; second++) {
    talk.pass(1000);
    talk.hear({ event: "pong", timestamp: 1 });
  }
  assert.equal(talk.conversation.view.userSpeaking, true);
  talk.say("speech.ended", { segment_id: 1, duration_ms: 60_000 });
  assert.deepEqual(talk.of("user.speech.ended").map(({ lost }) => lost), [false]);
});

test("speech that begins anew without an end of the one before ends that one", () => {
  const talk = speaking();
  talk.say("speech.started", { segment_id: 2, timestamp: 1000 });
  assert.deepEqual(talk.names, ["user.speech.started", "listening", "user.speech.ended", "user.speech.started"]);
});

// --- messages -----------------------------------------------------------------------------------------------

test("what was understood over the bot and led to nothing is taken back", () => {
  const talk = new Talk();
  talk.say("bot.speaking", { message_id: "m", text: "It is ten past eight." });
  talk.say("speech.started", { segment_id: 1, timestamp: 1 }, 2);
  talk.say("user.speaking", { text: "mhm", confirmed_text: "" }, 2);
  talk.say("bot.paused", { message_id: "m", played_ms: 400, words_spoken: 1 });
  talk.say("speech.ended", { segment_id: 1, duration_ms: 300 }, 2);
  talk.say("bot.resumed", { message_id: "m", word_index: 1 });
  assert.deepEqual(talk.of("message.removed"), [{ id: "turn-2" }]);
  assert.deepEqual(talk.conversation.view.messages.map(({ id }) => id), ["m"]);
});

test("an unfinished text that nobody answers goes when all is quiet", () => {
  const talk = speaking();
  talk.say("agent.state", { state: "listening" });
  talk.say("user.speaking", { text: "uh", confirmed_text: "" });
  talk.say("agent.state", { state: "thinking" });
  assert.equal(talk.conversation.view.messages.length, 1);
  talk.say("speech.ended", { segment_id: 1, duration_ms: 300 });
  talk.say("agent.state", { state: "idle" });
  assert.equal(talk.conversation.view.messages.length, 0);
});

test("a turn that goes on is open again, and its text grows", () => {
  const talk = new Talk();
  talk.say("turn.end", { message_id: "u", text: "two tickets", latency_ms: 300 });
  assert.equal(talk.of("history").length, 1);
  talk.say("turn.continued", { timestamp: 1 });
  assert.equal(talk.conversation.view.messages[0]?.final, false);
  talk.say("turn.end", { message_id: "u", text: "two tickets please", latency_ms: 300 });
  assert.deepEqual(talk.of("history").map((list) => list.map(({ text }) => text)), [["two tickets"], ["two tickets please"]]);
});

test("the answer to a turn that went on is no measure of it", () => {
  const talk = new Talk();
  talk.say("turn.end", { message_id: "u", text: "two", latency_ms: 300 });
  talk.say("turn.continued", { timestamp: 1 });
  talk.say("bot.word", { message_id: "m", word: "Yes", word_index: 0 });
  assert.deepEqual(talk.of("turn.latency"), []);
});

test("words keep the spaces of their text where that is known", () => {
  const talk = new Talk();
  talk.say("bot.speaking", { message_id: "m", text: "你好，世界。" });
  for (const [index, word] of ["你好，", "世界。"].entries()) talk.say("bot.word", { message_id: "m", word, word_index: index });
  assert.equal(talk.conversation.view.messages[0]?.text, "你好，世界。");
  talk.say("bot.speaking", { message_id: "n", text: "One,\n two" });
  for (const [index, word] of ["One,", "two", "more"].entries()) {
    talk.say("bot.word", { message_id: "n", word, word_index: index });
  }
  assert.equal(talk.conversation.view.messages[1]?.text, "One,\n two more");
});

test("a message of which nothing was heard leaves no trace", () => {
  const talk = new Talk();
  talk.say("bot.interrupted", { message_id: "m", played_ms: 0, words_spoken: 0, reason: "cancelled" });
  talk.say("message.aborted", { message_id: "m", reason: "cancelled" });
  assert.deepEqual(talk.conversation.view.messages, []);
  assert.deepEqual(talk.of("bot.speech.ended"), []);
});

test("a thousand messages are kept, and no more", () => {
  const talk = new Talk();
  for (let turn = 1; turn <= 1005; turn++) talk.say("turn.end", { message_id: `u${turn}`, text: "yes", latency_ms: 1 }, turn);
  assert.equal(talk.conversation.view.messages.length, 1000);
  assert.equal(talk.conversation.view.messages[0]?.id, "turn-6");
});

// --- tools, warnings ----------------------------------------------------------------------------------------

test("a tool that this page is to run says so", () => {
  const talk = new Talk();
  const here = { msg_id: "b", tool_call_id: "t", name: "open_page", arguments: { page: "cart" } };
  talk.say("tool.started", here);
  talk.say("tool.started", here);
  const calls = talk.of("tool.call");
  assert.equal(calls.length, 1);
  assert.equal(calls[0]?.runHere, true);
  assert.deepEqual(calls[0]?.arguments, { page: "cart" });
});

test("arguments that are no object are none", () => {
  const talk = new Talk();
  for (const [index, args] of ["", "[1]", "nonsense", "null"].entries()) {
    talk.say("llm.tool_call", { msg_id: `b${index}`, tool_calls: [{ id: "t", name: "x", arguments: args }] });
  }
  assert.deepEqual(talk.of("tool.call").map((call) => call.arguments), [{}, {}, {}, {}]);
});

test("faults of actions and the coming end are told", () => {
  const talk = new Talk();
  talk.hear({ event: "error", error: "on hold", code: "REQUEST_REFUSED", action: "inject_text" });
  talk.say("session.idle_warning", { remaining_seconds: 12.5, idle_timeout_seconds: 60 });
  assert.deepEqual(talk.of("server.warning"), [{ code: "REQUEST_REFUSED", message: "on hold" }]);
  assert.equal(talk.conversation.view.idleRemainingMs, 12_500);
  talk.say("user.speaking", { text: "yes", confirmed_text: "" });
  assert.equal(talk.conversation.view.idleRemainingMs, undefined);
});

test("what a newer server says is handed on and changes nothing", () => {
  const talk = new Talk();
  talk.hear({ event: "bot.danced", style: "tango" } as unknown as PageEvent);
  assert.deepEqual(talk.told.map(({ name }) => name), ["wire"]);
});
