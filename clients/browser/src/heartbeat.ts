/** Signs of life of both sides over the data channel. Pure: time is an argument, in milliseconds. */

/** How often it is looked. */
export const BEAT_MS = 500;
/** How often the page shows that it lives, whatever else it sends. The server holds a call after 2 s without a sign. */
const SIGN_MS = 1000;
/** After so long without a message the server is asked for one. */
const QUIET_MS = 700;
/** After so long without an answer it counts as gone. */
const ANSWER_MS = 1800;

export type Beat = "nothing" | "ping" | "ask" | "lost";

export class Heartbeat {
  #heardAt: number;
  #saidAt: number;
  #askedAt: number | undefined;

  constructor(now: number) {
    this.#heardAt = now;
    this.#saidAt = now;
  }

  /** A message came. */
  heard(now: number): void {
    this.#heardAt = now;
    this.#askedAt = undefined;
  }

  /**
   * What to do at this beat: show that the page lives, ask for an answer, or give the connection up. `doubt`: there is a
   * reason to ask, however short it is since something was heard.
   */
  beat(now: number, doubt = false): Beat {
    if (this.#askedAt === undefined && (doubt || now - this.#heardAt >= QUIET_MS)) {
      this.#askedAt = this.#saidAt = now;
      return "ask";
    }
    if (this.#askedAt !== undefined && now - this.#askedAt >= ANSWER_MS) return "lost";
    if (now - this.#saidAt < SIGN_MS) return "nothing";
    this.#saidAt = now;
    return "ping";
  }
}
