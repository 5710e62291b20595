/** What is looked at on a call's page: the event that is chosen, and where the recording stands. */

import { Store } from "./store.ts";

export class Look {
  /** `seq` of the chosen event. */
  readonly chosen = new Store<number | null>(null);
  /** Where the recording stands, milliseconds of the call; null before it was touched. */
  readonly cursorMs = new Store<number | null>(null);
  /** Set by the player: moves the recording. */
  seek: ((ms: number, play: boolean) => void) | null = null;

  /** Chooses an event, and moves the recording there. */
  choose(seq: number | null, ms?: number): void {
    this.chosen.set(seq);
    if (ms !== undefined) this.goTo(ms);
  }

  goTo(ms: number, play = false): void {
    if (this.seek) this.seek(ms, play);
    else this.cursorMs.set(Math.max(0, ms));
  }
}
