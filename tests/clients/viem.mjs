// The stock viem client against the embedded chain.
// Usage: node viem.mjs RPC PRIVATE_KEY   -> one line of JSON
import {
  createPublicClient,
  createWalletClient,
  defineChain,
  http,
  parseEther,
  webSocket,
} from "viem";
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

// News come over a WebSocket at the same address.
const live = createPublicClient({ chain, transport: webSocket(rpc.replace("http", "ws")) });
const news = { heads: 0, pending: [], logs: [] };
const endings = [
  live.watchBlocks({ onBlock: () => (news.heads += 1) }),
  live.watchPendingTransactions({ onTransactions: (hashes) => news.pending.push(...hashes) }),
  live.watchEvent({ onLogs: (logs) => news.logs.push(...logs) }),
];
// Subscriptions have no other sign of their beginning than an answer to what was asked after them.
await live.getBlockNumber();
await new Promise((done) => setTimeout(done, 200));

const to = "0x00000000000000000000000000000000000000aa";
const hash = await wallet.sendTransaction({ to, value: parseEther("0.001") });
const receipt = await reader.waitForTransactionReceipt({ hash });
const block = await reader.getBlock({ blockHash: receipt.blockHash });
// Initcode that writes an empty log and returns one byte of code, STOP, from zeroed memory.
const deployment = await wallet.deployContract({ abi: [], bytecode: "0x60006000a060016000f3" });
const deployed = await reader.waitForTransactionReceipt({ hash: deployment });
for (let waited = 0; waited < 100 && (news.heads < 2 || !news.logs.length); waited += 1) {
  await new Promise((done) => setTimeout(done, 50));
}
endings.forEach((end) => end());
(await live.transport.getRpcClient()).close();
console.log(
  JSON.stringify({
    status: receipt.status,
    included: block.transactions.includes(hash),
    balance: (await reader.getBalance({ address: to })).toString(),
    code: await reader.getCode({ address: deployed.contractAddress }),
    heads: news.heads,
    pending: [hash, deployment].every((sent) => news.pending.includes(sent)),
    logged: news.logs.map((log) => log.transactionHash === deployment),
    fees: typeof (await reader.estimateFeesPerGas()).maxFeePerGas,
  }),
);
