/** What a session is given. */

export interface Token {
  readonly token: string;
  /** Where the call goes; absent: the session's own server. */
  readonly server?: string;
}

export interface TalkwireOptions {
  /** The agent to talk to. */
  readonly agent: string;
  /** Address of the server, `https://voice.example.org`. Default: where the page comes from. */
  readonly server?: string;
  /** Gets a token from your own server, for each call anew. */
  readonly tokenProvider?: () => Promise<Token | string> | Token | string;
  /** The address of your own server that answers `{"token", "server"?}`. */
  readonly tokenUrl?: string;
  /** A token that you have; it is good for one call. */
  readonly token?: string;
  /** Default: those of the server. */
  readonly iceServers?: readonly RTCIceServer[];
  /** `relay`: through a TURN server only. */
  readonly iceTransportPolicy?: RTCIceTransportPolicy;
  /** What the agent is told of the caller (`call.started.metadata`). */
  readonly metadata?: Readonly<Record<string, unknown>>;
  /** How the call sounds: `voice`, `language`, `stt`, `greeting`. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Beside echo cancellation, noise suppression and gain control, which are on; for example `{deviceId}`. */
  readonly audio?: MediaTrackConstraints;
  /** Audio to send in place of a microphone. Its owner stops it. */
  readonly stream?: MediaStream;
  /** Plays the bot. Default: an element of the session's own, that is on no page. */
  readonly audioElement?: HTMLAudioElement;
  /** Begin with the microphone off. */
  readonly muted?: boolean;
  /** How long an answered call may take to get ready. */
  readonly readyTimeoutMs?: number;
  /** How long each request to the server may take. */
  readonly requestTimeoutMs?: number;
  /** How long `listening` is held after the voice has ended. */
  readonly listeningHoldMs?: number;
  /** After so long without any sign of life the end of a voice is taken for lost. */
  readonly speechTimeoutMs?: number;
}

export const DEFAULTS = {
  readyTimeoutMs: 10_000,
  requestTimeoutMs: 8_000,
  listeningHoldMs: 250,
  speechTimeoutMs: 10_000,
} as const;
