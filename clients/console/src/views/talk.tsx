import { useEffect, useState } from "preact/hooks";

import type { Agent, ServerSession } from "../net/api.ts";
import { callHref } from "../state/route.ts";
import { access, agents } from "../state/server.ts";
import { useStore } from "../state/store.ts";
import { callAgent, chooseMicrophone, hangUp, listMicrophones, microphone, microphones, playSound, talk, toggleMute } from "../state/talk.ts";
import { Copy } from "../ui/copy.tsx";
import { Icon } from "../ui/icon.tsx";
import { Meter } from "../ui/meter.tsx";
import { useTicking } from "../ui/ticking.ts";
import { duration } from "../ui/words.ts";
import { Captions } from "./captions.tsx";
import { Waits } from "./waits.tsx";

/** Calls an agent from this page. */
export function TalkPage() {
  const now = useStore(talk);
  const online = useStore(agents);
  const server = useStore(access);
  if (server.at !== "in" || online === null) return null;
  const busy = now.at === "connecting" || now.at === "live";
  const obstacle = busy ? null : obstacleOf(server.server, online);
  const controls = (
    <section class="controls card" aria-label="Call">
      {obstacle ?? <Controls online={online} />}
    </section>
  );
  if (now.at === "idle") return <div class="talk at-idle">{controls}{!obstacle && <Hints />}<Engines server={server.server} /></div>;
  return (
    <div class={`talk at-${now.at}`}>
      {controls}
      <Captions />
      <Waits />
    </div>
  );
}

function Hints() {
  return (
    <ul class="hints muted">
      <li>What is said appears word by word, as it is understood and as it is heard.</li>
      <li>Speak over the bot to interrupt it: what you did not hear is struck through.</li>
      <li>The demo agent knows the time, counts to ten, spells a word, and tells a story.</li>
    </ul>
  );
}

/** What this server hears, speaks and thinks with. */
function Engines({ server }: { server: ServerSession }) {
  const facts = [
    server.stt && `hears with ${server.stt}`,
    server.tts && `speaks with ${server.tts}`,
    server.llm && server.llm !== "none" ? `thinks with ${server.llm}` : "agents think for themselves",
  ].filter(Boolean);
  return (
    <p class="engines muted">
      <span>Talkwire {server.version}</span>
      {facts.map((fact) => <span key={fact}>{fact}</span>)}
    </p>
  );
}

function Controls({ online }: { online: readonly Agent[] }) {
  const now = useStore(talk);
  const [chosen, choose] = useState("");
  const agentId = now.at === "live" || now.at === "connecting" ? now.agentId : (online.find(({ agent_id }) => agent_id === chosen) ?? online[0])?.agent_id ?? "";
  const busy = now.at === "connecting" || now.at === "live";
  return (
    <>
      <h1 tabIndex={-1}>{busy ? agentId : "Talk to an agent"}</h1>
      {!busy && (
        <label class="field">
          <span>Agent</span>
          <select value={agentId} onChange={(event) => choose(event.currentTarget.value)}>
            {online.map((agent) => <option key={agent.agent_id} value={agent.agent_id}>{agent.agent_id}{agent.language ? ` (${agent.language})` : ""}</option>)}
          </select>
        </label>
      )}
      <Microphones />
      {busy ? <Busy /> : (
        <button type="button" class="button primary call-button" onClick={() => void callAgent(agentId)}>
          <Icon name="phone" size={20} />{now.at === "over" ? "Call again" : `Call ${agentId}`}
        </button>
      )}
      {now.at === "over" && <Over />}
    </>
  );
}

function Busy() {
  const now = useStore(talk);
  useTicking(now.at === "live");
  return (
    <>
      <div class="on-air">
        <State />
        <span class="figure muted">{now.at === "live" && now.feed ? duration(now.feed.nowMs()) : ""}</span>
      </div>
      <div class="buttons">
        <button type="button" class="button" aria-pressed={now.muted} disabled={now.at !== "live"} onClick={toggleMute}>
          <Icon name={now.muted ? "micOff" : "mic"} />{now.muted ? "Unmute" : "Mute"}
        </button>
        <button type="button" class="button hangup" onClick={hangUp}>
          <Icon name="hangup" />{now.at === "live" ? "Hang up" : "Cancel"}
        </button>
      </div>
      {now.asking && <p class="hint" role="status">The browser asks for your microphone: allow it.</p>}
      {now.audioBlocked && <button type="button" class="button" onClick={playSound}>Let the browser play sound</button>}
    </>
  );
}

