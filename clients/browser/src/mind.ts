/** What the model asks for and thinks. Pure. */

import type { Reasoning, Told, ToolCall, ToolResult } from "./events.ts";
import type { PageLlmReasoning, PageLlmToolCall, PageToolResult, PageToolStarted } from "./wire.ts";

/** Older ones are forgotten. */
const MAX_KEPT = 200;

export interface ToolUse {
  readonly call: ToolCall;
  /** Absent while it runs. */
  readonly result: ToolResult | undefined;
}

/** Of one call. */
export class Mind {
  tools: readonly ToolUse[] = [];
  reasoning: readonly Reasoning[] = [];

  /** The agent's process is to run these. */
  asked(event: PageLlmToolCall): Told[] {
    const { msg_id: batchId, correlation_id: correlationId } = event;
    return event.tool_calls.flatMap((call) => {
      const { id, name } = call;
      return this.#began({ id, batchId, name, arguments: read(call.arguments), runHere: false, correlationId });
    });
  }

  /** This page is to run it. */
  askedHere(event: PageToolStarted): Told[] {
    const { tool_call_id: id, msg_id: batchId, name, arguments: args, correlation_id: correlationId } = event;
    return this.#began({ id, batchId, name, arguments: args, runHere: true, correlationId });
  }

  given(event: PageToolResult): Told[] {
    const { tool_call_id: id, msg_id: batchId, name } = event;
    const result = { id, batchId, name, result: event.result ?? null, error: errorOf(event.result) };
    this.tools = this.tools.map((use) => (same(use.call, result) ? { ...use, result } : use));
    return [{ name: "tool.result", data: result }];
  }

  thought(event: PageLlmReasoning): Told[] {
    const before = this.reasoning.find((thought) => thought.id === event.message_id);
    const reasoning = { id: event.message_id, text: (before?.text ?? "") + event.text, final: event.end };
    this.reasoning = [...this.reasoning.filter((thought) => thought !== before), reasoning].slice(-MAX_KEPT);
    const told: Told[] = [{ name: "reasoning", data: { reasoning, delta: event.text } }];
    return event.end ? [...told, { name: "reasoning.history", data: this.reasoning }] : told;
  }

  #began(call: ToolCall): Told[] {
    if (this.tools.some((use) => same(use.call, call))) return [];
    this.tools = [...this.tools, { call, result: undefined }].slice(-MAX_KEPT);
    // How it is answered is put in by whoever has a connection.
    return [{ name: "tool.call", data: { ...call, answer: () => Promise.resolve() } }];
  }
}

function same(one: { id: string; batchId: string }, other: { id: string; batchId: string }): boolean {
  return one.id === other.id && one.batchId === other.batchId;
}

/** Arguments as models write them: a text that should be an object. */
function read(text: string): Readonly<Record<string, unknown>> {
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch {
    return {};
  }
  const readable = typeof given === "object" && given !== null && !Array.isArray(given);
  return readable ? (given as Record<string, unknown>) : {};
}

function errorOf(result: unknown): string | undefined {
  if (typeof result !== "object" || result === null || Object.keys(result).length !== 1) return undefined;
  const { error } = result as { error?: unknown };
  return typeof error === "string" ? error : undefined;
}
