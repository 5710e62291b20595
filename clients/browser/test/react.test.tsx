import "./page.ts";

import assert from "node:assert/strict";
import { test } from "node:test";

import { act, StrictMode } from "react";
import { createRoot, type Root } from "react-dom/client";

import type { TalkwireOptions } from "../src/options.ts";
import { type Handlers, type Talkwire, useTalkwire } from "../src/react.ts";
import { TalkwireSession } from "../src/session.ts";
import { assertNothingLeft, settled, World } from "./world.ts";

interface Shown {
  readonly world: World;
  readonly root: Root;
  readonly host: HTMLElement;
  readonly made: TalkwireSession[];
  latest(): Talkwire;
  render(options: TalkwireOptions, handlers?: Handlers): Promise<void>;
}

function component(): Shown {
  const world = new World();
  const host = document.createElement("div");
  const root = createRoot(host);
  const made: TalkwireSession[] = [];
  let latest: Talkwire | undefined;
  const make = (options: TalkwireOptions): TalkwireSession => {
    const session = new TalkwireSession(options, world);
    made.push(session);
    return session;
  };
  function Caller({ options, handlers }: { options: TalkwireOptions; handlers: Handlers }) {
    latest = useTalkwire(options, handlers, make);
    const { view } = latest;
    return (
      <p>
        {view.status}: {view.messages.map(({ text }) => text).join(" / ")}
        {view.closed?.reason}
      </p>
    );
  }
  return {
    world,
    root,
    host,
    made,
    latest: () => latest ?? assert.fail("nothing was rendered"),
    render: (options, handlers = {}) =>
      act(async () => {
        root.render(
          <StrictMode>
            <Caller options={options} handlers={handlers} />
          </StrictMode>,
        );
        await settled();
      }),
  };
}

const OPTIONS = { agent: "front-desk", server: "https://voice.example.org" };

async function connected(shown: Shown): Promise<void> {
  await act(async () => {
    void shown.latest().connect();
    await settled();
    shown.world.answer();
    shown.world.begin();
    await settled();
  });
}

test("a component shows a call as it goes, and hangs up when it goes away", async () => {
  const shown = component();
  await shown.render(OPTIONS);
  assert.equal(shown.host.textContent, "idle: ");
  await connected(shown);
  assert.match(shown.host.textContent ?? "", /^connected: /);
  await act(async () => {
    shown.world.say(shown.world.said.event("bot.speaking", { message_id: "m", text: "Hello there." }));
    shown.world.say(shown.world.said.event("bot.word", { message_id: "m", word: "Hello", word_index: 0 }));
    await settled();
  });
  assert.equal(shown.host.textContent, "connected: Hello");
  await act(async () => {
    shown.root.unmount();
    await settled();
  });
  assertNothingLeft(shown.world);
});

test("what goes wrong is in the view, and nobody need catch it", async () => {
  const shown = component();
  shown.world.replies["/webrtc/token"] = { status: 404, body: { detail: "not online" } };
  await shown.render(OPTIONS);
  await act(async () => {
    await shown.latest().connect();
    await settled();
  });
  assert.equal(shown.host.textContent, "closed: agent_offline");
});

test("handlers are the newest ones, and the session stays the same", async () => {
  const shown = component();
  const heard: string[] = [];
  await shown.render(OPTIONS, { "mic.pending": () => void heard.push("old") });
  const { session } = shown.latest();
  await shown.render({ ...OPTIONS, metadata: { page: "/" } }, { "mic.pending": () => void heard.push("new") });
  assert.equal(shown.latest().session, session);
  await connected(shown);
  assert.deepEqual(heard, ["new"]);
});

test("another agent is another session, and the old call ends", async () => {
  const shown = component();
  await shown.render(OPTIONS);
  const { session } = shown.latest();
  await connected(shown);
  await shown.render({ ...OPTIONS, agent: "other" });
  assert.notEqual(shown.latest().session, session);
  assert.equal(session.status, "closed");
  assert.equal(shown.latest().view.status, "idle");
});

test("the token provider that is asked is the newest one", async () => {
  const shown = component();
  await shown.render({ ...OPTIONS, tokenProvider: () => "old" });
  await shown.render({ ...OPTIONS, tokenProvider: () => "new" });
  await connected(shown);
  assert.equal(shown.world.asked.at(-1)?.body?.["token"], "new");
});

test("muting and typing go through", async () => {
  const shown = component();
  await shown.render(OPTIONS);
  await connected(shown);
  await act(async () => {
    void shown.latest().setMuted(true);
    void shown.latest().sendText("hello");
    await settled();
  });
  assert.deepEqual(shown.world.last.channel.actions.map(({ action }) => action), ["mute", "inject_text"]);
  assert.equal(shown.latest().view.muted, true);
});
