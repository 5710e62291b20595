/**
 * What a page is told of its call, understood: the server's messages in, public events and a view out. Pure: no clock, no
 * network, no DOM. Time is an argument, in milliseconds.
 */

import type { AgentState, Message, Reasoning, Told, ToolCall, ToolResult, TurnLatency } from "./events.ts";
import { Listening } from "./listening.ts";
import { Messages } from "./messages.ts";
import type { PageEvent, PageLlmReasoning, PageLlmToolCall, PageToolStarted, PageTurnEnd } from "./wire.ts";

/** Of tools, latencies and thoughts the last so many are kept. */
const MAX_KEPT = 200;

export interface ToolUse {
  readonly call: ToolCall;
  readonly result: ToolResult | undefined;
}

/** All that is known of the conversation. Another object whenever something has changed. */
export interface ConversationView {
  readonly callId: string;
  readonly agentId: string;
  readonly language: string | undefined;
  readonly ready: boolean;
  readonly agentState: AgentState;
  /** The user's voice is heard. */
  readonly userSpeaking: boolean;
  /** The same, held over short pauses, for an indicator. */
  readonly listening: boolean;
  readonly botSpeaking: boolean;
  readonly messages: readonly Message[];
  readonly tools: readonly ToolUse[];
  readonly reasoning: readonly Reasoning[];
  readonly latencies: readonly TurnLatency[];
  /** Who has switched the user's voice off. */
  readonly mutedBy: "user" | "agent" | undefined;
  readonly heldBy: "agent" | "network" | undefined;
  /** Until the call ends if nobody speaks. */
  readonly idleRemainingMs: number | undefined;
  /** The server's word for why the call is over. */
  readonly ended: string | undefined;
}

export const EMPTY: ConversationView = {
  callId: "",
  agentId: "",
  language: undefined,
  ready: false,
  agentState: "idle",
  userSpeaking: false,
  listening: false,
  botSpeaking: false,
  messages: [],
  tools: [],
  reasoning: [],
  latencies: [],
  mutedBy: undefined,
  heldBy: undefined,
  idleRemainingMs: undefined,
  ended: undefined,
};

export interface ConversationOptions {
  /** How long `listening` is held after the voice has ended. */
  readonly listeningHoldMs: number;
  /** After so long without any message a voice counts as gone. */
  readonly speechTimeoutMs: number;
}

interface Speaking {
  readonly messageId: string;
  readonly correlationId: string | undefined;
}

export class Conversation {
  #view: ConversationView = EMPTY;
  readonly #messages = new Messages();
  readonly #listening: Listening;
  #speaking: Speaking | undefined;
  /** The turn that is over and was not answered yet. */
  #owed: PageTurnEnd | undefined;
  /** The last event that is known: what comes again is not told again. */
  #seq = 0;

  constructor(options: ConversationOptions) {
    this.#listening = new Listening(options.listeningHoldMs, options.speechTimeoutMs);
  }

  get view(): ConversationView {
    return this.#view;
  }

  /** What the server need not tell again. */
  get lastSeq(): number {
    return this.#seq;
  }

  /** When `tick` has something to do. */
  get deadline(): number | undefined {
    return this.#listening.deadline;
  }

