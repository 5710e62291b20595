/** What travels on the data channel of a call. Made by generate.py from the server's schema; do not edit. */

/**
 * A call was answered and its audio flows. First event of a call that neither rang for its agent nor was dialled.
 * Of a line it comes when the caller has had the time to dial an extension. An agent that a call is handed over to
 * is told of it as of a new one, with `routed_from`; the `seq` of the call goes on. Sent once more to an agent that
 * connects again while the call goes on.
 */
export interface PageCallStarted {
  event: "call.started";
  /** The agent that has the call. */
  agent_id: string;
  /** The call. On the phone it is the carrier's own id. */
  call_id: string;
  /** Place among the events of this call, from 1, without gaps. */
  seq: number;
  /** When the event was made, epoch seconds. */
  ts: number;
  /** The user's turn it belongs to, from 1; absent outside of a turn. */
  turn_id?: number;
  /** Id of that turn: the same on each of its events, unique among calls. */
  correlation_id?: string;
  /** Who called: `inbound` is the other side. */
  direction: "inbound" | "outbound";
  /** How the audio travels; `bridge`: to another agent, in memory. */
  transport: "phone" | "webrtc" | "bridge";
  /** Language of the call, BCP-47 base tag. */
  language?: string;
}

/**
 * The engines of the call are warm, or did not get so within 5 s, and the caller is listened to. Once in a call;
 * not in one that ends before.
 */
export interface PageSessionReady {
  event: "session.ready";
  /** The call. On the phone it is the carrier's own id. */
  call_id: string;
  /** Place among the events of this call, from 1, without gaps. */
  seq: number;
  /** When the event was made, epoch seconds. */
  ts: number;
  /** The user's turn it belongs to, from 1; absent outside of a turn. */
  turn_id?: number;
  /** Id of that turn: the same on each of its events, unique among calls. */
  correlation_id?: string;
}

/**
 * Whose move it is; told on each change, right behind what changed it. The first is `idle`, right behind
 * `session.created`.
 */
export interface PageAgentState {
  event: "agent.state";
  /** The call. On the phone it is the carrier's own id. */
  call_id: string;
  /** Place among the events of this call, from 1, without gaps. */
  seq: number;
  /** When the event was made, epoch seconds. */
  ts: number;
  /** The user's turn it belongs to, from 1; absent outside of a turn. */
  turn_id?: number;
  /** Id of that turn: the same on each of its events, unique among calls. */
  correlation_id?: string;
  /**
   * `listening`: the user speaks, or pauses within a turn, also over a bot that has paused; `thinking`: an answer
   * is owed or being made; `speaking`: the bot is heard; `idle`: none of these, and while the call is on hold.
   */
  state: "idle" | "listening" | "thinking" | "speaking";
}

/**
 * The user began to speak: there is voice, nothing is understood yet. Over the bot `turn_id` is the turn that the
 * speech will belong to if it cuts the bot off; the `segment_ids` of `user.message` say to which turn it did
 * belong.
 */
export interface PageSpeechStarted {
  event: "speech.started";
  /** The call. On the phone it is the carrier's own id. */
  call_id: string;
  /** Place among the events of this call, from 1, without gaps. */
  seq: number;
  /** When the event was made, epoch seconds. */
  ts: number;
  /** The user's turn that it belongs to, from 1. */
  turn_id: number;
  /** Id of that turn: the same on each of its events, unique among calls. */
  correlation_id: string;
  /** How sure it is that this is voice, 0 to 1. */
  confidence: number;
  /** The onset, back-dated to the first voiced sample, epoch seconds. */
  timestamp: number;
  /** The stretch of speech; its end carries the same. */
  segment_id: number;
}

/** The user fell silent. Each `speech.started` has exactly one. */
export interface PageSpeechEnded {
  event: "speech.ended";
  /** The call. On the phone it is the carrier's own id. */
  call_id: string;
  /** Place among the events of this call, from 1, without gaps. */
  seq: number;
  /** When the event was made, epoch seconds. */
  ts: number;
  /** The user's turn that it belongs to, from 1. */
  turn_id: number;
  /** Id of that turn: the same on each of its events, unique among calls. */
  correlation_id: string;
  /** Onset to end of voice, without the silence that was waited out, milliseconds. */
  duration_ms: number;
  /** The end of voice, epoch seconds. */
  timestamp: number;
  /** The stretch of speech. */
  segment_id: number;
}

