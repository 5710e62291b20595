/** Mouse and fingers on the timeline: a click, a drag, a pinch, the wheel. */

import { useRef } from "preact/hooks";

export interface PointerActs {
  readonly onHover: (x: number, y: number) => void;
  readonly onLeave: () => void;
  readonly onClick: (x: number, y: number) => void;
  /** By how many pixels to the right the view is to be moved. */
  readonly onPan: (px: number) => void;
  readonly onZoom: (factor: number, x: number) => void;
}

const CLICK_PX = 4;

interface Touch {
  x: number;
  y: number;
}

export function usePointer(acts: PointerActs) {
  const down = useRef(new Map<number, Touch>());
  const moved = useRef(0);
  const place = (event: PointerEvent | WheelEvent): Touch => {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const spread = (): number => {
    const [a, b] = [...down.current.values()];
    return a && b ? Math.abs(a.x - b.x) : 0;
  };
  return {
    onPointerDown: (event: PointerEvent): void => {
      if (event.button !== 0) return;
      if (down.current.size === 0) moved.current = 0;
      down.current.set(event.pointerId, place(event));
      (event.currentTarget as HTMLElement).setPointerCapture(event.pointerId);
    },
    onPointerMove: (event: PointerEvent): void => {
      const here = place(event);
      const before = down.current.get(event.pointerId);
      if (!before) return acts.onHover(here.x, here.y);
      const apart = spread();
      down.current.set(event.pointerId, here);
      moved.current += Math.abs(here.x - before.x);
      if (down.current.size > 1) {
        if (apart > 10 && spread() > 10) acts.onZoom(spread() / apart, here.x);
      } else if (moved.current > CLICK_PX) {
        acts.onLeave();
        acts.onPan(before.x - here.x);
      }
    },
    onPointerUp: (event: PointerEvent): void => {
      const here = place(event);
      const alone = down.current.size === 1 && down.current.has(event.pointerId);
      down.current.delete(event.pointerId);
      if (alone && moved.current <= CLICK_PX) acts.onClick(here.x, here.y);
    },
    onPointerCancel: (event: PointerEvent): void => void down.current.delete(event.pointerId),
    onPointerLeave: (event: PointerEvent): void => void (down.current.has(event.pointerId) || acts.onLeave()),
    /** With Ctrl (as pinching on a trackpad gives it) it zooms; sideways it moves; else the page scrolls. */
    onWheel: (event: WheelEvent): void => {
      const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault();
        acts.onZoom(Math.exp(-event.deltaY * 0.01), place(event).x);
      } else if (sideways || event.shiftKey) {
        event.preventDefault();
        acts.onPan(sideways ? event.deltaX : event.deltaY);
      }
    },
  };
}
