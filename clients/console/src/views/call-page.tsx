import { useEffect, useMemo } from "preact/hooks";

import { EventTable } from "../events/table.tsx";
import { median, timings, turnsTaken } from "../fold/timing.ts";
import { CallFeed } from "../state/feed.ts";
import { Look } from "../state/look.ts";
import { Beside } from "../live/beside.tsx";
import { useStore } from "../state/store.ts";
import { millis } from "../timeline/items.ts";
import { Timeline } from "../timeline/timeline.tsx";
import { Copy } from "../ui/copy.tsx";
import { Icon } from "../ui/icon.tsx";
import { useTicking } from "../ui/ticking.ts";
import { clockTime, duration, partyOf, plural, reasonOf, transportOf } from "../ui/words.ts";
import { Player } from "./player.tsx";
import { Transcript } from "./transcript.tsx";

/** One call, live or just ended. */
export function CallPage({ id }: { id: string }) {
  const feed = useMemo(() => new CallFeed(id, true), [id]);
  const look = useMemo(() => new Look(), [id]);
  useEffect(() => {
    feed.start();
    return () => feed.stop();
  }, [feed]);
  useStore(feed.changes);
  if (feed.problem !== null) return <Missing id={id} why={feed.problem} />;
  return (
    <div class="call">
      <Facts feed={feed} />
      {feed.live && feed.call.lastSeq > 0 && feed.call.calling === null && <Beside feed={feed} />}
      <Timeline feed={feed} look={look} />
      {feed.facts?.recording && !feed.live && !feed.gone && <Player id={id} look={look} startMs={feed.call.recordingStartMs} />}
      <div class="columns">
        <Transcript feed={feed} look={look} />
        <EventTable feed={feed} look={look} />
      </div>
    </div>
  );
}

function Facts({ feed }: { feed: CallFeed }) {
  useTicking(feed.live, 1000);
  const { call, facts } = feed;
  const answered = timings(call, feed.nowMs()).filter(({ phase }) => phase === "answered");
  const response = median(answered.map(({ totalMs }) => totalMs));
  const cuts = [...call.messages.values()].filter((message) => message.state === "interrupted" && message.startMs !== null && message.reason !== "cancelled").length;
  const state = call.calling ?? (feed.live ? (call.agentState ?? "idle") : "ended");
  return (
    <div class="facts">
      <a class="back" href="#/calls"><Icon name="back" size={16} />Calls</a>
      <div class="head">
        <h1 tabIndex={-1}>{facts ? partyOf(facts) : "Call"}<span class="arrow" aria-label="to"> → </span>{facts?.agent_id ?? ""}</h1>
        <span class={`state ${state}`} role="status">{{ ringing: "Ringing", dialing: "Dialing", idle: "Live", listening: "Listening", thinking: "Thinking", speaking: "Speaking", ended: "Ended" }[state]}</span>
        {feed.live && !feed.connected && <span class="muted">reconnecting…</span>}
      </div>
      <dl class="figures">
        <div><dt>Duration</dt><dd class="figure">{duration(feed.nowMs())}</dd></div>
        <div><dt>Turns</dt><dd class="figure">{turnsTaken(call)}</dd></div>
        <div><dt>Response, median</dt><dd class="figure">{response === null ? "–" : millis(response)}</dd></div>
        <div><dt>Cut off</dt><dd class="figure">{cuts}</dd></div>
        {facts?.started_at && <div><dt>Started</dt><dd class="figure">{clockTime(facts.started_at)}</dd></div>}
        {facts && <div><dt>By</dt><dd>{transportOf(facts.transport)}{call.language ? `, ${call.language}` : ""}</dd></div>}
        {facts?.transport === "phone" && <div><dt>{facts.direction === "outbound" ? "From" : "To"}</dt><dd class="figure">{facts.direction === "outbound" ? facts.from : facts.to}</dd></div>}
        <div class="wide"><dt>Call</dt><dd class="id"><code>{feed.id}</code><Copy quiet label="Copy the call's id" text={() => feed.id} /></dd></div>
        {call.ending && <div class="wide"><dt>End</dt><dd>{reasonOf(call.ending.reason, call.ending.detail)}</dd></div>}
        {facts?.metadata && Object.keys(facts.metadata).length > 0 && <div class="wide"><dt>Metadata</dt><dd><code>{JSON.stringify(facts.metadata)}</code></dd></div>}
      </dl>
      {feed.gone && <p class="problem" role="status">The server no longer keeps this call. What this page has seen of it is still here.</p>}
      {call.lost > 0 && <p class="problem" role="status">{plural(call.lost, "event")} of this call {call.lost === 1 ? "is" : "are"} no longer kept: what is shown is not all.</p>}
    </div>
  );
}

function Missing({ id, why }: { id: string; why: string }) {
  return (
    <section class="notice">
      <h1 tabIndex={-1}>This call is not here</h1>
      <p>{why}</p>
      <p class="muted"><code>{id}</code></p>
      <a class="button" href="#/calls">To the calls</a>
    </section>
  );
}
