/** What a session needs of its browser: the one seam for tests, and what is missing on a page that cannot call. */

export interface Platform {
  /** Milliseconds; only differences matter. */
  now(): number;
  /** Calls `act` once, after `ms`; gives back what takes that back. */
  after(ms: number, act: () => void): () => void;
  fetch(url: string, init: RequestInit): Promise<Response>;
  /** Absent where a page may have no microphone: an old browser, or an address that is neither https nor this machine. */
  readonly devices: MediaDevices | undefined;
  readonly canCall: boolean;
  peer(configuration: RTCConfiguration): RTCPeerConnection;
  audio(): HTMLAudioElement;
  /** Tells `online` and `pagehide`. */
  readonly page: EventTarget;
  readonly online: boolean;
  /** Where a page is that does not say which server it means. */
  readonly origin: string;
}

export const browserPlatform: Platform = {
  now: () => performance.now(),
  after: (ms, act) => {
    const timer = setTimeout(act, ms);
    return () => clearTimeout(timer);
  },
  fetch: (url, init) => fetch(url, init),
  get devices() {
    return navigator.mediaDevices as MediaDevices | undefined;
  },
  get canCall() {
    return typeof RTCPeerConnection === "function" && this.devices !== undefined;
  },
  peer: (configuration) => new RTCPeerConnection(configuration),
  audio: () => {
    const element = new Audio();
    element.autoplay = true;
    element.setAttribute("playsinline", "");
    return element;
  },
  get page() {
    return window;
  },
  get online() {
    return navigator.onLine;
  },
  get origin() {
    return location.origin;
  },
};