/** An interim transcript of the turn. Each replaces the one before. */
export interface PageUserSpeaking {
  event: "user.speaking";
  /** The call. On the phone it is the carrier's own id. */
  call_id: string;
  /** Place among the events of this call, from 1, without gaps. */
  seq: number;
  /** When the event was made, epoch seconds. */
  ts: number;
  /** The user's turn that it belongs to, from 1. */
  turn_id: number;
  /** Id of that turn: the same on each of its events, unique among calls. */
  correlation_id: string;
  /** All of the turn so far, the interim part last. */
  text: string;
  /** The part of it that will not change any more. */
  confirmed_text: string;
}

/**
 * The recogniser is done with what was said so far. Repeated with the same `message_id` when the turn grows or the
 * text gets better.
 */
export interface PageUserMessage {
  event: "user.message";
  /** The call. On the phone it is the carrier's own id. */
  call_id: string;
  /** Place among the events of this call, from 1, without gaps. */
  seq: number;
  /** When the event was made, epoch seconds. */
  ts: number;
  /** The user's turn that it belongs to, from 1. */
  turn_id: number;
  /** Id of that turn: the same on each of its events, unique among calls. */
  correlation_id: string;
  /** All of the turn so far. */
  text: string;
  /** What a reply names in `in_reply_to`. */
  message_id: string;
  /** Language that was recognised, BCP-47, where the recogniser tells it. */
  language?: string;
}

/**
 * The user has paused, and has probably not finished. Once for each silence, where no turn signal went out before;
 * `turn.resumed`, `eager.turn` or `turn.end` follows.
 */
export interface PageTurnPause {
  event: "turn.pause";
  /** The call. On the phone it is the carrier's own id. */
  call_id: string;
  /** Place among the events of this call, from 1, without gaps. */
  seq: number;
  /** When the event was made, epoch seconds. */
  ts: number;
  /** The user's turn that it belongs to, from 1. */
  turn_id: number;
  /** Id of that turn: the same on each of its events, unique among calls. */
  correlation_id: string;
  /** How likely the turn is over all the same, 0 to 1. */
  probability: number;
  /** End of voice to this event, milliseconds. */
  latency_ms: number;
}

/** The user went on after a `turn.pause`. No turn signal had gone out: nothing is void. */
export interface PageTurnResumed {
  event: "turn.resumed";
  /** The call. On the phone it is the carrier's own id. */
  call_id: string;
  /** Place among the events of this call, from 1, without gaps. */
  seq: number;
  /** When the event was made, epoch seconds. */
  ts: number;
  /** The user's turn that it belongs to, from 1. */
  turn_id: number;
  /** Id of that turn: the same on each of its events, unique among calls. */
  correlation_id: string;
  /** When that was sure, epoch seconds. */
  timestamp: number;
}

/** The user has finished. This is the moment to reply. */
export interface PageTurnEnd {
  event: "turn.end";
  /** The call. On the phone it is the carrier's own id. */
  call_id: string;
  /** Place among the events of this call, from 1, without gaps. */
  seq: number;
  /** When the event was made, epoch seconds. */
  ts: number;
  /** The user's turn that it belongs to, from 1. */
  turn_id: number;
  /** Id of that turn: the same on each of its events, unique among calls. */
  correlation_id: string;
  /** What a reply names in `in_reply_to`. */
  message_id: string;
  /** All of the turn. */
  text: string;
  /** End of voice to this event, milliseconds. */
  latency_ms: number;
}

/** The user went on after a turn signal: what was prepared as an answer is discarded. */
export interface PageTurnContinued {
  event: "turn.continued";
  /** The call. On the phone it is the carrier's own id. */
  call_id: string;
  /** Place among the events of this call, from 1, without gaps. */
  seq: number;
  /** When the event was made, epoch seconds. */
  ts: number;
  /** The user's turn that it belongs to, from 1. */
  turn_id: number;
  /** Id of that turn: the same on each of its events, unique among calls. */
  correlation_id: string;
  /** When the user went on, epoch seconds. */
  timestamp: number;
}

