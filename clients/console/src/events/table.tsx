import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";

import type { WireEvent } from "../fold/model.ts";
import { clock } from "../fold/read.ts";
import type { CallFeed } from "../state/feed.ts";
import type { Look } from "../state/look.ts";
import { useStore } from "../state/store.ts";
import { stamp } from "../timeline/scale.ts";
import { Copy } from "../ui/copy.tsx";
import { Icon } from "../ui/icon.tsx";
import { FAMILIES, type Family, Filtered, familyOf, parseQuery, shortened, summary } from "./filter.ts";
import { rowsInSight, scrollTo } from "./rows.ts";

const ROW_PX = 26;

/** All events of the call as they went over the wire. Only the rows in sight are drawn. */
export function EventTable({ feed, look }: { feed: CallFeed; look: Look }) {
  const version = useStore(feed.changes);
  const chosen = useStore(look.chosen);
  const [text, setText] = useState("");
  const [hidden, setHidden] = useState<ReadonlySet<Family>>(new Set());
  const [pausedAt, setPausedAt] = useState<number | null>(null);
  const [open, setOpen] = useState<WireEvent | null>(null);
  const [scroll, setScroll] = useState({ top: 0, height: 400 });
  const box = useRef<HTMLDivElement>(null);
  const sticks = useRef(true);
  const filtered = useRef(new Filtered());
  const query = useMemo(() => parseQuery(text, hidden), [text, hidden]);
  const log = feed.call.events;
  const shown = filtered.current.of(log, query, pausedAt ?? log.length);
  const rows = rowsInSight(scroll.top, scroll.height, ROW_PX, shown.length);

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const look = (): void => {
      sticks.current = element.scrollHeight - element.scrollTop - element.clientHeight < ROW_PX * 2;
      setScroll({ top: element.scrollTop, height: element.clientHeight });
    };
    look();
    const observer = new ResizeObserver(look);
    observer.observe(element);
    element.addEventListener("scroll", look, { passive: true });
    return () => (observer.disconnect(), element.removeEventListener("scroll", look));
  }, []);
  useEffect(() => {
    if (feed.live && pausedAt === null && sticks.current && chosen === null && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [version, pausedAt]);
  useEffect(() => setOpen(chosen === null ? null : (log.find(({ seq }) => seq === chosen) ?? null)), [chosen]);
  // Behind the opening, which takes room from the rows.
  useLayoutEffect(() => {
    const element = box.current;
    const row = open ? shown.indexOf(open) : -1;
    if (element && row >= 0) element.scrollTop = scrollTo(row, element.scrollTop, element.clientHeight, ROW_PX);
  }, [open, query]);

  const choose = (event: WireEvent): void => {
    look.choose(event.seq, clock(feed.call, event.ts));
  };
  const step = (by: number): void => {
    const row = shown.findIndex(({ seq }) => seq === chosen);
    const next = shown[Math.min(shown.length - 1, Math.max(0, row + by))];
    if (next) choose(next);
  };
  const keys = (event: KeyboardEvent): void => {
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 12, PageUp: -12, End: shown.length, Home: -shown.length }[event.key];
    if (event.key === "Escape") look.choose(null);
    else if (by === undefined) return;
    else step(by);
    event.preventDefault();
  };
  const toggle = (family: Family): void => {
    const next = new Set(hidden);
    if (!next.delete(family)) next.add(family);
    setHidden(next);
  };
  return (
    <section class="events card" aria-label="Events">
      <div class="card-head">
        <h2>Events</h2>
        <span class="muted figure">{shown.length === log.length ? log.length : `${shown.length} of ${log.length}`}</span>
        <span class="grow" />
        {feed.live && (
          <button type="button" class="button small" aria-pressed={pausedAt !== null} onClick={() => setPausedAt(pausedAt === null ? log.length : null)}>
            <Icon name={pausedAt === null ? "pause" : "play"} size={15} />
            {pausedAt === null ? "Pause" : `Go on${log.length > pausedAt ? ` (${log.length - pausedAt} new)` : ""}`}
          </button>
        )}
        <Copy label="Copy all" text={() => shown.map((event) => JSON.stringify(event)).join("\n")} />
      </div>
      <div class="filters">
        <input type="search" class="search" placeholder="Filter: bot.word, -audio, Rome" aria-label="Filter events by name or text" spellcheck={false} value={text} onInput={(event) => setText(event.currentTarget.value)} />
        <div class="chips" role="group" aria-label="Kinds of events">
          {FAMILIES.map((family) => (
            <button key={family} type="button" class="chip" aria-pressed={!hidden.has(family)} onClick={() => toggle(family)}>{family}</button>
          ))}
        </div>
      </div>
      <div ref={box} class="rows" tabIndex={0} role="listbox" aria-label="Events; arrow keys choose" aria-activedescendant={chosen === null ? undefined : `event-${chosen}`} onKeyDown={keys}>
        <div style={{ height: `${rows.totalPx}px`, position: "relative" }}>
          {shown.slice(rows.first, rows.end).map((event, index) => (
            <div
              key={event.seq}
              id={`event-${event.seq}`}
              class="row"
              role="option"
              aria-selected={event.seq === chosen}
              aria-setsize={shown.length}
              aria-posinset={rows.first + index + 1}
              style={{ top: `${(rows.first + index) * ROW_PX}px` }}
              onClick={() => choose(event)}
            >
              <span class="figure seq">{event.seq}</span>
              <span class="figure at">{stamp(clock(feed.call, event.ts), 2)}</span>
              <span class={`name ${familyOf(event.event)}`}>{event.event}</span>
              <span class="summary">{summary(event)}</span>
            </div>
          ))}
        </div>
        {shown.length === 0 && <p class="muted pad">{log.length === 0 ? "No events yet." : "No event fits the filter."}</p>}
      </div>
      {open && (
        <div class="opened">
          <div class="opened-head">
            <strong>{open.event}</strong>
            <span class="grow" />
            <Copy label="Copy" text={() => JSON.stringify(open)} />
            <button type="button" class="button quiet small square" aria-label="Close" onClick={() => look.choose(null)}><Icon name="close" size={15} /></button>
          </div>
          <pre>{JSON.stringify(open, shortened, 2)}</pre>
        </div>
      )}
    </section>
  );
}
