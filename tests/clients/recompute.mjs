// Every payout again, from the chain and from what contributors hold, sharing no code with Vouch.
// Usage: node recompute.mjs FILE   -> one document of JSON; exit code 1 if anything differs
// FILE: {rpc, settlement, token, registry, vault, contributions, provider,
//        receipts: {owner address: [{receipt, promise}, ...]}}
import { readFileSync } from "node:fs";
import { StandardMerkleTree } from "@openzeppelin/merkle-tree";
import {
  concat, createPublicClient, encodePacked, getAddress, hexToString, http, keccak256, pad, parseAbi,
  recoverTypedDataAddress, sha256, toHex,
} from "viem";

const given = JSON.parse(readFileSync(process.argv[2], "utf8"));
const client = createPublicClient({ transport: http(given.rpc) });
const abi = parseAbi([
  "event Registered(bytes32 indexed node, address indexed owner, uint8 kind, bytes32 indexed content, bytes32[] parents, uint16[] sharesBps)",
  "event Transfer(address indexed from, address indexed to, uint256 value)",
  "event Set(string name, uint256 value)",
  "event Proposed(uint256 indexed series, bytes32 indexed root, uint128 total, uint64 until, uint64 finalAt, bytes evidence)",
  "event Opened(uint256 indexed series, address indexed publisher, address indexed token, address settlement, address arbiter, uint64 window, uint128 bond)",
  "event Claimed(uint256 indexed series, address indexed account, uint256 amount, uint256 cumulative)",
  "event Finalised(uint256 indexed series, bytes32 indexed root, uint128 total)",
  "event Voided(uint256 indexed series, bytes32 indexed root, bool proven)",
  "function receiverOf(bytes32 node) view returns (address)",
  "function parameters() view returns (address)",
  "function feeShareBps() view returns (uint16)",
  "function accounts(bytes32 node, address token) view returns (uint128 received, uint128 withdrawn)",
  "function moved(bytes32 child, uint256 parentIndex, address token) view returns (uint256)",
  "function withdrawable(bytes32 node, address token) view returns (uint256)",
]);
const event = (name) => abi.find((item) => item.type === "event" && item.name === name);
const logs = (address, name, args) =>
  client.getLogs({ address, event: event(name), args, fromBlock: 0n, toBlock: "latest" });
const read = (address, functionName, args = [], blockNumber = undefined) =>
  client.readContract({ address, abi, functionName, args, blockNumber });

const differs = [];
const expect = (what, found, expected) => {
  if (found !== expected) differs.push(`${what}: the chain says ${found}, it should be ${expected}`);
};

// --- Royalties: what came to each receiver, and where the rules send it.

/** Parents stand before their children: the registry allows no other order. */
async function graph() {
  const nodes = new Map();
  for (const { args } of await logs(given.registry, "Registered")) {
    nodes.set(args.node, { ...args, received: 0n, edges: [] });
  }
  return nodes;
}

async function royalties() {
  const nodes = await graph();
  const parameters = await read(given.vault, "parameters");
  const vault = getAddress(given.vault);
  // What was swept is what left a receiver for the vault; the fee is that block's.
  for (const node of nodes.values()) {
    const receiver = await read(given.vault, "receiverOf", [node.node]);
    for (const { args, blockNumber } of await logs(given.token, "Transfer", { from: receiver })) {
      if (getAddress(args.to) !== vault) {
        differs.push(`${receiver} paid ${args.to}, which is not the vault`);
        continue;
      }
      const fee = (args.value * BigInt(await read(parameters, "feeShareBps", [], blockNumber))) / 10000n;
      node.received += args.value - fee;
    }
  }
  // From the services up: a node has all its income once all its children were looked at. What the
  // contract moved may lag behind what is owed; it must never be more.
  const lines = [];
  for (const node of [...nodes.values()].reverse()) {
    for (const [index, parent] of node.parents.entries()) {
      const moved = await read(given.vault, "moved", [node.node, BigInt(index), given.token]);
      const owed = (node.received * BigInt(node.sharesBps[index])) / 10000n;
      if (moved > owed) differs.push(`${node.node} gave ${parent} ${moved}, its share is ${owed}`);
      nodes.get(parent).received += moved;
      node.edges.push({ parent, share: node.sharesBps[index], owed: `${owed}`, moved: `${moved}` });
    }
    const passed = node.sharesBps.reduce((sum, share) => sum + BigInt(share), 0n);
    const own = node.received - (node.received * passed) / 10000n;
    const { 0: received, 1: withdrawn } = await read(given.vault, "accounts", [node.node, given.token]);
    expect(`received by ${node.node}`, received, node.received);
    const left = await read(given.vault, "withdrawable", [node.node, given.token]);
    expect(`left to the owner of ${node.node}`, left, own - withdrawn);
    lines.push({
      node: node.node, owner: node.owner, kind: node.kind, received: `${node.received}`,
      own: `${own}`, withdrawn: `${withdrawn}`, edges: node.edges,
    });
  }
  return lines;
}

