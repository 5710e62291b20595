/** Talk to a voice agent of a Talkwire server from a web page. */

export type {
  AgentState,
  Closed,
  EventName,
  Events,
  Message,
  Reasoning,
  Role,
  Status,
  ToolCall,
  ToolResult,
  TurnLatency,
} from "./events.ts";
export type { ToolUse } from "./mind.ts";
export type { TalkwireOptions, Token } from "./options.ts";
export { type CloseReason, REASONS, TalkwireError } from "./reasons.ts";
export { type Device, type SessionView, TalkwireSession } from "./session.ts";
export { VERSION } from "./version.ts";
export type { ConversationView } from "./view.ts";
export type { PageAction, PageEvent } from "./wire.ts";
