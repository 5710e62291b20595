import { page, settled } from "./page.ts";

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { type ComponentChild, render } from "preact";

import { EventTable } from "../src/events/table.tsx";
import { apply } from "../src/fold/fold.ts";
import { callList } from "../src/state/calls.ts";
import { CallFeed } from "../src/state/feed.ts";
import { listed } from "../src/state/list.ts";
import { Look } from "../src/state/look.ts";
import { access } from "../src/state/server.ts";
import { talk } from "../src/state/talk.ts";
import { CallsPage } from "../src/views/calls.tsx";
import { Captions } from "../src/views/captions.tsx";
import { Transcript } from "../src/views/transcript.tsx";
import { Waits } from "../src/views/waits.tsx";
import { GOLDEN, event } from "./golden.ts";

const root = document.createElement("div");
document.body.append(root);
const idle = talk.value;

async function shown(view: ComponentChild): Promise<HTMLElement> {
  render(view, root);
  await settled();
  return root;
}

/** A call of which so many events have come. */
function feedOf(count = GOLDEN.length): CallFeed {
  const feed = new CallFeed("c", false);
  for (const told of GOLDEN.slice(0, count)) apply(feed.call, told);
  return feed;
}

/** Up to and with the first event that is this one. */
const upTo = (name: string, fields: Record<string, unknown> = {}): number =>
  1 + GOLDEN.findIndex((told) => told.event === name && Object.entries(fields).every(([key, value]) => told[key] === value));

const plain = (element: Element | null | undefined): string => (element?.textContent ?? "").replaceAll(/\s+/g, " ").trim();

afterEach(() => {
  render(null, root);
  talk.set(idle);
});

test("the transcript has what was heard, and strikes out what was not", async () => {
  const look = new Look();
  const view = await shown(<Transcript feed={feedOf()} look={look} />);
  const entries = [...view.querySelectorAll(".entry")].map(plain);
  assert.ok(entries.some((entry) => entry.includes("Caller") && entry.includes("how is it in Rome") && entry.includes("1.66 s")), entries[1]);
  const cut = view.querySelector("del");
  assert.match(plain(cut), /^not heard: in the evening in the morning/);
  assert.match(plain(cut?.closest(".entry")), /interrupted after 4\.4 s.*Tomorrow it will rain/);
  assert.ok(entries.some((entry) => entry.includes("weather") && entry.includes('"celsius": 21')));
  assert.ok(entries.some((entry) => entry.includes("Meanwhile the caller said: “are you there”")));
});

test("of a long text that was not heard the beginning is shown, and the rest where it is asked for", async () => {
  const feed = new CallFeed("c", false);
  const rest = Array.from({ length: 60 }, (_, index) => `word${index}`).join(" ");
  apply(feed.call, event(0, "call.started"));
  apply(feed.call, event(1, "bot.speaking", { message_id: "b", text: `Hello ${rest}` }));
  apply(feed.call, event(2, "bot.word", { message_id: "b", word: "Hello", word_index: 0 }));
  apply(feed.call, event(3, "bot.interrupted", { message_id: "b", played_ms: 300, words_spoken: 1, reason: "early" }));
  const view = await shown(<Transcript feed={feed} look={new Look()} />);
  const more = view.querySelector<HTMLButtonElement>(".more");
  const count = plain(view.querySelector("del")).replace("not heard: ", "").split(" ").length;
  assert.equal(plain(more), `${60 - count} words more`);
  more?.click();
  await settled();
  assert.equal(plain(view.querySelector("del")), `not heard: ${rest}`);
  assert.equal(plain(more), "less");
});

test("a time of the transcript leads to its event, and the entry of a moment is marked", async () => {
  const look = new Look();
  const view = await shown(<Transcript feed={feedOf()} look={look} />);
  const entry = [...view.querySelectorAll(".entry")].find((candidate) => plain(candidate).includes("and tomorrow"));
  entry?.querySelector<HTMLButtonElement>(".time")?.click();
  assert.equal(GOLDEN.find(({ seq }) => seq === look.chosen.value)?.turn_id, 2);
  assert.equal(look.cursorMs.value, 16_640);
  await settled();
  assert.ok(entry?.classList.contains("current"));
});

test("only what changed is drawn anew", async () => {
  const feed = feedOf(upTo("bot.word", { word_index: 3 }));
  const view = await shown(<Transcript feed={feed} look={new Look()} />);
  const text = view.querySelector(".entry p");
  assert.equal(plain(text), "Hello, this is the");
  let drawn = 0;
  const first = view.querySelector(".entry");
  assert.ok(first);
  new page.MutationObserver(() => drawn++).observe(first as never, { subtree: true, childList: true, characterData: true });
  for (const told of GOLDEN.slice(feed.call.events.length, upTo("turn.end"))) apply(feed.call, told);
  feed.changes.touch();
  await settled();
  assert.equal(plain(text), "Hello, this is the front desk.");
  const once = drawn;
  assert.ok(once > 0);
  for (const told of GOLDEN.slice(feed.call.events.length)) apply(feed.call, told);
  feed.changes.touch();
  await settled();
  assert.equal(drawn, once, "a message that was over was drawn again");
});

