/** What a page is told by a session: the name of each event, and what comes with it. Times are milliseconds. */

import type { CloseReason } from "./reasons.ts";
import type { PageEvent } from "./wire.ts";

export type AgentState = "idle" | "listening" | "thinking" | "speaking";
export type Status = "idle" | "connecting" | "connected" | "reconnecting" | "closed";
export type Role = "user" | "bot";

/** One utterance, as far as it was understood or heard. */
export interface Message {
  /** Unique in the call. */
  readonly id: string;
  readonly role: Role;
  /** Of the user: what was understood, the last words may still change. Of the bot: what was heard. */
  readonly text: string;
  /** It does not change any more, unless the user goes on. */
  readonly final: boolean;
  /** The bot was cut off. */
  readonly interrupted: boolean;
  /** False: final, and no part of the history, for hardly anything of it was heard. */
  readonly kept: boolean;
  /** The user's turn that it belongs to. */
  readonly correlationId: string | undefined;
  /** When it began, epoch milliseconds, by the server's clock. */
  readonly startedAt: number;
}

/** What the model thought for one message, where the agent lets pages see that. */
export interface Reasoning {
  /** The message that it thought about. */
  readonly id: string;
  readonly text: string;
  readonly final: boolean;
}

export interface ToolCall {
  /** What its result names. */
  readonly id: string;
  /** What was asked for together with it. */
  readonly batchId: string;
  readonly name: string;
  readonly arguments: Readonly<Record<string, unknown>>;
  /** This page is to run it: call `answer`. */
  readonly runHere: boolean;
  readonly correlationId: string | undefined;
}

export interface ToolResult {
  readonly id: string;
  readonly batchId: string;
  readonly name: string;
  /** Any JSON; null where it is too large for a page. */
  readonly result: unknown;
  /** Why it failed, if it did. */
  readonly error: string | undefined;
}

/** How long the user waited for the answer to a turn. */
export interface TurnLatency {
  readonly turnId: number;
  readonly correlationId: string;
  /** From the end of the user's voice to the decision that the turn is over. */
  readonly endpointingMs: number;
  /** From the end of the user's voice to the first word of the bot in the ear. */
  readonly responseMs: number;
}

export interface Closed {
  readonly reason: CloseReason;
  /** For the user: what happened, and what to do. */
  readonly message: string;
  /** What the server or the browser said, for a log. */
  readonly detail: string | undefined;
  /** Calling again may help. */
  readonly retryable: boolean;
}

export interface Events {
  /** The call has an audio connection and a data channel. `resumed`: the same call as before, after a loss. */
  "connection.established": { readonly callId: string; readonly resumed: boolean };
  /** The network went; the call is kept for a while, and a new connection is being made. */
  "connection.lost": { readonly cause: string };
  /** The end, once for each `connect()`. */
  "connection.closed": Closed;
  /** The agent listens. */
  "session.ready": { readonly callId: string; readonly agentId: string };
  /** The browser asks the user for the microphone, or would where it has to. */
  "mic.pending": Record<string, never>;
  "mic.granted": Record<string, never>;
  "mic.denied": { readonly message: string };
  /** The microphone gives audio. */
  "input.started": { readonly stream: MediaStream; readonly deviceId: string; readonly label: string };
  /** Another microphone or loudspeaker is used from now on. */
  "device.changed": {
    readonly kind: "input" | "output";
    readonly deviceId: string;
    readonly label: string;
  };
  /** Devices were connected or taken away: ask `listDevices()`. */
  "devices.available": Record<string, never>;
  /** The bot's audio arrives. Comes again after a loss. */
  "audio.started": { readonly stream: MediaStream };
  /** The browser does not play sound before the user has touched the page: call `resumeAudio()` from a click. */
  "audio.blocked": Record<string, never>;
  /** It plays. */
  "audio.playing": Record<string, never>;
  /** Loudness of one side, where the agent asks for it. */
  "audio.level": { readonly source: Role; readonly db: number; readonly peak: number; readonly isSpeech: boolean };
  "user.speech.started": { readonly correlationId: string; readonly segmentId: number; readonly at: number };
  /** `lost`: the end was never told, and nothing else came either; the microphone or the network may be dead. */
  "user.speech.ended": {
    readonly correlationId: string;
    readonly segmentId: number;
    readonly durationMs: number | undefined;
    readonly lost: boolean;
  };
  /** For an indicator: as `user.speech.*`, but held for a moment, so that it does not flicker at each pause. */
  listening: { readonly active: boolean };
  /** A message began, grew, or got better. `delta`: what is new at its end, where it only grew. */
  message: { readonly message: Message; readonly delta: string };
  /** What was understood turned out to be nothing. */
  "message.removed": { readonly id: string };
  /** All that was said, each time one of the two has finished. */
  history: readonly Message[];
  "bot.speech.started": { readonly messageId: string; readonly correlationId: string | undefined };
  "bot.speech.ended": {
    readonly messageId: string;
    readonly correlationId: string | undefined;
    readonly interrupted: boolean;
    readonly playedMs: number;
  };
  /** The bot was cut off. */
  "talk.interrupted": {
    readonly messageId: string;
    readonly correlationId: string | undefined;
    readonly reason: "early" | "user_spoke" | "cancelled";
    readonly playedMs: number;
  };
  "agent.state": { readonly state: AgentState; readonly previous: AgentState };
  "turn.latency": TurnLatency;
  /** A tool is asked for. Where `runHere`, answer it. */
  "tool.call": ToolCall & { readonly answer: (result: unknown) => Promise<void> };
  "tool.result": ToolResult;
  reasoning: { readonly reasoning: Reasoning; readonly delta: string };
  "reasoning.history": readonly Reasoning[];
  /** The user is not listened to, or is again. */
  mute: { readonly muted: boolean; readonly by: "user" | "agent" };
  /** The call is on hold, by its agent or for want of a network. */
  hold: { readonly held: boolean; readonly by: "agent" | "network" };
  /** Nobody has spoken for long: the call ends soon. */
  "idle.warning": { readonly remainingMs: number };
  /** Something that was asked for had no effect. */
  "server.warning": { readonly code: string; readonly message: string };
  /** `view` is another one. */
  change: Record<string, never>;
  /** Every message of the server as it came. */
  wire: PageEvent;
}

export type EventName = keyof Events;

/** One event, as the parts without a page make it. */
export type Told = { [Name in EventName]: { readonly name: Name; readonly data: Events[Name] } }[EventName];
