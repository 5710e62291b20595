/** A stream of server-sent events that comes back by itself, until it is stopped, refused for good, or has ended. */

import { Refused, refusal } from "./api.ts";
import { type Sent, SseParser } from "./sse.ts";

export interface StreamHandlers {
  readonly onSent: (sent: Sent) => void;
  /** Whether events are coming. */
  readonly onState?: (connected: boolean) => void;
  /** It will not come back: the server refused it. */
  readonly onRefused?: (refused: Refused) => void;
}

/** `end`: nothing more comes. `closed`: the server wants us to come back. */
const ENDS = new Set(["end", "closed"]);
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8000;
/** The server says something every 15 s. */
const SILENCE_MS = 40_000;

/** Returns what stops it. The event `end` is the last of a stream. */
export function openStream(path: string, handlers: StreamHandlers): () => void {
  const stopped = new AbortController();
  void run(path, handlers, stopped.signal);
  return () => stopped.abort();
}

async function run(path: string, handlers: StreamHandlers, stopped: AbortSignal): Promise<void> {
  let waitMs = FIRST_WAIT_MS;
  let lastId: string | null = null;
  while (!stopped.aborted) {
    try {
      const ended = await once(path, lastId, stopped, (sent) => {
        waitMs = FIRST_WAIT_MS;
        lastId = sent.id ?? lastId;
        if (!ENDS.has(sent.name)) handlers.onSent(sent);
      }, () => handlers.onState?.(true));
      if (ended) return;
    } catch (error) {
      if (stopped.aborted) return;
      if (error instanceof Refused && error.status >= 400 && error.status < 500 && error.status !== 429) {
        handlers.onRefused?.(error);
        return;
      }
    }
    if (stopped.aborted) return;
    handlers.onState?.(false);
    await pause(waitMs, stopped);
    waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS);
  }
}

/** One connection; true where the stream said that it has ended. */
async function once(path: string, lastId: string | null, stopped: AbortSignal, onSent: (sent: Sent) => void, onOpen: () => void): Promise<boolean> {
  const silent = new AbortController();
  let timer = setTimeout(() => silent.abort(), SILENCE_MS);
  try {
    const headers: Record<string, string> = { accept: "text/event-stream" };
    if (lastId !== null) headers["last-event-id"] = lastId;
    const response = await fetch(path, { headers, credentials: "same-origin", signal: AbortSignal.any([stopped, silent.signal]) });
    if (!response.ok) throw await refusal(response);
    if (!response.body) return false;
    onOpen();
    const parser = new SseParser();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return false;
      clearTimeout(timer);
      timer = setTimeout(() => silent.abort(), SILENCE_MS);
      for (const sent of parser.feed(value)) {
        onSent(sent);
        if (sent.name === "end") return true;
      }
    }
  } finally {
    clearTimeout(timer);
    silent.abort();
  }
}

function pause(ms: number, stopped: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    stopped.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
