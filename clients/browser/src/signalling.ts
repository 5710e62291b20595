/** What is asked of the server before there is a data channel: a token, ICE servers, the answer to an offer. */

import { DEFAULTS, type TalkwireOptions, type Token } from "./options.ts";
import type { Platform } from "./platform.ts";
import { type CloseReason, closed, TalkwireError, text } from "./reasons.ts";

export interface Answer {
  readonly sdp: string;
  readonly callId: string;
}

/** A call that is lost is not there any more. */
export const GONE = "gone";

const STATUS: Readonly<Record<number, CloseReason>> = {
  401: "token_refused",
  403: "token_refused",
  404: "agent_offline",
  409: "replaced",
  429: "server_busy",
  503: "server_busy",
};

export class Signalling {
  readonly #timeoutMs: number;

  constructor(
    private readonly platform: Platform,
    private readonly options: TalkwireOptions,
    /** Aborts when the call is over. */
    private readonly over: AbortSignal,
  ) {
    this.#timeoutMs = options.requestTimeoutMs ?? DEFAULTS.requestTimeoutMs;
  }

  /** Where the call goes, and what opens it. */
  async token(): Promise<{ token: string; server: string }> {
    const given = await this.#token();
    const { token, server } = typeof given === "string" ? { token: given, server: undefined } : given;
    if (typeof token !== "string" || token === "") {
      throw closed("token_refused", 'the token endpoint must answer {"token": "..."}');
    }
    return { token, server: base(server ?? this.#server) };
  }

  get #server(): string {
    return this.options.server ?? this.platform.origin;
  }

  async #token(): Promise<Token | string> {
    const { tokenProvider, tokenUrl, token, agent } = this.options;
    if (tokenProvider) {
      try {
        return await this.#bounded(Promise.resolve(tokenProvider()));
      } catch (error) {
        throw error instanceof TalkwireError ? error : closed("token_refused", text(error));
      }
    }
    if (token !== undefined) return token;
    const own = `${base(this.#server)}/webrtc/token?agent_id=${encodeURIComponent(agent)}`;
    const given = (await this.#asked(tokenUrl ?? own, {})) as Token;
    // A token of the server that was asked is for that address, whatever name it has for itself.
    return tokenUrl === undefined ? { token: given.token } : given;
  }

  /** Without any a call may still come about: a failure here is none. */
  async iceServers(server: string, token: string): Promise<RTCIceServer[]> {
    if (this.options.iceServers) return [...this.options.iceServers];
    try {
      const url = `${server}/webrtc/ice-servers?token=${encodeURIComponent(token)}`;
      const { iceServers } = (await this.#asked(url, {})) as { iceServers?: unknown };
      return Array.isArray(iceServers) ? (iceServers as RTCIceServer[]) : [];
    } catch {
      this.over.throwIfAborted();
      return [];
    }
  }

  async offer(server: string, body: Readonly<Record<string, unknown>>): Promise<Answer> {
    const answer = (await this.#asked(`${server}/webrtc/offer`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    })) as { sdp?: unknown; call_id?: unknown };
    if (typeof answer.sdp !== "string") throw closed("signalling_failed", "the server's answer has no sdp");
    return { sdp: answer.sdp, callId: String(answer.call_id ?? "") };
  }

  async #asked(url: string, init: RequestInit): Promise<unknown> {
    const limit = new AbortController();
    const stop = (): void => limit.abort();
    const cancel = this.platform.after(this.#timeoutMs, stop);
    this.over.addEventListener("abort", stop);
    try {
      const response = await this.platform.fetch(url, { ...init, signal: limit.signal });
      const body: unknown = await response.json().catch(() => undefined);
      if (!response.ok) throw refused(response.status, body);
      if (typeof body !== "object" || body === null) {
        throw closed("signalling_failed", `${url.split("?")[0]} did not answer with JSON`);
      }
      return body;
    } catch (error) {
      if (error instanceof TalkwireError) throw error;
      const late = limit.signal.aborted && !this.over.aborted;
      throw closed("signalling_failed", late ? `no answer within ${this.#timeoutMs} ms` : text(error));
    } finally {
      cancel();
      this.over.removeEventListener("abort", stop);
    }
  }

  async #bounded<T>(promise: Promise<T>): Promise<T> {
    let cancel = (): void => undefined;
    let over = (): void => undefined;
    const late = new Promise<never>((_, reject) => {
      const text = `the token provider gave nothing within ${this.#timeoutMs} ms`;
      cancel = this.platform.after(this.#timeoutMs, () => reject(closed("signalling_failed", text)));
      over = () => reject(closed("normal"));
      this.over.addEventListener("abort", over);
    });
    try {
      return await Promise.race([promise, late]);
    } finally {
      cancel();
      this.over.removeEventListener("abort", over);
    }
  }
}

function refused(status: number, body: unknown): TalkwireError {
  const said = (body as { detail?: unknown } | undefined)?.detail;
  const detail = `${status}${typeof said === "string" ? `: ${said}` : ""}`;
  if (status === 410) return new TalkwireError(GONE, "The call is over.", detail);
  return closed(STATUS[status] ?? "signalling_failed", detail);
}

/** An address to which a path can be added. */
function base(server: string): string {
  return server.replace(/\/+$/, "").replace(/^ws/, "http");
}
