/** The stretch of time that is in view, and how it is moved. Pure; a view is never changed, only replaced. */

export interface View {
  readonly fromMs: number;
  readonly msPerPx: number;
  readonly widthPx: number;
}

export interface Extent {
  readonly startMs: number;
  readonly endMs: number;
}

/** The closest look: 5 px for each hop of 20 ms. */
export const MIN_MS_PER_PX = 4;
/** Room behind the end, so that what happens last is not drawn at the very edge. */
const MARGIN = 0.02;

export function toPx(view: View, ms: number): number {
  return (ms - view.fromMs) / view.msPerPx;
}

export function toMs(view: View, px: number): number {
  return view.fromMs + px * view.msPerPx;
}

export function untilMs(view: View): number {
  return toMs(view, view.widthPx);
}

/** What can be looked at in all, with some room behind the end. */
function totalMs(extent: Extent): number {
  return Math.max(extent.endMs - extent.startMs, 1000) * (1 + MARGIN);
}

/** All of it. */
export function fit(extent: Extent, widthPx: number): View {
  return { fromMs: extent.startMs, msPerPx: Math.max(MIN_MS_PER_PX, totalMs(extent) / Math.max(1, widthPx)), widthPx };
}

/** Not beyond the extent, nor closer than a hop can be seen. */
export function clamp(view: View, extent: Extent): View {
  const widest = fit(extent, view.widthPx).msPerPx;
  const msPerPx = Math.min(Math.max(view.msPerPx, MIN_MS_PER_PX), widest);
  const last = extent.startMs + totalMs(extent) - msPerPx * view.widthPx;
  return { fromMs: Math.max(extent.startMs, Math.min(view.fromMs, last)), msPerPx, widthPx: view.widthPx };
}

/** Closer (`factor` > 1) or further, while what is at `anchorPx` stays there. */
export function zoom(view: View, factor: number, anchorPx: number, extent: Extent): View {
  const msPerPx = Math.max(MIN_MS_PER_PX, view.msPerPx / factor);
  const anchorMs = toMs(view, anchorPx);
  return clamp({ ...view, msPerPx, fromMs: anchorMs - anchorPx * msPerPx }, extent);
}

export function pan(view: View, px: number, extent: Extent): View {
  return clamp({ ...view, fromMs: view.fromMs + px * view.msPerPx }, extent);
}

/** With `ms` in sight: as it is where it is so already, else in the middle. */
export function reveal(view: View, ms: number, extent: Extent): View {
  const px = toPx(view, ms);
  const edge = Math.min(40, view.widthPx / 10);
  if (px >= edge && px <= view.widthPx - edge) return view;
  return clamp({ ...view, fromMs: ms - (view.widthPx / 2) * view.msPerPx }, extent);
}

/** The end in sight, at the same scale, for a call that goes on. */
export function follow(view: View, extent: Extent): View {
  return clamp({ ...view, fromMs: Number.MAX_SAFE_INTEGER }, extent);
}

const STEPS_MS = [100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000];

export interface Tick {
  readonly ms: number;
  readonly label: string;
}

/** Round times, at least `gapPx` apart. */
export function ticks(view: View, gapPx = 84): Tick[] {
  const least = gapPx * view.msPerPx;
  const step = STEPS_MS.find((candidate) => candidate >= least) ?? 3_600_000;
  const made: Tick[] = [];
  for (let ms = Math.ceil(view.fromMs / step) * step; ms <= untilMs(view); ms += step) {
    made.push({ ms, label: stamp(ms, step < 1000 ? 1 : 0) });
  }
  return made;
}

/** `1:04` or `1:02:03`, with `digits` of the second's fraction. What was before the call began has a minus. */
export function stamp(ms: number, digits = 0): string {
  if (ms <= -1000 / 10 ** digits) return `−${stamp(-ms, digits)}`;
  const unit = 10 ** digits;
  const whole = Math.floor((Math.max(0, ms) * unit) / 1000 + 1e-6);
  const seconds = Math.floor(whole / unit);
  const fraction = digits > 0 ? `.${String(whole % unit).padStart(digits, "0")}` : "";
  const two = (value: number): string => String(value).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  return `${hours > 0 ? `${hours}:${two(minutes)}` : minutes}:${two(seconds % 60)}${fraction}`;
}
