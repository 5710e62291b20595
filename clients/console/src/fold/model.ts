/** What is known of one call, folded from its events. All times are milliseconds since `call.started`. */

/** An event as the server tells it. Only what every event of a call carries is typed; the rest is read by `read.ts`. */
export interface WireEvent {
  readonly event: string;
  readonly seq: number;
  /** Epoch seconds. */
  readonly ts: number;
  readonly call_id?: string;
  readonly turn_id?: number;
  readonly [field: string]: unknown;
}

export type AgentState = "idle" | "listening" | "thinking" | "speaking";

/** A stretch of the user's voice. */
export interface Speech {
  readonly id: number;
  readonly seq: number;
  readonly turnId: number;
  readonly startMs: number;
  endMs: number | null;
}

/** A part of a message that was heard without a break. */
export interface Played {
  readonly startMs: number;
  endMs: number | null;
}

export type MessageState = "waiting" | "speaking" | "paused" | "finished" | "interrupted";

export interface Message {
  readonly id: string;
  seq: number;
  turnId: number | null;
  state: MessageState;
  /** The first sound in the caller's ear; null: nothing was heard yet. */
  startMs: number | null;
  endMs: number | null;
  played: Played[];
  playedMs: number;
  /** The words that began to be heard, by their index. */
  words: string[];
  /** The text, where it was told in one piece, and as the sentences that went to the voice. */
  text: string;
  sentences: string[];
  /** Why it was cut off, and what became of it. */
  reason: string | null;
  confirmed: string | null;
  aborted: string | null;
  /** The person who had it said; null: the bot. */
  by: string | null;
}

/** A person speaks in the bot's place; not yet `active` while the bot finishes. */
export interface Handoff {
  readonly by: string;
  readonly active: boolean;
}

/** What was said in one go; a turn that the bot broke into has several. */
export interface Saying {
  readonly turnId: number;
  readonly seq: number;
  readonly startMs: number;
  /** What earlier parts of the same turn had: the events always tell all of the turn. */
  readonly base: string;
  text: string;
  /** The part of `text` that will not change any more. */
  settled: string;
  final: boolean;
  typed: boolean;
}

export interface Metrics {
  readonly messageId: string;
  readonly seq: number;
  readonly totalMs: number | null;
  readonly endpointingMs: number | null;
  readonly sttMs: number | null;
  readonly llmMs: number | null;
  readonly agentMs: number | null;
  readonly ttsMs: number | null;
  readonly transportMs: number | null;
  readonly slowest: string | null;
}

export interface Turn {
  readonly id: number;
  startMs: number;
  /** The end of the voice that the last signal counted from. */
  voiceEndMs: number | null;
  eagerMs: number | null;
  endMs: number | null;
  endSeq: number | null;
  reason: string | null;
  probability: number | null;
  text: string;
  answerMs: number | null;
  /** It was told how long an answer took, which is told once; `turn.continued` may have made that answer void. */
  measured: boolean;
  metrics: Metrics | null;
  completedMs: number | null;
  interrupted: boolean;
  unanswered: boolean;
}

export interface ToolRun {
  readonly id: string;
  readonly seq: number;
  readonly turnId: number | null;
  readonly name: string;
  readonly kind: string;
  readonly arguments: unknown;
  readonly startMs: number;
  endMs: number | null;
  result: unknown;
  error: string | null;
}

/** The caller is not heard (`muted`), or neither side is (`held`). */
export interface Quiet {
  readonly kind: "muted" | "held";
  readonly by: string;
  readonly seq: number;
  readonly startMs: number;
  endMs: number | null;
}

export type MarkKind =
  | "eager"
  | "turn-end"
  | "continued"
  | "cut"
  | "dtmf"
  | "error"
  | "warning"
  | "rejected"
  | "idle"
  | "skill"
  | "end";

/** Something that happened at an instant. */
export interface Mark {
  readonly kind: MarkKind;
  readonly seq: number;
  readonly ms: number;
  readonly label: string;
}

export type Entry =
  | { readonly kind: "user"; readonly said: Saying }
  | { readonly kind: "bot"; readonly message: Message }
  | { readonly kind: "tool"; readonly tool: ToolRun }
  | { readonly kind: "note"; readonly seq: number; readonly ms: number; readonly tone: "info" | "bad"; readonly text: string };

export interface Ending {
  readonly reason: string;
  readonly detail: string | null;
  readonly ms: number;
}

export interface Call {
  /** Epoch seconds of `call.started`; of the first event where that was lost. */
  startTs: number | null;
  /** The latest time that any event told of. */
  lastMs: number;
  lastSeq: number;
  /** Events that are missing between those that came. */
  lost: number;
  /** It rings here, or there; null: it was taken, or is over. */
  calling: "ringing" | "dialing" | null;
  agentState: AgentState | null;
  ready: boolean;
  language: string | null;
  ending: Ending | null;
  handoff: Handoff | null;
  /** Where the recording begins, milliseconds of the call. */
  recordingStartMs: number;
  events: WireEvent[];
  entries: Entry[];
  speech: Speech[];
  messages: Map<string, Message>;
  turns: Map<number, Turn>;
  tools: Map<string, ToolRun>;
  quiet: Quiet[];
  marks: Mark[];
}

export function emptyCall(startTs: number | null = null): Call {
  return {
    startTs,
    lastMs: 0,
    lastSeq: 0,
    lost: 0,
    calling: null,
    agentState: null,
    ready: false,
    language: null,
    ending: null,
    handoff: null,
    recordingStartMs: 0,
    events: [],
    entries: [],
    speech: [],
    messages: new Map(),
    turns: new Map(),
    tools: new Map(),
    quiet: [],
    marks: [],
  };
}