/**
 * The language model is asked for a message. There may be several in one turn: before it is over, for it may go on,
 * and after each batch of tools.
 */
export interface PageLlmThinking {
  event: "llm.thinking";
  /** The call. On the phone it is the carrier's own id. */
  call_id: string;
  /** Place among the events of this call, from 1, without gaps. */
  seq: number;
  /** When the event was made, epoch seconds. */
  ts: number;
  /** The user's turn that it belongs to, from 1. */
  turn_id: number;
  /** Id of that turn: the same on each of its events, unique among calls. */
  correlation_id: string;
  /** The message that it is to give; it may stay unspoken. */
  message_id: string;
}

/** More of what the model thinks and does not say, where its engine tells it. */
export interface PageLlmReasoning {
  event: "llm.reasoning";
  /** The call. On the phone it is the carrier's own id. */
  call_id: string;
  /** Place among the events of this call, from 1, without gaps. */
  seq: number;
  /** When the event was made, epoch seconds. */
  ts: number;
  /** The user's turn that it belongs to, from 1. */
  turn_id: number;
  /** Id of that turn: the same on each of its events, unique among calls. */
  correlation_id: string;
  /** The message that it thinks about. */
  message_id: string;
  /** Place among the pieces for this message, from 0. */
  index: number;
  /** The next piece; empty at the end. */
  text: string;
  /** True: it has thought enough. */
  end: boolean;
}

/** One call of a tool. */
export interface ToolCall {
  /** The call; its result names it. */
  id: string;
  /** The tool. */
  name: string;
  /** What it is given: an object, as JSON text. */
  arguments: string;
}

/**
 * The language model wants tools to be run: answer with one `llm.tool_result` for all of them, or with several.
 * Comes only when the turn is over, so that what it asks for is not taken back. A batch that has no answer when the
 * agent connects again is sent once more, with the same `msg_id`.
 */
export interface PageLlmToolCall {
  event: "llm.tool_call";
  /** The call. On the phone it is the carrier's own id. */
  call_id: string;
  /** Place among the events of this call, from 1, without gaps. */
  seq: number;
  /** When the event was made, epoch seconds. */
  ts: number;
  /** The user's turn that it belongs to, from 1. */
  turn_id: number;
  /** Id of that turn: the same on each of its events, unique among calls. */
  correlation_id: string;
  /** The batch, unique among calls; `llm.tool_result` repeats it. */
  msg_id: string;
  /** What is wanted. */
  tool_calls: ToolCall[];
}

/** A tool runs, or would if it could. Followed by exactly one `tool.completed` or `tool.failed`. */
export interface PageToolStarted {
  event: "tool.started";
  /** The call. On the phone it is the carrier's own id. */
  call_id: string;
  /** Place among the events of this call, from 1, without gaps. */
  seq: number;
  /** When the event was made, epoch seconds. */
  ts: number;
  /** The user's turn that it belongs to, from 1. */
  turn_id: number;
  /** Id of that turn: the same on each of its events, unique among calls. */
  correlation_id: string;
  /** The batch. */
  msg_id: string;
  /** The call of the tool. */
  tool_call_id: string;
  /** The tool, as the model named it. */
  name: string;
  /** What it is given; empty where that could not be read. */
  arguments: Record<string, unknown>;
}

/** The first sound of a message is heard. Comes before all else that is told of its being heard. */
export interface PageBotSpeaking {
  event: "bot.speaking";
  /** The call. On the phone it is the carrier's own id. */
  call_id: string;
  /** Place among the events of this call, from 1, without gaps. */
  seq: number;
  /** When the event was made, epoch seconds. */
  ts: number;
  /** The user's turn it belongs to, from 1; absent outside of a turn. */
  turn_id?: number;
  /** Id of that turn: the same on each of its events, unique among calls. */
  correlation_id?: string;
  /** The message: the client's own id, or the server's for a greeting. */
  message_id: string;
  /** All of it; empty for a streamed message. */
  text: string;
}

