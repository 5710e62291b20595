import assert from "node:assert/strict";
import { test } from "node:test";

import { assertNothingLeft, type FakePeer, settled, World } from "./world.ts";

/** The server answers the offer that was made last. */
async function back(world: World, token = "resume-2"): Promise<void> {
  await settled();
  world.answer(world.last, token);
  await settled();
}

function offers(world: World): Record<string, unknown>[] {
  return world.asked.filter(({ url }) => url.endsWith("/webrtc/offer")).map(({ body }) => body ?? {});
}

test("a failed connection is replaced: a fresh offer with the resume token and the last event", async () => {
  const world = new World();
  const session = await world.call();
  const [first] = world.peers as [FakePeer];
  first.become("failed");
  await settled();
  assert.equal(session.status, "reconnecting");
  assert.deepEqual(world.of("connection.lost"), [{ cause: "the connection failed" }]);
  assert.deepEqual(offers(world)[1], { sdp: "v=0 offer", type: "offer", resume: "resume-1", last_seq: 2 });
  assert.equal(first.closed, false, "its closing would end the call");
  await back(world);
  assert.equal(first.closed, true);
  assert.equal(session.status, "connected");
  assert.deepEqual(world.of("connection.established").map(({ resumed }) => resumed), [false, true]);
  world.last.become("failed");
  await back(world, "resume-3");
  assert.equal(offers(world)[2]?.["resume"], "resume-2");
  session.disconnect();
  assertNothingLeft(world);
});

test("a shaky second is no loss; more is", async () => {
  const world = new World();
  const session = await world.call();
  world.last.become("disconnected");
  await world.clock.pass(900);
  world.say({ event: "pong", timestamp: 1 });
  world.last.become("connected");
  await world.clock.pass(900);
  assert.equal(session.status, "connected");
  world.last.become("disconnected");
  await world.clock.pass(1000);
  assert.equal(session.status, "reconnecting");
});

test("a server that answers nothing is lost within three seconds", async () => {
  const world = new World();
  const session = await world.call();
  await world.clock.pass(2900);
  assert.equal(session.status, "connected");
  await world.clock.pass(100);
  assert.deepEqual(world.of("connection.lost"), [{ cause: "the server does not answer" }]);
});

test("who talks is not asked whether he lives, and is shown each second that the page does", async () => {
  const world = new World();
  const session = await world.call();
  for (let step = 0; step < 20; step++) {
    await world.clock.pass(500);
    world.say({ event: "pong", timestamp: 1 });
  }
  assert.deepEqual(world.last.channel.sent.slice(1), Array(10).fill("ping"));
  assert.equal(session.status, "connected");
});

test("a quiet server is asked for an answer, and lives by that", async () => {
  const world = new World();
  const session = await world.call();
  for (let second = 0; second < 30; second++) {
    await world.clock.pass(1000);
    const { sent } = world.last.channel;
    if (sent.at(-1) === '{"action":"ping"}') world.say({ event: "pong", timestamp: 1 });
  }
  assert.equal(session.status, "connected");
  assert.ok(world.last.channel.sent.length >= 30);
});

test("while the browser is offline nothing is tried, and at once when it is back", async () => {
  const world = new World();
  const session = await world.call();
  world.online = false;
  world.last.become("failed");
  await world.clock.pass(4000);
  assert.equal(offers(world).length, 1);
  world.online = true;
  world.page.fire("online");
  await back(world);
  assert.equal(offers(world).length, 2);
  assert.equal(session.status, "connected");
});

test("another network asks the server at once whether it still hears", async () => {
  const world = new World();
  await world.call();
  await world.clock.pass(950);
  world.say({ event: "pong", timestamp: 1 });
  world.page.fire("online");
  await world.clock.pass(3600);
  assert.equal(world.session.status, "reconnecting");
});

