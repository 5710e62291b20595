// What the strict client does, and what of it the test is told. Each ends on its own, or fails by a time limit.

import { sleep, tell, told } from "./client.mjs";

const PHONE = [{ type: "phone", ref: "+1 (555) 000-2222" }];

async function answered(client, config = {}, tools = {}, more = {}) {
  await client.connect();
  const agent = Object.assign(client.agent("My Agent", config, PHONE, tools), more);
  await agent.next("channel.added");
  tell("ready");
  return [agent, await agent.next("call.started")];
}

export async function speaking(client) {
  const [, call] = await answered(client, { config: { analysis: { recording: true } } });
  const { from, to, direction, transport } = call.started;
  tell("started", { from, to, direction, transport });
  tell("said", await call.say("Hello there, this is the first sentence.", { add_to_history: true }));

  const long = call.say("This one is so long that it is not over when somebody stops it, for it goes on and on and on.");
  await call.next("bot.word", (word) => word.message_id === long.id);
  call.send("bot.cancel", { message_id: long.id });
  tell("cancelled", await long);

  const queued = [1, 2, 3].map((n) => call.say(`Number ${n} of three sentences that are never to be heard whole.`));
  await call.next("bot.speaking");
  call.send("bot.clear");
  tell("cleared", { interrupted: (await Promise.all(queued)).map((one) => one.interrupted) });

  const empty = call.stream("");
  empty.end();
  const stale = call.reply("Nobody hears this.", "no-such-turn");
  const rejected = await call.next("reply.rejected");
  tell("rejected", { same: rejected.message_id === stale, reason: rejected.reason, in_reply_to: rejected.in_reply_to });

  for (const [one, other, back, forth] of [
    ["call.hold", "call.held", "call.unhold", "call.unheld"],
    ["call.mute", "call.muted", "call.unmute", "call.unmuted"],
  ]) {
    call.send(one);
    await call.next(other);
    if (one === "call.mute") {
      tell("speak");
      await told();
    }
    call.send(back);
    const frame = await call.next(forth);
    tell(forth, "muted_transcript" in frame ? { muted_transcript: frame.muted_transcript } : {});
  }
  call.send("call.hangup");
  const ended = await call.next("call.ended");
  tell("ended", { reason: ended.reason, messages: ended.messages, duration: ended.duration_seconds });
  tell("recorded", { last: call.seen.slice(-2) });
  call.send("bot.reply", { message_id: "msg_late", text: "Too late.", in_reply_to: "" });
  call.send("call.hold");
  await sleep(300);
  tell("after", { seen: call.seen.slice(call.seen.indexOf("call.ended") + 1) });
}

export async function turns(client) {
  const [, call] = await answered(client, { greeting: "Welcome." });
  await call.next("bot.finished");
  client.send({
    event: "session.configure",
    session_id: call.id,
    promptVars: { name: "Ada" },
    sessionLimits: { max_duration_seconds: 300 },
    turnDetection: { silence_ms: 600 },
    voice: { speed: 1.2 },
  });
  await client.next("session.configured");
  tell("speak");
  const turn = await call.next("turn.end");
  const reply = call.reply("You said something, and this is the answer to it.");
  const one = await call.next("message.confirmed", (frame) => frame.message_id === reply);
  tell("replied", { text: turn.text, heard: one.text });

  tell("speak");
  await call.next("turn.end");
  const stream = call.stream();
  for (const token of ["Word ", "by wo", "rd. And", " a second", " sentence."]) stream.write(token);
  stream.end();
  const two = await call.next("message.confirmed", (frame) => frame.message_id === stream.id);
  const words = call.seen.filter((name) => name === "bot.word").length;
  tell("streamed", { heard: two.text, words });
  tell("hang up");
  const ended = await call.next("call.ended");
  tell("ended", { reason: ended.reason, messages: ended.messages });
}

export async function tools(client) {
  const clock = { type: "function", function: { name: "clock", description: "Tells the time.", parameters: {} } };
  const llm = { provider: "openai", model: "gpt-4o", enabled: true, prompt: "Be brief." };
  const config = { llm, tools: [clock], preparing: { timeout_ms: 4000 } };
  const [, call] = await answered(client, config, { clock: async ({ zone }) => ({ time: "ten past nine", zone }) });
  tell("speak");
  const confirmed = await call.next("message.confirmed");
  const asked = ["llm.before", "llm.preparing_timeout"].map((name) => call.seen.includes(name));
  tell("answered", { text: confirmed.text, asked });
  call.send("call.hangup");
  const ended = await call.next("call.ended");
  tell("ended", { roles: ended.messages.map((message) => message.role) });
}

export async function history(client) {
  const config = { llm: { provider: "openai", model: "gpt-4o", enabled: true, prompt: "Be brief." } };
  const [, call] = await answered(client, config);
  const add = [{ role: "user", content: "I am Ada." }, { role: "assistant", content: "Hello Ada." }];
  tell("counts", {
    add: await call.request("history.add", { messages: add }),
    get: await call.request("history.get"),
    set: await call.request("history.set", { messages: add.slice(0, 1) }),
    context: await call.request("history.add_context", { text: "It rains." }),
    vars: await call.request("history.set_vars", { vars: { name: "Ada" } }),
    prompt: await call.request("history.set_instructions", { prompt: "Be long." }),
    clear: await call.request("history.clear"),
  });
  call.send("call.hangup");
  await call.next("call.ended");
}