/** A word begins to be heard. */
export interface PageBotWord {
  event: "bot.word";
  /** The call. On the phone it is the carrier's own id. */
  call_id: string;
  /** Place among the events of this call, from 1, without gaps. */
  seq: number;
  /** When the event was made, epoch seconds. */
  ts: number;
  /** The user's turn it belongs to, from 1; absent outside of a turn. */
  turn_id?: number;
  /** Id of that turn: the same on each of its events, unique among calls. */
  correlation_id?: string;
  /** The message. */
  message_id: string;
  /** The word, with its punctuation. */
  word: string;
  /** Place in the message, from 0. */
  word_index: number;
  /** Its beginning, seconds from the first sound of the message. */
  start_time?: number;
  /** Its end, seconds from the first sound of the message. */
  end_time?: number;
}

/**
 * The bot fell silent within a message, and may go on with it: the user spoke over it, and that may be an
 * interruption or only an "mhm"; or the call was put on hold. `bot.resumed` or `bot.interrupted` follows.
 */
export interface PageBotPaused {
  event: "bot.paused";
  /** The call. On the phone it is the carrier's own id. */
  call_id: string;
  /** Place among the events of this call, from 1, without gaps. */
  seq: number;
  /** When the event was made, epoch seconds. */
  ts: number;
  /** The user's turn it belongs to, from 1; absent outside of a turn. */
  turn_id?: number;
  /** Id of that turn: the same on each of its events, unique among calls. */
  correlation_id?: string;
  /** The message. */
  message_id: string;
  /** Audio of it that was heard so far, milliseconds. */
  played_ms: number;
  /** Words of it that began to be heard. */
  words_spoken: number;
}

/**
 * The bot goes on with a paused message. A word that was cut in the middle is said from its beginning; its
 * `bot.word` is not repeated.
 */
export interface PageBotResumed {
  event: "bot.resumed";
  /** The call. On the phone it is the carrier's own id. */
  call_id: string;
  /** Place among the events of this call, from 1, without gaps. */
  seq: number;
  /** When the event was made, epoch seconds. */
  ts: number;
  /** The user's turn it belongs to, from 1; absent outside of a turn. */
  turn_id?: number;
  /** Id of that turn: the same on each of its events, unique among calls. */
  correlation_id?: string;
  /** The message. */
  message_id: string;
  /** The word that is heard next, from 0. */
  word_index: number;
}

/** The message was heard to its end. */
export interface PageBotFinished {
  event: "bot.finished";
  /** The call. On the phone it is the carrier's own id. */
  call_id: string;
  /** Place among the events of this call, from 1, without gaps. */
  seq: number;
  /** When the event was made, epoch seconds. */
  ts: number;
  /** The user's turn it belongs to, from 1; absent outside of a turn. */
  turn_id?: number;
  /** Id of that turn: the same on each of its events, unique among calls. */
  correlation_id?: string;
  /** The message. */
  message_id: string;
  /** Audio that was heard, milliseconds. */
  duration_ms: number;
}

/** The message was cut off, or never began to be heard. It has no `bot.finished`. */
export interface PageBotInterrupted {
  event: "bot.interrupted";
  /** The call. On the phone it is the carrier's own id. */
  call_id: string;
  /** Place among the events of this call, from 1, without gaps. */
  seq: number;
  /** When the event was made, epoch seconds. */
  ts: number;
  /** The user's turn it belongs to, from 1; absent outside of a turn. */
  turn_id?: number;
  /** Id of that turn: the same on each of its events, unique among calls. */
  correlation_id?: string;
  /** The message. */
  message_id: string;
  /** Audio that was heard, milliseconds; 0: it never began. */
  played_ms: number;
  /** Words that began to be heard. */
  words_spoken: number;
  /**
   * `early`: the user spoke before 2000 ms were heard; `user_spoke`: later; `cancelled`: by the agent, or the call
   * ended.
   */
  reason: "early" | "user_spoke" | "cancelled";
}

/** What was heard of a message entered the history. Once for a message, after its end. */
export interface PageMessageConfirmed {
  event: "message.confirmed";
  /** The call. On the phone it is the carrier's own id. */
  call_id: string;
  /** Place among the events of this call, from 1, without gaps. */
  seq: number;
  /** When the event was made, epoch seconds. */
  ts: number;
  /** The user's turn it belongs to, from 1; absent outside of a turn. */
  turn_id?: number;
  /** Id of that turn: the same on each of its events, unique among calls. */
  correlation_id?: string;
  /** The message. */
  message_id: string;
  /** What the caller heard of it. */
  text: string;
}

