/** A page's side of a call: what an application holds. */

import { Call } from "./call.ts";
import { Microphone, Speaker } from "./devices.ts";
import type { Closed, EventName, Events, Status, Told, ToolCall } from "./events.ts";
import type { TalkwireOptions } from "./options.ts";
import { browserPlatform, type Platform } from "./platform.ts";
import { closed } from "./reasons.ts";
import { type ConversationView, EMPTY } from "./view.ts";

/** All that is known of a session. Another object whenever something has changed. */
export interface SessionView extends ConversationView {
  readonly status: Status;
  /** The microphone is off. */
  readonly muted: boolean;
  /** The browser plays no sound before the user has touched the page. */
  readonly audioBlocked: boolean;
  /** Why the last call ended. */
  readonly closed: Closed | undefined;
}

export interface Device {
  readonly deviceId: string;
  readonly label: string;
}

type Handler = (data: never) => void;

export class TalkwireSession {
  readonly #platform: Platform;
  readonly #handlers = new Map<EventName, Set<Handler>>();
  readonly #microphone: Microphone;
  readonly #speaker: Speaker;
  #call: Call | undefined;
  #view: SessionView = { ...EMPTY, status: "idle", muted: false, audioBlocked: false, closed: undefined };

  constructor(
    private readonly options: TalkwireOptions,
    platform: Platform = browserPlatform,
  ) {
    this.#platform = platform;
    const tell = (told: Told): void => this.#tell([told]);
    this.#microphone = new Microphone(platform, options, tell, () => void this.#micGone());
    this.#speaker = new Speaker(platform, options, tell);
    this.#view = { ...this.#view, muted: this.#microphone.muted };
  }

  /** What is known now. Tell a change by comparing with `===`. */
  get view(): SessionView {
    return this.#view;
  }

  get status(): Status {
    return this.#view.status;
  }

  get callId(): string {
    return this.#view.callId;
  }

  /**
   * Calls `handler` at each event of this name; gives back what ends that. A handler that throws is reported and disturbs
   * nobody else.
   */
  on<Name extends EventName>(name: Name, handler: (data: Events[Name]) => void): () => void {
    const found = this.#handlers.get(name) ?? new Set();
    this.#handlers.set(name, found);
    // Each registration is one of its own, also of the same function.
    const own: Handler = (data) => handler(data);
    found.add(own);
    return () => void found.delete(own);
  }