test("captions grow word by word, and are read out when they are complete", async () => {
  const feed = feedOf(upTo("user.speaking", { turn_id: 1 }));
  talk.set({ ...idle, at: "live", agentId: "a", feed });
  const view = await shown(<Captions />);
  const lines = (): string[] => [...view.querySelectorAll(".line")].map(plain);
  assert.deepEqual(lines(), ["BotHello, this is the front desk.", "Youhow"]);
  assert.equal(plain(view.querySelector(".interim")), "how");
  const told = view.querySelector(".unseen[aria-live]");
  assert.equal(plain(told), "Bot: Hello, this is the front desk.");
  for (const told of GOLDEN.slice(feed.call.events.length, upTo("bot.word", { word: "clear" }))) apply(feed.call, told);
  feed.changes.touch();
  await settled();
  assert.deepEqual(lines().slice(1), ["Youhow is it in Rome", "weatherdone", "clockthere is no tool 'clock'; the tools are: weather", "BotIt is clear"]);
  assert.equal(plain(told), "You: how is it in Rome");
  assert.ok(view.querySelector("input"), "one can write while the call is live");
});

test("a wait has its bar while it goes on, and its figure when it is over", async () => {
  const feed = feedOf(upTo("turn.end"));
  talk.set({ ...idle, at: "live", agentId: "a", feed });
  const view = await shown(<Waits />);
  assert.ok(view.querySelector(".timing.answering"));
  for (const told of GOLDEN.slice(feed.call.events.length)) apply(feed.call, told);
  feed.changes.touch();
  await settled();
  assert.deepEqual([...view.querySelectorAll(".timing.answered .total")].map(plain), ["1.66 s", "846 ms", "706 ms", "666 ms"]);
  assert.match(plain(view), /median 706 ms/);
  const [ending, answering] = view.querySelectorAll<HTMLElement>(".timing .track span");
  assert.deepEqual([ending?.style.width, answering?.style.width], ["16.9%", "66.0%"]);
});

test("of ten thousand events a screenful is drawn, and all can be found", async () => {
  const feed = new CallFeed("c", false);
  for (let seq = 1; seq <= 10_000; seq++) apply(feed.call, { ...(GOLDEN[seq % 200] as (typeof GOLDEN)[number]), event: seq % 100 ? "bot.word" : "turn.pause", seq });
  const look = new Look();
  const view = await shown(<EventTable feed={feed} look={look} />);
  assert.equal(plain(view.querySelector(".card-head .figure")), "10000");
  assert.ok(view.querySelectorAll(".row").length < 60);
  const search = view.querySelector<HTMLInputElement>("input[type=search]");
  assert.ok(search);
  search.value = "turn.";
  search.dispatchEvent(new Event("input", { bubbles: true }));
  await settled();
  assert.equal(plain(view.querySelector(".card-head .figure")), "100 of 10000");
  view.querySelector<HTMLElement>(".row")?.click();
  await settled();
  assert.equal(look.chosen.value, 100);
  assert.match(plain(view.querySelector(".opened pre")), /"event": "turn.pause"/);
  view.querySelector(".rows")?.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true }));
  await settled();
  assert.equal(look.chosen.value, 200);
  view.querySelector(".rows")?.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
  await settled();
  assert.equal(view.querySelector(".opened"), null);
});

test("the list says who is on the line, and where nobody is, what to do", async () => {
  Object.assign(globalThis, { fetch: () => new Promise(() => undefined) });
  access.set({ at: "in", reachable: true, server: { authorized: true, password: false, public_url: "https://voice.example.org" } });
  callList.set({ calls: [], connected: true, known: true, problem: null });
  const view = await shown(<CallsPage />);
  assert.match(plain(view), /Nobody is on the line/);
  assert.match(plain(view.querySelector("code")), /^https:\/\/voice\.example\.org\/twilio\/voice$/);
  const call = {
    call_id: "CA1", agent_id: "clock", transport: "phone", direction: "inbound", from: "+1555", to: "+1666", state: "live", created_at: 1, started_at: 1, ended_at: null,
    duration_ms: 65_000, reason: null, detail: null, turns: 3, interruptions: 1, last_seq: 9, recording: false, response_ms_p50: 846, agent_state: "thinking",
    last_user_text: "what time is it", last_bot_text: null,
  } as const;
  const over = { ...call, call_id: "CA2", from: "+1777", state: "ended", ended_at: 2, reason: "hangup", detail: "the caller hung up" } as const;
  callList.set({ calls: [listed(call, Date.now()), listed(over, 0)], connected: true, known: true, problem: null });
  await settled();
  const [live, ended] = [...view.querySelectorAll("tbody tr")].map(plain);
  assert.match(live ?? "", /^Thinking\+1555to \+1666clockwhat time is it ?1:0531846 ms$/);
  assert.match(ended ?? "", /\+1777to \+1666clockThe caller hung up1:05/);
});
