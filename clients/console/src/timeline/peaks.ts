/** The peaks of one side's audio, a byte for each hop, growing while the call goes on. */

const FACTOR = 8;

/** Keeps, beside the peaks, the largest of each 8, 64, 512 ... of them: a look at an hour costs what one at a second does. */
export class Peaks {
  #levels: Uint8Array[] = [new Uint8Array(1024)];
  #length = 0;

  constructor(readonly hopMs = 20) {}

  get length(): number {
    return this.#length;
  }

  get untilMs(): number {
    return this.#length * this.hopMs;
  }

  /** Puts `bytes` at hop `from`. What is there already is replaced; a gap before it is silence. */
  put(from: number, bytes: Uint8Array): void {
    const end = from + bytes.length;
    const base = this.#grown(0, end);
    base.set(bytes, from);
    const changedFrom = Math.min(from, this.#length);
    this.#length = Math.max(this.#length, end);
    this.#summarise(changedFrom, end);
  }

  /** The largest peak of the hops from `from` up to, and without, `to`. */
  max(from: number, to: number): number {
    let low = Math.max(0, Math.floor(from));
    let high = Math.min(this.#length, Math.ceil(to));
    let largest = 0;
    let level = 0;
    while (low < high) {
      const peaks = this.#levels[level];
      if (!peaks) break;
      if (high - low < FACTOR * 2 || level === this.#levels.length - 1) {
        for (let index = low; index < high; index++) largest = Math.max(largest, peaks[index] ?? 0);
        break;
      }
      while (low % FACTOR !== 0) largest = Math.max(largest, peaks[low++] ?? 0);
      while (high % FACTOR !== 0) largest = Math.max(largest, peaks[--high] ?? 0);
      low /= FACTOR;
      high /= FACTOR;
      level += 1;
    }
    return largest;
  }

  #grown(level: number, length: number): Uint8Array {
    let peaks = this.#levels[level] ?? new Uint8Array(128);
    if (peaks.length < length) {
      const larger = new Uint8Array(Math.max(length, peaks.length * 2));
      larger.set(peaks);
      peaks = larger;
    }
    this.#levels[level] = peaks;
    return peaks;
  }

  #summarise(from: number, to: number): void {
    let low = from;
    let high = to;
    for (let level = 1; high > FACTOR; level++) {
      const below = this.#levels[level - 1];
      if (!below) return;
      low = Math.floor(low / FACTOR);
      high = Math.ceil(high / FACTOR);
      const here = this.#grown(level, high);
      for (let index = low; index < high; index++) {
        let largest = 0;
        for (let part = index * FACTOR; part < (index + 1) * FACTOR; part++) largest = Math.max(largest, below[part] ?? 0);
        here[index] = largest;
      }
    }
  }
}

export function fromBase64(text: string): Uint8Array {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index++) bytes[index] = binary.charCodeAt(index);
  return bytes;
}
