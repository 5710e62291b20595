/** The microphone and the loudspeaker of a session. */

import type { Told } from "./events.ts";
import type { TalkwireOptions } from "./options.ts";
import type { Platform } from "./platform.ts";
import { closed, text } from "./reasons.ts";

type Tell = (told: Told) => void;

const DENIED = new Set(["NotAllowedError", "SecurityError", "PermissionDeniedError"]);

export class Microphone {
  #stream: MediaStream | undefined;
  #own = false;
  #deviceId: string | undefined;
  #muted: boolean;

  constructor(
    private readonly platform: Platform,
    private readonly options: TalkwireOptions,
    private readonly tell: Tell,
    /** The microphone was taken away. */
    private readonly gone: () => void,
  ) {
    this.#muted = options.muted ?? false;
  }

  get stream(): MediaStream | undefined {
    return this.#stream;
  }

  get track(): MediaStreamTrack | undefined {
    return this.#stream?.getAudioTracks()[0];
  }

  get muted(): boolean {
    return this.#muted;
  }

  set muted(muted: boolean) {
    this.#muted = muted;
    if (this.track) this.track.enabled = !muted;
  }

  /** Asks for the microphone. Throws `mic_denied` or `mic_unavailable`. */
  async open(): Promise<MediaStream> {
    if (this.options.stream) {
      this.#own = false;
      return this.#taken(this.options.stream, "input.started");
    }
    this.tell({ name: "mic.pending", data: {} });
    const stream = await this.#asked();
    this.tell({ name: "mic.granted", data: {} });
    return this.#taken(stream, "input.started");
  }

  /** Takes another one; what sends the audio replaces its track by the one that is given back. */
  async select(deviceId: string | undefined): Promise<MediaStreamTrack | undefined> {
    this.#deviceId = deviceId;
    if (!this.#stream) return undefined;
    const before = this.#stream;
    const stream = await this.#asked();
    this.#release(before);
    this.#taken(stream, "device.changed");
    return this.track;
  }

  close(): void {
    if (this.#stream) this.#release(this.#stream);
    this.#stream = undefined;
  }

  async #asked(): Promise<MediaStream> {
    const { devices } = this.platform;
    if (!devices) throw closed("unsupported", "navigator.mediaDevices is missing");
    const audio: MediaTrackConstraints = {
      echoCancellation: true,
      noiseSuppression: true,
      autoGainControl: true,
      ...this.options.audio,
      ...(this.#deviceId === undefined ? {} : { deviceId: { exact: this.#deviceId } }),
    };
    let stream: MediaStream;
    try {
      stream = await devices.getUserMedia({ audio });
    } catch (error) {
      const name = error instanceof Error ? error.name : "";
      if (!DENIED.has(name)) throw closed("mic_unavailable", text(error));
      this.tell({ name: "mic.denied", data: { message: text(error) } });
      throw closed("mic_denied", text(error));
    }
    this.#own = true;
    return stream;
  }

  #taken(stream: MediaStream, name: "input.started" | "device.changed"): MediaStream {
    this.#stream = stream;
    const { track } = this;
    if (!track) throw closed("mic_unavailable", "the stream has no audio track");
    track.enabled = !this.#muted;
    track.addEventListener("ended", this.#ended);
    const deviceId = track.getSettings().deviceId ?? "";
    if (name === "input.started") this.tell({ name, data: { stream, deviceId, label: track.label } });
    else this.tell({ name, data: { kind: "input", deviceId, label: track.label } });
    return stream;
  }

  readonly #ended = (): void => {
    this.#deviceId = undefined;
    this.gone();
  };

  #release(stream: MediaStream): void {
    for (const track of stream.getAudioTracks()) {
      track.removeEventListener("ended", this.#ended);
      if (this.#own) track.stop();
    }
  }
}

type WithSink = HTMLAudioElement & { setSinkId?: (id: string) => Promise<void> };

export class Speaker {
  #element: WithSink | undefined;
  #deviceId = "";
  /** The browser waits for the user to touch the page. */
  blocked = false;

  constructor(
    private readonly platform: Platform,
    private readonly options: TalkwireOptions,
    private readonly tell: Tell,
  ) {}

  async play(stream: MediaStream): Promise<void> {
    this.#element ??= this.options.audioElement ?? this.platform.audio();
    if (this.#deviceId) await this.#sink().catch(() => undefined);
    this.#element.srcObject = stream;
    this.tell({ name: "audio.started", data: { stream } });
    await this.resume();
  }

  /** Plays, where the browser lets it. */
  async resume(): Promise<void> {
    const element = this.#element;
    if (!element?.srcObject) return;
    try {
      await element.play();
    } catch (error) {
      // Another stream, or the end of the call, came in between.
      if (!(error instanceof Error) || error.name !== "NotAllowedError") return;
      this.blocked = true;
      this.tell({ name: "audio.blocked", data: {} });
      return;
    }
    this.blocked = false;
    this.tell({ name: "audio.playing", data: {} });
  }

  /** Throws where the browser cannot choose, or does not know the device. */
  async select(deviceId: string): Promise<void> {
    this.#deviceId = deviceId;
    if (this.#element) await this.#sink();
    this.tell({ name: "device.changed", data: { kind: "output", deviceId, label: "" } });
  }

  async #sink(): Promise<void> {
    if (!this.#element?.setSinkId) throw closed("unsupported", "this browser cannot choose a loudspeaker");
    await this.#element.setSinkId(this.#deviceId);
  }

  close(): void {
    if (this.#element) {
      this.#element.pause();
      this.#element.srcObject = null;
    }
    this.blocked = false;
  }
}
