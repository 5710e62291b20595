import { useEffect } from "preact/hooks";

import type { CallFacts, ServerSession } from "../net/api.ts";
import { callList, followCalls } from "../state/calls.ts";
import { callHref } from "../state/route.ts";
import { type Listed, lasted } from "../state/list.ts";
import { access } from "../state/server.ts";
import { useStore } from "../state/store.ts";
import { millis } from "../timeline/items.ts";
import { Copy } from "../ui/copy.tsx";
import { useTicking } from "../ui/ticking.ts";
import { clockTime, duration, partyOf, plural, reasonOf, shortId, transportOf } from "../ui/words.ts";

export function CallsPage() {
  useEffect(followCalls, []);
  const list = useStore(callList);
  const live = list.calls.filter((call) => call.state !== "ended");
  const ended = list.calls.filter((call) => call.state === "ended");
  const now = useTicking(live.length > 0);
  const server = useStore(access);
  return (
    <div class="calls">
      <div class="head">
        <h1 tabIndex={-1}>Live calls</h1>
        <span class="muted" role="status">{list.problem ?? (list.connected ? plural(live.length, "call") : "Connecting…")}</span>
      </div>
      {live.length > 0 ? <Table calls={live} now={now} live /> : list.known && <Empty server={server.at === "in" ? server.server : null} />}
      {ended.length > 0 && (
        <>
          <div class="head">
            <h2>Just ended</h2>
            <span class="muted">newest first</span>
          </div>
          <Table calls={ended} now={now} live={false} />
        </>
      )}
    </div>
  );
}

function Table({ calls, now, live }: { calls: readonly Listed[]; now: number; live: boolean }) {
  return (
    <div class="card flush">
      <table class="list">
        <thead>
          <tr>
            <th scope="col">{live ? "State" : "Ended"}</th>
            <th scope="col">Caller</th>
            <th scope="col">Agent</th>
            <th scope="col" class="last">{live ? "Last said" : "How it ended"}</th>
            <th scope="col" class="figure">{live ? "Duration" : "Lasted"}</th>
            <th scope="col" class="figure">Turns</th>
            <th scope="col" class="figure">Cut off</th>
            <th scope="col" class="figure" title="Median from the end of the caller's voice to the first sound of the answer">Response</th>
          </tr>
        </thead>
        <tbody>
          {calls.map((call) => (
            <Row key={call.call_id} call={call} now={now} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Row({ call, now }: { call: Listed; now: number }) {
  const ended = call.state === "ended";
  const open = (event: MouseEvent): void => {
    if (!(event.target as HTMLElement).closest("a, button")) location.hash = callHref(call.call_id);
  };
  return (
    <tr onClick={open}>
      <td data-name="state">{ended ? <span class="muted" >{clockTime(call.ended_at ?? call.created_at)}</span> : <State call={call} />}</td>
      <td data-name="caller">
        <a class="strong" href={callHref(call.call_id)}>{partyOf(call)}</a>
        <span class="muted sub">{lineOf(call)}</span>
      </td>
      <td data-name="agent">{call.agent_id}</td>
      <td data-name="last" class="last"><span>{ended ? reasonOf(call.reason ?? "", call.detail) : <Last call={call} />}</span></td>
      <td data-name="duration" class="figure">{duration(lasted(call, now))}</td>
      <td data-name="turns" class="figure">{call.turns}</td>
      <td data-name="cut off" class="figure">{call.interruptions}</td>
      <td data-name="response" class="figure">{call.response_ms_p50 === null ? <span class="muted">–</span> : millis(call.response_ms_p50)}</td>
    </tr>
  );
}

/** What tells it from other calls of the same caller. */
function lineOf(call: CallFacts): string {
  if (call.transport !== "phone") return `${call.transport === "webrtc" ? "" : `${transportOf(call.transport)} `}${shortId(call.call_id)}`;
  return call.direction === "outbound" ? `called from ${call.from}` : `to ${call.to}`;
}

/** What was understood or heard last. */
function Last({ call }: { call: CallFacts }) {
  const said = call.last_bot_text ?? "";
  const heard = call.last_user_text ?? "";
  if (!said && !heard) return null;
  return <>{heard && <q class="user">{heard}</q>} {said && <q class="bot">{said}</q>}</>;
}

function State({ call }: { call: CallFacts }) {
  if (call.state === "ringing" || call.state === "dialing") return <span class="state ringing">{call.state === "ringing" ? "Ringing" : "Dialing"}</span>;
  const state = call.agent_state ?? "idle";
  const names = { idle: "Live", listening: "Listening", thinking: "Thinking", speaking: "Speaking" };
  return <span class={`state ${state}`}>{names[state]}</span>;
}

function Empty({ server }: { server: ServerSession | null }) {
  const webhook = server?.webhook_url ?? `${server?.public_url ?? location.origin}/twilio/voice`;
  const local = /\/\/(127\.|localhost|\[::1\])/.test(webhook);
  return (
    <div class="card empty">
      <h2>Nobody is on the line</h2>
      <ol class="steps">
        <li>
          <div>
            <strong>Talk to the demo from this page.</strong>
            <p class="muted">A microphone is all that it needs.</p>
          </div>
          <a class="button" href="#/">Talk</a>
        </li>
        <li>
          <div>
            <strong>Or have a phone number answered.</strong>
            <p class="muted">In Twilio's console, set the number's voice webhook (POST) to this address:</p>
            <p class="address"><code>{webhook}</code><Copy text={() => webhook} /></p>
            {local && <p class="muted">It is an address of this machine. Twilio needs a public one: set <code>TALKWIRE_PUBLIC_URL</code>.</p>}
          </div>
        </li>
      </ol>
    </div>
  );
}