// --- Citations: what the provider promised each owner, and what its roots say.

const receiptBytes = (r) =>
  concat([
    toHex(r.version, { size: 1 }), toHex(BigInt(r.chain), { size: 8 }), r.settlement,
    toHex(KINDS[r.kind], { size: 1 }), toHex(STATUSES[r.status], { size: 1 }), toHex(TIERS[r.tier], { size: 1 }),
    toHex(r.flags, { size: 2 }), r.provider, pad(toHex(BigInt(r.agent)), { size: 32 }), r.payer, r.channel,
    toHex(BigInt(r.sequence), { size: 8 }), r.request, r.response, r.tokens,
    toHex(BigInt(r.input), { size: 8 }), toHex(BigInt(r.cached), { size: 8 }), toHex(BigInt(r.output), { size: 8 }),
    r.model, r.sampling, r.seed, r.commitment, r.terms, toHex(BigInt(r.charge), { size: 16 }),
    toHex(BigInt(r.cumulative), { size: 16 }), r.asset, r.parent, toHex(BigInt(r.time), { size: 8 }),
  ]);
const KINDS = { inference: 1, embedding: 2, job: 3, "training-round": 4, "data-use": 5, "agent-act": 6, content: 7, alert: 8 };
const STATUSES = { complete: 1, "stopped-by-payer": 2, "out-of-funds": 3, failed: 4 };
const TIERS = { signed: 0, audited: 1, replayed: 2, proven: 3, attested: 4 };

/** RFC 6962: the root that a leaf has, from its place among `size` and its path. */
function rootFrom(leaf, index, size, path) {
  let [node, last, hash] = [BigInt(index), BigInt(size) - 1n, leaf];
  for (const sibling of path) {
    if (node % 2n === 1n || node === last) {
      hash = sha256(concat(["0x01", sibling, hash]));
      while (node % 2n === 0n && node !== 0n) [node, last] = [node >> 1n, last >> 1n];
    } else {
      hash = sha256(concat(["0x01", hash, sibling]));
    }
    [node, last] = [node >> 1n, last >> 1n];
  }
  return hash;
}

/** Whether the provider promised this receipt: its signature over a batch that holds it. */
async function promised({ receipt, promise: signed }) {
  const leaf = sha256(concat(["0x00", "0x01", keccak256(receiptBytes(receipt))]));
  const { promise, signature, index, path } = signed;
  const place = BigInt(index) - BigInt(promise.first);
  if (rootFrom(leaf, place, promise.count, path) !== promise.root) return false;
  const signer = await recoverTypedDataAddress({
    domain: { name: "Vouch", version: "1", chainId: BigInt(receipt.chain), verifyingContract: receipt.settlement },
    primaryType: "Promise",
    types: {
      Promise: [
        { name: "root", type: "bytes32" }, { name: "first", type: "uint64" }, { name: "count", type: "uint32" },
        { name: "notBefore", type: "bytes32" }, { name: "mergeBy", type: "uint64" },
      ],
    },
    message: {
      root: promise.root, first: BigInt(promise.first), count: promise.count,
      notBefore: promise.notBefore, mergeBy: BigInt(promise.mergeBy),
    },
    signature,
  });
  return getAddress(signer) === getAddress(given.provider);
}

/** The account stream of an owner at the provider. */
const stream = (receipt, owner) =>
  keccak256(
    encodePacked(
      ["string", "uint64", "address", "address", "address"],
      ["vouch data use", BigInt(receipt.chain), receipt.settlement, given.provider, owner],
    ),
  );