function State() {
  const now = useStore(talk);
  const feed = now.feed;
  return feed ? <LiveState /> : <span class="state ringing" role="status">{now.asking ? "Microphone…" : "Connecting…"}</span>;
}

function LiveState() {
  const now = useStore(talk);
  const call = now.feed?.call;
  useFeed();
  if (now.reconnecting) return <span class="state ringing" role="status">Connection lost, coming back…</span>;
  if (now.at === "connecting") return <span class="state ringing" role="status">Getting ready…</span>;
  const held = call?.quiet.some((stretch) => stretch.kind === "held" && stretch.endMs === null);
  if (held) return <span class="state" role="status">On hold</span>;
  const state = call?.agentState ?? "idle";
  const names = { idle: "Waiting for you", listening: "Listening", thinking: "Thinking", speaking: "Speaking" };
  return <span class={`state ${state}`}>{names[state]}</span>;
}

/** Drawn anew with each event of the call. */
function useFeed(): void {
  const { feed } = useStore(talk);
  const [, redraw] = useState(0);
  useEffect(() => feed?.changes.watch(() => redraw((count) => count + 1)), [feed]);
}

function Microphones() {
  const found = useStore(microphones);
  const chosen = useStore(microphone);
  const now = useStore(talk);
  useEffect(() => void listMicrophones(), []);
  const live = now.at === "live";
  if (found.length === 0 && !live) return null;
  return (
    <div class="field">
      <label for="microphone">Microphone</label>
      {found.length > 0 && (
        <select id="microphone" value={chosen || found[0]?.deviceId} onChange={(event) => void chooseMicrophone(event.currentTarget.value)}>
          {found.map(({ deviceId, label }, index) => <option key={deviceId} value={deviceId}>{label || `Microphone ${index + 1}`}</option>)}
        </select>
      )}
      {live && <Meter stream={now.input} muted={now.muted} />}
    </div>
  );
}

function Over() {
  const { closed, feed } = useStore(talk);
  const fine = closed === null || closed.reason === "normal" || closed.reason === "server_closed";
  return (
    <div class={fine ? "over" : "over bad"} role={fine ? "status" : "alert"}>
      <p class="strong">{fine ? "Call ended" : "The call failed"}</p>
      {closed && <p class="muted">{adviceOf(closed.reason) ?? closed.message}</p>}
      {closed?.detail && !fine && <p class="muted small"><code>{closed.detail}</code></p>}
      {feed && <a class="button small" href={callHref(feed.id)}>Look into it</a>}
    </div>
  );
}

/** What an operator can do, where that is more than what a caller can. */
function adviceOf(reason: string): string | null {
  switch (reason) {
    case "mic_denied":
      return "The browser did not give the microphone to this page. Press the icon left of the address, allow the microphone, then call again.";
    case "agent_offline":
      return "The agent has just gone offline. Start it again, or choose another one.";
    case "media_failed":
      return "The server answered, but no audio came through. It must be reached by UDP; in a container give it the host's network, or set up a TURN server (TALKWIRE_ICE_SERVERS).";
    case "token_refused":
      return "The server did not let this page call. Sign in again.";
    default:
      return null;
  }
}

function obstacleOf(server: ServerSession, online: readonly Agent[]) {
  if (server.draining) return <Obstacle title="The server is stopping">It finishes the calls that are live and takes no new ones.</Obstacle>;
  if (server.webrtc === false) {
    return <Obstacle title="Browser calls are switched off">Start the server with <code>TALKWIRE_WEBRTC=1</code>, and this page can call.</Obstacle>;
  }
  if (!window.isSecureContext) {
    return (
      <Obstacle title="No microphone on this page">
        It came over http from another machine, and browsers give the microphone only to https pages and to those of their own machine. Put https in front of the server, or open it as <code>http://localhost</code> through a tunnel.
      </Obstacle>
    );
  }
  if (online.length === 0) return <NoAgent />;
  return null;
}

function Obstacle({ title, children }: { title: string; children: preact.ComponentChildren }) {
  return (
    <>
      <h1 tabIndex={-1}>{title}</h1>
      <p class="muted">{children}</p>
    </>
  );
}

const ECHO = ".venv/bin/python examples/echo.py";

function NoAgent() {
  return (
    <Obstacle title="No agent is online">
      An agent is a process of yours that connects to this server. <code>make run</code> starts a demo beside it; the smallest of your own is
      <span class="address"><code>{ECHO}</code><Copy text={() => ECHO} /></span>
      It appears here as soon as it is connected.
    </Obstacle>
  );
}
