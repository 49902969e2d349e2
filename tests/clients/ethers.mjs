// The stock ethers client against the embedded chain, which signs for its own accounts.
// Usage: node ethers.mjs RPC ARTEFACT   -> one line of JSON; the artefact is a token's
import { readFileSync } from "node:fs";
import { ContractFactory, JsonRpcProvider, WebSocketProvider, verifyMessage } from "ethers";

const [rpc, artefact] = process.argv.slice(2);
const provider = new JsonRpcProvider(rpc, undefined, { polling: true, pollingInterval: 20 });
const live = new WebSocketProvider(rpc.replace("http", "ws"));
const news = { heads: 0, pending: [], logs: [] };
await live.on("block", () => (news.heads += 1));
await live.on("pending", (hash) => news.pending.push(hash));

const { abi, bytecode } = JSON.parse(readFileSync(artefact));
const [owner, other] = await Promise.all([0, 1].map((index) => provider.getSigner(index)));
const factory = new ContractFactory(abi, bytecode.object, owner);
const token = await (await factory.deploy(owner.address)).waitForDeployment();
const address = await token.getAddress();
await live.on({ address }, (log) => news.logs.push(log.transactionHash));
await live.getBlockNumber();
await new Promise((done) => setTimeout(done, 200));

await (await token.mint(owner.address, 1000n)).wait();
const snapshot = await provider.send("evm_snapshot", []);
const sent = await (await token.transfer(other.address, 7n)).wait();
for (let waited = 0; waited < 100 && !news.logs.includes(sent.hash); waited += 1) {
  await new Promise((done) => setTimeout(done, 50));
}
const moved = await token.balanceOf(other.address);
const transfers = await token.queryFilter(token.filters.Transfer(owner.address));
const reverted = await token.connect(other).transfer(owner.address, 8n).catch((error) => error);
const trace = await provider.send("debug_traceTransaction", [
  sent.hash,
  { tracer: "callTracer", tracerConfig: { withLog: true } },
]);
const wentBack = await provider.send("evm_revert", [snapshot]);
const message = "signed by the chain";
const report = {
  moved: moved.toString(),
  transfers: transfers.map((event) => event.args.value.toString()),
  reverted: [reverted.code, reverted.data.slice(0, 10)],
  traced: [trace.type, trace.to === address.toLowerCase(), trace.logs.length],
  news: [news.heads > 0, news.pending.includes(sent.hash), news.logs.includes(sent.hash)],
  wentBack,
  balance: (await token.balanceOf(other.address)).toString(),
  signed: verifyMessage(message, await owner.signMessage(message)) === owner.address,
};
console.log(JSON.stringify(report));
provider.destroy();
await live.destroy();
