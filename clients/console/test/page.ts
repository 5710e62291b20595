/** A page in Node: what Preact needs of a browser, and what views ask of it. Import it before them. */

import { Window } from "happy-dom";

export const page = new Window({ url: "https://voice.example.org/" });

const wanted = ["document", "location", "HTMLElement", "Node", "Element", "Text", "Event", "KeyboardEvent", "ResizeObserver", "navigator", "addEventListener", "scrollTo"];
for (const name of wanted) {
  Object.defineProperty(globalThis, name, { value: (page as unknown as Record<string, unknown>)[name], configurable: true });
}
Object.defineProperty(globalThis, "window", { value: page, configurable: true });
Object.defineProperty(globalThis, "requestAnimationFrame", { value: (act: () => void) => setTimeout(act, 0), configurable: true });
Object.defineProperty(globalThis, "cancelAnimationFrame", { value: clearTimeout, configurable: true });
Object.defineProperty(globalThis, "matchMedia", { value: () => ({ matches: true, addEventListener: () => undefined, removeEventListener: () => undefined }), configurable: true });

/** What is pending is done. */
export const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 120));
