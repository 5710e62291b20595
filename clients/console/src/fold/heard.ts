/** What was heard of a message, and what was not. */

import type { Message } from "./model.ts";

export interface Heard {
  readonly heard: string;
  /** The rest of the text: still to come, or cut off. */
  readonly rest: string;
}

/** How far ahead in the text the next word may be: over punctuation, and words that a voice says otherwise. */
const REACH = 40;

/** The message's text, parted where the last word that began to be heard ends. */
export function heardOf(message: Message): Heard {
  const words = message.words.filter((word) => word !== undefined);
  const text = wholeText(message);
  if (!text) return { heard: words.join(" "), rest: "" };
  if (message.state === "finished") return { heard: text, rest: "" };
  let end = 0;
  for (const word of words) {
    const place = text.indexOf(word, end);
    if (place < 0 || place - end > REACH) continue;
    end = place + word.length;
  }
  if (end === 0 && words.length > 0) return { heard: words.join(" "), rest: "" };
  return { heard: text.slice(0, end), rest: text.slice(end) };
}

/** All of the text, as far as it is known: told in one piece, or the sentences that were made so far. */
export function wholeText(message: Message): string {
  const sentences = message.sentences.filter((sentence) => sentence).join(" ");
  return message.text.length >= sentences.length ? message.text : sentences;
}
