/** A browser, a server and a clock without any of them: time moves when a test says so. */

import assert from "node:assert/strict";

import type { EventName, Events } from "../src/events.ts";
import type { TalkwireOptions } from "../src/options.ts";
import type { Platform } from "../src/platform.ts";
import { TalkwireSession } from "../src/session.ts";
import { Said } from "./said.ts";

/** Lets everything run that waits for nothing but its turn. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 40; turn++) await Promise.resolve();
  await new Promise((resolve) => setImmediate(resolve));
}

export class Clock {
  now = 0;
  #timers: { at: number; act: () => void }[] = [];

  after(ms: number, act: () => void): () => void {
    const timer = { at: this.now + ms, act };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  get waiting(): number {
    return this.#timers.length;
  }

  async pass(ms: number): Promise<void> {
    const until = this.now + ms;
    await settled();
    for (;;) {
      const next = this.#timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.#timers = this.#timers.filter((other) => other !== next);
      this.now = next.at;
      next.act();
      await settled();
    }
    this.now = until;
  }
}

/** Counts its listeners: none must be left. */
export class Target extends EventTarget {
  listeners = 0;

  override addEventListener(...given: Parameters<EventTarget["addEventListener"]>): void {
    this.listeners++;
    super.addEventListener(...given);
  }

  override removeEventListener(...given: Parameters<EventTarget["removeEventListener"]>): void {
    this.listeners--;
    super.removeEventListener(...given);
  }

  fire(name: string, fields: object = {}): void {
    this.dispatchEvent(Object.assign(new Event(name), fields));
  }
}

export class FakeTrack extends Target {
  readonly kind = "audio";
  enabled = true;
  stopped = false;

  constructor(
    readonly deviceId: string,
    readonly label = `the ${deviceId} one`,
  ) {
    super();
  }

  getSettings(): { deviceId: string } {
    return { deviceId: this.deviceId };
  }

  stop(): void {
    this.stopped = true;
  }
}

export class FakeStream {
  constructor(readonly track: FakeTrack) {}

  getAudioTracks(): FakeTrack[] {
    return [this.track];
  }
}

export class FakeChannel extends Target {
  readyState = "connecting";
  readonly sent: string[] = [];

  send(text: string): void {
    assert.equal(this.readyState, "open");
    this.sent.push(text);
  }

  /** What was sent, without signs of life. */
  get all(): Record<string, unknown>[] {
    return this.sent.filter((text) => text !== "ping").map((text) => JSON.parse(text) as Record<string, unknown>);
  }

  /** Without what the page tells of its play-out, too. */
  get actions(): Record<string, unknown>[] {
    return this.all.filter(({ action }) => action !== "playout");
  }
}

export class FakePeer extends Target {
  readonly channel = new FakeChannel();
  connectionState = "new";
  iceGatheringState = "new";
  localDescription: { sdp: string } | null = null;
  remote: string | undefined;
  closed = false;
  track: unknown;
  /** The far end's audio. */
  readonly far = new FakeTrack("far");
  stats: object[] = [];
  /** Candidates as they come, `done` at the end; by default all at once. */
  gathering = true;

  constructor(readonly configuration: RTCConfiguration) {
    super();
  }

  addTrack(track: unknown): unknown {
    this.track = track;
    return { replaceTrack: (next: unknown) => Promise.resolve(void (this.track = next)) };
  }

  getStats(): Promise<object[]> {
    return Promise.resolve(this.stats);
  }

  createDataChannel(label: string): FakeChannel {
    assert.equal(label, "events");
    return this.channel;
  }

  createOffer(): Promise<object> {
    return Promise.resolve({ type: "offer", sdp: "v=0 offer" });
  }

  setLocalDescription(description: { sdp: string }): Promise<void> {
    this.localDescription = description;
    if (this.gathering) this.iceGatheringState = "complete";
    return Promise.resolve();
  }

  setRemoteDescription({ sdp }: { sdp: string }): Promise<void> {
    this.remote = sdp;
    return Promise.resolve();
  }

  close(): void {
    this.closed = true;
    this.channel.readyState = "closed";
  }

  become(state: string): void {
    this.connectionState = state;
    this.fire("connectionstatechange");
  }
}

export class FakeAudio {
  srcObject: unknown = null;
  sink = "";
  playing = false;
  blocked = false;

  play(): Promise<void> {
    if (this.blocked) return Promise.reject(Object.assign(new Error("touch me"), { name: "NotAllowedError" }));
    this.playing = true;
    return Promise.resolve();
  }

  pause(): void {
    this.playing = false;
  }

  setSinkId(id: string): Promise<void> {
    this.sink = id;
    return Promise.resolve();
  }
}

export class FakeDevices extends Target {
  /** What asking for the microphone gives; an Error is thrown. */
  given: FakeStream | Error = new FakeStream(new FakeTrack("built-in"));
  readonly asked: MediaTrackConstraints[] = [];

  async getUserMedia({ audio }: { audio: MediaTrackConstraints }): Promise<FakeStream> {
    this.asked.push(audio);
    await Promise.resolve();
    if (this.given instanceof Error) throw this.given;
    return this.given;
  }

  enumerateDevices(): Promise<object[]> {
    return Promise.resolve([
      { kind: "audioinput", deviceId: "usb", label: "USB" },
      { kind: "audiooutput", deviceId: "ear", label: "Headphones" },
      { kind: "videoinput", deviceId: "cam", label: "Camera" },
    ]);
  }
}

