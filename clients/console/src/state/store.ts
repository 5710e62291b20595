/** A value that components look at. */

import { useEffect, useReducer } from "preact/hooks";

export class Store<T> {
  #value: T;
  readonly #watchers = new Set<() => void>();

  constructor(value: T) {
    this.#value = value;
  }

  get value(): T {
    return this.#value;
  }

  set(value: T): void {
    if (Object.is(value, this.#value)) return;
    this.#value = value;
    for (const watcher of [...this.#watchers]) watcher();
  }

  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }
}

/** The store's value; the component is drawn anew when it changes. */
export function useStore<T>(store: Store<T>): T {
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  useEffect(() => {
    redraw(undefined);
    return store.watch(() => redraw(undefined));
  }, [store]);
  return store.value;
}

/** Tells of changes at most once a frame (of a page that is not looked at, a few times a second). */
export class Changes extends Store<number> {
  #asked = false;

  touch(): void {
    if (this.#asked) return;
    this.#asked = true;
    const tell = (): void => {
      this.#asked = false;
      this.set(this.value + 1);
    };
    if (document.hidden) setTimeout(tell, 250);
    else requestAnimationFrame(tell);
  }
}
