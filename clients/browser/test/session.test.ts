import assert from "node:assert/strict";
import { test } from "node:test";

import type { CloseReason } from "../src/reasons.ts";
import { TalkwireError } from "../src/reasons.ts";
import { assertNothingLeft, FakeStream, FakeTrack, settled, World } from "./world.ts";

const BROWSER_ERROR = (name: string): Error => Object.assign(new Error("no"), { name });

/** Connects, lets `act` happen, and gives back why it failed. */
async function refused(world: World, act: () => Promise<void> = settled): Promise<TalkwireError> {
  const connecting = world.session.connect();
  const failed = connecting.then(
    () => assert.fail("it connected"),
    (error: unknown) => error,
  );
  await act();
  const error = await failed;
  assert.ok(error instanceof TalkwireError);
  return error;
}

// --- the way to a call --------------------------------------------------------------------------------------

test("a call comes about: microphone, token, ICE servers, offer, channel, ready", async () => {
  const world = new World();
  const session = await world.call({ metadata: { page: "/cart" }, config: { language: "es" } });
  assert.deepEqual(world.asked.map(({ url }) => url.split("//")[1]), [
    "voice.example.org/webrtc/token?agent_id=front-desk",
    "voice.example.org/webrtc/ice-servers?token=t1",
    "voice.example.org/webrtc/offer",
  ]);
  assert.deepEqual(world.asked[2]?.body, {
    sdp: "v=0 offer", type: "offer", token: "t1", config: { language: "es" }, metadata: { page: "/cart" },
  });
  assert.deepEqual(world.last.configuration, { iceServers: [{ urls: "stun:s.example.org" }] });
  assert.equal(world.last.remote, "v=0 answer");
  assert.deepEqual(world.names, [
    "mic.pending", "mic.granted", "input.started", "audio.started", "connection.established", "session.ready",
    "audio.playing",
  ]);
  assert.deepEqual(world.of("connection.established"), [{ callId: "c1", resumed: false }]);
  assert.equal(session.status, "connected");
  assert.equal(session.callId, "c1");
  assert.equal(session.connect(), session.connect(), "who connects twice gets the same call");
  assert.equal(world.peers.length, 1);
});

test("nothing is left of a call that was hung up, and another one can follow", async () => {
  const world = new World();
  const session = await world.call();
  const { track } = world.devices.given as FakeStream;
  session.disconnect();
  assertNothingLeft(world);
  assert.ok(track.stopped);
  assert.equal(track.listeners, 0);
  assert.deepEqual(world.of("connection.closed").map(({ reason }) => reason), ["normal"]);
  session.disconnect();
  assert.equal(world.of("connection.closed").length, 1);
  const connecting = session.connect();
  await settled();
  world.answer();
  world.say(world.said.event("call.started", { language: "en" }));
  world.say(world.said.event("session.ready"));
  await connecting;
  assert.equal(session.status, "connected");
  assert.equal(session.view.closed, undefined);
});

test("who hangs up while it connects is left with nothing", async () => {
  for (const turns of [0, 1, 3, 6, 12, 25]) {
    const world = new World();
    world.open();
    const error = await refused(world, async () => {
      for (let turn = 0; turn < turns; turn++) await Promise.resolve();
      world.session.disconnect();
      await settled();
    });
    assert.equal(error.code, "normal");
    assertNothingLeft(world);
    assert.ok(turns === 0 || (world.devices.given as FakeStream).track.stopped);
  }
});

test("who hangs up while candidates or a token are waited for is left with nothing, at once", async () => {
  const gathering = new World();
  gathering.gathering = false;
  gathering.open();
  await refused(gathering, async () => {
    await settled();
    gathering.session.disconnect();
    await settled();
  });
  assertNothingLeft(gathering);
  const waiting = new World();
  waiting.open({ tokenProvider: () => new Promise(() => undefined) });
  await refused(waiting, async () => {
    await settled();
    waiting.session.disconnect();
    await settled();
  });
  assertNothingLeft(waiting);
});