/** An owner's receipts in order, each checked; their charges must make their totals. */
async function held(owner) {
  const receipts = [...given.receipts[owner]].sort((a, b) => a.receipt.sequence - b.receipt.sequence);
  let total = 0n;
  for (const [at, one] of receipts.entries()) {
    const { receipt } = one;
    const name = `receipt ${receipt.sequence} of ${owner}`;
    if (!(await promised(one))) differs.push(`${name} is not promised by the provider`);
    if (getAddress(receipt.payer) !== getAddress(owner) || receipt.channel !== stream(receipt, owner)) {
      differs.push(`${name} is another's`);
    }
    expect(`the place of ${name}`, receipt.sequence, at + 1);
    total += BigInt(receipt.charge);
    expect(`the total of ${name}`, BigInt(receipt.cumulative), total);
  }
  return receipts;
}

/** Which accounts a root's leaves, as they came with it, have wrong. */
function faulty(evidence, leaves) {
  let given;
  try {
    given = new Map(JSON.parse(hexToString(evidence)).map((leaf) => [getAddress(leaf.account), leaf]));
  } catch {
    return ["the leaves that came with the root cannot be read"];
  }
  const wrong = [];
  for (const [account, cumulative, sequence] of leaves) {
    const leaf = given.get(account);
    if (!leaf || BigInt(leaf.cumulative) !== cumulative || BigInt(leaf.sequence) !== sequence) {
      const says = leaf ? `${leaf.cumulative} by ${leaf.sequence} receipts` : "nothing";
      wrong.push(`${account}: the root has ${says}, the receipts say ${cumulative} by ${sequence}`);
    }
    given.delete(account);
  }
  for (const account of given.keys()) wrong.push(`${account}: the root pays it, no receipt was given`);
  return wrong;
}

async function citations() {
  const owners = Object.keys(given.receipts);
  const receipts = new Map();
  for (const owner of owners) receipts.set(owner, await held(owner));
  const opened = await logs(given.contributions, "Opened", { publisher: given.provider, token: given.token });
  const lines = [];
  for (const { args: series } of opened) {
    const proposals = await logs(given.contributions, "Proposed", { series: series.series });
    const voids = await logs(given.contributions, "Voided", { series: series.series });
    for (const [at, { args: proposed, blockNumber }] of proposals.entries()) {
      // One root is open at a time, so a void between two proposals is the first one's.
      const next = proposals[at + 1]?.blockNumber;
      const voided = voids.some((v) => v.blockNumber > blockNumber && (next === undefined || v.blockNumber <= next));
      const leaves = [];
      for (const owner of owners) {
        const due = receipts.get(owner).filter(({ receipt }) => BigInt(receipt.time) < proposed.until);
        const last = due.at(-1)?.receipt;
        if (last) leaves.push([getAddress(owner), BigInt(last.cumulative), BigInt(last.sequence)]);
      }
      const total = leaves.reduce((sum, [, cumulative]) => sum + cumulative, 0n);
      const root = leaves.length
        ? StandardMerkleTree.of(leaves, ["address", "uint128", "uint64"]).root
        : undefined;
      const agrees = root === proposed.root;
      if (!agrees && !voided) {
        differs.push(`series ${series.series}: the root ${proposed.root} is not what the receipts make, ${root}`);
        differs.push(...faulty(proposed.evidence, leaves));
      }
      lines.push({
        series: `${series.series}`, until: `${proposed.until}`, root: proposed.root, agrees, voided,
        total: `${proposed.total}`, expected: `${total}`,
        accounts: leaves.map(([account, cumulative, sequence]) => ({ account, cumulative: `${cumulative}`, sequence: `${sequence}` })),
      });
    }
    for (const { args } of await logs(given.contributions, "Claimed", { series: series.series })) {
      const most = receipts.get(owners.find((owner) => getAddress(owner) === args.account))?.at(-1);
      if (!most || args.cumulative > BigInt(most.receipt.cumulative)) {
        differs.push(`${args.account} was paid ${args.cumulative}, above its receipts`);
      }
    }
  }
  return lines;
}

const result = { royalties: await royalties(), citations: await citations(), differs };
console.log(JSON.stringify(result));
process.exitCode = differs.length ? 1 : 0;
