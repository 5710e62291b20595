import { Fragment } from "preact";
import { useRef } from "preact/hooks";

import type { Entry, ToolRun } from "../fold/model.ts";
import { entryAt, keyOf, seqOf, stampOf, startOf } from "../fold/entries.ts";
import { type Timing, timings } from "../fold/timing.ts";
import { api } from "../net/api.ts";
import type { CallFeed } from "../state/feed.ts";
import type { Look } from "../state/look.ts";
import { useStore } from "../state/store.ts";
import { millis } from "../timeline/items.ts";
import { stamp } from "../timeline/scale.ts";
import { Icon } from "../ui/icon.tsx";
import { memo } from "../ui/memo.ts";
import { useStickToEnd } from "../ui/stick.ts";
import { BotText, UserText, fate } from "../ui/spoken.tsx";
import { TimingBar, scaleOf } from "../ui/timing-bar.tsx";

export function Transcript({ feed, look }: { feed: CallFeed; look: Look }) {
  useStore(feed.changes);
  const cursorMs = useStore(look.cursorMs);
  const box = useRef<HTMLDivElement>(null);
  const { call } = feed;
  const all = timings(call, feed.nowMs());
  const byTurn = new Map(all.map((timing) => [timing.turn.id, timing]));
  const scaleMs = scaleOf(all);
  const lastOfTurn = new Map(call.entries.flatMap((entry) => (entry.kind === "user" ? [[entry.said.turnId, entry] as const] : [])));
  const current = cursorMs === null ? null : entryAt(call.entries, cursorMs);
  useStickToEnd(box, feed.live);
  return (
    <section class="transcript card" aria-label="Transcript">
      <div class="card-head">
        <h2>Transcript</h2>
        <span class="grow" />
        {call.ending !== null && call.entries.length > 0 && (
          <>
            <a class="button small quiet" href={api.transcriptUrl(feed.id, "text")} download title="Download what was said, as text">Text</a>
            <a class="button small quiet" href={api.transcriptUrl(feed.id, "vtt")} download title="Download what was said, as subtitles to the recording">Subtitles</a>
          </>
        )}
      </div>
      <div ref={box} class="entries" tabIndex={0}>
        {call.entries.length === 0 && <p class="muted pad">{feed.live ? "Nothing was said yet." : "Nothing was said."}</p>}
        {call.entries.map((entry) => {
          const timing = entry.kind === "user" && lastOfTurn.get(entry.said.turnId) === entry ? byTurn.get(entry.said.turnId) : undefined;
          const stamp = timing ? `${stampOf(entry)}|${timing.phase}${timing.totalMs}/${scaleMs}` : stampOf(entry);
          return <Row key={keyOf(entry)} entry={entry} timing={timing} scaleMs={scaleMs} stamp={stamp} current={entry === current} look={look} />;
        })}
      </div>
    </section>
  );
}

interface RowProps {
  readonly entry: Entry;
  readonly timing: Timing | undefined;
  readonly scaleMs: number;
  /** Of what is shown: the entry itself changes in place. */
  readonly stamp: string;
  readonly current: boolean;
  readonly look: Look;
}

function drawRow({ entry, timing, scaleMs, current, look }: RowProps) {
  const ms = startOf(entry);
  return (
    <div class={`entry ${entry.kind}${current ? " current" : ""}`}>
      <button type="button" class="time figure" onClick={() => look.choose(seqOf(entry), ms)} aria-label={`Go to ${stamp(ms, 1)}`}>{stamp(ms)}</button>
      <div class="what"><Body entry={entry} />{timing && <Answer timing={timing} scaleMs={scaleMs} />}</div>
    </div>
  );
}

/** Long calls have hundreds: one that has not changed is not drawn again. */
const Row = memo(drawRow, ["stamp", "current", "look"]);

function Body({ entry }: { entry: Entry }) {
  switch (entry.kind) {
    case "user":
      return (
        <>
          <span class="who">Caller{entry.said.typed && <span class="muted"> (typed)</span>}</span>
          <p dir="auto"><UserText said={entry.said} /></p>
        </>
      );
    case "bot": {
      const told = fate(entry.message);
      return (
        <>
          <span class="who">{entry.message.by === null ? "Bot" : `${entry.message.by}, by the bot's voice`}{told && <span class="fate">{told}</span>}</span>
          <p dir="auto"><BotText message={entry.message} /></p>
        </>
      );
    }
    case "tool":
      return <Tool tool={entry.tool} />;
    case "note":
      return <p class={entry.tone}>{entry.text}</p>;
  }
}

function Tool({ tool }: { tool: ToolRun }) {
  const took = tool.endMs === null ? "runs…" : millis(tool.endMs - tool.startMs);
  return (
    <details>
      <summary>
        <Icon name="tool" size={14} /> <code>{tool.name}</code>
        <code class="muted arguments">{inline(tool.arguments)}</code>
        <span class={tool.error === null ? "muted figure" : "problem figure"}>{tool.error === null ? took : `failed, ${took}`}</span>
      </summary>
      <dl>
        <dt>arguments</dt>
        <dd><pre>{JSON.stringify(tool.arguments, null, 2)}</pre></dd>
        {tool.endMs !== null && (
          <>
            <dt>{tool.error === null ? "result" : "error"}</dt>
            <dd><pre>{tool.error ?? JSON.stringify(tool.result ?? null, null, 2)}</pre></dd>
          </>
        )}
      </dl>
    </details>
  );
}

function inline(value: unknown): string {
  if (typeof value !== "object" || value === null) return "";
  return Object.entries(value)
    .map(([name, given]) => `${name}: ${typeof given === "string" ? given : JSON.stringify(given)}`)
    .join(", ");
}

/** How long the answer to this turn took, and of what that is made. */
function Answer({ timing, scaleMs }: { timing: Timing; scaleMs: number }) {
  if (timing.phase === "speaking") return null;
  const slowest = timing.turn.metrics?.slowest;
  return (
    <details class="answer">
      <summary><TimingBar timing={timing} scaleMs={scaleMs} /></summary>
      <dl class="parts">
        <dt>end of speech → end of turn</dt><dd class="figure">{millis(timing.endpointMs)}</dd>
        {timing.phase === "answered" && (<><dt>end of turn → first heard word</dt><dd class="figure">{millis(timing.answerMs)}</dd></>)}
        {timing.parts.filter(({ name }) => name !== "end of turn").map(({ name, ms }) => (
          <Fragment key={name}><dt class="muted">{name}{slowest && NAMES[slowest] === name ? " (slowest)" : ""}</dt><dd class="figure muted">{millis(ms)}</dd></Fragment>
        ))}
        {timing.turn.reason && (<><dt class="muted">found by</dt><dd class="muted">{timing.turn.reason}{timing.turn.probability !== null && `, ${Math.round(timing.turn.probability * 100)} %`}</dd></>)}
      </dl>
    </details>
  );
}

const NAMES: Readonly<Record<string, string>> = { endpointing: "end of turn", stt: "recogniser", llm: "model", agent: "agent", tts: "voice", transport: "line" };
