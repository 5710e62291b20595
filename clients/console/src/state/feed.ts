/** One call as the console follows it: its facts, its events folded, and both waveforms, live or as they were. */

import { apply } from "../fold/fold.ts";
import { type Call, type WireEvent, emptyCall } from "../fold/model.ts";
import { type CallFacts, Refused, api } from "../net/api.ts";
import { openStream } from "../net/stream.ts";
import { Peaks, fromBase64 } from "../timeline/peaks.ts";
import { Changes } from "./store.ts";

const WAVEFORM_EVERY_MS = 500;
const WAVEFORM_RETRY_MS = 2000;

export class CallFeed {
  readonly changes = new Changes(0);
  readonly call: Call = emptyCall();
  facts: CallFacts | null = null;
  user = new Peaks();
  bot = new Peaks();
  /** Why the call cannot be shown. */
  problem: string | null = null;
  /** The server has let go of it: what was seen of it is all that there is. */
  gone = false;
  connected = false;
  /** The server's clock against ours: what to add to `Date.now()`, milliseconds. */
  #skewMs: number | null = null;
  #stops: (() => void)[] = [];
  #stopped = false;

  /** `waveform`: whether anybody looks at it. */
  constructor(
    readonly id: string,
    private readonly waveform: boolean,
  ) {}

  start(): void {
    this.#stops.push(
      openStream(api.eventsUrl(this.id), {
        onSent: ({ name, data }) => {
          // What is lost is seen by the numbers of those that come.
          if (name !== "lost") this.#take(JSON.parse(data) as WireEvent);
        },
        onState: (connected) => {
          this.connected = connected;
          this.changes.touch();
        },
        onRefused: (refused) => this.#fail(refused),
      }),
    );
    void this.loadFacts();
    if (this.waveform) void this.#drawWaveform();
  }

  stop(): void {
    this.#stopped = true;
    for (const stop of this.#stops) stop();
  }

  get live(): boolean {
    return !this.gone && this.call.ending === null && this.facts !== null && this.facts.state !== "ended";
  }

  /** How far the call is by now, milliseconds since it started; of one that is over, its end. */
  nowMs(): number {
    const { startTs, lastMs, ending } = this.call;
    if (ending) return Math.max(ending.ms, 0);
    if (startTs === null || this.#skewMs === null || !this.live) return lastMs;
    return Math.max(lastMs, Date.now() + this.#skewMs - startTs * 1000);
  }

  async loadFacts(): Promise<void> {
    try {
      this.facts = await api.call(this.id);
      this.call.startTs ??= this.facts.started_at;
    } catch (error) {
      if (error instanceof Refused && error.status >= 400 && error.status < 500) this.#fail(error);
    }
    this.changes.touch();
  }

  #take(event: WireEvent): void {
    if (!apply(this.call, event)) return;
    // The least delay that was seen is the best guess at the clocks' difference. Old events, told anew, only raise it.
    const skew = event.ts * 1000 - Date.now();
    this.#skewMs = this.#skewMs === null ? skew : Math.max(this.#skewMs, skew);
    if (event.event === "call.ended" || event.event === "call.routed" || event.event === "call.recording") void this.loadFacts();
    this.changes.touch();
  }

  #fail(refused: Refused): void {
    // What was seen of it stays to be seen, also when the server keeps it no longer.
    if (refused.status === 401) return;
    if (this.call.events.length === 0) this.problem = refused.message;
    else this.gone = true;
    this.stop();
    this.changes.touch();
  }

  async #drawWaveform(): Promise<void> {
    let afterMs = 0;
    while (!this.#stopped) {
      let waitMs = WAVEFORM_EVERY_MS;
      try {
        const piece = await api.waveform(this.id, afterMs);
        if (piece.hop_ms !== this.user.hopMs) [this.user, this.bot] = [new Peaks(piece.hop_ms), new Peaks(piece.hop_ms)];
        const from = Math.round(piece.from_ms / piece.hop_ms);
        this.user.put(from, fromBase64(piece.user));
        this.bot.put(from, fromBase64(piece.bot));
        if (piece.until_ms > afterMs) this.changes.touch();
        afterMs = Math.max(afterMs, piece.until_ms);
        if (piece.ended) return;
      } catch (error) {
        // Before the first audio there is none; of an ended call none will come.
        if (error instanceof Refused && error.status >= 400 && error.status < 500 && !(error.status === 404 && this.live)) return;
        waitMs = WAVEFORM_RETRY_MS;
      }
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
  }
}