test("a token may come from one's own server, or be there already", async () => {
  const own = new World();
  own.replies["/token"] = { body: { token: "mine", server: "https://far.example.org/" } };
  await own.call({ tokenUrl: "https://shop.example.org/token" });
  assert.deepEqual(own.asked.map(({ url }) => url), [
    "https://shop.example.org/token",
    "https://far.example.org/webrtc/ice-servers?token=mine",
    "https://far.example.org/webrtc/offer",
  ]);
  const given = new World();
  await given.call({ token: "there" });
  assert.equal(given.asked.at(-1)?.body?.["token"], "there");
  const provided = new World();
  await provided.call({ tokenProvider: () => Promise.resolve({ token: "p", server: "wss://far.example.org" }) });
  assert.equal(provided.asked.at(-1)?.url, "https://far.example.org/webrtc/offer");
  const here = new World();
  here.open({ server: undefined as unknown as string });
  void here.session.connect().catch(() => undefined);
  await settled();
  assert.ok(here.asked[0]?.url.startsWith("https://page.example.org/webrtc/token"));
});

test("a call goes on without the server's list of ICE servers, and with a list of one's own", async () => {
  const world = new World();
  world.replies["/webrtc/ice-servers"] = { status: 500 };
  await world.call();
  assert.deepEqual(world.last.configuration.iceServers, []);
  const own = new World();
  await own.call({ iceServers: [{ urls: "turn:t.example.org" }], iceTransportPolicy: "relay" });
  assert.deepEqual(own.last.configuration, { iceServers: [{ urls: "turn:t.example.org" }], iceTransportPolicy: "relay" });
});

// --- why it may fail ----------------------------------------------------------------------------------------

const DETAIL = { detail: "Agent 'x' is not online" };
const FAILURES: [string, CloseReason, (world: World) => void, (world: World) => Promise<void>][] = [
  ["the microphone is denied", "mic_denied", (w) => (w.devices.given = BROWSER_ERROR("NotAllowedError")), settled],
  ["there is no microphone", "mic_unavailable", (w) => (w.devices.given = BROWSER_ERROR("NotFoundError")), settled],
  ["it is in use", "mic_unavailable", (w) => (w.devices.given = BROWSER_ERROR("NotReadableError")), settled],
  ["the page cannot call", "unsupported", (w) => (w.canCall = false), settled],
  ["no key, no origin", "token_refused", (w) => (w.replies["/webrtc/token"] = { status: 403, body: DETAIL }), settled],
  ["the token is spent", "token_refused", (w) => (w.replies["/webrtc/offer"] = { status: 401, body: DETAIL }), settled],
  ["the token is nothing", "token_refused", (w) => (w.replies["/webrtc/token"] = { body: {} }), settled],
  ["nobody is there", "agent_offline", (w) => (w.replies["/webrtc/token"] = { status: 404, body: DETAIL }), settled],
  ["all lines are busy", "server_busy", (w) => (w.replies["/webrtc/offer"] = { status: 503, body: DETAIL }), settled],
  ["too much was asked", "server_busy", (w) => (w.replies["/webrtc/token"] = { status: 429, body: DETAIL }), settled],
  ["the server has a fault", "signalling_failed", (w) => (w.replies["/webrtc/offer"] = { status: 500 }), settled],
  ["it is not there", "signalling_failed", (w) => (w.replies["/webrtc/token"] = new Error("refused")), settled],
  ["it does not answer", "signalling_failed", (w) => (w.replies["/webrtc/offer"] = "never"), (w) => w.clock.pass(8000)],
  ["it answers nonsense", "signalling_failed", (w) => (w.replies["/webrtc/offer"] = { body: { sdp: 7 } }), settled],
  ["no audio comes through", "media_failed", () => undefined, (w) => w.clock.pass(10_000)],
  [
    "the connection fails",
    "media_failed",
    () => undefined,
    async (w) => {
      await settled();
      w.last.become("failed");
    },
  ],
  [
    "no agent gets ready",
    "ready_timeout",
    () => undefined,
    async (w) => {
      await settled();
      w.answer();
      await w.clock.pass(1000);
      for (let second = 0; second < 9; second++) {
        w.say({ event: "pong", timestamp: 1 });
        await w.clock.pass(1000);
      }
    },
  ],
];

