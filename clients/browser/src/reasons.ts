/** Why a connection closed: one table for the program, the documentation and the error texts. */

export type CloseReason = keyof typeof REASONS;

interface Row {
  /** What to tell the user, and what to do. */
  readonly text: string;
  /** Whether calling again may help without anything being changed. */
  readonly retryable: boolean;
}

export const REASONS = {
  normal: { text: "You ended the call.", retryable: true },
  server_closed: { text: "The other side ended the call.", retryable: true },
  mic_denied: {
    text: "The microphone is blocked. Allow it in the browser's address bar, then call again.",
    retryable: false,
  },
  mic_unavailable: {
    text: "No microphone can be used. Connect one, or close the program that is using it, then call again.",
    retryable: false,
  },
  token_refused: {
    text: "The server does not let this page call. Sign in again, or ask whoever runs the page.",
    retryable: false,
  },
  agent_offline: { text: "Nobody is there to answer at the moment. Try again later.", retryable: true },
  server_busy: { text: "All lines are busy. Try again in a few seconds.", retryable: true },
  signalling_failed: {
    text: "The voice server cannot be reached. Check your internet connection, then call again.",
    retryable: true,
  },
  media_failed: {
    text: "No audio connection came about. A firewall may be in the way: try another network.",
    retryable: true,
  },
  network_lost: { text: "The connection was lost and did not come back. Call again.", retryable: true },
  ready_timeout: { text: "The call was answered, but the agent did not get ready. Try again.", retryable: true },
  replaced: { text: "This call goes on in another window or tab.", retryable: false },
  unsupported: {
    text: "This page cannot make calls: it needs a current browser, and an address that begins with https.",
    retryable: false,
  },
} satisfies Record<string, Row>;

/** A call that did not come about, or an action that had no effect. */
export class TalkwireError extends Error {
  override readonly name = "TalkwireError";

  constructor(
    /** A close reason, or the server's code of an action that it refused. */
    readonly code: CloseReason | (string & {}),
    message: string,
    /** What the server or the browser said, for a log. */
    readonly detail?: string,
  ) {
    super(message);
  }
}

/** The error of a call that closed for `reason`. */
export function closed(reason: CloseReason, detail?: string): TalkwireError {
  return new TalkwireError(reason, REASONS[reason].text, detail);
}

/** An error in words, for `detail`. */
export function text(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
