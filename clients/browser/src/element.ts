/** `<talkwire-call agent="support">`: a button, live captions, and a field for those who would rather type. */

import type { Message } from "./events.ts";
import type { TalkwireOptions } from "./options.ts";
import { TalkwireSession } from "./session.ts";
import { LABELS, type Labels, shown } from "./shown.ts";
import { CSS } from "./style.ts";

/** What the element tells its page, as `talkwire-` and the name with hyphens: `talkwire-tool-call`. */
const TOLD = [
  "connection.established",
  "connection.lost",
  "connection.closed",
  "session.ready",
  "message",
  "history",
  "agent.state",
  "turn.latency",
  "talk.interrupted",
  "tool.call",
  "tool.result",
  "server.warning",
] as const;

const TEMPLATE = `
<section class="card" part="card">
  <div class="head"><span class="dot" part="dot"></span><span class="status" part="status" role="status"></span><span
    class="latency" part="latency"></span></div>
  <div class="trouble" part="trouble" role="alert" hidden></div>
  <ol class="log" part="log" tabindex="0" aria-live="off" hidden></ol>
  <div class="spoken" role="log" aria-live="polite"></div>
  <div class="row"><button class="main" part="button" type="button"></button><button class="mute" part="mute" type="button"
    hidden></button></div>
  <button class="sound" part="sound" type="button" hidden></button>
  <form class="row" hidden><input part="input" type="text" maxlength="10000" autocomplete="off" enterkeyhint="send"><button
    part="send" type="submit"></button></form>
</section>`;

// Where there is no page (a server that renders) this file may still be imported.
const Base = (globalThis.HTMLElement ?? class {}) as typeof HTMLElement;

export class TalkwireCall extends Base {
  static readonly observedAttributes = ["agent", "server", "token-url", "label"];

  /** Where the file came from that defined the element: that is the server, unless the page names another. */
  static defaultServer: string | undefined;

  #options: Partial<TalkwireOptions> = {};
  #labels: Labels = LABELS;
  #session: TalkwireSession | undefined;
  #undo: (() => void)[] = [];
  #asking = false;
  #warning = "";
  readonly #lines = new Map<string, HTMLLIElement>();
  #spoken = new Set<string>();

  /** Whatever `TalkwireSession` takes, beyond the attributes; they win. Counts from the next call on. */
  get options(): Partial<TalkwireOptions> {
    return this.#options;
  }

  set options(options: Partial<TalkwireOptions>) {
    this.#options = options;
    this.#renew();
  }

  /** The texts, as far as they are other ones. */
  set labels(labels: Partial<Labels>) {
    this.#labels = { ...LABELS, ...labels };
    this.#render();
  }

  get labels(): Labels {
    return this.#labels;
  }

  /** The session behind it. Another one after an attribute has changed. */
  get session(): TalkwireSession {
    if (!this.#session) this.#begin();
    return this.#session as TalkwireSession;
  }

  connectedCallback(): void {
    if (!this.shadowRoot) this.#build();
    this.#render();
  }

  disconnectedCallback(): void {
    // An element that is only moved is back in a moment.
    queueMicrotask(() => {
      if (!this.isConnected) this.#end();
    });
  }

  attributeChangedCallback(): void {
    this.#renew();
  }

  protected makeSession(options: TalkwireOptions): TalkwireSession {
    return new TalkwireSession(options);
  }

  #renew(): void {
    // A call that goes on is not disturbed.
    if (this.#session && (this.#session.status === "idle" || this.#session.status === "closed")) this.#end();
    if (this.shadowRoot) this.#render();
  }

  #begin(): void {
    const { defaultServer } = TalkwireCall;
    const server = this.getAttribute("server") ?? this.#options.server ?? defaultServer;
    const tokenUrl = this.getAttribute("token-url") ?? this.#options.tokenUrl;
    const session = this.makeSession({
      ...this.#options,
      agent: this.getAttribute("agent") ?? this.#options.agent ?? "",
      ...(server ? { server } : {}),
      ...(tokenUrl ? { tokenUrl } : {}),
    });
    this.#session = session;
    this.#undo = [
      session.on("change", () => this.#render()),
      session.on("mic.pending", () => this.#ask(true)),
      session.on("mic.granted", () => this.#ask(false)),
      session.on("mic.denied", () => this.#ask(false)),
      session.on("server.warning", ({ message }) => this.#warn(message)),
      session.on("message.removed", ({ id }) => this.#forget(id)),
      ...TOLD.map((name) => session.on(name, (detail) => this.#tell(name, detail))),
    ];
  }

  #end(): void {
    this.#session?.disconnect();
    for (const undo of this.#undo) undo();
    this.#undo = [];
    this.#session = undefined;
  }

  #tell(name: string, detail: unknown): void {
    this.dispatchEvent(new CustomEvent(`talkwire-${name.replaceAll(".", "-")}`, { detail }));
  }

  // --- the page -------------------------------------------------------------------------------------------

  #build(): void {
    const root = this.attachShadow({ mode: "open" });
    root.innerHTML = TEMPLATE;
    // Not a style element: a page's content security policy may forbid those.
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
    root.adoptedStyleSheets = [sheet];
    this.#part("main").addEventListener("click", () => this.#press());
    this.#part("mute").addEventListener("click", () => this.#toggleMute());
    this.#part("sound").addEventListener("click", () => void this.session.resumeAudio());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#write();
    });
  }

  #part(name: string): HTMLElement {
    return this.shadowRoot?.querySelector(`.${name}`) as HTMLElement;
  }

  get #form(): HTMLFormElement {
    return this.shadowRoot?.querySelector("form") as HTMLFormElement;
  }

  #press(): void {
    const { session } = this;
    this.#warning = "";
    if (session.status === "idle" || session.status === "closed") {
      this.#clear();
      // What becomes of it is shown.
      session.connect().catch(() => undefined);
    } else session.disconnect();
  }

