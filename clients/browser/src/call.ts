/** One call: from the microphone to the end, over as many connections as the network makes necessary. */

import { Actions } from "./actions.ts";
import { Connection } from "./connection.ts";
import { Conversation } from "./conversation.ts";
import { Microphone, type Speaker } from "./devices.ts";
import type { Closed, Status, Told, ToolCall } from "./events.ts";
import { Heartbeat, BEAT_MS } from "./heartbeat.ts";
import { DEFAULTS, type TalkwireOptions } from "./options.ts";
import type { Platform } from "./platform.ts";
import { Buffer } from "./playout.ts";
import { type CloseReason, closed, REASONS, TalkwireError, text } from "./reasons.ts";
import { GONE, Signalling } from "./signalling.ts";
import type { ConversationView } from "./view.ts";
import type { PageAction, PageEvent } from "./wire.ts";

/** How long a connection that the server has answered may take to open. */
const OPEN_MS = 5000;
const FIRST_WAIT_MS = 300;
const MAX_WAIT_MS = 2000;

export interface CallParts {
  readonly platform: Platform;
  readonly options: TalkwireOptions;
  readonly microphone: Microphone;
  readonly speaker: Speaker;
  readonly tell: (told: readonly Told[]) => void;
}

interface Deferred {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: TalkwireError) => void;
}

export class Call {
  status: Status = "connecting";
  closed: Closed | undefined;
  readonly ready: Promise<void>;

  readonly #conversation: Conversation;
  readonly #actions: Actions;
  readonly #signalling: Signalling;
  readonly #over = new AbortController();
  readonly #ready: Deferred = deferred();
  readonly #undo: (() => void)[] = [];
  readonly #timers = new Map<string, () => void>();
  #connection: Connection | undefined;
  /** The next connection of the same call, until it is open. */
  #next: { readonly connection: Connection; readonly opened: Deferred } | undefined;
  #heartbeat: Heartbeat | undefined;
  #buffer = new Buffer();
  #server = "";
  #iceServers: RTCIceServer[] = [];
  #resumeToken = "";
  #resumeMs = 0;
  /** The token was sent, and no other came. */
  #spent = false;
  /** Actions are carried out: the call has begun, on this connection. */
  #begun = false;
  /** Breaks the wait for the next try to come back. */
  #hurry: (() => void) | undefined;

