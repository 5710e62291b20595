/** One peer connection, with the data channel `events`. What it means for the call is decided elsewhere. */

import type { Platform } from "./platform.ts";
import { closed } from "./reasons.ts";

/** What a connection tells whoever made it. Nothing more once it is closed. */
export interface ConnectionEvents {
  text(connection: Connection, text: string): void;
  stream(connection: Connection, stream: MediaStream): void;
  /** The network is gone, or seems so. */
  lost(connection: Connection, cause: string): void;
}

/** At most so long candidates are waited for, whatever they are. */
const GATHER_MS = 2000;
/** A relay is a few round trips further away, and without it there is nothing to offer. */
const GATHER_RELAY_MS = 5000;
/** After the first candidate so long for others: those of a server that does not answer never come. */
const GATHER_MORE_MS = 400;
/** What was lost for less than this was not. */
const SHAKY_MS = 1000;

export class Connection {
  readonly #peer: RTCPeerConnection;
  readonly #channel: RTCDataChannel;
  readonly #sender: RTCRtpSender;
  readonly #undo: (() => void)[] = [];
  #shaky: (() => void) | undefined;
  /** Ends the wait for candidates. */
  #gathering: (() => void) | undefined;
  #heard: MediaStreamTrack | undefined;
  #receiver: (RTCRtpReceiver & { jitterBufferTarget?: number | null }) | undefined;
  #silent: (() => void) | undefined;
  #closed = false;

  constructor(
    private readonly platform: Platform,
    private readonly configuration: RTCConfiguration,
    track: MediaStreamTrack,
    stream: MediaStream,
    private readonly events: ConnectionEvents,
  ) {
    this.#peer = platform.peer(configuration);
    this.#sender = this.#peer.addTrack(track, stream);
    this.#channel = this.#peer.createDataChannel("events", { ordered: true });
    this.#listen(this.#channel, "message", (event) => {
      const { data } = event as MessageEvent<unknown>;
      if (typeof data === "string") events.text(this, data);
    });
    this.#listen(this.#channel, "close", () => this.#lose("the data channel closed"));
    this.#listen(this.#peer, "track", (event) => {
      const { streams, track: heard, receiver } = event as RTCTrackEvent;
      this.#heard = heard;
      this.#receiver = receiver;
      events.stream(this, streams[0] ?? new MediaStream([heard]));
    });
    this.#listen(this.#peer, "connectionstatechange", () => this.#changed());
  }

  /** An offer with its candidates. */
  async offer(): Promise<string> {
    await this.#peer.setLocalDescription(await this.#peer.createOffer());
    await this.#gathered();
    const sdp = this.#peer.localDescription?.sdp;
    if (!sdp) throw closed("media_failed", "the browser made no offer");
    return sdp;
  }

  async accept(sdp: string): Promise<void> {
    await this.#peer.setRemoteDescription({ type: "answer", sdp });
  }

  /** Says something on the data channel. False: it is not open. */
  send(text: string): boolean {
    if (this.#channel.readyState !== "open") return false;
    try {
      this.#channel.send(text);
      return true;
    } catch {
      return false;
    }
  }

  async replace(track: MediaStreamTrack): Promise<void> {
    await this.#sender.replaceTrack(track);
  }

  /** Keeps what comes for so long, where the browser can be told; by itself it would play what came ahead away, too fast. */
  keep(ms: number): void {
    if (this.#receiver && "jitterBufferTarget" in this.#receiver) this.#receiver.jitterBufferTarget = ms;
  }

  /** Plays nothing for so long, also of what has come already. */
  silence(ms: number): void {
    const track = this.#heard;
    if (!track || this.#closed) return;
    this.#silent?.();
    track.enabled = false;
    this.#silent = this.platform.after(ms, () => (track.enabled = true));
  }

  /** Figures of the connection, as the browser has them. */
  stats(): Promise<RTCStatsReport> {
    return this.#peer.getStats();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#shaky?.();
    this.#silent?.();
    this.#gathering?.();
    for (const undo of this.#undo) undo();
    this.#peer.close();
  }

  #listen(target: EventTarget, name: string, act: (event: Event) => void): void {
    target.addEventListener(name, act);
    this.#undo.push(() => target.removeEventListener(name, act));
  }

  #changed(): void {
    const state = this.#peer.connectionState;
    this.#shaky?.();
    this.#shaky = undefined;
    if (state === "failed" || state === "closed") this.#lose(`the connection ${state}`);
    if (state === "disconnected") {
      this.#shaky = this.platform.after(SHAKY_MS, () => this.#lose("the network does not answer"));
    }
  }

  #lose(cause: string): void {
    if (!this.#closed) this.events.lost(this, cause);
  }

  /** Resolves when the candidates there are will do. Rejects where a relay is wanted and none is found. */
  #gathered(): Promise<void> {
    const peer = this.#peer;
    if (peer.iceGatheringState === "complete") return Promise.resolve();
    const relay = this.configuration.iceTransportPolicy === "relay";
    return new Promise((resolve, reject) => {
      let found = false;
      let more: (() => void) | undefined;
      const done = (): void => {
        if (!this.#gathering) return;
        this.#gathering = undefined;
        end();
        more?.();
        peer.removeEventListener("icecandidate", onCandidate);
        peer.removeEventListener("icegatheringstatechange", onState);
        if (relay && !found) reject(closed("media_failed", "no TURN server gave a relay"));
        else resolve();
      };
      const onCandidate = (event: RTCPeerConnectionIceEvent): void => {
        if (!event.candidate?.candidate) return;
        found = true;
        more ??= this.platform.after(GATHER_MORE_MS, done);
      };
      const onState = (): void => {
        if (peer.iceGatheringState === "complete") done();
      };
      this.#gathering = done;
      const end = this.platform.after(relay ? GATHER_RELAY_MS : GATHER_MS, done);
      peer.addEventListener("icecandidate", onCandidate);
      peer.addEventListener("icegatheringstatechange", onState);
    });
  }
}
