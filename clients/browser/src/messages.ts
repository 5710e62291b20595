/** Who said what, as it grows. Pure. */

import type { Message, Role, Told } from "./events.ts";

/** Older ones are forgotten. */
const MAX_MESSAGES = 1000;

interface Draft {
  id: string;
  role: Role;
  text: string;
  final: boolean;
  interrupted: boolean;
  kept: boolean;
  correlationId: string | undefined;
  startedAt: number;
}

/** The messages of one call. */
export class Messages {
  #list: readonly Message[] = [];
  /** Of a bot's message all of its text, and how much of that was heard. */
  readonly #texts = new Map<string, { text: string; heard: number }>();

  get list(): readonly Message[] {
    return this.#list;
  }

  /** What both have said, to the word that was heard last. */
  get history(): readonly Message[] {
    return this.#list.filter((message) => message.final && message.kept);
  }

  /** What is understood of the user's turn now. */
  user(correlationId: string, text: string, at: number, final: boolean): Told[] {
    const told = this.#put({ id: correlationId, role: "user", correlationId }, at, { text, final });
    return final ? [...told, { name: "history", data: this.history }] : told;
  }

  /** The user goes on. */
  reopened(correlationId: string): Told[] {
    return this.#has(correlationId) ? this.#put({ id: correlationId, role: "user" }, 0, { final: false }) : [];
  }

  /** The first sound of a message of the bot. */
  bot(id: string, text: string, correlationId: string | undefined, at: number): Told[] {
    this.#texts.set(id, { text, heard: 0 });
    return this.#put({ id, role: "bot", correlationId }, at, {});
  }

  /** A word of it begins to be heard. */
  word(id: string, word: string, at: number): Told[] {
    const before = this.#find(id)?.text ?? "";
    return this.#put({ id, role: "bot" }, at, { text: this.#heard(id, before, word) });
  }

  /** The text as far as `word`: with the spaces of the whole text where that is known. */
  #heard(id: string, before: string, word: string): string {
    const whole = this.#texts.get(id);
    const place = whole?.text.indexOf(word, whole.heard) ?? -1;
    if (!whole || place < 0 || whole.text.slice(whole.heard, place).trim() !== "") {
      return before === "" ? word : `${before} ${word}`;
    }
    whole.heard = place + word.length;
    return whole.text.slice(0, whole.heard);
  }

  interrupted(id: string): Told[] {
    return this.#has(id) ? this.#put({ id, role: "bot" }, 0, { interrupted: true }) : [];
  }

  /** What was heard of it entered the history. */
  confirmed(id: string, text: string, at: number): Told[] {
    this.#texts.delete(id);
    const told = this.#put({ id, role: "bot" }, at, { text, final: true });
    return [...told, { name: "history", data: this.history }];
  }

  /** Nothing of it entered the history. */
  aborted(id: string): Told[] {
    this.#texts.delete(id);
    const found = this.#find(id);
    if (!found) return [];
    if (found.text === "") return this.#remove(id);
    return this.#put({ id, role: "bot" }, 0, { final: true, kept: false });
  }

  /** What was understood of the user and led to no turn was nothing: a cough, or an "mhm" over the bot. */
  forgetUnfinished(): Told[] {
    const unfinished = this.#list.filter((message) => message.role === "user" && !message.final);
    return unfinished.flatMap((message) => this.#remove(message.id));
  }

  #find(id: string): Message | undefined {
    return this.#list.findLast((message) => message.id === id);
  }

  #has(id: string): boolean {
    return this.#find(id) !== undefined;
  }

  #put(
    { id, role, correlationId }: { id: string; role: Role; correlationId?: string | undefined },
    at: number,
    change: Partial<Draft>,
  ): Told[] {
    const before = this.#find(id);
    const fresh = { id, role, text: "", final: false, interrupted: false, kept: true, correlationId, startedAt: at };
    const message: Message = { ...(before ?? fresh), ...change };
    if (before && same(before, message)) return [];
    this.#list = before
      ? this.#list.map((other) => (other === before ? message : other))
      : [...this.#list, message].slice(-MAX_MESSAGES);
    const old = before?.text ?? "";
    const delta = message.text.startsWith(old) ? message.text.slice(old.length) : "";
    return [{ name: "message", data: { message, delta } }];
  }

  #remove(id: string): Told[] {
    this.#list = this.#list.filter((message) => message.id !== id);
    return [{ name: "message.removed", data: { id } }];
  }
}

function same(one: Message, other: Message): boolean {
  return (
    one.text === other.text &&
    one.final === other.final &&
    one.interrupted === other.interrupted &&
    one.kept === other.kept
  );
}
