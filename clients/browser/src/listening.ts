/**
 * Whether the user speaks, as the server hears it, for an indicator that neither flickers nor gets stuck. Pure: time is
 * an argument, in milliseconds.
 */

import type { Told } from "./events.ts";

interface Segment {
  readonly correlationId: string;
  readonly segmentId: number;
}

export class Listening {
  /** The user's voice is heard. */
  speaking = false;
  /** The same, held over short pauses. */
  active = false;
  #segment: Segment | undefined;
  /** When a voice of which nothing more is told counts as gone. */
  #lostAt: number | undefined;
  /** When the indicator goes out. */
  #outAt: number | undefined;

  constructor(
    private readonly holdMs: number,
    private readonly timeoutMs: number,
  ) {}

  /** When `tick` has something to do. */
  get deadline(): number | undefined {
    return this.#lostAt ?? this.#outAt;
  }

  started(segment: Segment, at: number, now: number): Told[] {
    const told = this.speaking ? this.#end(undefined, true, now) : [];
    this.#segment = segment;
    this.speaking = true;
    this.#lostAt = now + this.timeoutMs;
    this.#outAt = undefined;
    told.push({ name: "user.speech.started", data: { ...segment, at } });
    if (!this.active) {
      this.active = true;
      told.push({ name: "listening", data: { active: true } });
    }
    return told;
  }

  ended(segmentId: number, durationMs: number, now: number): Told[] {
    return this.#segment?.segmentId === segmentId ? this.#end(durationMs, false, now) : [];
  }

  /** Something came from the server: it lives, and would have told of an end. A person may speak for long. */
  alive(now: number): void {
    if (this.speaking) this.#lostAt = now + this.timeoutMs;
  }

  tick(now: number): Told[] {
    if (this.#lostAt !== undefined && now >= this.#lostAt) return this.#end(undefined, true, now);
    if (this.#outAt !== undefined && now >= this.#outAt) return this.#out();
    return [];
  }

  /** The call is over. */
  close(now: number): Told[] {
    return [...(this.speaking ? this.#end(undefined, true, now) : []), ...(this.active ? this.#out() : [])];
  }

  #end(durationMs: number | undefined, lost: boolean, now: number): Told[] {
    const { correlationId = "", segmentId = 0 } = this.#segment ?? {};
    this.#segment = undefined;
    this.speaking = false;
    this.#lostAt = undefined;
    this.#outAt = now + this.holdMs;
    return [{ name: "user.speech.ended", data: { correlationId, segmentId, durationMs, lost } }];
  }

  #out(): Told[] {
    this.active = false;
    this.#outAt = undefined;
    return [{ name: "listening", data: { active: false } }];
  }
}
