/** All of the call in a narrow strip, with the part that is in view: to see where one is, and to go elsewhere. */

import { useLayoutEffect, useRef } from "preact/hooks";

import type { CallFeed } from "../state/feed.ts";
import type { Theme } from "../state/theme.ts";
import { readPalette } from "./palette.ts";
import type { Peaks } from "./peaks.ts";
import { type Extent, type View, clamp, fit, toMs, toPx, untilMs } from "./scale.ts";

const HEIGHT_PX = 30;

interface Props {
  readonly feed: CallFeed;
  readonly view: View;
  readonly extent: Extent;
  readonly colours: Theme;
  readonly version: number;
  readonly onMove: (view: View) => void;
}

export function Overview({ feed, view, extent, colours, onMove }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const held = useRef(false);
  const all = fit(extent, view.widthPx);
  const whole = view.msPerPx >= all.msPerPx * 0.999;
  useLayoutEffect(() => {
    const element = canvas.current;
    const pen = element?.getContext("2d");
    if (!element?.parentElement || !pen) return;
    const ratio = devicePixelRatio || 1;
    element.width = Math.round(view.widthPx * ratio);
    element.height = HEIGHT_PX * ratio;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    const palette = readPalette(element.parentElement);
    half(pen, feed.user, all, palette["user-wave"], -1);
    half(pen, feed.bot, all, palette["bot-wave"], 1);
  }, [view.widthPx, Math.floor(extent.endMs / 500), colours, feed.user.length, feed.bot.length, feed]);
  const move = (event: PointerEvent): void => {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const ms = toMs(all, event.clientX - box.left);
    onMove(clamp({ ...view, fromMs: ms - (view.widthPx / 2) * view.msPerPx }, extent));
  };
  const left = Math.max(0, toPx(all, view.fromMs));
  const right = Math.min(view.widthPx, toPx(all, untilMs(view)));
  return (
    <div
      class="overview"
      aria-hidden="true"
      hidden={whole}
      onPointerDown={(event) => {
        held.current = true;
        event.currentTarget.setPointerCapture(event.pointerId);
        move(event);
      }}
      onPointerMove={(event) => held.current && move(event)}
      onPointerUp={() => (held.current = false)}
      onPointerCancel={() => (held.current = false)}
    >
      <canvas ref={canvas} style={{ width: `${view.widthPx}px`, height: `${HEIGHT_PX}px` }} />
      <span class="window" style={{ left: `${left}px`, width: `${Math.max(8, right - left)}px` }} />
    </div>
  );
}

function half(pen: CanvasRenderingContext2D, peaks: Peaks, view: View, colour: string, side: 1 | -1): void {
  pen.fillStyle = colour;
  const middle = HEIGHT_PX / 2;
  const last = Math.min(view.widthPx, toPx(view, peaks.untilMs));
  for (let x = 0; x < last; x++) {
    const from = Math.floor(toMs(view, x) / peaks.hopMs);
    const height = (peaks.max(from, Math.max(from + 1, toMs(view, x + 1) / peaks.hopMs)) / 255) * (middle - 2);
    if (height > 0.5) pen.fillRect(x, side < 0 ? middle - height : middle, 1, height);
  }
}