/** Nothing of a message entered the history: it was not heard, or cut off early. */
export interface PageMessageAborted {
  event: "message.aborted";
  /** The call. On the phone it is the carrier's own id. */
  call_id: string;
  /** Place among the events of this call, from 1, without gaps. */
  seq: number;
  /** When the event was made, epoch seconds. */
  ts: number;
  /** The user's turn it belongs to, from 1; absent outside of a turn. */
  turn_id?: number;
  /** Id of that turn: the same on each of its events, unique among calls. */
  correlation_id?: string;
  /** The message. */
  message_id: string;
  /**
   * `early`: cut off before 2000 ms were heard; `new_turn`: the user went on before it was heard; `cancelled`: by
   * the agent; `call_ended`: the call was over first; `duplicate_greeting`: the agent was told of the call once
   * more, and greeted as it had done.
   */
  reason: "early" | "new_turn" | "cancelled" | "call_ended" | "duplicate_greeting";
}

/** `session.configure` has changed the language of the call. Comes before `session.configured`. */
export interface PageCallUpdated {
  event: "call.updated";
  /** The call. On the phone it is the carrier's own id. */
  call_id: string;
  /** Place among the events of this call, from 1, without gaps. */
  seq: number;
  /** When the event was made, epoch seconds. */
  ts: number;
  /** The user's turn it belongs to, from 1; absent outside of a turn. */
  turn_id?: number;
  /** Id of that turn: the same on each of its events, unique among calls. */
  correlation_id?: string;
  /** Language of the conversation from here on, without a region. */
  language: string;
}

/**
 * The user is not listened to any more: no turn begins, nothing is interrupted, and what he says is kept for
 * `call.unmuted`. What he had said before is the end of his turn.
 */
export interface PageCallMuted {
  event: "call.muted";
  /** The call. On the phone it is the carrier's own id. */
  call_id: string;
  /** Place among the events of this call, from 1, without gaps. */
  seq: number;
  /** When the event was made, epoch seconds. */
  ts: number;
  /** The user's turn it belongs to, from 1; absent outside of a turn. */
  turn_id?: number;
  /** Id of that turn: the same on each of its events, unique among calls. */
  correlation_id?: string;
  /** Who muted: `user` is the caller himself, on the page of a browser call. */
  by: "agent" | "user";
}

/** The user is listened to again. */
export interface PageCallUnmuted {
  event: "call.unmuted";
  /** The call. On the phone it is the carrier's own id. */
  call_id: string;
  /** Place among the events of this call, from 1, without gaps. */
  seq: number;
  /** When the event was made, epoch seconds. */
  ts: number;
  /** The user's turn it belongs to, from 1; absent outside of a turn. */
  turn_id?: number;
  /** Id of that turn: the same on each of its events, unique among calls. */
  correlation_id?: string;
}

/**
 * The call is on hold: neither side hears the other. A message that was being spoken is paused. So it is, too,
 * while the audio connection of a call is lost and may come back, and while its carrier presses keys, forwards or
 * transfers it.
 */
export interface PageCallHeld {
  event: "call.held";
  /** The call. On the phone it is the carrier's own id. */
  call_id: string;
  /** Place among the events of this call, from 1, without gaps. */
  seq: number;
  /** When the event was made, epoch seconds. */
  ts: number;
  /** The user's turn it belongs to, from 1; absent outside of a turn. */
  turn_id?: number;
  /** Id of that turn: the same on each of its events, unique among calls. */
  correlation_id?: string;
  /** `network`: the caller's connection is lost, or used by the carrier; the agent need not do anything. */
  by: "agent" | "network";
}

/** The conversation goes on, and with it a message that was paused. */
export interface PageCallUnheld {
  event: "call.unheld";
  /** The call. On the phone it is the carrier's own id. */
  call_id: string;
  /** Place among the events of this call, from 1, without gaps. */
  seq: number;
  /** When the event was made, epoch seconds. */
  ts: number;
  /** The user's turn it belongs to, from 1; absent outside of a turn. */
  turn_id?: number;
  /** Id of that turn: the same on each of its events, unique among calls. */
  correlation_id?: string;
}

