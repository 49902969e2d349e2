#!/usr/bin/env node
// The compiler that forge calls: npm's `solc` behind the two options forge uses, so that the
// version is pinned by package-lock.json and nothing is downloaded at build time.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);

if (process.argv.includes("--version")) {
  // Without loading the compiler, which takes a second: forge asks more than once.
  const { version } = require("solc/package.json");
  console.log(`solc, the solidity compiler commandline interface\nVersion: ${version}`);
} else if (process.argv.includes("--standard-json")) {
  const solc = require("solc");
  process.stdout.write(solc.compile(readFileSync(0, "utf8")));
} else {
  console.error("solc.mjs answers --version and --standard-json, as forge asks them.");
  process.exit(2);
}
