import { page } from "./page.ts";

import assert from "node:assert/strict";
import { test } from "node:test";

import { define, TalkwireCall } from "../src/element.ts";
import type { TalkwireOptions } from "../src/options.ts";
import { TalkwireSession } from "../src/session.ts";
import { assertNothingLeft, settled, World } from "./world.ts";

const worlds: World[] = [];
const given: TalkwireOptions[] = [];

class InWorld extends TalkwireCall {
  protected override makeSession(options: TalkwireOptions): TalkwireSession {
    const world = new World();
    worlds.push(world);
    given.push(options);
    return new TalkwireSession({ server: "https://voice.example.org", ...options }, world);
  }
}
customElements.define("call-in-world", InWorld);
define();

function shown(html = '<call-in-world agent="support"></call-in-world>'): {
  element: InWorld;
  world: () => World;
  part: (name: string) => HTMLElement;
} {
  const host = document.createElement("div");
  document.body.append(host);
  host.innerHTML = html;
  const element = host.querySelector("call-in-world") as InWorld;
  const part = (name: string): HTMLElement => element.shadowRoot?.querySelector(name) as HTMLElement;
  return { element, world: () => worlds.at(-1) as World, part };
}

async function calling(html?: string): Promise<ReturnType<typeof shown>> {
  const it = shown(html);
  it.part(".main").click();
  await settled();
  it.world().answer();
  it.world().begin();
  await settled();
  return it;
}

test("one line of HTML is a button that calls", async () => {
  const { element, world, part } = shown();
  assert.equal(part(".main").textContent, "Start call");
  assert.equal(part(".status").textContent, "Press the button and talk.");
  assert.ok(part("form").hidden && part(".mute").hidden && part(".log").hidden && part(".trouble").hidden);
  part(".main").click();
  await settled();
  assert.equal(part(".main").textContent, "Cancel");
  assert.equal(part(".status").textContent, "Connecting…");
  world().answer();
  assert.equal(part(".status").textContent, "Waiting for the agent…");
  world().begin();
  assert.equal(part(".status").textContent, "Your turn");
  assert.equal(part(".main").textContent, "Hang up");
  assert.ok(!part("form").hidden && !part(".mute").hidden);
  part(".main").click();
  assert.equal(part(".status").textContent, "The call is over.");
  assert.equal(part(".main").textContent, "Call again");
  assertNothingLeft(world());
  assert.equal(element.session.status, "closed");
});

test("captions grow word by word, in place", async () => {
  const { world, part } = await calling();
  const say = (event: "bot.speaking" | "bot.word", fields: object): void => world().say(world().said.event(event, fields));
  say("bot.speaking", { message_id: "m", text: "Hello there." });
  assert.ok(part(".log").hidden, "nothing was heard yet");
  say("bot.word", { message_id: "m", word: "Hello", word_index: 0 });
  const line = part("li.bot");
  assert.equal(line.textContent, "Hello");
  say("bot.word", { message_id: "m", word: "there.", word_index: 1 });
  assert.equal(part("li.bot"), line);
  assert.equal(line.textContent, "Hello there.");
  assert.equal(part(".spoken").textContent, "", "a screen reader is told whole messages");
  world().say(world().said.event("bot.interrupted", { message_id: "m", played_ms: 2500, words_spoken: 2, reason: "user_spoke" }));
  world().say(world().said.event("message.confirmed", { message_id: "m", text: "Hello there." }));
  assert.equal(line.textContent, "Hello there. (cut off)");
  assert.equal(part(".spoken").textContent, "Agent: Hello there.");
});

test("text is data: what somebody says is never part of the page", async () => {
  const { world, part } = await calling();
  world().say(world().said.event("turn.end", { message_id: "u", text: "<img src=x onerror=alert(1)>", latency_ms: 1 }));
  assert.equal(part("li.user").textContent, "<img src=x onerror=alert(1)>");
  assert.equal(part("li.user").children.length, 0);
});

