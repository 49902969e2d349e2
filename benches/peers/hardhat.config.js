// What the chain benchmark gives every node, as hardhat takes it. Its files go to its home.
import { homedir } from "node:os";
import { join } from "node:path";

export default {
  paths: { artifacts: join(homedir(), "artifacts"), cache: join(homedir(), "cache") },
  networks: {
    node: {
      type: "edr-simulated",
      chainId: Number(process.env.CHAIN_ID),
      blockGasLimit: BigInt(process.env.BLOCK_GAS),
      accounts: { mnemonic: process.env.MNEMONIC, count: 10 },
    },
  },
};
