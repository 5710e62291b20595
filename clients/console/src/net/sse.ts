/** Server-sent events, from the text of the stream. By fetch, not by EventSource: a refusal is to be read. */

export interface Sent {
  readonly name: string;
  readonly data: string;
  readonly id: string | null;
}

/** Takes pieces of the stream as they come, and gives the events that are complete. */
export class SseParser {
  #rest = "";
  #name = "";
  #data: string[] = [];
  #id: string | null = null;

  feed(piece: string): Sent[] {
    const lines = (this.#rest + piece).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? "";
    const sent: Sent[] = [];
    for (const line of lines) {
      if (line !== "") this.#line(line);
      else if (this.#data.length > 0) {
        sent.push({ name: this.#name || "message", data: this.#data.join("\n"), id: this.#id });
        this.#clear();
      } else this.#clear();
    }
    return sent;
  }

  #line(line: string): void {
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.#name = value;
    else if (field === "data") this.#data.push(value);
    else if (field === "id") this.#id = value;
  }

  #clear(): void {
    this.#name = "";
    this.#data = [];
  }
}
