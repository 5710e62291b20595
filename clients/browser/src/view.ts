/** What is known of a conversation at one moment. */

import type { AgentState, Message, Reasoning, TurnLatency } from "./events.ts";
import type { ToolUse } from "./mind.ts";

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
