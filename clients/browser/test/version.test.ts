import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { VERSION } from "../src/version.ts";

test("the version is the package's", () => {
  assert.equal(VERSION, (JSON.parse(readFileSync("package.json", "utf8")) as { version: string }).version);
});
