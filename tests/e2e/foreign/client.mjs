// A client of the agent socket in another language, written from the list of frames that clients of older servers
// send and expect: no protocol version, camelCase here and there, ids as their developers type them. It is as
// strict as such clients are: what it would drop or trip over is reported as a violation.
//
//   node client.mjs URL KEY SCENARIO     one JSON object a line to stdout; lines on stdin let it go on

import { createInterface } from "node:readline";

import * as scenarios from "./scenarios.mjs";

const modules = process.env.TALKWIRE_NODE_MODULES;
const Socket = modules ? (await import(new URL(`file://${modules}/ws/wrapper.mjs`))).WebSocket : globalThis.WebSocket;

const BEHIND_THE_END = new Set(["call.ended"]);
const OF_NO_AGENT = new Set(["connected", "authenticated", "ping", "pong", "error", "session.configured"]);

export function tell(step, fields = {}) {
  process.stdout.write(JSON.stringify({ step, ...fields }) + "\n");
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
/** The next line that the test writes. */
export const told = async () => (await input.next()).value;

const slug = (id) =>
  id.trim().toLowerCase().replace(/[_\s]+/g, "-").replace(/[^a-z0-9-]/g, "").replace(/-+/g, "-").replace(/^-|-$/g, "");

let counter = 0;
const messageId = () => `msg_${(++counter).toString(36).padStart(12, "0")}`;

/** What tells of itself: `await thing.next("turn.end")`, `thing.on("turn.end", f)`. */
class Emitter {
  #handlers = new Map();
  seen = [];

  on(name, handler) {
    this.#handlers.set(name, [...(this.#handlers.get(name) ?? []), handler]);
  }

  emit(name, value) {
    this.seen.push(name);
    for (const handler of [...(this.#handlers.get(name) ?? [])]) handler(value);
  }

  next(name, fits = () => true, ms = 20000) {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`no ${name} in ${ms} ms; seen ${this.seen.join(" ")}`)), ms);
      let done = false;
      this.on(name, (value) => {
        if (done || !fits(value)) return;
        done = true;
        clearTimeout(late);
        resolve(value);
      });
    });
  }
}

export class Call extends Emitter {
  #saying = new Map();
  #requests = new Map();
  transcript = [];
  skills = new Set();
  last = "";

  constructor(agent, started) {
    super();
    Object.assign(this, { agent, id: started.call_id, started });
  }

  send(event, fields = {}) {
    this.agent.post({ event, call_id: this.id, ...fields });
  }

  /** Resolves when it has been heard or cut off. */
  say(text, fields = {}) {
    const id = messageId();
    this.send("bot.reply", { message_id: id, text, in_reply_to: "", ...fields });
    const settled = new Promise((resolve) => this.#saying.set(id, resolve));
    return Object.assign(settled, { id });
  }

  reply(text, inReplyTo = this.last) {
    const id = messageId();
    this.send("bot.reply", { message_id: id, text, in_reply_to: inReplyTo });
    return id;
  }

  stream(inReplyTo = this.last) {
    const id = messageId();
    const step = (action, fields = {}) => this.send("bot.reply.stream", { message_id: id, action, ...fields });
    let begun = false;
    const begin = () => begun || ((begun = true), step("start", { in_reply_to: inReplyTo }));
    return { id, write: (token) => (begin(), step("chunk", { token })), end: () => (begin(), step("end")) };
  }

  /** A question about the history: the answer has the same request_id. */
  request(event, fields = {}) {
    const id = `rq_${(++counter).toString(36)}_abcdef`;
    this.send(event, { request_id: id, ...fields });
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`REQUEST_TIMEOUT ${event}`)), 10000);
      this.#requests.set(id, (answer) => {
        clearTimeout(late);
        answer.error ? reject(new Error(answer.error)) : resolve(answer.messages ?? answer.count);
      });
    });
  }

  take(frame) {
    const { event } = frame;
    if (event === "bot.finished" || event === "bot.interrupted") {
      this.#saying.get(frame.message_id)?.({ interrupted: event === "bot.interrupted" });
      this.#saying.delete(frame.message_id);
    } else if (event === "user.message" || event === "eager.turn" || event === "turn.end") {
      this.last = frame.message_id ?? this.last;
      if (event === "user.message") this.transcript.push({ role: "user", content: frame.text });
    } else if (event === "message.confirmed" && frame.text) {
      this.transcript.push({ role: "assistant", content: frame.text });
    } else if (event === "history.data" || event === "history.updated") {
      this.#requests.get(frame.request_id)?.(frame);
    } else if (event === "llm.before") {
      this.send("llm.ready", { agent_id: this.agent.id, ...("turn" in frame ? { turn: frame.turn } : {}) });
    } else if (event === "llm.tool_call") {
      const batch = frame.msg_id ?? frame.message_id;
      if (!this.agent.ran.has(batch)) this.#runTools(frame);
      this.agent.ran.add(batch);
    } else if (event === "skill.loaded" || event === "skill.unloaded") {
      this.skills[event === "skill.loaded" ? "add" : "delete"](frame.skill);
    } else if (event === "call.ended") {
      if (frame.messages?.length) this.transcript = frame.messages;
      for (const resolve of this.#saying.values()) resolve({ interrupted: true });
    }
    this.emit(event, frame);
  }

  async #runTools(frame) {
    const results = [];
    for (const call of frame.tool_calls) {
      const tool = this.agent.tools[call.name ?? call.function.name];
      const text = call.arguments ?? call.function.arguments;
      const result = tool ? await tool(JSON.parse(text)) : { error: `Unknown tool: ${call.name}` };
      results.push({ tool_call_id: call.id, result });
    }
    this.send("llm.tool_result", { msg_id: frame.msg_id ?? frame.message_id, results });
  }
}