for (const [what, reason, arrange, act] of FAILURES) {
  test(`${what}: ${reason}, and nothing is left`, async () => {
    const world = new World();
    world.open();
    arrange(world);
    const error = await refused(world, () => act(world));
    assert.equal(error.code, reason);
    assert.match(error.message, /^[A-Z].*\.$/);
    assert.deepEqual(world.of("connection.closed").map((closed) => closed.reason), [reason]);
    assert.equal(world.session.view.closed?.message, error.message);
    assertNothingLeft(world);
    const stream = world.devices.given;
    if (stream instanceof FakeStream && reason !== "unsupported") assert.ok(stream.track.stopped);
  });
}

test("what the server said is kept for a log", async () => {
  const world = new World();
  world.open();
  world.replies["/webrtc/token"] = { status: 404, body: DETAIL };
  assert.equal((await refused(world)).detail, "404: Agent 'x' is not online");
});

test("a token provider that fails or hangs is told", async () => {
  const world = new World();
  world.open({ tokenProvider: () => Promise.reject(new Error("sign in first")) });
  const error = await refused(world);
  assert.deepEqual([error.code, error.detail], ["token_refused", "Error: sign in first"]);
  const hung = new World();
  hung.open({ tokenProvider: () => new Promise(() => undefined) });
  assert.equal((await refused(hung, () => hung.clock.pass(8000))).code, "signalling_failed");
  assertNothingLeft(hung);
});

test("permission is told as it goes", async () => {
  const world = new World();
  world.open();
  world.devices.given = BROWSER_ERROR("NotAllowedError");
  await refused(world);
  assert.deepEqual(world.names, ["mic.pending", "mic.denied", "connection.closed"]);
});

// --- candidates ---------------------------------------------------------------------------------------------

const candidate = { candidate: { candidate: "candidate:1 1 udp 1 10.0.0.1 9 typ host" } };

test("a STUN server that does not answer costs 400 ms, not ten seconds", async () => {
  const world = new World();
  world.gathering = false;
  world.open();
  void world.session.connect().catch(() => undefined);
  await settled();
  world.last.fire("icecandidate", candidate);
  await world.clock.pass(399);
  assert.equal(world.asked.length, 2);
  await world.clock.pass(1);
  assert.equal(world.asked.length, 3);
});

test("an offer without a candidate goes out after 2 s: the server has its own", async () => {
  const world = new World();
  world.gathering = false;
  world.open();
  void world.session.connect().catch(() => undefined);
  await world.clock.pass(1999);
  assert.equal(world.asked.length, 2);
  await world.clock.pass(1);
  assert.equal(world.asked.length, 3);
});

test("where only a relay will do and none is found, that is told", async () => {
  const world = new World();
  world.gathering = false;
  world.open({ iceTransportPolicy: "relay" });
  const error = await refused(world, () => world.clock.pass(5000));
  assert.deepEqual([error.code, error.detail], ["media_failed", "no TURN server gave a relay"]);
});

// --- what a page does ---------------------------------------------------------------------------------------

test("what is asked for settles when the server has answered", async () => {
  const world = new World();
  const session = await world.call();
  const done: string[] = [];
  void session.sendText("two tickets").then(() => done.push("text"));
  void session.setContext("cart", null).then(() => done.push("context"));
  const configured = session.configure({ language: "es" });
  assert.deepEqual(world.last.channel.actions, [
    { action: "inject_text", text: "two tickets", ack: "p1" },
    { action: "set_context", key: "cart", value: null, ack: "p2" },
    { language: "es", action: "configure", ack: "p3" },
  ]);
  world.say({ event: "ack", ack: "p1", command: "inject_text", status: "success" });
  await settled();
  assert.deepEqual(done, ["text"]);
  world.say({ event: "ack", ack: "p3", command: "configure", status: "error", code: "BAD_MESSAGE", message: "no" });
  await assert.rejects(configured, (error: TalkwireError) => error.code === "BAD_MESSAGE" && error.message === "no");
  assert.deepEqual(world.of("server.warning"), [{ code: "BAD_MESSAGE", message: "no" }]);
});