  #toggleMute(): void {
    const { session } = this;
    void (session.view.muted ? session.unmute() : session.mute());
  }

  #write(): void {
    const input = this.#form.querySelector("input") as HTMLInputElement;
    const text = input.value.trim();
    if (!text) return;
    this.#warning = "";
    input.value = "";
    this.session.sendText(text).catch(() => {
      // It is not lost: he may send it again.
      if (!input.value) input.value = text;
    });
  }

  #ask(asking: boolean): void {
    this.#asking = asking;
    this.#render();
  }

  #warn(message: string): void {
    this.#warning = message;
    this.#render();
  }

  #clear(): void {
    for (const line of this.#lines.values()) line.remove();
    this.#lines.clear();
    this.#spoken = new Set();
    this.#part("spoken").textContent = "";
  }

  #forget(id: string): void {
    this.#lines.get(id)?.remove();
    this.#lines.delete(id);
  }

  #render(): void {
    if (!this.shadowRoot) return;
    const labels = this.#labels;
    const { view } = this.session;
    const now = shown(view, this.#asking, labels);
    const call = view.status === "idle" ? (this.getAttribute("label") ?? now.button) : now.button;
    set(this.#part("main"), call);
    this.#part("main").classList.toggle("ends", now.ends);
    set(this.#part("status"), now.status);
    this.#part("dot").dataset["look"] = now.look;
    set(this.#part("latency"), now.latency);
    const trouble = now.trouble || this.#warning;
    set(this.#part("trouble"), trouble);
    this.#part("trouble").hidden = trouble === "";
    const mute = this.#part("mute");
    mute.hidden = !now.talking;
    set(mute, view.muted ? labels.unmute : labels.mute);
    mute.classList.toggle("on", view.muted);
    set(this.#part("sound"), labels.soundOn);
    this.#part("sound").hidden = !view.audioBlocked;
    const form = this.#form;
    form.hidden = !now.talking;
    const [input, send] = [form.querySelector("input"), form.querySelector("button")] as [HTMLInputElement, HTMLElement];
    input.placeholder = labels.type;
    input.setAttribute("aria-label", labels.type);
    set(send, labels.send);
    this.#converse(view.messages);
  }

  #converse(messages: readonly Message[]): void {
    const log = this.#part("log");
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    log.setAttribute("aria-label", this.#labels.conversation);
    this.#part("spoken").setAttribute("aria-label", this.#labels.conversation);
    for (const message of messages) this.#line(log, message);
    log.hidden = this.#lines.size === 0;
    // Whoever has scrolled back reads on in peace.
    if (atEnd) log.scrollTop = log.scrollHeight;
  }

  #line(log: HTMLElement, message: Message): void {
    let line = this.#lines.get(message.id);
    if (message.text === "" && !line) return;
    if (!line) {
      line = document.createElement("li");
      line.append("");
      this.#lines.set(message.id, line);
      log.append(line);
    }
    line.className = [
      message.role,
      message.final ? "" : "open",
      message.kept ? "" : "dropped",
    ].filter(Boolean).join(" ");
    const words = line.firstChild as Text;
    if (words.data !== message.text) words.data = message.text;
    if (message.interrupted && !line.querySelector(".cut")) {
      const cut = document.createElement("span");
      cut.className = "cut";
      cut.textContent = ` (${this.#labels.cutOff})`;
      line.append(cut);
    }
    if (message.final) this.#speak(message);
  }

  /** For screen readers a message is read out once, when it is whole. */
  #speak(message: Message): void {
    if (this.#spoken.has(message.id)) return;
    this.#spoken.add(message.id);
    const said = document.createElement("p");
    said.textContent = `${message.role === "user" ? this.#labels.you : this.#labels.agent}: ${message.text}`;
    this.#part("spoken").append(said);
  }
}

function set(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Lets pages use the element under this name, once. */
export function define(name = "talkwire-call"): void {
  if (globalThis.customElements && !customElements.get(name)) customElements.define(name, TalkwireCall);
}
