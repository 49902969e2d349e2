// An owner's question for its receipts, signed by viem; and those that must be refused.
// Usage: node uses.mjs GATEWAY OWNER   -> one line of JSON: {own, unsigned, stale, anothers, elsewhere}
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";

const [gateway, owner] = process.argv.slice(2);
const here = await (await fetch(`${gateway}/.well-known/vouch.json`)).json();
const domain = {
  name: "Vouch", version: "1", chainId: Number(here.network.split(":")[1]),
  verifyingContract: here.settlement,
};
const types = {
  Inquiry: [
    { name: "provider", type: "address" }, { name: "owner", type: "address" },
    { name: "after", type: "uint64" }, { name: "limit", type: "uint32" }, { name: "expiry", type: "uint64" },
  ],
};
const account = privateKeyToAccount(generatePrivateKey());
const now = Math.floor(Date.now() / 1000);

async function ask(changes, sign = true) {
  const inquiry = {
    provider: here.provider, owner: account.address, after: 0, limit: 10, expiry: now + 100, ...changes,
  };
  const signature = sign
    ? await account.signTypedData({ domain, types, primaryType: "Inquiry", message: inquiry })
    : undefined;
  const answer = await fetch(`${gateway}/vouch/uses`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ inquiry, signature }),
  });
  const { uses, error } = await answer.json();
  return { status: answer.status, code: error?.code, message: error?.message, uses: uses?.length };
}

console.log(
  JSON.stringify({
    own: await ask({}),
    unsigned: await ask({ owner }, false),
    stale: await ask({ expiry: now - 10 }),
    anothers: await ask({ owner }),
    elsewhere: await ask({ provider: account.address }),
  }),
);