/** The level of one side's audio, at the interval that was asked for; only with `send_audio_metrics`. */
export interface PageAudioMetrics {
  event: "audio.metrics";
  /** The call. On the phone it is the carrier's own id. */
  call_id: string;
  /** Place among the events of this call, from 1, without gaps. */
  seq: number;
  /** When the event was made, epoch seconds. */
  ts: number;
  /** The user's turn it belongs to, from 1; absent outside of a turn. */
  turn_id?: number;
  /** Id of that turn: the same on each of its events, unique among calls. */
  correlation_id?: string;
  /** Whose audio. */
  source: "user" | "bot";
  /** Energy, decibels below full scale, -60 to 0. */
  energy_db: number;
  /** Root mean square, as a share of full scale, 0 to 1. */
  rms: number;
  /** Largest sample, as a share of full scale, 0 to 1. */
  peak: number;
  /** Whether it is taken for speech. */
  is_speech: boolean;
  /** Probability of voice, 0 to 1; the user's only. */
  vad_prob?: number;
  /** The end of the audio measured, epoch seconds. */
  timestamp: number;
}

/**
 * The caller has said nothing for long: twice before `session.timeout`, at `idle_warning_seconds` before
 * `idle_timeout_seconds` of silence, and when it is reached; then `idle_grace_seconds` follow. What the bot says, a
 * running tool, an answer in the making, mute and hold stop this time; speech and keys of the caller, and
 * `session.reset_idle`, set it back. Not sent for warnings that are switched off with 0.
 */
export interface PageSessionIdleWarning {
  event: "session.idle_warning";
  /** The call. On the phone it is the carrier's own id. */
  call_id: string;
  /** Place among the events of this call, from 1, without gaps. */
  seq: number;
  /** When the event was made, epoch seconds. */
  ts: number;
  /** The user's turn it belongs to, from 1; absent outside of a turn. */
  turn_id?: number;
  /** Id of that turn: the same on each of its events, unique among calls. */
  correlation_id?: string;
  /** Until the idle timeout, as far as nobody says anything; 0: it is reached. */
  remaining_seconds: number;
  /** As in `session_limits`. */
  idle_timeout_seconds: number;
}

/** Why a call ended. */
export type EndReason =
  | "hangup"
  | "timeout"
  | "idle_timeout"
  | "max_duration"
  | "no_answer"
  | "busy"
  | "failed"
  | "client_hangup"
  | "routed"
  | "chat_completed"
  | "chat_error";

/**
 * The call is over. Nothing but its `call.recording` follows. With the reason `routed` it is over for whoever had
 * it, and goes on with another agent: see `call.routed`.
 */
export interface PageCallEnded {
  event: "call.ended";
  /** The call. On the phone it is the carrier's own id. */
  call_id: string;
  /** Place among the events of this call, from 1, without gaps. */
  seq: number;
  /** When the event was made, epoch seconds. */
  ts: number;
  /** The user's turn it belongs to, from 1; absent outside of a turn. */
  turn_id?: number;
  /** Id of that turn: the same on each of its events, unique among calls. */
  correlation_id?: string;
  /** Why, for a program. */
  reason: EndReason;
  /** From `started_at` to `ended_at`, seconds. */
  duration_seconds: number;
}

/** First on each connection: what the page comes back with when this connection is lost. */
export interface PageConnected {
  event: "session.connected";
  /** The call. */
  call_id: string;
  /** The agent, as it spells itself. */
  agent_id: string;
  /** For the next offer of the same call, once. */
  resume_token: string;
  /** How long a lost call is kept, seconds. */
  resume_seconds: number;
  /** So far ahead audio comes to a page that says `clears`: its `jitterBufferTarget`. */
  lead_ms: number;
}

/** The last message: the call is over, and the connection closes. */
export interface PageTimeout {
  event: "session.timeout";
  /** The call. */
  call_id: string;
  /** As in `call.ended`. */
  reason: string;
}

/** Answers the action `ping`. */
export interface PagePong {
  event: "pong";
  /** The server's time, epoch seconds. */
  timestamp: number;
}

/**
 * What the page was sent and has not played yet is void: it plays nothing for so long. Only for a page that said
 * `clears`.
 */
export interface PageClear {
  event: "audio.clear";
  /** How long from now, milliseconds. What is sent for after that comes later. */
  ms: number;
}

