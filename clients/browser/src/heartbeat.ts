/** Signs of life of both sides over the data channel. Pure: time is an argument, in milliseconds. */

/** After so long without a message the server is asked for one. */
const QUIET_MS = 1000;
/** After so long without an answer it counts as gone. The server holds a call after 2 s without a sign of the page. */
const ANSWER_MS = 2500;

export const BEAT_MS = 1000;

export type Beat = "ping" | "ask" | "lost";

export class Heartbeat {
  #heardAt: number;
  #askedAt: number | undefined;

  constructor(now: number) {
    this.#heardAt = now;
  }

  /** A message came. */
  heard(now: number): void {
    this.#heardAt = now;
    this.#askedAt = undefined;
  }

  /**
   * What to do at this beat: show that the page lives, ask for an answer as well, or give the connection up. `doubt`: there
   * is a reason to ask, however short it is since something was heard.
   */
  beat(now: number, doubt = false): Beat {
    if (this.#askedAt !== undefined) return now - this.#askedAt >= ANSWER_MS ? "lost" : "ping";
    if (!doubt && now - this.#heardAt < QUIET_MS) return "ping";
    this.#askedAt = now;
    return "ask";
  }
}
