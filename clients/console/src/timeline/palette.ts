/** The colours of the page, as the canvas needs them: asked for anew when the theme changes. */

const NAMES = [
  "text",
  "muted",
  "faint",
  "line",
  "line-strong",
  "surface",
  "sunken",
  "user",
  "user-soft",
  "user-wave",
  "bot",
  "bot-soft",
  "bot-wave",
  "wait",
  "wait-soft",
  "think",
  "think-soft",
  "cut",
  "focus",
] as const;

export type Palette = Readonly<Record<(typeof NAMES)[number], string>>;

/** `light-dark()` is resolved by the browser, so an element is coloured and looked at. */
export function readPalette(within: HTMLElement): Palette {
  const probe = document.createElement("span");
  within.append(probe);
  const found = Object.fromEntries(
    NAMES.map((name) => {
      probe.style.color = `var(--${name})`;
      return [name, getComputedStyle(probe).color];
    }),
  );
  probe.remove();
  return found as Palette;
}
