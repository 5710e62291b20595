/**
 * What a committed bundle was made from, as one number: so that a test without Node can tell that the sources have
 * changed since. `tests/clients/sources.py` counts the same way; change both.
 */

import { createHash } from "node:crypto";
import { readFileSync, readdirSync, statSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

/** Generated types: they leave nothing in what is built, and have a drift test of their own. */
const TYPES = "/src/wire.ts";

export const CLIENTS = path.dirname(fileURLToPath(import.meta.url));

/** All files below `entry`, a file or a folder below `clients/`, as paths from there with slashes. */
function files(entry) {
  const place = path.join(CLIENTS, entry);
  if (!statSync(place).isDirectory()) return [entry];
  return readdirSync(place).flatMap((name) => files(`${entry}/${name}`));
}

/**
 * SHA-256, in hex, of the files that `entries` name: of each, in the order of their paths, the path, a zero byte,
 * the content, a zero byte. Generated types are left out.
 */
export function digest(entries) {
  const hash = createHash("sha256");
  const names = entries.flatMap(files).filter((name) => !name.endsWith(TYPES));
  for (const name of names.sort()) {
    hash.update(name).update("\0").update(readFileSync(path.join(CLIENTS, name))).update("\0");
  }
  return hash.digest("hex");
}
