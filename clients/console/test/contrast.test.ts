import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const CSS = readFileSync("src/styles/base.css", "utf8");

/** Relative luminance, as WCAG 2 defines it. */
function luminance(colour: string): number {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const share = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(a: string, b: string): number {
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number];
  return (light + 0.05) / (dark + 0.05);
}

const colours = new Map([...CSS.matchAll(/--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)/g)].map(([, name, light, dark]) => [name ?? "", [light ?? "", dark ?? ""] as const]));

const TEXT: readonly (readonly [ground: string, texts: readonly string[]])[] = [
  ["page", ["text", "muted", "faint", "user", "bot", "wait", "think", "cut"]],
  ["surface", ["text", "muted", "faint", "user", "bot", "wait", "think", "cut"]],
  ["sunken", ["text", "muted", "faint", "user", "bot", "wait", "think", "cut"]],
  ["hover", ["text", "muted", "faint", "user", "bot", "wait", "think", "cut"]],
  ["user-soft", ["text", "muted", "user", "bot", "wait", "think", "cut"]],
  ["bot-soft", ["text", "bot"]],
  ["wait-soft", ["text", "wait"]],
  ["think-soft", ["text", "think"]],
  ["cut-soft", ["text", "cut"]],
  ["primary", ["on-primary"]],
];
const SHAPES: readonly (readonly [ground: string, shapes: readonly string[]])[] = [
  ["surface", ["user-wave", "bot-wave", "wait", "think", "cut", "focus"]],
  ["page", ["focus"]],
];

for (const [index, theme] of ["light", "dark"].entries()) {
  const of = (name: string): string => colours.get(name)?.[index] ?? assert.fail(`no colour ${name}`);
  test(`text can be read in the ${theme} theme`, () => {
    for (const [ground, texts] of TEXT) {
      for (const text of texts) {
        const found = contrast(of(ground), of(text));
        assert.ok(found >= 4.5, `${text} on ${ground}: ${found.toFixed(2)}`);
      }
    }
  });
  test(`what is drawn can be seen in the ${theme} theme`, () => {
    for (const [ground, shapes] of SHAPES) {
      for (const shape of shapes) {
        const found = contrast(of(ground), of(shape));
        assert.ok(found >= 3, `${shape} on ${ground}: ${found.toFixed(2)}`);
      }
    }
  });
}

test("colours stand in one place", () => {
  for (const name of ["shell", "talk", "calls", "call", "timeline"]) {
    assert.ok(!/#[0-9a-f]{3,8}\b/.test(readFileSync(`src/styles/${name}.css`, "utf8")), name);
  }
});
