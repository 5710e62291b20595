/**
 * What a page is told of its call, understood: the server's messages in, public events and a view out. Pure: no clock, no
 * network, no DOM. Time is an argument, in milliseconds.
 */

import type { AgentState, Told, TurnLatency } from "./events.ts";
import { Listening } from "./listening.ts";
import { Messages } from "./messages.ts";
import { Mind } from "./mind.ts";
import { type ConversationView, EMPTY } from "./view.ts";
import type { PageEvent, PageTurnEnd } from "./wire.ts";

/** Of the latencies the last so many are kept. */
const MAX_KEPT = 200;

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
  readonly #mind = new Mind();
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
      tools: this.#mind.tools,
      reasoning: this.#mind.reasoning,
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
        // It comes again where another agent goes on with the call.
        this.#set({ language: event.language, agentId: event.agent_id });
        return [];
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
        return this.#mind.asked(event);
      case "tool.started":
        return this.#mind.askedHere(event);
      case "llm.tool_result":
        return this.#mind.given(event);
      case "llm.reasoning":
        return this.#mind.thought(event);
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
}

function warning(code: string, message: string): Told {
  return { name: "server.warning", data: { code, message } };
}
