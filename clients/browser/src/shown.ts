/** What `<talkwire-call>` shows of a session: words and looks for each of its states. Pure. */

import type { SessionView } from "./session.ts";

/** Every text of the element. Replace those that you want otherwise: `element.labels = {call: "Anrufen"}`. */
export const LABELS = {
  call: "Start call",
  callAgain: "Call again",
  cancel: "Cancel",
  hangUp: "Hang up",
  mute: "Mute",
  unmute: "Unmute",
  soundOn: "Turn the sound on",
  type: "Or type here",
  send: "Send",
  conversation: "Conversation",
  you: "You",
  agent: "Agent",
  cutOff: "cut off",
  ready: "Press the button and talk.",
  permission: "Allow the microphone to go on.",
  connecting: "Connecting…",
  waiting: "Waiting for the agent…",
  reconnecting: "The network is gone. Reconnecting…",
  held: "On hold",
  muted: "You are muted",
  listening: "Listening",
  thinking: "Thinking",
  speaking: "Speaking",
  yourTurn: "Your turn",
  ended: "The call is over.",
  failed: "No call came about.",
  idle: "Are you still there? The call ends soon.",
  answeredIn: "answered in",
};

export type Labels = typeof LABELS;
export type Look = "off" | "busy" | "idle" | "listening" | "thinking" | "speaking" | "quiet" | "trouble";

export interface Shown {
  /** The state, in words. */
  readonly status: string;
  readonly look: Look;
  /** What went wrong and what to do; empty: nothing. */
  readonly trouble: string;
  readonly button: string;
  /** The button ends the call. */
  readonly ends: boolean;
  /** Muting and typing are possible. */
  readonly talking: boolean;
  /** How long the last answer took; empty: not known. */
  readonly latency: string;
}

export function shown(view: SessionView, asking: boolean, labels: Labels): Shown {
  const calling = view.status !== "idle" && view.status !== "closed";
  const last = view.latencies.at(-1);
  const [status, look] = state(view, asking, labels);
  return {
    status,
    look,
    trouble: troubleOf(view, labels),
    button: buttonOf(view, labels),
    ends: calling,
    talking: view.status === "connected" || view.status === "reconnecting",
    latency: calling && last ? `${labels.answeredIn} ${inWords(last.responseMs)}` : "",
  };
}

function inWords(ms: number): string {
  return ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function state(view: SessionView, asking: boolean, labels: Labels): [string, Look] {
  if (view.status === "idle") return [labels.ready, "off"];
  if (view.status === "closed") {
    if (!troubleOf(view, labels)) return [labels.ended, "off"];
    return [view.callId ? labels.ended : labels.failed, "trouble"];
  }
  if (view.status === "reconnecting") return [labels.reconnecting, "busy"];
  if (view.status === "connecting") return [asking ? labels.permission : labels.connecting, "busy"];
  if (!view.ready) return [labels.waiting, "busy"];
  if (view.heldBy) return [view.heldBy === "network" ? labels.reconnecting : labels.held, "quiet"];
  // Who speaks now is told by the voices themselves; whose move it is otherwise, by the agent.
  if (view.listening) return [labels.listening, "listening"];
  if (view.agentState === "speaking") return [labels.speaking, "speaking"];
  if (view.muted || view.mutedBy) return [labels.muted, "quiet"];
  if (view.agentState === "thinking") return [labels.thinking, "thinking"];
  if (view.agentState === "listening") return [labels.listening, "listening"];
  return [labels.yourTurn, "idle"];
}

function troubleOf(view: SessionView, labels: Labels): string {
  const { closed } = view;
  if (view.status === "closed" && closed && closed.reason !== "normal" && closed.reason !== "server_closed") {
    return closed.message;
  }
  return view.status === "connected" && view.idleRemainingMs !== undefined ? labels.idle : "";
}

function buttonOf(view: SessionView, labels: Labels): string {
  if (view.status === "idle") return labels.call;
  if (view.status === "closed") return labels.callAgain;
  return view.status === "connecting" ? labels.cancel : labels.hangUp;
}
