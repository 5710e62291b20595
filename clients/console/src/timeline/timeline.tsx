/** The timeline: both waveforms, and what happened drawn against them. */

import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";

import type { CallFeed } from "../state/feed.ts";
import type { Look } from "../state/look.ts";
import { useStore } from "../state/store.ts";
import { theme } from "../state/theme.ts";
import { Icon } from "../ui/icon.tsx";
import { draw } from "./draw.ts";
import { type Item, itemsOf } from "./items.ts";
import { type Layout, itemAt, layout, neighbour } from "./layout.ts";
import { Overview } from "./overview.tsx";
import { type Palette, readPalette } from "./palette.ts";
import { type View, clamp, fit, follow, pan, reveal, stamp, toMs, toPx, untilMs, zoom } from "./scale.ts";
import { usePointer } from "./pointer.ts";

const LIVE_SPAN_MS = 30_000;

export function Timeline({ feed, look }: { feed: CallFeed; look: Look }) {
  const version = useStore(feed.changes);
  const cursorMs = useStore(look.cursorMs);
  const chosenSeq = useStore(look.chosen);
  const colours = useStore(theme);
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const palette = useRef<Palette | null>(null);
  const [width, setWidth] = useState(0);
  const [view, setView] = useState<View | null>(null);
  const [following, setFollowing] = useState(true);
  const [hover, setHover] = useState<{ item: Item | null; x: number; y: number } | null>(null);
  const [focused, setFocused] = useState<Item | null>(null);

  const nowMs = feed.nowMs();
  const live = feed.live;
  const extent = { startMs: 0, endMs: Math.max(nowMs, feed.user.untilMs, feed.bot.untilMs, 1000) };
  const items = useMemo(() => itemsOf(feed.call, nowMs), [version, live ? Math.floor(nowMs / 100) : 0]);
  const rows = items.reduce((most, item) => (item.lane === "tools" ? Math.max(most, item.row + 1) : most), 1);
  const shape = useMemo(() => layout(rows), [rows]);

  useFrames(live);
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const measure = (): void => setWidth(element.clientWidth);
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  const shown = viewOf(view, width, extent, live, following);
  const set = (next: View, keepsFollowing = false): void => {
    setView(next);
    if (!keepsFollowing) setFollowing(untilMs(next) >= extent.endMs);
  };

  useEffect(() => {
    const system = matchMedia("(prefers-color-scheme: dark)");
    const read = (): void => {
      if (box.current) palette.current = readPalette(box.current);
    };
    read();
    system.addEventListener("change", read);
    return () => system.removeEventListener("change", read);
  }, [colours]);

  const chosen = focused ?? (chosenSeq === null ? null : (items.find((item) => item.seq === chosenSeq) ?? null));
  useEffect(() => {
    if (chosenSeq === null || !shown) return;
    const item = items.find((candidate) => candidate.seq === chosenSeq);
    if (item && !live) set(reveal(shown, item.startMs, extent));
  }, [chosenSeq]);

  useLayoutEffect(() => {
    if (!shown || !canvas.current) return;
    palette.current ??= box.current ? readPalette(box.current) : null;
    const pen = sized(canvas.current, shown.widthPx, shape);
    if (!pen || !palette.current) return;
    const pointerMs = hover ? toMs(shown, hover.x) : null;
    draw(pen, { view: shown, shape, items, user: feed.user, bot: feed.bot, nowMs, cursorMs, pointerMs, chosen: hover?.item ?? chosen, live }, palette.current);
  });

  const pointer = usePointer({
    onHover: (x, y) => setHover(shown && x >= 0 ? { item: itemAt(items, shown, shape, x, y, nowMs), x, y } : null),
    onLeave: () => setHover(null),
    onClick: (x, y) => {
      if (!shown) return;
      const item = itemAt(items, shown, shape, x, y, nowMs);
      setFocused(item);
      look.choose(item?.seq ?? null, item && item.startMs === item.endMs ? item.startMs : toMs(shown, x));
    },
    onPan: (px) => shown && set(pan(shown, px, extent)),
    onZoom: (factor, x) => shown && set(zoom(shown, factor, x, extent)),
  });

  const step = (direction: 1 | -1): void => {
    if (!shown) return;
    const next = neighbour(items, chosen, direction, shown.fromMs);
    if (!next) return;
    setFocused(next);
    set(reveal(shown, next.startMs, extent));
  };
  const keys = (event: KeyboardEvent): void => {
    if (!shown || event.ctrlKey || event.metaKey || event.altKey) return;
    const middle = shown.widthPx / 2;
    const acts: Record<string, () => void> = {
      ArrowRight: () => (event.shiftKey ? set(pan(shown, middle, extent)) : step(1)),
      ArrowLeft: () => (event.shiftKey ? set(pan(shown, -middle, extent)) : step(-1)),
      Home: () => set({ ...shown, fromMs: 0 }),
      End: () => set(follow(shown, extent)),
      "+": () => set(zoom(shown, 1.6, middle, extent)),
      "=": () => set(zoom(shown, 1.6, middle, extent)),
      "-": () => set(zoom(shown, 1 / 1.6, middle, extent)),
      "0": () => set(fit(extent, shown.widthPx)),
      Enter: () => chosen && look.choose(chosen.seq, chosen.startMs),
      " ": () => chosen && look.goTo(chosen.startMs, true),
      Escape: () => (setFocused(null), look.choose(null)),
    };
    const act = acts[event.key];
    if (!act) return;
    event.preventDefault();
    setHover(null);
    act();
  };

  const tip = hover?.item ? { item: hover.item, x: hover.x, y: hover.y } : focused && shown ? { item: focused, x: toPx(shown, focused.startMs), y: shape.lanes[focused.lane].top + 20 } : null;
  return (
    <section class="timeline card" aria-label="Timeline">
      <div class="timeline-tools">
        <Legend />
        <span class="grow" />
        {live && (
          <button type="button" class="button small" aria-pressed={following} onClick={() => (setFollowing(!following), shown && !following && setView(follow(shown, extent)))}>
            <Icon name="follow" size={15} /> Follow
          </button>
        )}
        <button type="button" class="button small square" aria-label="Zoom out" title="Zoom out (−)" onClick={() => shown && set(zoom(shown, 1 / 1.6, shown.widthPx / 2, extent))}><Icon name="minus" size={15} /></button>
        <button type="button" class="button small square" aria-label="Zoom in" title="Zoom in (+)" onClick={() => shown && set(zoom(shown, 1.6, shown.widthPx / 2, extent))}><Icon name="plus" size={15} /></button>
        <button type="button" class="button small square" aria-label="Show all" title="Show all (0)" onClick={() => shown && set(fit(extent, shown.widthPx))}><Icon name="fit" size={15} /></button>
      </div>
      <div class="timeline-body">
        <div class="lane-names" aria-hidden="true" style={{ height: `${shape.height}px` }}>
          <span class="user" style={{ top: `${shape.lanes.user.top}px` }}>Caller</span>
          <span style={{ top: `${shape.lanes.turns.top}px` }}>Wait</span>
          <span class="bot" style={{ top: `${shape.lanes.bot.top}px` }}>Bot</span>
          <span style={{ top: `${shape.lanes.tools.top}px` }}>Tools</span>
        </div>
        <div
          ref={box}
          class="timeline-canvas"
          style={{ height: `${shape.height}px` }}
          tabIndex={0}
          role="application"
          aria-label="Events against the waveforms. Arrow keys go from event to event, plus and minus zoom, Enter moves the recording there, space plays from there."
          onKeyDown={keys}
          onBlur={() => setFocused(null)}
          {...pointer}
        >
          <canvas ref={canvas} />
          {tip && shown && <Tip item={tip.item} x={tip.x} y={tip.y} width={shown.widthPx} />}
        </div>
      </div>
      {shown && <Overview feed={feed} view={shown} extent={extent} colours={colours} version={version} onMove={(next) => set(next)} />}
      <p class="unseen" aria-live="polite">{focused ? `${stamp(focused.startMs, 1)} ${focused.label} ${focused.detail}` : ""}</p>
    </section>
  );
}

