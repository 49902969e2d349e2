// The project's script against the embedded chain, which signs for its own accounts.
// Usage: RPC=URL OUT=DIRECTORY hardhat run --network vouch scripts/count.mjs   -> one line of JSON,
// after an empty one of hardhat's
import { network } from "hardhat";
import module from "../ignition/modules/Counter.mjs";

const connection = await network.create();
const { ethers, ignition, networkHelpers } = connection;
const ask = (method, ...params) => connection.provider.request({ method, params });
const done = async (sent) => (await sent).wait();

const { counter: ignited } = await ignition.deploy(module);
const [owner, other] = await ethers.getSigners();
const counter = await ethers.deployContract("Counter", [0n], owner);
await counter.waitForDeployment();
const address = await counter.getAddress();

// hardhat-ethers polls for news, and may see two blocks at once; a filter is asked.
const news = { heads: 0, counts: [] };
await ethers.provider.on("block", () => (news.heads += 1));
await counter.on("Counted", (by, count) => news.counts.push(count.toString()));
const filter = await ask("eth_newFilter", { address });

const sent = await done(counter.add(3n));
const snapshot = await ask("evm_snapshot");
await done(counter.connect(other).add(4n));
for (let waited = 0; waited < 100 && news.counts.length < 2; waited += 1) {
  await new Promise((soon) => setTimeout(soon, 50));
}
const logs = await ask("eth_getFilterChanges", filter);
await ethers.provider.removeAllListeners();
const count = await counter.count();

const refused = await counter.add(11n).catch((error) => error);
const error = counter.interface.parseError(refused.data);
const trace = await ask("debug_traceTransaction", sent.hash, { tracer: "callTracer" });
const wentBack = await ask("evm_revert", snapshot);

// Two that own nothing yet: the chain is told to send for one, hardhat itself signs for the other.
const guest = "0x00000000000000000000000000000000000000aa";
await ask("hardhat_impersonateAccount", guest);
const { privateKey } = ethers.Wallet.createRandom();
const local = await network.create({ override: { accounts: [privateKey] } });
const signers = [await ethers.getSigner(guest), ...(await local.ethers.getSigners())];
for (const signer of signers) {
  await ask("hardhat_setBalance", signer.address, ethers.toQuantity(ethers.parseEther("1")));
  await done(counter.connect(signer).add(1n));
}
await ask("hardhat_stopImpersonatingAccount", guest);
const counted = (await counter.queryFilter("Counted")).map(({ args }) => args);
const all = [owner, ...signers].map(({ address }) => address);

const kept = await networkHelpers.takeSnapshot();
const before = await networkHelpers.time.latest();
await networkHelpers.time.increase(3600);
await networkHelpers.setBalance(guest, 7n);
await networkHelpers.mine(3);
const later = [
  (await networkHelpers.time.latest()) >= before + 3600,
  await ask("eth_getBalance", guest, "latest"),
];
const height = await ethers.provider.getBlockNumber();
await kept.restore();
later.push(height - (await ethers.provider.getBlockNumber()) - 1);
const message = "signed by the chain";
const report = {
  ignited: (await ignited.count()).toString(),
  count: count.toString(),
  news: [news.heads, news.counts.sort(), logs.length],
  reverted: [refused.code, error.name, error.args.map(String)],
  traced: [trace.type, trace.to === address.toLowerCase()],
  wentBack,
  counted: counted.map(({ by, count }) => [all.indexOf(by), count.toString()]),
  later,
  signed: ethers.verifyMessage(message, await owner.signMessage(message)) === owner.address,
};
console.log(JSON.stringify(report));
await Promise.all([connection.close(), local.close()]);
