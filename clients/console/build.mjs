/**
 * Builds the console's page into `server/console/`: `index.html`, and what it needs below `assets/`, named by content.
 *
 * `node build.mjs --into FOLDER` builds it there: that is how a test sees whether the committed one is what these
 * sources give.
 */

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

import { CLIENTS, digest } from "../sources.mjs";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const COMMITTED = path.join(CLIENTS, "..", "server", "console");
export const SOURCES = ["console/src", "console/package.json", "console/build.mjs", "sources.mjs"];

const [flag, folder] = process.argv.slice(2);
const into = flag === "--into" && folder ? path.resolve(folder) : COMMITTED;
const assets = path.join(into, "assets");

// The client is not bundled: the server hands it out, and the console loads what it hands out.
const { outputFiles } = await build({
  absWorkingDir: HERE,
  entryPoints: { console: "src/main.tsx" },
  outdir: "built",
  write: false,
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022"],
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
  jsx: "automatic",
  jsxImportSource: "preact",
  external: ["/talkwire.js"],
});

rmSync(assets, { recursive: true, force: true });
mkdirSync(assets, { recursive: true });
let page = readFileSync(path.join(HERE, "src", "index.html"), "utf8");
const stamp = `/* Talkwire console. Sources: ${digest(SOURCES)} */\n`;
for (const file of outputFiles) {
  const kind = path.extname(file.path);
  const text = stamp + file.text;
  const name = `console-${createHash("sha256").update(text).digest("hex").slice(0, 10)}${kind}`;
  writeFileSync(path.join(assets, name), text);
  page = page.replace(`/assets/console${kind}`, `/assets/${name}`);
}
writeFileSync(path.join(into, "index.html"), page);