class Agent extends Emitter {
  calls = new Map();
  ready = false;
  ran = new Set();
  callers = [];
  greet = null;
  #waiting = [];

  constructor(client, id, config, channels, tools) {
    super();
    Object.assign(this, { client, id, config, channels, tools });
  }

  register() {
    this.client.send({ event: "agent.create", agent_id: this.id, ...this.config });
  }

  send(event, fields = {}) {
    this.post({ event, agent_id: this.id, ...fields });
  }

  /** What is said while the agent is not registered is said when it is, also for calls of before. */
  post(frame) {
    if (this.ready) this.client.send(frame);
    else this.#waiting.push(frame);
  }

  /** These callers are a developer's; told again behind each registration, without an agent. */
  route(callers) {
    this.callers = callers;
    if (this.ready) this.client.send({ event: "dev.config", callers });
  }

  created() {
    this.ready = true;
    for (const channel of this.channels) this.send("channel.add", channel);
    if (this.callers.length) this.client.send({ event: "dev.config", callers: this.callers });
    for (const frame of this.#waiting.splice(0)) this.client.send(frame);
    this.emit("ready");
  }

  gone(reason) {
    this.ready = false;
    for (const call of this.calls.values()) call.emit("lost", reason);
    this.calls.clear();
  }

  take(frame) {
    const { event, call_id: id } = frame;
    if (event === "agent.created" || event === "agent.resumed") return this.created();
    if (event === "call.started") {
      const call = new Call(this, frame);
      this.calls.set(id, call);
      if (this.greet) call.say(this.greet(call), { add_to_history: true });
      return this.emit(event, call);
    }
    const call = this.calls.get(id);
    if (id && !call) return this.client.violation(`${event} for a call that is unknown or over`);
    if (call) {
      call.take(frame);
      if (BEHIND_THE_END.has(event)) this.calls.delete(id);
    }
    this.emit(event, frame);
  }
}

export class Client extends Emitter {
  agents = new Map();
  violations = [];
  #socket = null;
  #attempt = 0;

  constructor(url, key) {
    super();
    Object.assign(this, { url: `${url.replace(/\/+$/, "")}/client`, key, leaving: false });
  }

  connect() {
    const socket = new Socket(this.url);
    this.#socket = socket;
    socket.addEventListener("open", () => this.send({ event: "connect", api_key: this.key }));
    socket.addEventListener("message", ({ data }) => this.#take(data));
    socket.addEventListener("error", () => {});
    socket.addEventListener("close", ({ code, reason }) => this.#closed(code, reason));
    return this.next("connected");
  }

  agent(id, config = {}, channels = [], tools = {}) {
    const agent = new Agent(this, id, config, channels, tools);
    this.agents.set(id, agent);
    if (this.#attempt === 0) agent.register();
    return agent;
  }

  send(frame) {
    if (this.#socket?.readyState === 1) this.#socket.send(JSON.stringify(frame));
  }

  disconnect() {
    this.leaving = true;
    this.#socket.close(1000, "client_disconnect");
  }

  violation(text) {
    this.violations.push(text);
  }

  #take(data) {
    if (typeof data !== "string") return this.violation("a binary frame");
    const frame = JSON.parse(data);
    const { event } = frame;
    if (typeof event !== "string") return this.violation(`no event in ${data}`);
    for (const [key, value] of Object.entries(frame)) {
      if (value === null) this.violation(`${event}.${key} is null`);
    }
    if (event === "connected") {
      this.#attempt = 0;
      for (const agent of this.agents.values()) agent.register();
      return this.emit(event, frame);
    }
    if (event === "ping") this.send({ event: "pong" });
    if (event === "error") return this.#fault(frame);
    const agent = this.#agentOf(frame);
    if (agent) return agent.take(frame);
    if (!OF_NO_AGENT.has(event)) this.violation(`${event} without a known agent_id: ${data.slice(0, 120)}`);
    this.emit(event, frame);
  }

  #agentOf({ agent_id: id, call_id: callId }) {
    if (typeof id === "string") {
      const bare = id.slice(id.lastIndexOf(":") + 1);
      return [...this.agents.values()].find((agent) => agent.id === id || slug(agent.id) === slug(bare));
    }
    return [...this.agents.values()].find((agent) => agent.calls.has(callId));
  }

  /** Errors of a registration are matched by the id as it was typed. */
  #fault(frame) {
    const agent = this.agents.get(frame.agent_id);
    if (agent && ["AGENT_CONFLICT", "AGENT_IN_USE"].includes(frame.code)) {
      setTimeout(() => agent.register(), 1000 * Math.min(frame.retry_after_s ?? 5, 60) * (0.85 + 0.3 * Math.random()));
    }
    this.emit("error", frame);
  }

  async #closed(code, reason) {
    for (const agent of this.agents.values()) agent.gone(reason || "connection_lost");
    this.emit("disconnected", { code, reason });
    if (this.leaving || /displaced/i.test(reason)) return;
    const delay = Math.min(1000 * 2 ** this.#attempt++, 30000) * (1 + 0.25 * Math.random());
    await sleep(delay);
    if (!this.leaving) this.connect().catch(() => {});
  }
}

const [url, key, name] = process.argv.slice(2);
const client = new Client(url, key);
try {
  await scenarios[name](client);
  tell("done", { violations: client.violations });
  process.exit(0);
} catch (error) {
  tell("failed", { error: String(error), violations: client.violations });
  process.exit(1);
}
