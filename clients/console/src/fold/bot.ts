/** The bot's side: what is said, what of it is heard, and the tools that it asks for. */

import type { Call, Message, WireEvent } from "./model.ts";
import { at, number, text } from "./read.ts";
import { type Handler, mark, note } from "./tell.ts";

function messageOf(call: Call, event: WireEvent, id = text(event, "message_id")): Message | null {
  if (id === null) return null;
  let message = call.messages.get(id);
  if (!message) {
    message = {
      id,
      seq: event.seq,
      turnId: event.turn_id ?? null,
      state: "waiting",
      startMs: null,
      endMs: null,
      played: [],
      playedMs: 0,
      words: [],
      text: "",
      sentences: [],
      reason: null,
      confirmed: null,
      aborted: null,
      by: null,
    };
    call.messages.set(id, message);
  }
  return message;
}

const with_ = (act: (call: Call, event: WireEvent, message: Message) => void): Handler => (call, event) => {
  const message = messageOf(call, event);
  if (message) act(call, event, message);
};

/** The bot falls silent now. `played_ms` does not say when that is: it counts audio, not the gaps between sentences. */
function stop(call: Call, event: WireEvent, message: Message): void {
  const open = message.played.at(-1);
  if (open) open.endMs ??= at(call, event);
  message.playedMs = number(event, "played_ms") ?? number(event, "duration_ms") ?? message.playedMs;
}

export const botHandlers: Record<string, Handler> = {
  "llm.response": with_((_call, event, message) => {
    message.text = text(event, "text") || message.text;
  }),
  "bot.output": with_((_call, event, message) => {
    const segment = number(event, "segment_id");
    if (event["spoken"] === false && event["aggregated_by"] === "sentence" && segment !== null) {
      message.sentences[segment] = text(event, "text") ?? "";
    }
  }),
  "bot.speaking": with_((call, event, message) => {
    message.seq = event.seq;
    message.turnId = event.turn_id ?? message.turnId;
    message.state = "speaking";
    message.startMs = at(call, event);
    message.played = [{ startMs: message.startMs, endMs: null }];
    message.text = text(event, "text") || message.text;
    const turn = message.turnId === null ? undefined : call.turns.get(message.turnId);
    if (turn?.measured && turn.endMs !== null) turn.answerMs ??= message.startMs;
    call.entries.push({ kind: "bot", message });
  }),
  "bot.word": with_((_call, event, message) => {
    const index = number(event, "word_index") ?? message.words.length;
    message.words[index] = text(event, "word") ?? "";
  }),
  "bot.paused": with_((call, event, message) => {
    message.state = "paused";
    stop(call, event, message);
  }),
  "bot.resumed": with_((call, event, message) => {
    message.state = "speaking";
    message.played.push({ startMs: at(call, event), endMs: null });
  }),
  "bot.finished": with_((call, event, message) => {
    stop(call, event, message);
    message.state = "finished";
    message.endMs = at(call, event);
  }),
  "bot.interrupted": with_((call, event, message) => {
    const began = message.startMs !== null;
    stop(call, event, message);
    message.state = "interrupted";
    message.reason = text(event, "reason");
    message.endMs = message.played.at(-1)?.endMs ?? at(call, event);
    if (began) mark(call, event, "cut", cutLabel(message.reason), message.endMs);
    else call.entries.push({ kind: "bot", message });
  }),
  "message.confirmed": with_((_call, event, message) => {
    message.confirmed = text(event, "text") ?? "";
  }),
  "message.aborted": with_((_call, event, message) => {
    message.aborted = text(event, "reason") ?? "aborted";
  }),
  "supervisor.said": with_((_call, event, message) => {
    message.by = text(event, "by");
    message.text = text(event, "text") ?? "";
  }),
  "supervisor.whispered": (call, event) => note(call, event, `${text(event, "by") ?? "Somebody"} told the bot: “${text(event, "text") ?? ""}”`),
  "handoff.requested": (call, event) => {
    call.handoff = { by: text(event, "by") ?? "somebody", active: false };
  },
  "handoff.active": (call, event) => {
    call.handoff = { by: text(event, "by") ?? "somebody", active: true };
    note(call, event, `${call.handoff.by} has taken the conversation over`);
  },
  "handoff.released": (call, event) => {
    call.handoff = null;
    note(call, event, `${text(event, "by") ?? "Somebody"} has let the bot go on`);
  },
  "reply.rejected": (call, event) => {
    const why = text(event, "reason") ?? "";
    mark(call, event, "rejected", `reply refused: ${why}`);
    note(call, event, REJECTED[why] ?? `A reply was refused: ${why}`);
  },
  "tool.started": (call, event) => {
    const id = text(event, "tool_call_id");
    if (id === null) return;
    const tool = {
      id,
      seq: event.seq,
      turnId: event.turn_id ?? null,
      name: text(event, "name") ?? "tool",
      kind: text(event, "kind") ?? "client",
      arguments: event["arguments"],
      startMs: at(call, event),
      endMs: null,
      result: undefined,
      error: null,
    };
    call.tools.set(toolKey(event), tool);
    call.entries.push({ kind: "tool", tool });
  },
  "tool.completed": (call, event) => endTool(call, event, null),
  "tool.failed": (call, event) => endTool(call, event, text(event, "error") ?? "failed"),
};

const REJECTED: Readonly<Record<string, string>> = {
  message_obsolete: "A reply came too late and was not spoken",
  taken_over: "The agent's reply was not spoken: a person has the conversation",
};

/** Ids of tool calls are the model's, and unique in their batch only. */
function toolKey(event: WireEvent): string {
  return `${text(event, "msg_id") ?? ""}/${text(event, "tool_call_id") ?? ""}`;
}

function endTool(call: Call, event: WireEvent, error: string | null): void {
  const tool = call.tools.get(toolKey(event));
  if (!tool) return;
  const took = number(event, "duration_ms");
  tool.endMs = took === null ? at(call, event) : tool.startMs + took;
  tool.result = event["result"];
  tool.error = error;
}

function cutLabel(reason: string | null): string {
  if (reason === "early") return "interrupted early: nothing of it is kept";
  return reason === "cancelled" ? "cancelled" : "interrupted by the user";
}