test("what is never answered fails after 15 s, and what is open at the end with it", async () => {
  const world = new World();
  const session = await world.call();
  const late = session.sendText("a");
  const pongs = setupPongs(world);
  await world.clock.pass(15_000);
  pongs();
  await assert.rejects(late, { code: "NO_ANSWER" });
  const open = session.sendText("b");
  session.disconnect();
  await assert.rejects(open, { code: "normal" });
  await assert.rejects(session.sendText("c"), { code: "normal" });
  assertNothingLeft(world);
});

/** A server that lives. */
function setupPongs(world: World): () => void {
  let stopped = false;
  const again = (): void => {
    if (stopped) return;
    world.say({ event: "pong", timestamp: 1 });
    stop = world.clock.after(900, again);
  };
  let stop = world.clock.after(900, again);
  return () => {
    stopped = true;
    stop();
  };
}

test("the bot falls silent at once where the server takes back what is on its way", async () => {
  const world = new World();
  const session = await world.call();
  const { far, channel } = world.last;
  assert.deepEqual(channel.all, [{ action: "playout", clears: true }]);
  world.say({ event: "audio.clear", ms: 190 });
  assert.equal(far.enabled, false);
  await world.clock.pass(100);
  world.say({ event: "audio.clear", ms: 190 });
  await world.clock.pass(189);
  assert.equal(far.enabled, false, "the second one counts from its own coming");
  await world.clock.pass(1);
  assert.equal(far.enabled, true);
  world.say({ event: "audio.clear", ms: 190 });
  session.disconnect();
  assertNothingLeft(world);
});

test("the server is told how long the browser keeps audio, when that changes", async () => {
  const world = new World();
  await world.call();
  const { last } = world;
  const told = (): unknown[] => last.channel.all.map(({ buffer_ms }) => buffer_ms).filter((ms) => ms !== undefined);
  const played = async (seconds: number, samples: number): Promise<void> => {
    last.stats = [{ type: "codec" }, { type: "inbound-rtp", jitterBufferDelay: seconds, jitterBufferEmittedCount: samples }];
    await world.clock.pass(500);
    await settled();
  };
  await played(0, 0);
  assert.deepEqual(told(), [], "nothing was played yet");
  await played(0.06 * 24_000, 24_000);
  await played(0.06 * 24_000 + 0.063 * 24_000, 48_000);
  assert.deepEqual(told(), [60], "3 ms are not worth telling");
  await played(0.123 * 24_000 + 0.08 * 24_000, 72_000);
  await played(0.203 * 24_000, 72_000);
  assert.deepEqual(told(), [60, 80], "of the last half second alone");
});

test("muting stops the microphone here and there, before a call as well", async () => {
  const world = new World();
  const session = world.open({ muted: true });
  const connecting = session.connect();
  await settled();
  const { track } = world.devices.given as FakeStream;
  assert.equal(track.enabled, false);
  world.answer();
  assert.deepEqual(world.last.channel.actions, [], "the server takes none before the call has begun");
  world.begin();
  await connecting;
  assert.deepEqual(world.last.channel.actions, [{ action: "mute", ack: "p1" }]);
  void session.unmute();
  assert.equal(track.enabled, true);
  assert.equal(session.view.muted, false);
  assert.equal(world.last.channel.actions.at(-1)?.["action"], "unmute");
});

test("a tool that the page runs is answered by it", async () => {
  const world = new World();
  const session = world.open();
  session.on("tool.call", (call) => {
    if (call.runHere) void call.answer({ opened: call.arguments["page"] });
  });
  const connecting = session.connect();
  await settled();
  world.answer();
  world.begin();
  await connecting;
  const fields = { msg_id: "b1", tool_call_id: "t1", name: "open_page", arguments: { page: "cart" } };
  world.say(world.said.event("tool.started", fields));
  assert.deepEqual(world.last.channel.actions, [
    { action: "tool_result", msg_id: "b1", tool_call_id: "t1", result: { opened: "cart" }, ack: "p1" },
  ]);
});

