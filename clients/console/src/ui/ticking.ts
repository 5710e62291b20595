import { useEffect, useReducer } from "preact/hooks";

/** Draws the component anew each `everyMs` while `active`; returns the time. */
export function useTicking(active: boolean, everyMs = 1000): number {
  const [, tick] = useReducer((count: number) => count + 1, 0);
  useEffect(() => {
    if (!active) return;
    const timer = setInterval(() => tick(undefined), everyMs);
    return () => clearInterval(timer);
  }, [active, everyMs]);
  return Date.now();
}