  constructor(private readonly parts: CallParts) {
    const { platform, options } = parts;
    const { listeningHoldMs, speechTimeoutMs } = { ...DEFAULTS, ...options };
    this.#conversation = new Conversation({ listeningHoldMs, speechTimeoutMs });
    this.#signalling = new Signalling(platform, options, this.#over.signal);
    this.#actions = new Actions(
      platform,
      (said) => this.#begun && (this.#connection?.send(said) ?? false),
      (code, message) => this.#tell([{ name: "server.warning", data: { code, message } }]),
    );
    this.ready = this.#ready.promise;
    this.ready.catch(() => undefined);
  }

  get view(): ConversationView {
    return this.#conversation.view;
  }

  send(action: PageAction): Promise<void> {
    return this.#actions.send(action);
  }

  stats(): Promise<RTCStatsReport | undefined> {
    return this.#connection?.stats() ?? Promise.resolve(undefined);
  }

  /** Another microphone is to be heard. */
  async replaceTrack(track: MediaStreamTrack): Promise<void> {
    await this.#connection?.replace(track);
  }

  /** Calls. What becomes of it is told by `ready`. */
  async begin(): Promise<void> {
    try {
      await this.#connect();
    } catch (error) {
      const [reason, detail] = blamed(error);
      this.end(reason, detail);
    }
  }

  async #connect(): Promise<void> {
    const { platform, options, microphone } = this.parts;
    if (!platform.canCall) throw closed("unsupported");
    this.#listen(platform.page, "online", () => this.#backOnline());
    this.#listen(platform.page, "pagehide", () => this.end("normal"));
    const stream = await microphone.open();
    if (this.#over.signal.aborted) return microphone.close();
    const { token, server } = await this.#signalling.token();
    this.#server = server;
    this.#iceServers = await this.#signalling.iceServers(server, token);
    const connection = this.#made(stream);
    this.#connection = connection;
    const sdp = await connection.offer();
    const { config, metadata } = options;
    const answer = await this.#signalling.offer(server, {
      sdp,
      type: "offer",
      token,
      ...(config && Object.keys(config).length ? { config } : {}),
      ...(metadata && Object.keys(metadata).length ? { metadata } : {}),
    });
    if (this.#over.signal.aborted) return;
    const limit = options.readyTimeoutMs ?? DEFAULTS.readyTimeoutMs;
    this.#timer("ready", limit, () => this.end(this.view.callId ? "ready_timeout" : "media_failed", `${limit} ms`));
    await connection.accept(answer.sdp);
  }

  #made(stream: MediaStream): Connection {
    this.#over.signal.throwIfAborted();
    const { platform, options, microphone } = this.parts;
    const track = microphone.track ?? stream.getAudioTracks()[0];
    if (!track) throw closed("mic_unavailable", "the stream has no audio track");
    const policy = options.iceTransportPolicy;
    const configuration = { iceServers: this.#iceServers, ...(policy ? { iceTransportPolicy: policy } : {}) };
    return new Connection(platform, configuration, track, microphone.stream ?? stream, {
      text: (connection, said) => this.#heard(connection, said),
      stream: (connection, heard) => {
        if (connection === this.#connection || connection === this.#next?.connection) void this.parts.speaker.play(heard);
      },
      lost: (connection, cause) => this.#gone(connection, cause),
    });
  }

  // --- what the server says -------------------------------------------------------------------------------

  #heard(connection: Connection, said: string): void {
    const event = read(said);
    if (!event || this.#over.signal.aborted) return;
    const { platform } = this.parts;
    if (event.event === "session.connected") this.#opened(connection);
    if (connection !== this.#connection) return;
    const now = platform.now();
    this.#heartbeat?.heard(now);
    if (event.event === "session.connected") {
      this.#resumeToken = event.resume_token;
      this.#spent = false;
      this.#resumeMs = event.resume_seconds * 1000;
      connection.keep(event.lead_ms);
    }
    const told = this.#conversation.receive(event, now);
    if (event.event === "session.connected") told.push(...this.#established(event.call_id));
    this.#tell(told);
    this.#act(event);
    this.#wait();
  }

  #act(event: PageEvent): void {
    if (event.event === "ack") this.#actions.answered(event);
    if (event.event === "audio.clear") this.#connection?.silence(event.ms);
    if (event.event === "session.timeout") return this.end("server_closed", this.view.ended ?? event.reason);
    if (event.event === "session.ready") {
      this.#stop("ready");
      this.#ready.resolve();
    }
    // Before that nothing can be carried out; on a connection that came back it goes on at once.
    if (event.event === "call.started" || (event.event === "session.connected" && this.view.language !== undefined)) {
      this.#begun = true;
      this.#actions.flush();
    }
  }

  /** The first message of a connection: from here on it is the one. */
  #opened(connection: Connection): void {
    if (connection !== this.#next?.connection) return;
    this.#connection?.close();
    this.#connection = connection;
    this.#next.opened.resolve();
  }

  #established(callId: string): Told[] {
    const resumed = this.status === "reconnecting";
    this.status = "connected";
    this.#heartbeat = new Heartbeat(this.parts.platform.now());
    this.#buffer = new Buffer();
    this.#playsBy(undefined);
    this.#timer("beat", BEAT_MS, () => this.#beat());
    return [{ name: "connection.established", data: { callId, resumed } }];
  }

  /** Tells what happened; of a tool that this page is to run also how to answer. */
  #tell(told: readonly Told[]): void {
    if (!told.length) return;
    this.parts.tell(told.map((one) => (one.name === "tool.call" ? this.#answerable(one) : one)));
  }

  #answerable(told: Told & { name: "tool.call" }): Told {
    const { data } = told;
    return { name: "tool.call", data: { ...data, answer: (result) => this.answer(data, result) } };
  }

  /** Gives the result of a tool that the page runs. */
  answer(call: Pick<ToolCall, "id" | "batchId">, result: unknown): Promise<void> {
    const { id: tool_call_id, batchId: msg_id } = call;
    return this.send({ action: "tool_result", msg_id, tool_call_id, result: result ?? null });
  }

  // --- time -----------------------------------------------------------------------------------------------

  #timer(name: string, ms: number, act: () => void): void {
    this.#stop(name);
    this.#timers.set(
      name,
      this.parts.platform.after(ms, () => {
        this.#timers.delete(name);
        act();
      }),
    );
  }

  #stop(name: string): void {
    this.#timers.get(name)?.();
    this.#timers.delete(name);
  }

  /** Wait for what the conversation waits for. */
  #wait(): void {
    const { deadline } = this.#conversation;
    if (this.#over.signal.aborted || deadline === undefined) return this.#stop("deadline");
    this.#timer("deadline", Math.max(0, deadline - this.parts.platform.now()), () => {
      this.#tell(this.#conversation.tick(this.parts.platform.now()));
      this.#wait();
    });
  }

  #beat(doubt = false): void {
    if (this.status !== "connected" || !this.#connection || !this.#heartbeat) return;
    const beat = this.#heartbeat.beat(this.parts.platform.now(), doubt);
    if (beat === "lost") return this.#gone(this.#connection, "the server does not answer");
    if (beat !== "nothing") this.#connection.send(beat === "ask" ? '{"action":"ping"}' : "ping");
    this.#measure().catch(() => undefined);
    this.#timer("beat", BEAT_MS, () => this.#beat());
  }

  /** Tells the server how what it sends is played here: the bot falls silent when it is told to, and is heard so much later. */
  #playsBy(bufferMs: number | undefined): void {
    const action: PageAction = { action: "playout", clears: true, ...(bufferMs === undefined ? {} : { buffer_ms: bufferMs }) };
    this.#connection?.send(JSON.stringify(action));
  }

  async #measure(): Promise<void> {
    const reports: Record<string, unknown>[] = [];
    (await this.stats())?.forEach((report: Record<string, unknown>) => reports.push(report));
    const ms = this.#buffer.read(reports);
    if (ms !== undefined && this.status === "connected") this.#playsBy(ms);
  }

  // --- a lost network -------------------------------------------------------------------------------------

  #gone(connection: Connection, cause: string): void {
    if (this.#over.signal.aborted) return;
    if (connection === this.#next?.connection) {
      return this.#next.opened.reject(closed("network_lost", cause));
    }
    if (connection !== this.#connection || this.status === "reconnecting") return;
    // Without a token there is no way back: the call has never come about.
    if (!this.#resumeToken) return this.end("media_failed", cause);
    this.status = "reconnecting";
    this.#begun = false;
    this.#stop("beat");
    this.#tell([{ name: "connection.lost", data: { cause } }]);
    void this.#comeBack(cause);
  }

  /** Another network may have come: what is lost tries at once, and what seems whole shows that it is. */
  #backOnline(): void {
    this.#hurry?.();
    this.#beat(true);
  }

  async #comeBack(cause: string): Promise<void> {
    const { platform } = this.parts;
    const until = platform.now() + this.#resumeMs;
    let wait = 0;
    while (!this.#over.signal.aborted) {
      await this.#pause(Math.min(wait, Math.max(0, until - platform.now())));
      if (this.#over.signal.aborted) return;
      if (platform.now() >= until) return this.end("network_lost", cause);
      if (platform.online && (await this.#tried())) return;
      wait = Math.min(MAX_WAIT_MS, wait ? wait * 2 : FIRST_WAIT_MS);
    }
  }

  /** One try. True: nothing is left to be done. */
  async #tried(): Promise<boolean> {
    const { stream } = this.parts.microphone;
    if (!stream) return true;
    let connection: Connection | undefined;
    let spent = this.#spent;
    try {
      connection = this.#made(stream);
      const opened = deferred();
      opened.promise.catch(() => undefined);
      this.#next = { connection, opened };
      const sdp = await connection.offer();
      const body = { sdp, type: "offer", resume: this.#resumeToken, last_seq: this.#conversation.lastSeq };
      const answer = await this.#signalling.offer(this.#server, body).finally(() => (spent = true));
      this.#timer("open", OPEN_MS, () => opened.reject(closed("network_lost", "the new connection did not open")));
      await connection.accept(answer.sdp);
      await opened.promise;
      spent = false;
      return true;
    } catch (error) {
      connection?.close();
      return this.#failed(error);
    } finally {
      this.#spent = spent;
      this.#stop("open");
      this.#next = undefined;
    }
  }

  /** Whether it is no use to try again. */
  #failed(error: unknown): boolean {
    if (this.#over.signal.aborted) return true;
    const code = error instanceof TalkwireError ? error.code : "";
    const detail = error instanceof TalkwireError ? error.detail : text(error);
    if (code !== GONE && code !== "replaced" && code !== "token_refused") return false;
    // A token is good once: somebody else came back with it; or this page did, and the answer was lost.
    this.end(code === "replaced" && !this.#spent ? "replaced" : "network_lost", detail);
    return true;
  }

  #pause(ms: number): Promise<void> {
    if (ms <= 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#hurry = () => {
        this.#hurry = undefined;
        this.#stop("pause");
        resolve();
      };
      this.#timer("pause", ms, this.#hurry);
    });
  }

  // --- the end --------------------------------------------------------------------------------------------

  #listen(target: EventTarget, name: string, act: () => void): void {
    target.addEventListener(name, act);
    this.#undo.push(() => target.removeEventListener(name, act));
  }

  /** Ends the call, once. Nothing of it is left. */
  end(reason: CloseReason, detail?: string): void {
    if (this.#over.signal.aborted) return;
    this.#over.abort();
    this.#hurry?.();
    for (const name of [...this.#timers.keys()]) this.#stop(name);
    for (const undo of this.#undo) undo();
    this.#next?.connection.close();
    this.#next?.opened.reject(closed(reason, detail));
    this.#connection?.close();
    this.parts.microphone.close();
    this.parts.speaker.close();
    const error = closed(reason, detail);
    this.#actions.close(error);
    this.#ready.reject(error);
    this.status = "closed";
    this.closed = { reason, message: error.message, detail, retryable: REASONS[reason].retryable };
    const told = this.#conversation.close(this.parts.platform.now());
    this.#tell([...told, { name: "connection.closed", data: this.closed }]);
  }
}

function read(said: string): PageEvent | undefined {
  try {
    const found: unknown = JSON.parse(said);
    const known = typeof found === "object" && found !== null && typeof (found as { event?: unknown }).event === "string";
    return known ? (found as PageEvent) : undefined;
  } catch {
    return undefined;
  }
}

/** Why a call did not come about. */
function blamed(error: unknown): [CloseReason, string | undefined] {
  if (error instanceof TalkwireError && error.code in REASONS) return [error.code as CloseReason, error.detail];
  return ["media_failed", text(error)];
}

function deferred(): Deferred {
  let resolve!: () => void;
  let reject!: (error: TalkwireError) => void;
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