test("it is tried again, less and less often, until the server lets go of the call", async () => {
  const world = new World();
  const session = await world.call();
  world.replies["/webrtc/offer"] = new Error("no network");
  world.last.become("failed");
  await world.clock.pass(14_900);
  assert.equal(session.status, "reconnecting");
  assert.ok(offers(world).length >= 8 && offers(world).length <= 12, `${offers(world).length} offers`);
  await world.clock.pass(200);
  assert.deepEqual(world.of("connection.closed").map(({ reason }) => reason), ["network_lost"]);
  assertNothingLeft(world);
});

test("a network that comes back in time goes on with the call", async () => {
  const world = new World();
  const session = await world.call();
  world.replies["/webrtc/offer"] = new Error("no network");
  world.last.become("failed");
  await world.clock.pass(5000);
  delete world.replies["/webrtc/offer"];
  await world.clock.pass(2000);
  await back(world);
  assert.equal(session.status, "connected");
  assert.equal(world.peers.filter(({ closed }) => !closed).length, 1);
});

test("a call that is over meanwhile is told as lost", async () => {
  const world = new World();
  await world.call();
  world.replies["/webrtc/offer"] = { status: 410, body: { detail: "the call is over: begin another one" } };
  world.last.become("failed");
  await settled();
  const [closed] = world.of("connection.closed");
  assert.deepEqual([closed?.reason, closed?.detail], ["network_lost", "410: the call is over: begin another one"]);
  assertNothingLeft(world);
});

test("a server that was started anew does not know the call", async () => {
  const world = new World();
  await world.call();
  world.replies["/webrtc/offer"] = { status: 401, body: { detail: "not a valid token" } };
  world.last.become("failed");
  await settled();
  assert.deepEqual(world.of("connection.closed").map(({ reason }) => reason), ["network_lost"]);
});

test("a call that somebody else has come back to is theirs", async () => {
  const world = new World();
  await world.call();
  world.last.become("failed");
  await back(world);
  world.replies["/webrtc/offer"] = { status: 409, body: { detail: "somebody has come back" } };
  world.last.channel.fire("close");
  await settled();
  assert.deepEqual(world.of("connection.closed").map(({ reason }) => reason), ["replaced"]);
  assertNothingLeft(world);
});

test("a token that this page may have spent itself does not make it somebody else's", async () => {
  const world = new World();
  await world.call();
  world.last.become("failed");
  await settled();
  // Answered, and never open: the token is gone, and there is no other.
  await world.clock.pass(5000);
  world.replies["/webrtc/offer"] = { status: 409, body: { detail: "somebody has come back" } };
  await world.clock.pass(3000);
  assert.deepEqual(world.of("connection.closed").map(({ reason }) => reason), ["network_lost"]);
  assertNothingLeft(world);
});

test("what is asked for meanwhile is sent when the call is back, and nothing twice", async () => {
  const world = new World();
  const session = await world.call();
  void session.sendText("before");
  world.last.become("failed");
  await settled();
  void session.sendText("meanwhile");
  await back(world);
  assert.deepEqual(world.last.channel.actions.map(({ text }) => text), ["meanwhile"]);
});

test("what comes again on the new connection is told once", async () => {
  const world = new World();
  await world.call();
  const turn = world.said.event("turn.end", { message_id: "u", text: "hello", latency_ms: 1 });
  world.say(turn);
  world.last.become("failed");
  await back(world);
  world.say(turn);
  assert.equal(world.of("history").length, 1);
});

test("who hangs up while it comes back is left with nothing", async () => {
  for (const ms of [0, 100, 400, 6000]) {
    const world = new World();
    const session = await world.call();
    if (ms === 6000) world.replies["/webrtc/offer"] = "never";
    world.last.become("failed");
    await world.clock.pass(ms);
    session.disconnect();
    await settled();
    assert.deepEqual(world.of("connection.closed").map(({ reason }) => reason), ["normal"]);
    assertNothingLeft(world);
  }
});

test("the old connection's own end is not another loss", async () => {
  const world = new World();
  const session = await world.call();
  const [first] = world.peers as [FakePeer];
  first.become("failed");
  await settled();
  first.channel.fire("close");
  await back(world);
  assert.equal(session.status, "connected");
  assert.equal(world.of("connection.lost").length, 1);
});
