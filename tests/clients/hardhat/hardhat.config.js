// A project as people have them, whose network is the embedded chain at RPC. OUT is where all that
// hardhat makes goes; the compiler is the contracts' own, so that none is downloaded.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ethers from "@nomicfoundation/hardhat-ethers";
import ignition from "@nomicfoundation/hardhat-ignition-ethers";
import helpers from "@nomicfoundation/hardhat-network-helpers";

const { OUT, RPC } = process.env;
const solc = fileURLToPath(new URL("../../../contracts/node_modules/solc", import.meta.url));
const { version } = JSON.parse(readFileSync(join(solc, "package.json")));

export default {
  plugins: [ethers, ignition, helpers],
  solidity: { version, path: join(solc, "soljson.js") },
  paths: {
    artifacts: join(OUT, "artifacts"),
    cache: join(OUT, "cache"),
    ignition: join(OUT, "ignition"),
  },
  networks: { vouch: { type: "http", url: RPC } },
};