test("a handler that throws disturbs nobody, and one that is taken off hears nothing more", async (t) => {
  const world = new World();
  const session = world.open();
  const reported = t.mock.method(console, "error", () => undefined);
  const heard: string[] = [];
  session.on("mic.pending", () => {
    throw new Error("not mine");
  });
  const off = session.on("mic.pending", () => void heard.push("a"));
  session.on("mic.pending", () => void heard.push("b"));
  off();
  void session.connect().catch(() => undefined);
  await settled();
  assert.deepEqual(heard, ["b"]);
  assert.equal(reported.mock.callCount(), 1);
});

test("the view is new before anybody is told", async () => {
  const world = new World();
  const session = world.open();
  const seen: string[] = [];
  session.on("session.ready", () => void seen.push(`${session.view.status} ${session.view.ready}`));
  session.on("connection.closed", () => void seen.push(session.view.status));
  void session.connect();
  await settled();
  world.answer();
  world.begin();
  session.disconnect();
  assert.deepEqual(seen, ["connected true", "closed"]);
});

// --- devices ------------------------------------------------------------------------------------------------

test("another microphone takes the place of the first on the same connection", async () => {
  const world = new World();
  const session = await world.call();
  const first = (world.devices.given as FakeStream).track;
  const second = new FakeTrack("usb", "USB");
  world.devices.given = new FakeStream(second);
  await session.selectMicrophone("usb");
  assert.deepEqual(world.devices.asked.at(-1)?.deviceId, { exact: "usb" });
  assert.ok(first.stopped);
  assert.equal(world.last.track, second);
  assert.deepEqual(world.of("device.changed"), [{ kind: "input", deviceId: "usb", label: "USB" }]);
});

test("a microphone that is taken away is replaced by what there is, or that is told", async () => {
  const world = new World();
  const session = await world.call();
  const first = (world.devices.given as FakeStream).track;
  const second = new FakeTrack("built-in");
  world.devices.given = new FakeStream(second);
  first.fire("ended");
  await settled();
  assert.equal(world.last.track, second);
  world.devices.given = BROWSER_ERROR("NotFoundError");
  second.fire("ended");
  await settled();
  assert.equal(world.of("server.warning")[0]?.code, "MIC_LOST");
  assert.equal(session.status, "connected");
});

test("loudspeakers are chosen, devices listed, and their coming and going told", async () => {
  const world = new World();
  const session = await world.call();
  await session.selectSpeaker("ear");
  assert.equal(world.element.sink, "ear");
  assert.deepEqual(await session.listDevices(), {
    inputs: [{ deviceId: "usb", label: "USB" }],
    outputs: [{ deviceId: "ear", label: "Headphones" }],
  });
  world.devices.fire("devicechange");
  assert.equal(world.of("devices.available").length, 1);
});

test("sound that the browser holds back is told, and plays after a touch", async () => {
  const world = new World();
  world.element.blocked = true;
  const session = await world.call();
  await settled();
  assert.equal(world.of("audio.blocked").length, 1);
  assert.equal(session.view.audioBlocked, true);
  world.element.blocked = false;
  await session.resumeAudio();
  assert.equal(session.view.audioBlocked, false);
  assert.equal(world.of("audio.playing").length, 1);
});

test("a stream of one's own is sent, and left alone at the end", async () => {
  const world = new World();
  const own = new FakeStream(new FakeTrack("mixed"));
  const session = await world.call({ stream: own as unknown as MediaStream });
  assert.equal(world.last.track, own.track);
  assert.deepEqual(world.devices.asked, []);
  session.disconnect();
  assert.equal(own.track.stopped, false);
});

// --- the end ------------------------------------------------------------------------------------------------

test("the server's last word ends the call at once", async () => {
  const world = new World();
  await world.call();
  world.say(world.said.event("call.ended", { reason: "idle_timeout", duration_seconds: 12 }));
  world.say({ event: "session.timeout", call_id: "c1", reason: "idle_timeout" });
  const [closed] = world.of("connection.closed");
  assert.deepEqual([closed?.reason, closed?.detail], ["server_closed", "idle_timeout"]);
  assertNothingLeft(world);
});

test("a page that goes away hangs up", async () => {
  const world = new World();
  await world.call();
  world.page.fire("pagehide");
  assert.equal(world.session.status, "closed");
  assertNothingLeft(world);
});
