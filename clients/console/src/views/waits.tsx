import { useEffect, useState } from "preact/hooks";

import { median, timings } from "../fold/timing.ts";
import type { CallFeed } from "../state/feed.ts";
import { useStore } from "../state/store.ts";
import { talk } from "../state/talk.ts";
import { millis } from "../timeline/items.ts";
import { TimingBar, scaleOf } from "../ui/timing-bar.tsx";

/** How long each answer took, as it happens. */
export function Waits() {
  const { feed } = useStore(talk);
  if (!feed) return null;
  return <Of feed={feed} />;
}

function Of({ feed }: { feed: CallFeed }) {
  useStore(feed.changes);
  const all = timings(feed.call, feed.nowMs());
  const growing = all.some(({ phase }) => phase === "ending" || phase === "answering");
  useQuick(growing && feed.live);
  const middle = median(all.filter(({ phase }) => phase === "answered").map(({ totalMs }) => totalMs));
  const scaleMs = scaleOf(all);
  return (
    <section class="waits card" aria-label="Response times">
      <div class="card-head"><h2>Response</h2><span class="grow" />{middle !== null && <span class="muted figure">median {millis(middle)}</span>}</div>
      {all.length === 0 && <p class="muted pad">Each turn gets a bar: from the end of your voice to the end of the turn, and on to the first word of the answer.</p>}
      {all.length > 0 && (
        <>
          <ol class="bars">
            {all.map((timing) => (
              <li key={timing.turn.id}>
                <span class="figure muted turn">{timing.turn.id}</span>
                <TimingBar timing={timing} scaleMs={scaleMs} />
              </li>
            ))}
          </ol>
          <ul class="legend pad">
            <li><i class="swatch wait" />end of turn</li>
            <li><i class="swatch think" />first heard word</li>
          </ul>
        </>
      )}
    </section>
  );
}

/** Bars that grow are drawn often, but for those who want no motion. */
function useQuick(active: boolean): void {
  const [, redraw] = useState(0);
  useEffect(() => {
    if (!active || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    const timer = setInterval(() => redraw((count) => count + 1), 40);
    return () => clearInterval(timer);
  }, [active]);
}
