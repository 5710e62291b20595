import type { RefObject } from "preact";
import { useEffect, useRef } from "preact/hooks";

const NEAR_PX = 80;

/** Keeps the end of a growing box in sight, unless the reader has scrolled away from it. */
export function useStickToEnd(box: RefObject<HTMLElement | null>, active: boolean): void {
  const near = useRef(true);
  const stick = (): void => {
    const element = box.current;
    if (active && near.current && element) element.scrollTop = element.scrollHeight;
  };
  const latest = useRef(stick);
  latest.current = stick;
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    let height = element.clientHeight;
    const look = (): void => {
      // A box that became smaller was not scrolled by its reader.
      if (element.clientHeight === height) near.current = element.scrollHeight - element.scrollTop - element.clientHeight < NEAR_PX;
    };
    const observer = new ResizeObserver(() => {
      height = element.clientHeight;
      latest.current();
    });
    observer.observe(element);
    element.addEventListener("scroll", look, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", look);
    };
  }, []);
  useEffect(stick);
}
