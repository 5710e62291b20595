/** Runs the tests of the package it is called in: each file of `test/` is bundled, for Node 20 reads no TypeScript, and given to `node --test`. */

import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import path from "node:path";

import { build } from "esbuild";

const HERE = process.cwd();
// Below this folder, so that what is not bundled is found in node_modules.
const built = mkdtempSync(path.join(HERE, ".tests-"));
let status = 1;
try {
  const tests = readdirSync(path.join(HERE, "test")).filter((name) => /\.test\.tsx?$/.test(name));
  await build({
    absWorkingDir: HERE,
    entryPoints: tests.map((name) => `test/${name}`),
    outdir: built,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    format: "esm",
    platform: "node",
    target: ["node20"],
    packages: "external",
    // What a test imports for its effects is wanted, whatever the package says of itself.
    ignoreAnnotations: true,
    sourcemap: "inline",
    logLevel: "warning",
  });
  const files = readdirSync(built).filter((name) => name.endsWith(".mjs")).map((name) => path.join(built, name));
  const run = spawnSync(process.execPath, ["--enable-source-maps", "--test", ...files], { cwd: HERE, stdio: "inherit" });
  status = run.status ?? 1;
} finally {
  rmSync(built, { recursive: true, force: true });
}
process.exit(status);
