/** Messages of a server, for tests. */

import { readFileSync } from "node:fs";

import { Conversation } from "../src/conversation.ts";
import type { EventName, Events, Told } from "../src/events.ts";
import type { PageEvent } from "../src/wire.ts";

/** A real conversation, as its page is told it. */
export const GOLDEN = (
  JSON.parse(readFileSync("../../tests/protocol/golden/page.json", "utf8")) as { events: PageEvent[] }
).events;

type Fields<Name> = Omit<Extract<PageEvent, { event: Name }>, "event" | "seq" | "ts" | "call_id">;
type Rest<Name> = Partial<Extract<PageEvent, { event: Name }>>;

/** Numbers and dates what a server says. */
export class Said {
  seq = 0;
  ts = 1000;

  /** One message; `turn` says of which turn. */
  event<Name extends PageEvent["event"]>(event: Name, fields: Rest<Name> = {}, turn = 1): PageEvent {
    const common = { call_id: "c1", seq: ++this.seq, ts: this.ts, turn_id: turn, correlation_id: `turn-${turn}` };
    return { event, ...common, ...fields } as unknown as PageEvent;
  }
}

export type { Fields };

/** A conversation, and what it has told so far. */
export class Talk {
  readonly said = new Said();
  readonly conversation = new Conversation({ listeningHoldMs: 250, speechTimeoutMs: 10_000 });
  readonly told: Told[] = [];
  now = 0;

  hear(event: PageEvent): void {
    this.told.push(...this.conversation.receive(event, this.now));
  }

  say<Name extends PageEvent["event"]>(event: Name, fields: Rest<Name> = {}, turn = 1): void {
    this.hear(this.said.event(event, fields, turn));
  }

  /** Lets time pass, with everything that is due in it at its own time. */
  pass(ms: number): void {
    const until = this.now + ms;
    for (;;) {
      const { deadline } = this.conversation;
      if (deadline === undefined || deadline > until) break;
      this.now = Math.max(this.now, deadline);
      this.told.push(...this.conversation.tick(this.now));
    }
    this.now = until;
    this.said.ts += ms / 1000;
  }

  of<Name extends EventName>(name: Name): Events[Name][] {
    return this.told.filter((one) => one.name === name).map((one) => one.data as Events[Name]);
  }

  /** The names of what was told, without what only repeats the wire. */
  get names(): EventName[] {
    return this.told.map((one) => one.name).filter((name) => name !== "wire");
  }
}