  /**
   * Calls the agent. Resolves when it listens; rejects with a `TalkwireError` whose `code` is a close reason. Best called
   * from a click: then the browser plays sound.
   */
  connect(): Promise<void> {
    if (this.#call && this.#call.status !== "closed") return this.#call.ready;
    const { options } = this;
    const platform = this.#platform;
    const call = new Call({
      platform,
      options,
      microphone: this.#microphone,
      speaker: this.#speaker,
      tell: (told) => this.#tell(told),
    });
    this.#call = call;
    this.#refresh();
    this.#watchDevices();
    void call.begin();
    if (this.#microphone.muted) void call.send({ action: "mute" });
    return call.ready;
  }

  /** Ends the call. Microphone, connection, timers and listeners are gone when this returns. */
  disconnect(): void {
    this.#call?.end("normal");
  }

  /** Switches the microphone off, here and on the server. */
  mute(): Promise<void> {
    return this.#setMuted(true);
  }

  unmute(): Promise<void> {
    return this.#setMuted(false);
  }

  #setMuted(muted: boolean): Promise<void> {
    this.#microphone.muted = muted;
    this.#refresh();
    return this.#live ? this.#live.send({ action: muted ? "mute" : "unmute" }) : Promise.resolve();
  }

  /** Counts as if the user had said it; the bot falls silent. */
  sendText(text: string): Promise<void> {
    return this.#act((call) => call.send({ action: "inject_text", text }));
  }

  /** Lets the language model know something, under a name; null takes it away. */
  setContext(key: string, value: string | null): Promise<void> {
    return this.#act((call) => call.send({ action: "set_context", key, value }));
  }

  /** Changes how the call sounds from now on: `voice`, `language`, `stt`. */
  configure(config: Readonly<Record<string, unknown>>): Promise<void> {
    return this.#act((call) => call.send({ ...config, action: "configure" }));
  }

  /** Gives the result of a tool that this page runs: any JSON, or `{error: "why not"}`. */
  answerTool(call: Pick<ToolCall, "id" | "batchId">, result: unknown): Promise<void> {
    return this.#act((live) => live.answer(call, result));
  }

  /** Uses this microphone from now on, and in the next call. */
  async selectMicrophone(deviceId: string): Promise<void> {
    const track = await this.#microphone.select(deviceId);
    if (track) await this.#live?.replaceTrack(track);
  }

  /** Plays on this loudspeaker from now on. Rejects where the browser cannot choose one. */
  selectSpeaker(deviceId: string): Promise<void> {
    return this.#speaker.select(deviceId);
  }

  /** What there is to choose from. Labels are empty before the microphone was allowed. */
  async listDevices(): Promise<{ inputs: Device[]; outputs: Device[] }> {
    const found = (await this.#platform.devices?.enumerateDevices()) ?? [];
    const of = (kind: MediaDeviceKind): Device[] =>
      found.filter((device) => device.kind === kind).map(({ deviceId, label }) => ({ deviceId, label }));
    return { inputs: of("audioinput"), outputs: of("audiooutput") };
  }

  /** Plays sound that the browser has held back. Call it from a click. */
  resumeAudio(): Promise<void> {
    return this.#speaker.resume();
  }

  /** Figures of the connection, as the browser has them. */
  stats(): Promise<RTCStatsReport | undefined> {
    return this.#live?.stats() ?? Promise.resolve(undefined);
  }

  get #live(): Call | undefined {
    return this.#call?.status === "closed" ? undefined : this.#call;
  }

  #act(act: (call: Call) => Promise<void>): Promise<void> {
    return this.#live ? act(this.#live) : Promise.reject(closed("normal", "there is no call: connect() first"));
  }

  async #micGone(): Promise<void> {
    if (!this.#live) return;
    try {
      const track = await this.#microphone.select(undefined);
      if (track) await this.#live?.replaceTrack(track);
    } catch {
      const message = "The microphone was taken away, and there is no other. Connect one and select it.";
      this.#tell([{ name: "server.warning", data: { code: "MIC_LOST", message } }]);
    }
  }

  #watchDevices(): void {
    const { devices } = this.#platform;
    if (!devices) return;
    const changed = (): void => this.#tell([{ name: "devices.available", data: {} }]);
    devices.addEventListener("devicechange", changed);
    const off = this.on("connection.closed", () => {
      devices.removeEventListener("devicechange", changed);
      off();
    });
  }

  #refresh(): void {
    const call = this.#call;
    const view: SessionView = {
      ...(call?.view ?? EMPTY),
      status: call?.status ?? "idle",
      muted: this.#microphone.muted,
      audioBlocked: this.#speaker.blocked,
      closed: call?.closed,
    };
    const keys = Object.keys(view) as (keyof SessionView)[];
    if (keys.every((key) => view[key] === this.#view[key])) return;
    this.#view = view;
    this.#emit("change", {});
  }

  /** The view first: who is told of something finds it there. */
  #tell(told: readonly Told[]): void {
    this.#refresh();
    for (const { name, data } of told) this.#emit(name, data);
  }

  #emit(name: EventName, data: unknown): void {
    for (const handler of [...(this.#handlers.get(name) ?? [])]) {
      try {
        handler(data as never);
      } catch (error) {
        report(error);
      }
    }
  }
}

/** An error of somebody else's code goes where uncaught ones go. */
function report(error: unknown): void {
  if (typeof reportError === "function") reportError(error);
  else console.error(error);
}