test("the state is told in words", async () => {
  const { element, world, part } = await calling();
  const status = (): string => part(".status").textContent ?? "";
  world().say(world().said.event("agent.state", { state: "thinking" }));
  assert.equal(status(), "Thinking");
  world().say(world().said.event("agent.state", { state: "speaking" }));
  assert.equal(status(), "Speaking");
  world().say(world().said.event("speech.started", { segment_id: 1, timestamp: 1 }));
  assert.equal(status(), "Listening");
  assert.equal(part(".dot").dataset["look"], "listening");
  world().last.become("failed");
  assert.match(status(), /Reconnecting/);
  element.remove();
});

test("what goes wrong says what to do", async () => {
  const { world, part } = shown();
  const pressed = (): void => part(".main").click();
  void given;
  pressed();
  world().devices.given = Object.assign(new Error("no"), { name: "NotAllowedError" });
  await settled();
  assert.equal(part(".trouble").hidden, false);
  assert.match(part(".trouble").textContent ?? "", /microphone is blocked.*Allow it/);
  assert.equal(part(".main").textContent, "Call again");
  assert.equal(part(".status").textContent, "No call came about.");
  pressed();
  assert.equal(part(".trouble").hidden, true);
  await settled();
});

test("typing says it, and gives the text back where it could not be said", async () => {
  const { world, part } = await calling();
  const input = part("input") as HTMLInputElement;
  input.value = "  two tickets ";
  part("form").dispatchEvent(new page.Event("submit", { cancelable: true }) as unknown as Event);
  assert.equal(world().last.channel.actions[0]?.["text"], "two tickets");
  assert.equal(input.value, "");
  const refusal = { event: "ack", ack: "p1", command: "inject_text", status: "error", code: "REQUEST_REFUSED" };
  world().say({ ...refusal, message: "the call is on hold" });
  await settled();
  assert.equal(input.value, "two tickets");
  assert.equal(part(".trouble").textContent, "the call is on hold");
});

test("the mute button mutes", async () => {
  const { world, part } = await calling();
  part(".mute").click();
  assert.equal(part(".mute").textContent, "Unmute");
  assert.equal(part(".status").textContent, "You are muted");
  assert.equal(world().last.channel.actions[0]?.["action"], "mute");
});

test("sound that is held back has a button", async () => {
  const { world, part } = shown();
  const { element } = world();
  element.blocked = true;
  part(".main").click();
  await settled();
  world().answer();
  world().begin();
  await settled();
  assert.equal(part(".sound").hidden, false);
  element.blocked = false;
  part(".sound").click();
  await settled();
  assert.equal(part(".sound").hidden, true);
});

test("attributes and options make the session", () => {
  const { element } = shown('<call-in-world agent="sales" server="https://a.example.org" token-url="/t" label="Talk"></call-in-world>');
  assert.equal(element.shadowRoot?.querySelector(".main")?.textContent, "Talk");
  const made = given.at(-1);
  assert.deepEqual([made?.agent, made?.server, made?.tokenUrl], ["sales", "https://a.example.org", "/t"]);
  element.options = { metadata: { page: "/cart" } };
  assert.deepEqual(given.at(-1)?.metadata, { page: "/cart" });
  element.setAttribute("agent", "other");
  assert.equal(given.at(-1)?.agent, "other");
});

test("an element that is taken away hangs up; one that is moved does not", async () => {
  const { element, world } = await calling();
  const there = world();
  const other = document.createElement("div");
  document.body.append(other);
  other.append(element);
  await settled();
  assert.equal(element.session.status, "connected");
  element.remove();
  await settled();
  assertNothingLeft(there);
});

test("pages are told by events of the DOM", async () => {
  const { element, world } = await calling();
  const told: unknown[] = [];
  element.addEventListener("talkwire-tool-call", (event) => told.push((event as CustomEvent<{ name: string }>).detail.name));
  world().say(world().said.event("tool.started", { msg_id: "b", tool_call_id: "t", name: "open_page", arguments: {} }));
  assert.deepEqual(told, ["open_page"]);
});

test("its words can be other ones", () => {
  const { element, part } = shown();
  element.labels = { call: "Anrufen" };
  assert.equal(part(".main").textContent, "Anrufen");
});
