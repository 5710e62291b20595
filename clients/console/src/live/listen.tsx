import { useEffect, useMemo, useRef } from "preact/hooks";

import { useStore } from "../state/store.ts";
import { Icon } from "../ui/icon.tsx";
import { LiveSound } from "./sound.ts";

const BARS = 20;

/** Has a live call heard, from when it is pressed. */
export function Listen({ url, big = false }: { url: string; big?: boolean }) {
  const sound = useMemo(() => new LiveSound(url), [url]);
  const meter = useRef<HTMLDivElement>(null);
  const now = useStore(sound.now);
  useEffect(() => () => sound.stop(), [sound]);
  useEffect(() => sound.level.watch(() => meter.current?.style.setProperty("--level", String(Math.round(sound.level.value * BARS) / BARS))), [sound]);
  const on = now.at === "waiting" || now.at === "playing";
  return (
    <span class="listen">
      <button type="button" class={big ? "button primary" : "button small"} aria-pressed={on} onClick={() => (on ? sound.stop() : sound.start())}>
        <Icon name="ear" size={big ? 18 : 15} />{on ? "Stop listening" : "Listen"}
      </button>
      {on && <div ref={meter} class="meter" role="img" aria-label="Level of the call" />}
      {now.at === "waiting" && <span class="muted small" role="status">Waiting for its sound…</span>}
      {now.at === "over" && <span class={now.why ? "problem small" : "muted small"} role="status">{now.why || "The call is over."}</span>}
    </span>
  );
}

/** A page of its own, which plays one call. */
export function LivePage({ url, id }: { url: string; id: string }) {
  return (
    <main class="live-page">
      <section class="card">
        <h1>A live call</h1>
        <p class="muted id"><code>{id}</code></p>
        <Listen url={url} big />
      </section>
    </main>
  );
}
