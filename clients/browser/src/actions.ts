/** What a page asks for, until the server has said what became of it. */

import type { Platform } from "./platform.ts";
import { TalkwireError } from "./reasons.ts";
import type { Ack, PageAction } from "./wire.ts";

/** So many may be on their way; what comes on top is refused. */
const MAX_OPEN = 50;
const ANSWER_MS = 15_000;

interface Open {
  readonly text: string;
  sent: boolean;
  readonly settle: (error?: TalkwireError) => void;
}

export class Actions {
  readonly #open = new Map<string, Open>();
  #count = 0;

  constructor(
    private readonly platform: Platform,
    /** False: not now. It is sent again when `flush` is called. */
    private readonly say: (text: string) => boolean,
    private readonly refused: (code: string, message: string) => void,
  ) {}

  /** Settles when the server has carried it out. A refusal is a warning, too: nobody needs to wait for this. */
  send(action: PageAction): Promise<void> {
    if (this.#open.size >= MAX_OPEN) return rejected(new TalkwireError("TOO_MANY", "Too much is asked for at once."));
    const ack = `p${++this.#count}`;
    const text = JSON.stringify({ ...action, ack });
    const promise = new Promise<void>((resolve, reject) => {
      const cancel = this.platform.after(ANSWER_MS, () => {
        this.#open.get(ack)?.settle(new TalkwireError("NO_ANSWER", "The server did not answer in time."));
      });
      const settle = (error?: TalkwireError): void => {
        cancel();
        this.#open.delete(ack);
        if (error) reject(error);
        else resolve();
      };
      this.#open.set(ack, { text, sent: this.say(text), settle });
    });
    promise.catch(() => undefined);
    return promise;
  }

  /** The server listens, as it may not have done before. */
  flush(): void {
    for (const open of this.#open.values()) if (!open.sent) open.sent = this.say(open.text);
  }

  answered(ack: Ack): void {
    const open = this.#open.get(ack.ack);
    if (ack.status !== "error") return open?.settle();
    const error = new TalkwireError(ack.code ?? "", ack.message ?? "The server refused that.");
    this.refused(error.code, error.message);
    open?.settle(error);
  }

  close(error: TalkwireError): void {
    for (const open of [...this.#open.values()]) open.settle(error);
  }
}

function rejected(error: TalkwireError): Promise<never> {
  const promise = Promise.reject<never>(error);
  promise.catch(() => undefined);
  return promise;
}
