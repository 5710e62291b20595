/** The call that is made from this page. It goes on while one looks at other views. */

import type { Closed, Device, TalkwireSession } from "@talkwire/browser";

import { api } from "../net/api.ts";
import { CallFeed } from "./feed.ts";
import { Store } from "./store.ts";

export interface Talk {
  readonly at: "idle" | "connecting" | "live" | "over";
  readonly agentId: string;
  /** The browser asks for the microphone. */
  readonly asking: boolean;
  /** Events of the call; stays when it is over. */
  readonly feed: CallFeed | null;
  readonly muted: boolean;
  readonly reconnecting: boolean;
  readonly audioBlocked: boolean;
  readonly closed: Closed | null;
  /** The microphone's audio, for its meter. */
  readonly input: MediaStream | null;
}

const IDLE: Talk = {
  at: "idle",
  agentId: "",
  asking: false,
  feed: null,
  muted: false,
  reconnecting: false,
  audioBlocked: false,
  closed: null,
  input: null,
};

export const talk = new Store<Talk>(IDLE);
export const microphones = new Store<readonly Device[]>([]);
export const microphone = new Store("");

const CLIENT = "/talkwire.js";
let session: TalkwireSession | null = null;

function put(change: Partial<Talk>): void {
  talk.set({ ...talk.value, ...change });
}

/** Calls an agent. What becomes of it is in `talk`. */
export async function callAgent(agentId: string): Promise<void> {
  if (talk.value.at === "connecting" || talk.value.at === "live") return;
  talk.value.feed?.stop();
  talk.set({ ...IDLE, at: "connecting", agentId });
  try {
    session = await open(agentId);
    await session.connect();
  } catch (error) {
    if (talk.value.at !== "over") {
      const message = "The call could not be made. Reload the page, then try again.";
      put({ at: "over", closed: { reason: "signalling_failed", message, detail: String(error), retryable: true } });
    }
  }
}

async function open(agentId: string): Promise<TalkwireSession> {
  const client = (await import(CLIENT)) as typeof import("@talkwire/browser");
  const made = new client.TalkwireSession({ agent: agentId, tokenUrl: api.tokenUrl(agentId) });
  if (microphone.value) await made.selectMicrophone(microphone.value);
  made.on("mic.pending", () => put({ asking: true }));
  made.on("mic.granted", () => {
    put({ asking: false });
    void listMicrophones();
  });
  made.on("input.started", ({ stream }) => put({ input: stream }));
  made.on("connection.established", ({ callId }) => {
    if (talk.value.feed?.id === callId) return;
    const feed = new CallFeed(callId, false);
    feed.start();
    put({ feed });
  });
  made.on("session.ready", () => put({ at: "live" }));
  made.on("devices.available", () => void listMicrophones());
  made.on("change", () => {
    const { status, muted, audioBlocked } = made.view;
    put({ muted, audioBlocked, reconnecting: status === "reconnecting" });
  });
  made.on("connection.closed", (closed) => put({ at: "over", closed, asking: false, reconnecting: false, input: null }));
  return made;
}

/** Labels are empty before the microphone was allowed once. */
export async function listMicrophones(): Promise<void> {
  const found = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  microphones.set(found.filter(({ kind, deviceId }) => kind === "audioinput" && deviceId !== "").map(({ deviceId, label }) => ({ deviceId, label })));
}

export async function chooseMicrophone(deviceId: string): Promise<void> {
  microphone.set(deviceId);
  if (talk.value.at === "live") await session?.selectMicrophone(deviceId);
}

export function hangUp(): void {
  session?.disconnect();
}

export function toggleMute(): void {
  void (talk.value.muted ? session?.unmute() : session?.mute());
}

/** Why it had no effect, if it had none. */
export async function say(text: string): Promise<string | null> {
  try {
    await session?.sendText(text);
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : "That was not sent.";
  }
}

export function playSound(): void {
  void session?.resumeAudio();
}
