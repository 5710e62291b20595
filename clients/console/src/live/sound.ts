/** What both sides of a live call hear, as the server sends it: 16-bit samples in pieces of 50 ms, played one behind the other. */

import { Store } from "../state/store.ts";

export type Hearing =
  | { readonly at: "off" }
  | { readonly at: "waiting" }
  | { readonly at: "playing" }
  /** `why`: nothing where the call is simply over. */
  | { readonly at: "over"; readonly why: string };

/** Kept ahead, so that pieces that come late are not heard as gaps, seconds. */
const AHEAD_S = 0.15;
/** With more than that ahead pieces are left out: what is heard is to be live. */
const FURTHEST_S = 1.5;
const FLOOR_DB = -60;
/** Shorter frames are no sound: they say that the server is there. */
const SHORTEST = 4;

const WHY: Readonly<Record<number, string>> = {
  1000: "",
  1006: "It cannot be listened to: the call is over, or listening is not allowed.",
  1013: "Your connection was too slow for it.",
};

export class LiveSound {
  readonly now = new Store<Hearing>({ at: "off" });
  /** Of the last piece, from 0 to 1. */
  readonly level = new Store(0);
  #socket: WebSocket | null = null;
  #audio: AudioContext | null = null;
  #next = 0;

  constructor(private readonly url: string) {}

  start(): void {
    this.stop();
    this.now.set({ at: "waiting" });
    const socket = new WebSocket(this.url);
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      if (typeof data === "string") this.#begin(data);
      else if (data.byteLength >= SHORTEST) this.#play(new Int16Array(data));
    };
    socket.onclose = ({ code }) => {
      if (socket === this.#socket) this.#over(WHY[code] ?? "The connection broke off.");
    };
  }

  stop(): void {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.#silence();
    this.now.set({ at: "off" });
  }

  #begin(about: string): void {
    const { sampleRate } = JSON.parse(about) as { sampleRate: number };
    // At its own rate: else each piece would be resampled by itself, and its edges be heard.
    this.#audio = new AudioContext({ sampleRate });
    void this.#audio.resume();
    this.#next = 0;
    this.now.set({ at: "playing" });
  }

  #play(pcm: Int16Array): void {
    const audio = this.#audio;
    if (!audio) return;
    let power = 0;
    const buffer = audio.createBuffer(1, pcm.length, audio.sampleRate);
    const samples = buffer.getChannelData(0);
    pcm.forEach((value, index) => {
      const sample = value / 32768;
      samples[index] = sample;
      power += sample * sample;
    });
    this.level.set(Math.max(0, 1 - (10 * Math.log10(power / pcm.length + 1e-9)) / FLOOR_DB));
    if (this.#next < audio.currentTime) this.#next = audio.currentTime + AHEAD_S;
    if (this.#next > audio.currentTime + FURTHEST_S) return;
    const source = audio.createBufferSource();
    source.buffer = buffer;
    source.connect(audio.destination);
    source.start(this.#next);
    this.#next += buffer.duration;
  }

  #over(why: string): void {
    this.#socket = null;
    const left = this.#audio ? this.#next - this.#audio.currentTime : 0;
    // What has come is heard to its end.
    setTimeout(() => this.#silence(), Math.max(0, left) * 1000);
    this.now.set({ at: "over", why });
  }

  #silence(): void {
    if (this.#socket) return;
    this.level.set(0);
    void this.#audio?.close();
    this.#audio = null;
  }
}

/** Where a call is listened to; `token`: of whoever has no cookie. */
export function liveUrl(callId: string, token: string | null = null): string {
  const query = token === null ? "" : `?token=${encodeURIComponent(token)}`;
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live/${encodeURIComponent(callId)}/ws${query}`;
}