  /** A message of the server. */
  receive(event: PageEvent, now: number): Told[] {
    this.#listening.alive(now);
    if ("seq" in event) {
      // A tool's result has the number of the event that it was made from, as has that event.
      if (event.seq <= this.#seq) return [];
      this.#seq = event.seq;
    }
    return this.#looked([{ name: "wire", data: event }, ...this.#understood(event, now)]);
  }

  tick(now: number): Told[] {
    const told = this.#listening.tick(now);
    const lost = told.some(({ name, data }) => name === "user.speech.ended" && data.lost);
    if (lost) told.push(warning("SPEECH_LOST", "Nothing is heard of you any more: check the microphone."));
    return told.length ? this.#looked(told) : [];
  }

  /** The call is over: whatever is open ends. */
  close(now: number): Told[] {
    return this.#looked([...this.#listening.close(now), ...this.#silent(true, 0), ...this.#state("idle")]);
  }

  /** `told`, with the view that follows from it. */
  #looked(told: Told[]): Told[] {
    this.#set({
      messages: this.#messages.list,
      userSpeaking: this.#listening.speaking,
      listening: this.#listening.active,
      botSpeaking: this.#speaking !== undefined,
    });
    return told;
  }

  #set(change: Partial<ConversationView>): void {
    const keys = Object.keys(change) as (keyof ConversationView)[];
    if (keys.some((key) => this.#view[key] !== change[key])) this.#view = { ...this.#view, ...change };
  }

  #understood(event: PageEvent, now: number): Told[] {
    switch (event.event) {
      case "session.connected":
        this.#set({ callId: event.call_id, agentId: event.agent_id });
        return [];
      case "call.started":
      case "call.updated":
        this.#set({ language: event.language });
        return [];
      case "session.ready":
        this.#set({ ready: true });
        return [{ name: "session.ready", data: { callId: this.#view.callId, agentId: this.#view.agentId } }];
      case "call.ended":
        this.#set({ ended: event.reason });
        return [];
      case "session.timeout":
        this.#set({ ended: this.#view.ended ?? event.reason });
        return [];
      case "session.idle_warning":
        this.#set({ idleRemainingMs: event.remaining_seconds * 1000 });
        return [{ name: "idle.warning", data: { remainingMs: event.remaining_seconds * 1000 } }];
      case "agent.state":
        return this.#state(event.state);
      case "error":
        return [warning(event.code, event.error)];
      case "audio.metrics": {
        const { source, energy_db: db, peak, is_speech: isSpeech } = event;
        return [{ name: "audio.level", data: { source, db, peak, isSpeech } }];
      }
      case "call.muted":
      case "call.unmuted":
      case "call.held":
      case "call.unheld":
        return this.#quiet(event.event, "by" in event ? event.by : undefined);
      default:
        return this.#said(event, now);
    }
  }

  #said(event: PageEvent, now: number): Told[] {
    switch (event.event) {
      case "speech.started": {
        this.#set({ idleRemainingMs: undefined });
        const segment = { correlationId: event.correlation_id, segmentId: event.segment_id };
        return this.#listening.started(segment, event.timestamp * 1000, now);
      }
      case "speech.ended":
        return this.#listening.ended(event.segment_id, event.duration_ms, now);
      case "user.speaking":
      case "user.message":
        this.#set({ idleRemainingMs: undefined });
        return this.#messages.user(event.correlation_id, event.text, event.ts * 1000, false);
      case "turn.end":
        this.#owed = event;
        return this.#messages.user(event.correlation_id, event.text, event.ts * 1000, true);
      case "turn.continued":
        this.#owed = undefined;
        return this.#messages.reopened(event.correlation_id);
      default:
        return this.#heard(event);
    }
  }

  #heard(event: PageEvent): Told[] {
    switch (event.event) {
      case "bot.speaking": {
        const before = this.#silent(false, 0);
        this.#speaking = { messageId: event.message_id, correlationId: event.correlation_id };
        const told = this.#messages.bot(event.message_id, event.text, event.correlation_id, event.ts * 1000);
        return [...before, { name: "bot.speech.started", data: this.#speaking }, ...told];
      }
      case "bot.word":
        return [...this.#messages.word(event.message_id, event.word, event.ts * 1000), ...this.#answered(event.ts)];
      case "bot.resumed":
        return this.#messages.forgetUnfinished();
      case "bot.finished":
        return this.#silent(false, event.duration_ms, event.message_id);
      case "bot.interrupted": {
        const { message_id: messageId, correlation_id: correlationId, reason, played_ms: playedMs } = event;
        const told = [...this.#silent(true, playedMs, messageId), ...this.#messages.interrupted(messageId)];
        return [...told, { name: "talk.interrupted", data: { messageId, correlationId, reason, playedMs } }];
      }
      case "message.confirmed":
        return this.#messages.confirmed(event.message_id, event.text, event.ts * 1000);
      case "message.aborted":
        return this.#messages.aborted(event.message_id);
      case "llm.tool_call":
        return event.tool_calls.flatMap((call) => this.#asked(readCall(call, event)));
      case "tool.started":
        return this.#asked(hereCall(event));
      case "llm.tool_result": {
        const { tool_call_id: id, msg_id: batchId, name, result } = event;
        return this.#given({ id, batchId, name, result: result ?? null, error: errorOf(result) });
      }
      case "llm.reasoning":
        return this.#thought(event);
      default:
        return [];
    }
  }

  #state(state: AgentState): Told[] {
    const previous = this.#view.agentState;
    if (state === previous) return [];
    this.#set({ agentState: state });
    const quiet = state === "idle" && !this.#listening.speaking;
    return [{ name: "agent.state", data: { state, previous } }, ...(quiet ? this.#messages.forgetUnfinished() : [])];
  }

  /** The bot falls silent: what it said last, or the message of this id, is over. */
  #silent(interrupted: boolean, playedMs: number, messageId = this.#speaking?.messageId): Told[] {
    if (!this.#speaking || this.#speaking.messageId !== messageId) return [];
    const { correlationId } = this.#speaking;
    this.#speaking = undefined;
    return [{ name: "bot.speech.ended", data: { messageId, correlationId, interrupted, playedMs } }];
  }

  #answered(ts: number): Told[] {
    const turn = this.#owed;
    if (!turn) return [];
    this.#owed = undefined;
    const responseMs = Math.round(turn.latency_ms + (ts - turn.ts) * 1000);
    const { turn_id: turnId, correlation_id: correlationId, latency_ms: endpointingMs } = turn;
    const data: TurnLatency = { turnId, correlationId, endpointingMs, responseMs };
    this.#set({ latencies: [...this.#view.latencies, data].slice(-MAX_KEPT) });
    return [{ name: "turn.latency", data }];
  }

  #quiet(what: "call.muted" | "call.unmuted" | "call.held" | "call.unheld", by: string | undefined): Told[] {
    if (what === "call.muted" || what === "call.unmuted") {
      const muted = what === "call.muted";
      const who = muted ? (by === "user" ? "user" : "agent") : (this.#view.mutedBy ?? "user");
      this.#set({ mutedBy: muted ? who : undefined });
      return [{ name: "mute", data: { muted, by: who } }];
    }
    const held = what === "call.held";
    const who = held ? (by === "network" ? "network" : "agent") : (this.#view.heldBy ?? "agent");
    this.#set({ heldBy: held ? who : undefined });
    return [{ name: "hold", data: { held, by: who } }];
  }

  #asked(call: ToolCall): Told[] {
    if (this.#view.tools.some((use) => use.call.id === call.id && use.call.batchId === call.batchId)) return [];
    this.#set({ tools: [...this.#view.tools, { call, result: undefined }].slice(-MAX_KEPT) });
    // Where it is to be answered, the shell puts in how.
    return [{ name: "tool.call", data: { ...call, answer: () => Promise.resolve() } }];
  }

  #given(result: ToolResult): Told[] {
    const tools = this.#view.tools.map((use) => (use.call.id === result.id && use.call.batchId === result.batchId ? { ...use, result } : use));
    this.#set({ tools });
    return [{ name: "tool.result", data: result }];
  }

  #thought(event: PageLlmReasoning): Told[] {
    const before = this.#view.reasoning.find((thought) => thought.id === event.message_id);
    const others = this.#view.reasoning.filter((thought) => thought !== before);
    const reasoning = { id: event.message_id, text: (before?.text ?? "") + event.text, final: event.end };
    const all = [...others, reasoning].slice(-MAX_KEPT);
    this.#set({ reasoning: all });
    const told: Told[] = [{ name: "reasoning", data: { reasoning, delta: event.text } }];
    return event.end ? [...told, { name: "reasoning.history", data: all }] : told;
  }
}

function warning(code: string, message: string): Told {
  return { name: "server.warning", data: { code, message } };
}

function readCall(call: PageLlmToolCall["tool_calls"][number], event: PageLlmToolCall): ToolCall {
  let given: unknown;
  try {
    given = JSON.parse(call.arguments);
  } catch {
    given = undefined;
  }
  const readable = typeof given === "object" && given !== null && !Array.isArray(given);
  const args = readable ? (given as Record<string, unknown>) : {};
  const { msg_id: batchId, correlation_id: correlationId } = event;
  return { id: call.id, batchId, name: call.name, arguments: args, runHere: false, correlationId };
}

function hereCall(event: PageToolStarted): ToolCall {
  const { tool_call_id: id, msg_id: batchId, name, arguments: args, correlation_id: correlationId } = event;
  return { id, batchId, name, arguments: args, runHere: true, correlationId };
}

function errorOf(result: unknown): string | undefined {
  if (typeof result !== "object" || result === null || Object.keys(result).length !== 1) return undefined;
  const { error } = result as { error?: unknown };
  return typeof error === "string" ? error : undefined;
}
