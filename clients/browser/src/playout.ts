/** How long audio waits in the browser's jitter buffer, as its statistics say. Pure. */

/** Smaller changes are not worth telling. */
const WORTH_MS = 5;

export class Buffer {
  #delay = 0;
  #count = 0;
  #told: number | undefined;

  /** Milliseconds, of what was played since the last reading; nothing where there is no news. */
  read(reports: Iterable<Record<string, unknown>>): number | undefined {
    for (const report of reports) {
      const { jitterBufferDelay: delay, jitterBufferEmittedCount: count } = report;
      if (report["type"] !== "inbound-rtp" || typeof delay !== "number" || typeof count !== "number") continue;
      const [seconds, samples] = [delay - this.#delay, count - this.#count];
      [this.#delay, this.#count] = [delay, count];
      if (samples <= 0 || seconds < 0) return undefined;
      const ms = Math.round((seconds / samples) * 1000);
      if (this.#told !== undefined && Math.abs(ms - this.#told) < WORTH_MS) return undefined;
      return (this.#told = ms);
    }
    return undefined;
  }
}