/** ``error.code``. */
export type ErrorCode =
  | "UNAUTHORIZED"
  | "BAD_MESSAGE"
  | "UNKNOWN_EVENT"
  | "REGISTRATION_ERROR"
  | "PROVIDER_KEY_REQUIRED"
  | "AGENT_CONFLICT"
  | "AGENT_UNKNOWN"
  | "SERVER_AT_CAPACITY"
  | "PHONE_IN_USE"
  | "CHANNEL_UNSUPPORTED"
  | "CHANNEL_UNKNOWN"
  | "CALL_UNKNOWN"
  | "CALL_NOT_RINGING"
  | "CALL_BUSY"
  | "FORWARD_REFUSED"
  | "ROUTE_REFUSED"
  | "LINE_CONFLICT"
  | "LINE_CONFIG_ERROR"
  | "LINE_UNKNOWN"
  | "TRANSFER_REFUSED"
  | "MESSAGE_UNKNOWN"
  | "CANCEL_REFUSED"
  | "REPLY_REJECTED"
  | "RESULT_UNKNOWN"
  | "SESSION_UNKNOWN"
  | "MEDIA_REFUSED"
  | "DIAL_REFUSED"
  | "BRIDGE_REFUSED"
  | "CALLER_ID_REFUSED"
  | "DIAL_QUEUE_FULL"
  | "CARRIER_ERROR"
  | "CARRIER_UNSUPPORTED"
  | "PROVIDER_ERROR"
  | "STT_BUSY"
  | "TTS_BUSY"
  | "LLM_BUSY"
  | "PROVIDER_TIMEOUT"
  | "PROVIDER_UNAVAILABLE"
  | "NOT_RECORDED"
  | "SKILL_UNKNOWN"
  | "REQUEST_REFUSED"
  | "INTERNAL_ERROR";

/** An action without `ack` had no effect. */
export interface PageError {
  event: "error";
  /** Why and what to do, for a human. */
  error: string;
  /** Why, for a program. */
  code: ErrorCode;
  /** The action; empty where it could not be read. */
  action: string;
}

/** What a tool gave: one for each. */
export interface PageToolResult {
  event: "llm.tool_result";
  /** The call. */
  call_id: string;
  /** Place among the events of the call. */
  seq: number;
  /** When the event was made, epoch seconds. */
  ts: number;
  /** The user's turn that it belongs to, from 1. */
  turn_id: number;
  /** Id of that turn. */
  correlation_id: string;
  /** The batch, as in `llm.tool_call`. */
  msg_id: string;
  /** The call of the tool. */
  tool_call_id: string;
  /** The tool. */
  name: string;
  /** Any JSON; null where it is large. `{"error": text}`: it failed. */
  result?: unknown;
}

/**
 * What became of a command that carried `ack`: sent once for each, behind all else that answers it. It belongs to
 * the connection: it has no `seq` and is not repeated after a reconnect.
 */
export interface Ack {
  event: "ack";
  /** As in the command. */
  ack: string;
  /** The `event` of the command; of an unknown one the first 60 characters. */
  command: string;
  /**
   * `success`: it is done. `processing`: it has begun, and events tell of its end. `pending`: it will begin when
   * what comes before it is over. `error`: it had no effect.
   */
  status: "success" | "error" | "processing" | "pending";
  /** The agent, as in the command. */
  agent_id?: string;
  /** The call, where the command named one. */
  call_id?: string;
  /** The same as `call_id`. */
  session_id?: string;
  /** With `error`: why, for a program. */
  code?: ErrorCode;
  /** With `error`: why and what to do, for a human. */
  message?: string;
  /**
   * More about it. Of a message: `message_id`, and `queue_length`, the messages that are to be heard, itself
   * included. Of an error: what the `error` event says besides its text, and for `REPLY_REJECTED` the `reason`.
   */
  extras?: Record<string, unknown>;
}

/** Asks whether the server is alive; answered by `pong`. Bare `ping`, each second, is a sign of life only. */
export interface PagePing {
  /** Any text: what becomes of the action is then told by an `ack` that repeats it. */
  ack?: string | null;
  /** Which action this is. */
  action: "ping";
  [key: string]: unknown;
}

