/** A page in Node: what React and custom elements need of a browser. Import it before either. */

import { Window } from "happy-dom";

export const page = new Window({ url: "https://page.example.org/" });

const wanted = [
  "document", "HTMLElement", "HTMLIFrameElement", "customElements", "CSSStyleSheet", "CustomEvent", "MutationObserver",
  "Node", "Element", "Text",
];
for (const name of wanted) {
  Object.defineProperty(globalThis, name, { value: (page as unknown as Record<string, unknown>)[name], configurable: true });
}
Object.defineProperty(globalThis, "window", { value: page, configurable: true });
Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true });