export interface Asked {
  readonly url: string;
  readonly body: Record<string, unknown> | undefined;
}

type Reply = { status?: number; body?: unknown } | Error | "never";

/** Everything around a session. */
export class World implements Platform {
  readonly clock = new Clock();
  readonly devices = new FakeDevices() as FakeDevices & MediaDevices;
  readonly page = new Target();
  readonly peers: FakePeer[] = [];
  readonly element = new FakeAudio();
  readonly asked: Asked[] = [];
  readonly told: { name: EventName; data: unknown }[] = [];
  readonly said = new Said();
  readonly origin = "https://page.example.org";
  online = true;
  canCall = true;
  /** How the next peers gather. */
  gathering = true;
  replies: Record<string, Reply> = {};
  session!: TalkwireSession;

  now(): number {
    return this.clock.now;
  }

  after(ms: number, act: () => void): () => void {
    return this.clock.after(ms, act);
  }

  fetch(url: string, init: RequestInit): Promise<Response> {
    const body = typeof init.body === "string" ? (JSON.parse(init.body) as Record<string, unknown>) : undefined;
    this.asked.push({ url, body });
    const path = new URL(url).pathname;
    const reply = this.replies[path] ?? USUAL[path];
    if (reply === "never" || reply === undefined) {
      return new Promise((_, reject) => {
        init.signal?.addEventListener("abort", () => reject(new Error("aborted")));
      });
    }
    if (reply instanceof Error) return Promise.reject(reply);
    const { status = 200, body: given } = reply;
    return Promise.resolve(new Response(given === undefined ? "" : JSON.stringify(given), { status }));
  }

  peer(configuration: RTCConfiguration): RTCPeerConnection {
    const peer = new FakePeer(configuration);
    peer.gathering = this.gathering;
    this.peers.push(peer);
    return peer as unknown as RTCPeerConnection;
  }

  audio(): HTMLAudioElement {
    return this.element as unknown as HTMLAudioElement;
  }

  /** A session in this world, listened to from the beginning. */
  open(options: Partial<TalkwireOptions> = {}): TalkwireSession {
    this.session = new TalkwireSession({ agent: "front-desk", server: "https://voice.example.org", ...options }, this);
    for (const name of NAMES) this.session.on(name, (data) => void this.told.push({ name, data }));
    return this.session;
  }

  get last(): FakePeer {
    const peer = this.peers.at(-1);
    assert.ok(peer, "no connection was made");
    return peer;
  }

  /** The server says something on a connection. */
  say(message: object, peer = this.last): void {
    peer.channel.fire("message", { data: JSON.stringify(message) });
  }

  /** A connection opens, and the server greets on it. */
  answer(peer = this.last, token = "resume-1"): void {
    peer.channel.readyState = "open";
    peer.connectionState = "connected";
    peer.fire("track", { streams: [new FakeStream(peer.far)], track: peer.far });
    this.say(
      { event: "session.connected", call_id: "c1", agent_id: "front-desk", resume_token: token, resume_seconds: 15, lead_ms: 160 },
      peer,
    );
  }

  /** The call begins, and is ready. */
  begin(): void {
    this.say(this.said.event("call.started", { agent_id: "front-desk", language: "en" }));
    this.say(this.said.event("session.ready"));
  }

  /** A session that is on a call. */
  async call(options: Partial<TalkwireOptions> = {}): Promise<TalkwireSession> {
    const session = this.open(options);
    const connecting = session.connect();
    await settled();
    this.answer();
    this.begin();
    await connecting;
    return session;
  }

  of<Name extends EventName>(name: Name): Events[Name][] {
    return this.told.filter((one) => one.name === name).map((one) => one.data as Events[Name]);
  }

  get names(): EventName[] {
    return this.told.map(({ name }) => name);
  }
}

const USUAL: Record<string, Reply> = {
  "/webrtc/token": { body: { token: "t1", server: "https://inside.example.org", expires_in: 60 } },
  "/webrtc/ice-servers": { body: { iceServers: [{ urls: "stun:s.example.org" }] } },
  "/webrtc/offer": { body: { type: "answer", sdp: "v=0 answer", call_id: "c1" } },
};

export const NAMES: EventName[] = [
  "connection.established", "connection.lost", "connection.closed", "session.ready", "mic.pending", "mic.granted",
  "mic.denied", "input.started", "device.changed", "devices.available", "audio.started", "audio.blocked", "audio.playing",
  "user.speech.started", "user.speech.ended", "listening", "message", "history", "agent.state", "tool.call",
  "tool.result", "server.warning", "mute", "hold",
];

/** Nothing of a call is left in the world. */
export function assertNothingLeft(world: World): void {
  assert.equal(world.clock.waiting, 0, "timers");
  assert.equal(world.page.listeners, 0, "listeners of the page");
  assert.equal(world.devices.listeners, 0, "listeners of the devices");
  for (const peer of world.peers) {
    assert.ok(peer.closed, "a connection is open");
    assert.equal(peer.listeners, 0, "listeners of a connection");
    assert.equal(peer.channel.listeners, 0, "listeners of a channel");
  }
  assert.equal(world.element.srcObject, null, "the audio element");
}