/** The user does not want to be listened to; answered by `call.muted`. */
export interface PageMute {
  /** Any text: what becomes of the action is then told by an `ack` that repeats it. */
  ack?: string | null;
  /** Which action this is. */
  action: "mute";
  [key: string]: unknown;
}

/** He does again; answered by `call.unmuted`. */
export interface PageUnmute {
  /** Any text: what becomes of the action is then told by an `ack` that repeats it. */
  ack?: string | null;
  /** Which action this is. */
  action: "unmute";
  [key: string]: unknown;
}

/** Changes how the call sounds from now on: `voice`, `stt`, `language`. Other keys have no effect. */
export interface PageConfigure {
  /** Any text: what becomes of the action is then told by an `ack` that repeats it. */
  ack?: string | null;
  /** Which action this is. */
  action: "configure";
  [key: string]: unknown;
}

/** The user has written a message: it counts as if he had said it. */
export interface PageInjectText {
  /** Any text: what becomes of the action is then told by an `ack` that repeats it. */
  ack?: string | null;
  /** Which action this is. */
  action: "inject_text";
  /** What he wrote. */
  text: string;
  [key: string]: unknown;
}

/** Something that the language model is to know, under a name; null takes it away. */
export interface PageSetContext {
  /** Any text: what becomes of the action is then told by an `ack` that repeats it. */
  ack?: string | null;
  /** Which action this is. */
  action: "set_context";
  /** The name. */
  key: string;
  /** The text. */
  value?: string | null;
  [key: string]: unknown;
}

/**
 * What the page knows of how it plays what it is sent, so that what is told as heard was heard. Not answered but
 * for `ack`; may come before the call has begun.
 */
export interface PagePlayout {
  /** Any text: what becomes of the action is then told by an `ack` that repeats it. */
  ack?: string | null;
  /** Which action this is. */
  action: "playout";
  /** How long audio waits in the browser's jitter buffer, as it says itself. */
  buffer_ms?: number | null;
  /** It falls silent on `audio.clear`, so that an interrupted bot stops at once. */
  clears?: boolean;
  [key: string]: unknown;
}

/** What a tool gave that the page runs, as `tool.started` asked. */
export interface PageToolAnswer {
  /** Any text: what becomes of the action is then told by an `ack` that repeats it. */
  ack?: string | null;
  /** The call of the tool, as in `llm.tool_call`. */
  tool_call_id: string;
  /**
   * Any JSON. An object of nothing but a text `error`, as in `{"error":"no such order"}`, says that the tool
   * failed.
   */
  result?: unknown;
  /** True: the model knows of it for its next answer, and then no more. */
  ephemeral?: boolean;
  /** True: the model need not answer to it. Where all results of a batch say so, it does not. */
  no_followup?: boolean;
  /** Which action this is. */
  action: "tool_result";
  /** The batch, as in `tool.started`. */
  msg_id: string;
  [key: string]: unknown;
}

/** Whatever a page is told, by its `event`. */
export type PageEvent =
  | PageCallStarted
  | PageSessionReady
  | PageAgentState
  | PageSpeechStarted
  | PageSpeechEnded
  | PageUserSpeaking
  | PageUserMessage
  | PageTurnPause
  | PageTurnResumed
  | PageTurnEnd
  | PageTurnContinued
  | PageLlmThinking
  | PageLlmReasoning
  | PageLlmToolCall
  | PageToolStarted
  | PageBotSpeaking
  | PageBotWord
  | PageBotPaused
  | PageBotResumed
  | PageBotFinished
  | PageBotInterrupted
  | PageMessageConfirmed
  | PageMessageAborted
  | PageCallUpdated
  | PageCallMuted
  | PageCallUnmuted
  | PageCallHeld
  | PageCallUnheld
  | PageAudioMetrics
  | PageSessionIdleWarning
  | PageCallEnded
  | PageConnected
  | PageTimeout
  | PagePong
  | PageClear
  | PageError
  | PageToolResult
  | Ack;

/** Whatever a page may say, by its `action`. */
export type PageAction =
  | PagePing
  | PageMute
  | PageUnmute
  | PageConfigure
  | PageInjectText
  | PageSetContext
  | PagePlayout
  | PageToolAnswer;
