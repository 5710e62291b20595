/**
 * Builds the package (`dist/`) and the file that a server hands out (`server/static/talkwire.js`).
 *
 * `node build.mjs --bundle FILE` writes only the latter, to FILE: that is how a test sees whether the committed one is
 * what these sources give.
 */

import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

import { CLIENTS, digest } from "../sources.mjs";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const COMMITTED = path.join(CLIENTS, "..", "server", "static", "talkwire.js");
export const SOURCES = ["browser/src", "browser/package.json", "browser/build.mjs", "sources.mjs"];

const common = {
  absWorkingDir: HERE,
  bundle: true,
  format: "esm",
  target: ["es2022"],
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
};

/** One file, smaller, whose first line says what it was made from. */
async function bundled(outfile) {
  await build({
    ...common,
    entryPoints: ["src/bundle.ts"],
    outfile,
    minify: true,
    banner: { js: `/* Talkwire browser client. Sources: ${digest(SOURCES)} */` },
  });
}

/** What npm gets: readable modules that share what they have in common, and their types. */
async function packaged() {
  rmSync(path.join(HERE, "dist"), { recursive: true, force: true });
  await build({
    ...common,
    entryPoints: ["src/index.ts", "src/element.ts", "src/react.ts"],
    outdir: "dist",
    splitting: true,
    external: ["react"],
  });
  const tsc = path.join(CLIENTS, "node_modules", ".bin", "tsc");
  execFileSync(tsc, ["-p", "tsconfig.types.json"], { cwd: HERE, stdio: "inherit" });
}

const [flag, file] = process.argv.slice(2);
if (flag === "--bundle" && file) {
  await bundled(path.resolve(file));
} else {
  await packaged();
  await bundled(COMMITTED);
}