/** While a call is live time moves, though no event comes. */
function useFrames(active: boolean): void {
  const [, redraw] = useState(0);
  useEffect(() => {
    if (!active) return;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const timer = setInterval(() => !document.hidden && redraw((count) => count + 1), calm ? 1000 : 50);
    return () => clearInterval(timer);
  }, [active]);
}

function viewOf(view: View | null, width: number, extent: { startMs: number; endMs: number }, live: boolean, following: boolean): View | null {
  if (width === 0) return null;
  if (!view) {
    const all = fit(extent, width);
    if (!live) return all;
    return follow({ ...all, msPerPx: Math.max(all.msPerPx > LIVE_SPAN_MS / width ? LIVE_SPAN_MS / width : all.msPerPx, 4) }, extent);
  }
  const sized = view.widthPx === width ? view : { ...view, widthPx: width };
  return live && following ? follow(sized, extent) : clamp(sized, extent);
}

function sized(canvas: HTMLCanvasElement, width: number, shape: Layout): CanvasRenderingContext2D | null {
  const ratio = devicePixelRatio || 1;
  const [pxWidth, pxHeight] = [Math.round(width * ratio), Math.round(shape.height * ratio)];
  if (canvas.width !== pxWidth || canvas.height !== pxHeight) {
    [canvas.width, canvas.height] = [pxWidth, pxHeight];
    canvas.style.width = `${width}px`;
    canvas.style.height = `${shape.height}px`;
  }
  const pen = canvas.getContext("2d");
  pen?.setTransform(ratio, 0, 0, ratio, 0, 0);
  return pen;
}

function Tip({ item, x, y, width }: { item: Item; x: number; y: number; width: number }) {
  const right = x > width / 2;
  const style = { top: `${y + 14}px`, ...(right ? { right: `${Math.max(0, width - x + 10)}px` } : { left: `${Math.max(0, x + 10)}px` }) };
  return (
    <div class="tip" style={style}>
      <span class="figure muted">{stamp(item.startMs, 2)}</span> <strong>{item.label}</strong>
      {item.detail && <div>{item.detail}</div>}
    </div>
  );
}

function Legend() {
  return (
    <ul class="legend" aria-label="What the colours mean">
      <li><i class="swatch user" />caller's voice</li>
      <li><i class="swatch bot" />bot, as heard</li>
      <li><i class="swatch wait" />end of turn</li>
      <li><i class="swatch think" />answer and tools</li>
      <li><i class="swatch cut" />cut off</li>
    </ul>
  );
}