export async function reconnecting(client) {
  const [agent, call] = await answered(client);
  const lost = call.next("lost");
  tell("drop");
  await lost;
  tell("lost");
  const again = await agent.next("call.started");
  tell("again", { same: again.id === call.id, said: await again.say("I am back.") });
  again.send("call.hangup");
  const ended = await again.next("call.ended");
  tell("ended", { messages: ended.messages });
}

/** The socket goes while a tool runs: its result is sent behind the next registration. */
export async function returning(client) {
  let runs = 0;
  const clock = async () => {
    runs++;
    tell("drop");
    await sleep(2000);
    return { time: "ten past nine" };
  };
  const tool = { type: "function", function: { name: "clock", description: "Tells the time.", parameters: {} } };
  const config = { llm: { provider: "openai", model: "gpt-4o", enabled: true, prompt: "Be brief." }, tools: [tool] };
  const [agent, call] = await answered(client, config, { clock }, { greet: () => "Greetings." });
  await call.next("message.confirmed");
  const back = agent.next("call.started");
  tell("speak");
  const again = await back;
  const aborted = again.next("message.aborted");
  await again.next("message.confirmed", (frame) => frame.text.includes("ten past nine"));
  again.send("call.hangup");
  const { messages } = await again.next("call.ended");
  const greetings = messages.filter((message) => message.content === "Greetings.").length;
  tell("ended", { runs, greetings, aborted: (await aborted).reason, roles: messages.map((message) => message.role) });
}

export async function skilled(client) {
  const skills = [
    { name: "time", description: "Tells the time.", instructions: "In words.", tools: [], activation: "model" },
    { name: "desk", description: "For staff.", instructions: "Be short.", tools: [], activation: "manual" },
  ];
  const config = { llm: { provider: "openai", model: "gpt-4o", enabled: true, prompt: "Be brief." }, skills };
  const [agent, call] = await answered(client, config);
  tell("speak");
  await call.next("message.confirmed");
  tell("loaded", { skills: [...call.skills] });
  call.send("skill.load", { skill: "desk" });
  await call.next("skill.loaded");
  call.send("skill.unload", { skill: "time" });
  await call.next("skill.unloaded");
  tell("changed", { skills: [...call.skills] });
  agent.send("agent.configure", { skills: [...skills, { name: "late", description: "Of later calls.", tools: [] }] });
  await agent.next("agent.configured");
  call.send("skill.load", { skill: "late" });
  tell("unknown", { code: (await call.next("server.warning")).code });
  call.send("call.hangup");
  await call.next("call.ended");
}

export async function limited(client) {
  const [agent, call] = await answered(client);
  const warned = [];
  agent.on("session.idle_warning", ({ remaining_seconds: left }) => warned.push(left));
  agent.send("session.pause", { contact: "+1 (555) 000-1111" });
  agent.send("session.resume");
  const paused = await agent.next("session.resumed");
  const sessionLimits = { idleTimeoutSeconds: 1, idleWarningSeconds: 0.5, idleGraceSeconds: 0.3 };
  client.send({ event: "session.configure", session_id: call.id, sessionLimits });
  const timeout = await call.next("session.timeout");
  const farewell = call.say("Good bye.");
  const ended = await call.next("call.ended");
  const seen = agent.seen.filter((name) => name.startsWith("session.paused"));
  tell("ended", { reason: [timeout.reason, ended.reason], warned, farewell: await farewell, paused: [seen.length, paused] });
}

/** Two agents of one process on one number: the developer's own takes the calls of his callers. */
export async function developing(client) {
  await client.connect();
  const desk = client.agent("Front Desk", {}, PHONE);
  const own = client.agent("dev-ada-Front Desk", {}, PHONE);
  own.route(["+1 (555) 000-7777"]);
  await Promise.all([desk, own].map((agent) => agent.next("channel.added")));
  await sleep(200);
  for (const again of [false, true]) {
    const calls = [own, desk].map((agent) => agent.next("call.started"));
    tell(again ? "ring again" : "ring");
    const froms = (await Promise.all(calls)).map(({ started }) => started.from);
    tell(again ? "came again" : "came", { froms });
    if (again) return;
    const added = [desk, own].map((agent) => agent.next("channel.added"));
    tell("drop");
    await Promise.all(added);
    await sleep(200);
  }
}

export async function refused(client) {
  const fault = client.next("error");
  client.connect().catch(() => {});
  const { code, error } = await fault;
  const { code: closed } = await client.next("disconnected");
  client.leaving = true;
  tell("refused", { code, error, closed });
}

export async function conflicting(client) {
  await client.connect();
  const agent = client.agent("My Agent", {}, PHONE);
  const fault = await client.next("error");
  tell("conflict", { code: fault.code, agent_id: fault.agent_id, retry_after_s: fault.retry_after_s });
  await told();
  agent.register();
  await agent.next("channel.added");
  tell("registered");
}
