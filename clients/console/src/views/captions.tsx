import { useEffect, useRef, useState } from "preact/hooks";

import { keyOf, stampOf } from "../fold/entries.ts";
import type { Entry } from "../fold/model.ts";
import { heardOf } from "../fold/heard.ts";
import { emptyCall } from "../fold/model.ts";
import { useStore } from "../state/store.ts";
import { say, talk } from "../state/talk.ts";
import { Icon } from "../ui/icon.tsx";
import { memo } from "../ui/memo.ts";
import { useStickToEnd } from "../ui/stick.ts";
import { BotText, UserText, fate } from "../ui/spoken.tsx";

const NOTHING = emptyCall();

/** What is said, growing while it is said. */
export function Captions() {
  const now = useStore(talk);
  const [, redraw] = useState(0);
  useEffect(() => now.feed?.changes.watch(() => redraw((count) => count + 1)), [now.feed]);
  const call = now.feed?.call ?? NOTHING;
  const box = useRef<HTMLDivElement>(null);
  useStickToEnd(box, true);
  const spoken = call.entries.filter((entry) => entry.kind !== "note" || entry.tone === "bad");
  return (
    <section class="captions card" aria-label="Captions">
      <div ref={box} class="lines" tabIndex={0}>
        {spoken.length === 0 && <Hint />}
        {spoken.map((entry) => <Line key={keyOf(entry)} entry={entry} stamp={stampOf(entry)} />)}
      </div>
      <Finished entries={call.entries} />
      {now.at === "live" && <Typed />}
    </section>
  );
}

const Line = memo(drawLine, ["stamp"]);

/** `stamp`: of what is shown; the entry itself changes in place. */
function drawLine({ entry }: { entry: Entry; stamp: string }) {
  switch (entry.kind) {
    case "user":
      return <p class="line user"><span class="who">You</span><span dir="auto"><UserText said={entry.said} /></span></p>;
    case "bot": {
      const told = fate(entry.message);
      return (
        <p class="line bot">
          <span class="who">Bot{told && <span class="fate">{told}</span>}</span>
          <span dir="auto"><BotText message={entry.message} /></span>
        </p>
      );
    }
    case "tool":
      return (
        <p class="line tool">
          <Icon name="tool" size={14} /><code>{entry.tool.name}</code>
          <span class={entry.tool.error === null ? "muted" : "problem"}>{entry.tool.error ?? (entry.tool.endMs === null ? "runs…" : "done")}</span>
        </p>
      );
    case "note":
      return <p class="line note problem">{entry.text}</p>;
  }
}

function Hint() {
  const { at } = useStore(talk);
  return (
    <div class="empty-captions">
      <p class="muted">{at === "over" ? "Nothing was said." : "What is said appears here."}</p>
    </div>
  );
}

/** For those who listen to the page: each utterance once, when it is complete. Growing words would only stammer. */
function Finished({ entries }: { entries: readonly Entry[] }) {
  const last = entries.findLast((entry) => (entry.kind === "user" && entry.said.final) || (entry.kind === "bot" && entry.message.endMs !== null));
  const text = last?.kind === "user" ? `You: ${last.said.text}` : last?.kind === "bot" ? `Bot: ${heardOf(last.message).heard}` : "";
  return <p class="unseen" aria-live="polite">{text}</p>;
}

function Typed() {
  const [problem, setProblem] = useState<string | null>(null);
  const field = useRef<HTMLInputElement>(null);
  const send = async (event: Event): Promise<void> => {
    event.preventDefault();
    const text = field.current?.value.trim();
    if (!text || !field.current) return;
    field.current.value = "";
    setProblem(await say(text));
  };
  return (
    <form class="typed" onSubmit={send}>
      <input ref={field} type="text" maxLength={2000} placeholder="Or write what you would say" aria-label="Say in writing" autocomplete="off" enterkeyhint="send" />
      <button type="submit" class="button square" aria-label="Send" title="Send"><Icon name="send" /></button>
      {problem && <p class="problem" role="alert">{problem}</p>}
    </form>
  );
}
