// The stock viem client against the embedded chain.
// Usage: node viem.mjs RPC PRIVATE_KEY   -> one line of JSON
import { createPublicClient, createWalletClient, defineChain, http, parseEther } from "viem";
import { privateKeyToAccount } from "viem/accounts";

const [rpc, key] = process.argv.slice(2);
const transport = http(rpc);
const probe = createPublicClient({ transport });
const chain = defineChain({
  id: await probe.getChainId(),
  name: "embedded",
  nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
  rpcUrls: { default: { http: [rpc] } },
});
const reader = createPublicClient({ chain, transport, pollingInterval: 20 });
const account = privateKeyToAccount(key);
const wallet = createWalletClient({ account, chain, transport });

const to = "0x00000000000000000000000000000000000000aa";
const hash = await wallet.sendTransaction({ to, value: parseEther("0.001") });
const receipt = await reader.waitForTransactionReceipt({ hash });
const block = await reader.getBlock({ blockHash: receipt.blockHash });
// Initcode that returns one byte of code, STOP: PUSH1 1, PUSH1 0, RETURN over zeroed memory.
const deployment = await wallet.deployContract({ abi: [], bytecode: "0x60016000f3" });
const deployed = await reader.waitForTransactionReceipt({ hash: deployment });
console.log(
  JSON.stringify({
    status: receipt.status,
    included: block.transactions.includes(hash),
    balance: (await reader.getBalance({ address: to })).toString(),
    code: await reader.getCode({ address: deployed.contractAddress }),
    fees: typeof (await reader.estimateFeesPerGas()).maxFeePerGas,
  }),
);
