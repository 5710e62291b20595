/** Light or dark: as the system has it, unless the reader has chosen. */

import { Store } from "./store.ts";

export type Theme = "auto" | "light" | "dark";
const KEY = "talkwire.theme";
const ORDER: readonly Theme[] = ["auto", "light", "dark"];

export const theme = new Store<Theme>("auto");

export function startTheme(): void {
  try {
    const kept = localStorage.getItem(KEY);
    if (kept === "light" || kept === "dark") theme.set(kept);
  } catch {
    // Storage may be forbidden: then the choice lasts as long as the page.
  }
  show();
}

export function nextTheme(): void {
  theme.set(ORDER[(ORDER.indexOf(theme.value) + 1) % ORDER.length] ?? "auto");
  try {
    localStorage.setItem(KEY, theme.value);
  } catch {
    // See above.
  }
  show();
}

function show(): void {
  document.documentElement.dataset["theme"] = theme.value;
}
