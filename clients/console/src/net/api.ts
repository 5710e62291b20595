/** The server's side of the console. Refusals are thrown as `Refused`, with the server's own words. */

import type { AgentState } from "../fold/model.ts";

export interface ServerSession {
  readonly authorized: boolean;
  readonly password: boolean;
  /** By a cookie, which can be given back; false: by the open-door rule. */
  readonly signed_in?: boolean;
  readonly version?: string;
  readonly public_url?: string;
  readonly webhook_url?: string;
  readonly draining?: boolean;
  readonly webrtc?: boolean;
  readonly live_calls?: number;
  readonly max_calls?: number;
  readonly stt?: string;
  readonly tts?: string;
  readonly llm?: string;
}

export interface Agent {
  readonly agent_id: string;
  readonly channels: readonly { readonly type: string; readonly ref?: string | null }[];
  readonly online_since: number;
  readonly live_calls: number;
  readonly language?: string;
  readonly sdk?: string;
}

export interface CallFacts {
  readonly call_id: string;
  readonly agent_id: string;
  readonly transport: string;
  readonly direction: string;
  readonly from: string;
  readonly to: string;
  readonly state: "ringing" | "dialing" | "live" | "ended";
  /** When it was first heard of, epoch seconds. */
  readonly created_at: number;
  /** When it was taken, epoch seconds; null before. */
  readonly started_at: number | null;
  readonly ended_at: number | null;
  readonly duration_ms: number;
  readonly reason: string | null;
  readonly detail: string | null;
  readonly turns: number;
  readonly interruptions: number;
  readonly last_seq: number;
  readonly recording: boolean;
  readonly response_ms_p50: number | null;
  readonly agent_state?: AgentState | null;
  readonly language?: string | null;
  readonly errors?: number;
  readonly last_user_text?: string | null;
  readonly last_bot_text?: string | null;
  readonly metadata?: Readonly<Record<string, unknown>>;
}

export interface WaveformPiece {
  readonly hop_ms: number;
  readonly from_ms: number;
  readonly until_ms: number;
  readonly start_ts?: number;
  readonly user: string;
  readonly bot: string;
  readonly ended: boolean;
}

export type Verb = "say" | "whisper" | "takeover" | "release" | "end";

/** The server said no. `status` 0: it could not be reached. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly retryAfterS: number | null = null,
  ) {
    super(message);
  }
}

const DEADLINE_MS = 10_000;

/** Told of each 401, so that the login form appears wherever one is. */
let onUnauthorized: () => void = () => undefined;

export function whenUnauthorized(act: () => void): void {
  onUnauthorized = act;
}

export async function refusal(response: Response): Promise<Refused> {
  if (response.status === 401) onUnauthorized();
  let detail = "";
  try {
    const body: unknown = await response.json();
    if (typeof body === "object" && body !== null && "detail" in body) detail = String(body.detail);
  } catch {
    // A proxy's page, or nothing: the status has to do.
  }
  const after = Number(response.headers.get("retry-after"));
  return new Refused(response.status, detail || `The server answered ${response.status}.`, after > 0 ? after : null);
}

async function request(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { credentials: "same-origin", signal: AbortSignal.timeout(DEADLINE_MS), ...init });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new Refused(0, "The server cannot be reached.");
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await request(path, signal ? { signal } : {});
  return (await response.json()) as T;
}

const call = (id: string): string => `/v1/calls/${encodeURIComponent(id)}`;

export const api = {
  session: (): Promise<ServerSession> => get("/console/session"),
  login: async (key: string): Promise<void> => {
    const init = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ key }) };
    let response: Response;
    try {
      response = await fetch("/console/login", { ...init, signal: AbortSignal.timeout(DEADLINE_MS) });
    } catch {
      throw new Refused(0, "The server cannot be reached.");
    }
    if (response.status === 401) throw new Refused(401, "That is neither an API key of this server nor its console password.");
    if (response.status === 429) throw new Refused(429, "Too many attempts. Wait a minute, then try again.");
    if (!response.ok) throw await refusal(response);
  },
  logout: async (): Promise<void> => {
    await request("/console/logout", { method: "POST" });
  },
  agents: async (): Promise<readonly Agent[]> => (await get<{ agents: Agent[] }>("/v1/agents")).agents,
  call: (id: string): Promise<CallFacts> => get(call(id)),
  waveform: (id: string, afterMs: number): Promise<WaveformPiece> => get(`${call(id)}/waveform?after_ms=${afterMs}`),
  supervise: async (id: string, verb: Verb, text?: string): Promise<void> => {
    const body = JSON.stringify({ verb, by: "console", ...(text === undefined ? {} : { text }) });
    await request(`${call(id)}/supervise`, { method: "POST", headers: { "content-type": "application/json" }, body });
  },
  recordingUrl: (id: string): string => `${call(id)}/recording`,
  downloadUrl: (id: string): string => `${call(id)}/recording?download=1`,
  transcriptUrl: (id: string, format: "text" | "vtt"): string => `${call(id)}/transcript?format=${format}&download=1`,
  eventsUrl: (id: string): string => `${call(id)}/events?format=wire`,
  /** Where a token for a call of ours is had: here a cookie opens, too. */
  tokenUrl: (agentId: string): string => `/console/token?agent_id=${encodeURIComponent(agentId)}`,
};
